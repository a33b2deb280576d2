"""The clients for tasks, on asyncio and trio: the written source of both kinds."""
