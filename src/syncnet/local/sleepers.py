"""How those who wait for an offer sleep and are woken: tasks of asyncio, tasks of trio, and threads.

A sleeper is woken once, from any thread, by a function that takes it; nothing happens where it has woken by itself.
Where it sleeps on the very loop that wakes it, it is woken directly, which costs a fraction of a message from another
thread. Who knows in what loop or run of trio it is says so (`here`), since to ask costs a call of the system.
"""

from __future__ import annotations

from _thread import LockType, allocate_lock
from asyncio import AbstractEventLoop, Future, _get_running_loop, current_task, get_running_loop
from collections.abc import Callable
from sys import modules
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import trio

__all__ = [
    "TrioSleeper",
    "loop_here",
    "may_be_guest",
    "new_thread_sleeper",
    "trio_here",
    "trio_lowlevel",
    "wake_asyncio",
    "wake_thread",
    "wake_trio",
]


def wake_asyncio(future: Future[None], here: object) -> None:
    """Wake the task that awaits `future`."""
    loop = future.get_loop()
    if here is loop or _get_running_loop() is loop:
        if not future.done():
            future.set_result(None)
        return
    _hand_over(loop, future)


def _hand_over(loop: AbstractEventLoop, future: Future[None]) -> None:
    try:
        loop.call_soon_threadsafe(_set, future)
    except RuntimeError:  # the loop was closed, and all its tasks with it
        return


def _set(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def new_thread_sleeper() -> LockType:
    """Return a lock that the thread here waits to acquire, as soon as it waits."""
    lock = allocate_lock()
    lock.acquire()
    return lock


def wake_thread(lock: LockType, _: object) -> None:
    """Wake the thread that waits to acquire `lock`."""
    lock.release()


def loop_here() -> AbstractEventLoop | None:
    """Return the loop of asyncio whose task runs here; None in a task of trio.

    Nothing is imported to find out: who uses trio has imported it.

    :raises RuntimeError: neither is the case.
    """
    loop = _get_running_loop()
    if loop is not None and not may_be_guest(loop):
        return loop
    trio = modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return None
    return get_running_loop()


def may_be_guest(loop: AbstractEventLoop | None) -> bool:
    """Return whether a task of trio may run here that is a guest on a loop of asyncio: no task of that loop does."""
    return "trio" in modules and current_task(loop) is None


def trio_lowlevel() -> ModuleType:
    """Return `trio.lowlevel`; only called where a task of trio runs, or ran."""
    lowlevel: ModuleType = modules["trio.lowlevel"]
    return lowlevel


def trio_here() -> tuple[ModuleType, trio.lowlevel.TrioToken]:
    """Return `trio.lowlevel`, and the token of the run that this thread is in where no loop of asyncio runs.

    :raises RuntimeError: no run of trio is here either.
    """
    lowlevel = modules.get("trio.lowlevel")
    if lowlevel is not None:
        try:
            return lowlevel, lowlevel.current_trio_token()
        except RuntimeError:
            pass  # to be said as asyncio says it
    get_running_loop()
    raise AssertionError("where no loop of asyncio runs, asyncio says so")


class TrioSleeper(msgspec.Struct, eq=False):
    """A task of trio that is to sleep until it is rescheduled, and the token of its run.

    `abandon` is called where the task is cancelled instead; it is forgotten once the task runs again, since it
    refers to the offer that refers to this, and only the collector of garbage could part the two.
    """

    token: trio.lowlevel.TrioToken
    task: trio.lowlevel.Task
    abandon: Callable[[], object] | None = None
    sleeps: bool = True

    def abort(self, _: object) -> trio.lowlevel.Abort:
        """Let a task that was cancelled sleep no longer."""
        self.sleeps = False
        if self.abandon is not None:
            self.abandon()
            self.abandon = None
        aborted: trio.lowlevel.Abort = trio_lowlevel().Abort.SUCCEEDED
        return aborted

    def wake(self) -> None:
        """Reschedule the task; to be called in its own run of trio."""
        if self.sleeps:
            self.sleeps = False
            trio_lowlevel().reschedule(self.task)

    def is_here(self) -> bool:
        """Return whether the task's own run of trio is what runs in this thread."""
        try:
            return trio_lowlevel().current_trio_token() is self.token
        except RuntimeError:  # no run of trio is here
            return False

    def hand_over(self) -> None:
        """Have the task rescheduled, from anywhere."""
        try:
            self.token.run_sync_soon(self.wake)
        except modules["trio"].RunFinishedError:  # and its tasks are gone
            return


def wake_trio(sleeper: TrioSleeper, here: object) -> None:
    """Wake the task that sleeps."""
    if here is sleeper.token or sleeper.is_here():
        sleeper.wake()
    else:
        sleeper.hand_over()
