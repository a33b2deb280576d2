"""The clients for tasks of asyncio and trio: the source from which the clients for threads are generated."""
