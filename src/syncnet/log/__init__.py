"""The log decides the order of the commands; a coordinator appends to it and applies what it delivers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Protocol

from syncnet.core.commands import Command
from syncnet.core.limits import Limits
from syncnet.core.snapshot import Snapshot
from syncnet.errors import RetryableError

__all__ = ["ELSEWHERE", "ClusterReport", "DiskReport", "Elsewhere", "Log", "LogConsumer", "Replica"]


class Elsewhere:
    """The waiter of an offer whose client is connected to another node of the cluster: that node passes on the result.

    Such an offer has no timer here either.
    """

    __slots__ = ()

    def charge(self, steps: int) -> None:
        """Do nothing."""

    def synced(self, synced: Any, rank: int) -> None:
        """Do nothing."""

    def ended(self, result: Any) -> None:
        """Do nothing."""


ELSEWHERE: Final = Elsewhere()


class DiskReport(NamedTuple):
    """What a log on disk reports: what it has written since the start, and why it could not write just now.

    `problem` is empty where the last commit was written, or where the last failure was some time ago: whether the disk
    can be written again is known only when something is to be written.
    """

    commits_total: int
    commands_total: int
    problem: str


class ClusterReport(NamedTuple):
    """What a node of a cluster reports of it. The totals count from its start, and only what this node did."""

    is_connected: bool
    has_lease: bool
    nodes_total: int
    renames_total: int
    losses_total: int
    rebuilds_total: int
    entries_total: int
    commands_total: int


class LogConsumer(Protocol):
    """Keeps the state that the commands of a log make; a coordinator is one.

    The log holds `lock` when it calls `deliver` and `refuse`.
    """

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock of the consumer's state."""

    def restore(self, snapshot: Snapshot) -> None:
        """Take on an earlier state; called before any command is delivered."""

    def change_limits(self, limits: Limits) -> None:
        """Continue with other limits than those of the state that was restored."""

    def replay(self, command: Command) -> None:
        """Apply a command from before the start, without results to waiters."""

    def deliver(self, command: Command) -> None:
        """Apply a command and pass its results to the waiters."""

    def refuse(self, command: Command, error: RetryableError) -> None:
        """Note that a command could not be put into the log, and has not happened."""

    def snapshot(self) -> Snapshot:
        """Return the state after all delivered commands.

        Its outcomes and its trace consist of the same objects as in the snapshot before, as far as they are in both.
        """


class Replica(LogConsumer, Protocol):
    """Keeps the state of one namespace on one node of a cluster."""

    def follow(self, command: Command) -> None:
        """Apply a command of another node, which passes on its results."""

    def leave_elsewhere(self) -> None:
        """Note that the clients of all pending offers are connected to other nodes."""

    def abandon(self, error: RetryableError) -> None:
        """End all waits with an error: the state is no longer certain."""

    def fingerprint(self, namespace: str, after: int) -> tuple[int, bytes]:
        """Return the number of the latest sync, and some bytes that differ where states most likely differ.

        `after` is the number of the latest sync at the fingerprint before.
        """


class Log(Protocol):
    """One total order of commands.

    A log is opened once, by its consumer. Every command that was appended is delivered or refused exactly once, as the
    very object that was appended, in the order of the log, on one thread at a time, within `append` or later. `append`
    is called with the lock of the consumer. The
    callback of the front end travels with the command (`Offer.waiter`), so that a log may answer late.
    """

    def open(self, consumer: LogConsumer) -> None:
        """Restore and replay what the log holds from before, and begin to deliver."""

    @property
    def append(self) -> Callable[[Command], None]:
        """Put a command at the end."""

    def undelivered(self) -> list[Command]:
        """Return the commands that were appended and are neither delivered nor refused."""

    def on_disk(self) -> DiskReport | None:
        """Return what a log on disk reports; None where the log keeps nothing."""

    def close(self) -> None:
        """Stop. Commands that are not in the log by then are refused or forgotten."""
