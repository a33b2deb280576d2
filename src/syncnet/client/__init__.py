"""The clients: the methods of a world over HTTP, for tasks (`aio`) and for threads (`threads`).

`aio/client.py` and `aio/http.py` are the one written source. `scripts/unasync.py` makes their twins in `threads/` of
them, and a test refuses twins that differ. Only `net.py` is written twice: what a task and a thread do differently, to
connect, to wait, to begin something beside. What needs neither stands here: `requests`, `answers` and `ride`.

A client knows HTTP and the words of the contract. Who may meet whom it does not know, and it checks no parameter that
the server checks.
"""
