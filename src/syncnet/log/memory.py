"""The log that keeps nothing: a command is applied the moment it arrives. No queue, no copy."""

from __future__ import annotations

from syncnet.core.commands import Command
from syncnet.log import LogConsumer

__all__ = ["MemoryLog"]


class MemoryLog:
    """The order of arrival is the order of the log; a crash forgets all."""

    def open(self, keeper: LogConsumer) -> None:
        """Begin to deliver."""
        self._keeper = keeper

    def append(self, command: Command) -> None:
        """Deliver the command, at once."""
        self._keeper.deliver(command)

    def close(self) -> None:
        """End; there is nothing to do."""
