"""The log that keeps nothing: a command is applied at the moment of its arrival. No queue, no copy."""

from __future__ import annotations

from collections.abc import Callable

from syncnet.core.commands import Command
from syncnet.log import LogConsumer

__all__ = ["MemoryLog"]


class MemoryLog:
    """The order of arrival is the order of the log; a crash loses everything."""

    append: Callable[[Command], None]
    """Delivers a command at once: it is the consumer's own `deliver`."""

    def open(self, consumer: LogConsumer) -> None:
        """Begin to deliver."""
        self.append = consumer.deliver

    def undelivered(self) -> list[Command]:
        """Return no command: all are delivered at once."""
        return []

    def on_disk(self) -> None:
        """Return None: nothing is on disk."""

    def close(self) -> None:
        """Stop; there is nothing to do."""
