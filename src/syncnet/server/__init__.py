"""Parameters in, answers out: one protocol-neutral handler, thin RSGI and ASGI adapters, and granian's start-up."""
