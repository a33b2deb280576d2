"""The log on disk: commands are committed to a file, many in one transaction, and only then applied (G9).

Theory of operation. `append` puts a command into a list. The journal's thread takes the whole list, writes it in one
transaction, and hands it over to the coordinator's thread, which delivers the commands in order. What is appended while
the disk is at work makes the next transaction (group commit), so under load many commands share one wait for the disk.

Now and then a snapshot is taken on the coordinator's thread, between two commits. The journal's thread writes it in
parts, one with each of the next commits, so that no commit takes long.

On start the last snapshot is restored and the commands after it are replayed: they have the same effects again (G4). So
a crash loses nothing that was committed, and of what was not committed no client has learned.

A commit that fails (a full disk) refuses its commands and leaves the file as it was; the next is tried like any other.
One that fails because of a snapshot is made without it. That snapshot is given up, and the next is taken when it would
have been anyway.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from syncnet.core.commands import Command
from syncnet.core.limits import LIMITS, Limits
from syncnet.errors import JournalError
from syncnet.log import DiskReport, LogConsumer
from syncnet.log.journal_file import JournalFile, Saving

__all__ = ["Journal"]

_log = logging.getLogger("syncnet")

_SNAPSHOT_COMMANDS: Final = 10_000
"""Commands between two snapshots: few enough that a replay takes less than a second."""
_PARTS_PER_COMMIT: Final = 1
"""Parts of a snapshot that are written with one commit; a part takes one to three milliseconds."""
_GATHER_COMMANDS: Final = 4
"""Where the last commit had more commands than this, the next one waits a little for more of them."""
_GATHER_S: Final = 0.000_2
"""How long it waits. Waiting again and again until no more come makes larger commits, but a lower rate: then the
coordinator has nothing to do while the disk is at work."""
_PROBLEM_S: Final = 10.0
"""How long a commit that failed is reported: without commands nobody would learn that the disk can be written again."""

_BROKEN: Final = JournalError("a bug in syncnet stopped the journal; its log has the details")


class Journal:
    """The log in one folder.

    `hand_over` calls a function soon on the coordinator's thread: `loop.call_soon_threadsafe`. `limits` are those with
    which the machine continues; what was decided under others is replayed under those. `commits_total` and
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
        self.commits_total: int = 0
        self.commands_total: int = 0
        self._folder = folder
        self._hand_over = hand_over
        self._limits = limits
        self._snapshot_commands = snapshot_commands
        self._lock = threading.Lock()  # of what follows, which both threads use
        self._changed = threading.Condition(self._lock)
        self._appended: list[Command] = []
        self._undelivered: deque[Command] = deque()  # those in `_appended`, too
        self._is_waiting = False  # the journal's thread sleeps until something is appended
        self._is_closing = False
        self._commands_before = 0  # in the last commit
        self._delivered = 0  # the position of the last command that was
        self._snapshot_at = 0  # the position of the last snapshot that was written or given up
        self._saving: Saving | None = None  # set by the coordinator's thread, taken away by the journal's
        self._is_failing = False
        self._failure = ""
        self._failed_at_s = 0.0  # on the monotonic clock
        self._is_broken = False

    def open(self, consumer: LogConsumer) -> None:
        """Open the file, restore and replay what it holds, and begin to deliver.

        :raises JournalError: the folder cannot be written, another server uses it, or its file cannot be read.
        """
        self._consumer = consumer
        self._file = JournalFile(self._folder)
        try:
            with _without_collection():
                self._replay()
        except BaseException:
            self._file.leave()
            raise
        self._thread = threading.Thread(target=self._write_all, name="syncnet-journal", daemon=True)
        self._thread.start()

    def append(self, command: Command) -> None:
        """Put a command at the end; it is delivered once it is on disk, or refused."""
        with self._lock:
            self._appended.append(command)
            self._undelivered.append(command)
            if self._is_waiting:
                self._is_waiting = False
                self._changed.notify()

    def undelivered(self) -> list[Command]:
        """Return the commands that were appended and are neither delivered nor refused, in order."""
        with self._lock:
            return list(self._undelivered)

    def on_disk(self) -> DiskReport:
        """Return what was written since the start, and why a commit failed in the last seconds, if one did."""
        problem = ""
        if self._is_broken:
            problem = str(_BROKEN)
        elif self._is_failing and time.monotonic() - self._failed_at_s < _PROBLEM_S:
            problem = self._failure
        return DiskReport(self.commits_total, self.commands_total, problem)

    def close(self) -> None:
        """Write what was appended, and close the file. Nothing is delivered any more."""
        with self._lock:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        self._file.close()

    def _replay(self) -> None:
        snapshot = self._file.snapshot()
        if snapshot is not None:
            self._consumer.restore(snapshot)
            self._snapshot_at = self._file.position
        for command in self._file.commands():
            self._consumer.replay(command)
        self._delivered = self._file.position
        self._consumer.change_limits(self._limits)
        try:
            self._file.begin_writing()
            if snapshot is None or snapshot.limits != self._limits or self._file.is_old:
                self._file.write([], Saving(self._delivered, self._file.digest, self._consumer.snapshot()))
                self._file.checkpoint()  # so that the database says which journal it is, without its write-ahead log
                self._snapshot_at = self._delivered
        except Exception as error:
            raise JournalError(f"cannot write the journal {self._file.path}: {error}") from None

    # --- on the coordinator's thread -----------------------------------------------------------------------

    def _deliver(self, commands: Sequence[Command], digest: bytes) -> None:
        with self._consumer.lock:
            self._deliver_all(commands)
            if self._is_broken or self._is_closing:
                return
            self._delivered += len(commands)
            if self._saving is None and self._delivered - self._snapshot_at >= self._snapshot_commands:
                self._saving = Saving(self._delivered, digest, self._consumer.snapshot())

    def _deliver_all(self, commands: Sequence[Command]) -> None:
        deliver, delivered = self._consumer.deliver, self._undelivered.popleft
        for command in commands:
            if self._is_closing:  # it is on disk, and the next server finds it there
                return
            if self._is_broken:
                self._consumer.refuse(command, _BROKEN)
            else:
                try:
                    deliver(command)
                except Exception:
                    _log.exception("a bug: a command could not be applied; nothing is accepted until a restart")
                    self._is_broken = True  # the file has what was asked for, in order, and is not written any more
            delivered()

    def _refuse(self, commands: Sequence[Command], error: JournalError) -> None:
        with self._consumer.lock:
            for command in commands:
                if self._is_closing:
                    return
                self._consumer.refuse(command, error)
                self._undelivered.popleft()

    # --- on the journal's thread ---------------------------------------------------------------------------

    def _write_all(self) -> None:
        while commands := self._next_commands():
            if self._is_broken:
                self._call(self._refuse, commands, _BROKEN)
                continue
            try:
                self._write(commands)
            except Exception as error:
                self._report_if_new(error)
                problem = JournalError(f"the journal could not be written ({error}); it has not happened")
                self._call(self._refuse, commands, problem)
            else:
                self._report_if_new(None)
                self._call(self._deliver, commands, self._file.digest)

    def _next_commands(self) -> list[Command]:
        """Wait for commands and take them; none where the journal is closed and nothing is left."""
        with self._lock:
            while not self._appended and not self._is_closing:
                self._is_waiting = True
                self._changed.wait()
            self._is_waiting = False
        if self._commands_before > _GATHER_COMMANDS:
            time.sleep(_GATHER_S)
        with self._lock:
            commands, self._appended = self._appended, []
        self._commands_before = len(commands)
        return commands

    def _write(self, commands: Sequence[Command]) -> None:
        saving = None if self._is_failing else self._saving
        if saving is None:
            self._file.write(commands)
        else:
            try:
                is_saved = self._file.write(commands, saving, _PARTS_PER_COMMIT)
            except Exception as error:
                self._end_saving(saving)
                self._file.write(commands)
                _log.error("a snapshot could not be written to the journal in %s (%s); it grows", self._folder, error)
            else:
                if is_saved:
                    self._end_saving(saving)
        self.commits_total += 1
        self.commands_total += len(commands)

    def _end_saving(self, saving: Saving) -> None:
        self._snapshot_at = saving.position  # first: without `_saving` the other thread looks at it
        self._saving = None

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before the journal was closed
            self._hand_over(partial(function, *arguments))

    def _report_if_new(self, error: Exception | None) -> None:
        if error is not None and not self._is_failing:
            _log.error("the journal in %s cannot be written: %s; offers are refused until it can", self._folder, error)
        elif error is None and self._is_failing:
            _log.error("the journal in %s is written again", self._folder)
        if error is not None:
            self._failure, self._failed_at_s = f"the journal cannot be written: {error}", time.monotonic()
        self._is_failing = error is not None


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Collect no garbage: a replay makes many objects, and none of them in cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
