"""The log on disk: commands are committed to a file, many to one transaction, and only then applied (G9).

Theory of operation. `append` puts a command into a list. One thread takes the whole list, writes it in one
transaction, and hands it back to the thread of the hub, which delivers the commands in order. What comes in while the
disk is at work makes the next transaction (group commit), so under load many commands share one wait for the disk.

On start the last snapshot is restored and the commands after it are replayed: they make the same effects again (G4),
so a crash loses nothing that was committed; and of what was not committed nobody was told. What came to an end is
written some commits after the commands that brought it about; what a crash loses of that the replay makes again.

A commit that fails (a full disk) refuses its commands and leaves the file as it was; the next is tried like any other.
One that fails because of a snapshot is made without, and the next snapshot comes when it would have come anyway.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from syncnet.core.commands import Command
from syncnet.core.effects import Effect
from syncnet.core.limits import LIMITS, Limits
from syncnet.core.snapshot import Snapshot
from syncnet.errors import JournalError
from syncnet.log import LogConsumer
from syncnet.log.journal_file import Ended, JournalFile, ended_by

__all__ = ["Journal"]

_log = logging.getLogger("syncnet")

_SNAPSHOT_COMMANDS: Final = 10_000
"""Commands between two snapshots: few enough that a replay takes less than a second."""
_GATHER_COMMANDS: Final = 4
"""Where the last commit had more commands than this, the next one waits as long as more are coming in:"""
_GATHER_S: Final = 0.000_2
"""as long as some have come within so many seconds,"""
_GATHER_TIMES_MAX: Final = 10
"""and so many times at most."""


_BROKEN: Final = JournalError("a bug in syncnet stopped the journal; its log has the details")


class Journal:
    """The log in one folder.

    `hand_over` calls a function soon on the thread that owns the hub: `loop.call_soon_threadsafe`. `limits` are those
    under which the machine is to go on; what was decided under others is replayed under those. `commits_total` and
    `commands_total` count what was written since the start.
    """

    def __init__(
        self,
        folder: Path,
        hand_over: Callable[[Callable[[], None]], object],
        limits: Limits = LIMITS,
        *,
        snapshot_commands: int = _SNAPSHOT_COMMANDS,
    ) -> None:
        self.commits_total = self.commands_total = 0
        self._folder = folder
        self._hand_over = hand_over
        self._limits = limits
        self._snapshot_commands = snapshot_commands
        self._lock = threading.Condition()  # of the two lists, which both threads use
        self._appended: list[Command] = []
        self._ended: list[Ended] = []
        self._commands_before = 0  # in the last commit
        self._closing = False
        self._delivered = 0  # the position of the last command that was
        self._snapshot_at = 0
        self._snapshot_due: tuple[int, Snapshot] | None = None
        self._is_failing = False
        self._is_broken = False

    def open(self, keeper: LogConsumer) -> None:
        """Open the file, restore and replay what it holds, and begin to deliver.

        :raises JournalError: the folder cannot be written, another server uses it, or its file cannot be read.
        """
        self._keeper = keeper
        self._file = JournalFile(self._folder)
        try:
            with _without_collection():
                self._replay()
        except BaseException:
            self._file.close()
            raise
        self._thread = threading.Thread(target=self._write_all, name="syncnet-journal", daemon=True)
        self._thread.start()

    def append(self, command: Command) -> None:
        """Put a command at the end; it is delivered once it is on disk, or refused."""
        with self._lock:
            self._appended.append(command)
            self._lock.notify()

    def close(self) -> None:
        """Write what was appended, and close the file. Nothing is delivered any more."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join()
        self._file.close()

    def _replay(self) -> None:
        snapshot = self._file.snapshot()
        if snapshot is not None:
            self._keeper.restore(snapshot)
            self._snapshot_at = self._file.position
        for command in self._file.commands():
            self._note_ended(self._file.position, self._keeper.replay(command))
        self._delivered = self._file.position
        self._keeper.change_limits(self._limits)
        if snapshot is None or snapshot.limits != self._limits:
            self._snapshot_due = (self._delivered, self._keeper.snapshot())
            try:
                self._write([])
            except Exception as error:
                raise JournalError(f"cannot write the journal {self._file.path}: {error}") from None

    # --- on the thread of the hub --------------------------------------------------------------------------

    def _deliver(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if self._closing:  # it is on disk, and the next server finds it there
                return
            if self._is_broken:
                self._keeper.refuse(command, _BROKEN)
                continue
            try:
                effects = self._keeper.deliver(command)
            except Exception:
                _log.exception("a bug: a command could not be applied; nothing is taken any more until a restart")
                self._is_broken = True  # what is in the file is what was asked for, in order; it is not touched again
                continue
            self._delivered += 1
            self._note_ended(self._delivered, effects)
        if self._is_broken:
            return
        if self._delivered - self._snapshot_at >= self._snapshot_commands and self._snapshot_due is None:
            self._snapshot_due = (self._delivered, self._keeper.snapshot())

    def _refuse(self, commands: Sequence[Command], error: JournalError) -> None:
        for command in commands:
            if not self._closing:
                self._keeper.refuse(command, error)

    def _note_ended(self, position: int, effects: tuple[Effect, ...]) -> None:
        ended = ended_by(position, effects)
        if ended is not None:
            with self._lock:
                self._ended.append(ended)

    # --- on the thread of the journal ----------------------------------------------------------------------

    def _write_all(self) -> None:
        while commands := self._next_commands():
            if self._is_broken:
                self._call(self._refuse, commands, _BROKEN)
                continue
            try:
                self._write(commands)
            except Exception as error:
                self._say_if_new(error)
                problem = JournalError(f"the journal could not be written ({error}); it has not happened")
                self._call(self._refuse, commands, problem)
            else:
                self._say_if_new(None)
                self._call(self._deliver, commands)

    def _next_commands(self) -> list[Command]:
        """Wait for commands and take them; none where the journal is closed and nothing is left."""
        with self._lock:
            while not self._appended and not self._closing:
                self._lock.wait()
        if self._commands_before > _GATHER_COMMANDS:
            self._gather()
        with self._lock:
            commands, self._appended = self._appended, []
        self._commands_before = len(commands)
        return commands

    def _gather(self) -> None:
        """Wait while more are coming in: a commit costs about the same for one as for many."""
        for _ in range(_GATHER_TIMES_MAX):
            before = len(self._appended)
            time.sleep(_GATHER_S)
            if len(self._appended) == before or self._closing:
                return

    def _write(self, commands: Sequence[Command]) -> None:
        snapshot = None if self._is_failing else self._snapshot_due  # before `ended`: what is in it must be in there
        with self._lock:
            ended = self._ended[:]
        try:
            self._file.write(commands, ended, snapshot)
        except sqlite3.Error as error:
            if snapshot is None or not commands:
                raise
            self._file.write(commands, ended)
            _log.error("the journal in %s has no room for a snapshot (%s); it goes on growing", self._folder, error)
        self.commits_total += 1
        self.commands_total += len(commands)
        with self._lock:
            del self._ended[: len(ended)]
        if snapshot is not None:
            self._snapshot_at, self._snapshot_due = snapshot[0], None

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before the journal was closed
            self._hand_over(lambda: function(*arguments))

    def _say_if_new(self, error: Exception | None) -> None:
        if error is not None and not self._is_failing:
            _log.error("the journal in %s cannot be written: %s; offers are refused until it can", self._folder, error)
        elif error is None and self._is_failing:
            _log.error("the journal in %s is written again", self._folder)
        self._is_failing = error is not None


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no garbage: a replay makes many objects, and none of them in circles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
