"""The clients for threads: `http` and `client` are made by scripts/unasync.py of their twins in `aio/`."""
