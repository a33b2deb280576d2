"""The log decides the order of the commands; a hub appends to it and applies what it delivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from syncnet.core.commands import Command

__all__ = ["Deliver", "Log"]

Deliver: TypeAlias = Callable[[Command], None]


class Log(Protocol):
    """One total order of commands.

    A log is opened once, by the hub that it delivers to. Every command that was appended is delivered exactly once,
    in the order of the log, on the event loop of the hub; within `append`, or later.
    """

    def open(self, deliver: Deliver) -> None:
        """Begin to deliver; what the log holds from before comes first."""

    def append(self, command: Command) -> None:
        """Put a command at the end."""
