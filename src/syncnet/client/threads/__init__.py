"""The clients for threads. `scripts/unasync.py` generates all modules but `net` from those in `aio`."""
