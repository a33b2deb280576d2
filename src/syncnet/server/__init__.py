"""Parameters in, answers out: one protocol-neutral handler, thin RSGI and ASGI faces, and granian's start-up."""
