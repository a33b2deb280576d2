"""Parameters, bodies and answers: how offers and outcomes are written in HTTP. No I/O; server and client share it."""
