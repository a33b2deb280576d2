"""`python -m syncnet` is `syncnet`."""

from __future__ import annotations

from syncnet.cli import main

main(prog_name="syncnet")
