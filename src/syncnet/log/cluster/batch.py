"""An entry on its way."""

from __future__ import annotations

from syncnet.core.commands import Command

__all__ = ["Batch"]


class Batch:
    """Commands that make one entry, from its publication until it is delivered.

    It is entry `number` of `node`, and was first sent at `sent_ns` on the monotonic clock.
    """

    __slots__ = ("commands", "data", "is_stored", "is_unknown", "node", "number", "sent_ns")

    def __init__(self, node: str, number: int, commands: list[Command], data: bytes, sent_ns: int) -> None:
        self.node: str = node
        self.number: int = number
        self.commands: list[Command] = commands
        self.data: bytes = data
        self.sent_ns: int = sent_ns
        self.is_stored: bool = False
        self.is_unknown: bool = False  # one of its publications may or may not have succeeded
