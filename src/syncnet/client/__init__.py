"""The HTTP clients: `aio` for tasks of asyncio and trio, `threads` for threads.

`aio` is the source. `scripts/unasync.py` generates the modules of `threads` from it; a test fails if they differ. Only
`net.py` is written twice: it holds what differs between tasks and threads, such as connections, waiting and
background work. Both share `sockets`, and the code without input and output: `requests`, `answers` and `retry`.

The clients do not know the matching rules. They leave the validation of parameters to the server.
"""
