"""The log that keeps nothing: a command is applied the moment it arrives. No queue, no copy."""

from __future__ import annotations

from syncnet.core.commands import Command
from syncnet.log import Deliver

__all__ = ["MemoryLog"]


class MemoryLog:
    """The order of arrival is the order of the log; a crash forgets all."""

    def open(self, deliver: Deliver) -> None:
        """Begin to deliver."""
        self._deliver = deliver

    def append(self, command: Command) -> None:
        """Deliver the command, at once."""
        self._deliver(command)
