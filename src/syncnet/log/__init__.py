"""The log decides the order of the commands; a hub appends to it and applies what it delivers."""

from __future__ import annotations

from typing import Protocol

from syncnet.core.commands import Command
from syncnet.core.effects import Effect
from syncnet.core.limits import Limits
from syncnet.core.snapshot import Snapshot
from syncnet.errors import RetryableError

__all__ = ["Log", "LogConsumer"]


class LogConsumer(Protocol):
    """Who keeps the state that the commands of a log make; a hub is one."""

    def restore(self, snapshot: Snapshot) -> None:
        """Take on a state of before; called before anything is delivered."""

    def change_limits(self, limits: Limits) -> None:
        """Go on under other limits than those of the state that was restored."""

    def replay(self, command: Command) -> tuple[Effect, ...]:
        """Apply a command of before: its effects were told when it happened, and are told to nobody now."""

    def deliver(self, command: Command) -> tuple[Effect, ...]:
        """Apply a command and tell its effects; they are returned too."""

    def refuse(self, command: Command, error: RetryableError) -> None:
        """Learn that a command could not be put into the log, and has not happened."""

    def snapshot(self) -> Snapshot:
        """Return the state after all that was delivered."""


class Log(Protocol):
    """One total order of commands.

    A log is opened once, by the hub that it delivers to. Every command that was appended is delivered, or refused,
    exactly once, as the very object that was appended; in the order of the log, on one thread at a time; within
    `append`, or later.
    """

    def open(self, keeper: LogConsumer) -> None:
        """Begin to deliver; what the log holds from before is restored and replayed first."""

    def append(self, command: Command) -> None:
        """Put a command at the end."""

    def close(self) -> None:
        """End; what was appended and is not in the log by then is refused or forgotten."""
