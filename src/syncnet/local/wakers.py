"""How waiting tasks and threads are parked and woken: tasks of asyncio, tasks of trio, and threads.

Each kind has something that it parks on (a future, a `TrioParker`, a lock) and a function that wakes it, once, from any
thread; waking does nothing where the wait has ended by itself. On its own loop a task is woken directly, which costs a
fraction of a message from another thread.
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
    "TrioParker",
    "is_guest_of",
    "loop_here",
    "new_thread_parker",
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
    try:
        loop.call_soon_threadsafe(_set, future)
    except RuntimeError:  # the loop was closed, and all its tasks with it
        return


def _set(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def new_thread_parker() -> LockType:
    """Return a lock that the calling thread acquires in order to wait."""
    lock = allocate_lock()
    lock.acquire()
    return lock


def wake_thread(lock: LockType, _: object) -> None:
    """Wake the thread that waits to acquire `lock`."""
    lock.release()


def loop_here() -> AbstractEventLoop | None:
    """Return the loop of asyncio whose task calls this; None in a task of trio.

    Nothing is imported to find out: a program that uses trio has imported it.

    :raises RuntimeError: neither is the case.
    """
    loop = _get_running_loop()
    if loop is not None and not is_guest_of(loop):
        return loop
    trio = modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return None
    return get_running_loop()


def is_guest_of(loop: AbstractEventLoop) -> bool:
    """Return whether a task of trio may run here that is a guest on `loop`: no task of that loop runs."""
    return "trio" in modules and current_task(loop) is None


def trio_lowlevel() -> ModuleType:
    """Return `trio.lowlevel`; only called where a task of trio runs, or ran."""
    lowlevel: ModuleType = modules["trio.lowlevel"]
    return lowlevel


def trio_here() -> tuple[ModuleType, trio.lowlevel.TrioToken]:
    """Return `trio.lowlevel` and the token of the run that this thread is in, where no loop of asyncio runs.

    :raises RuntimeError: no run of trio is here either.
    """
    lowlevel = modules.get("trio.lowlevel")
    if lowlevel is not None:
        try:
            return lowlevel, lowlevel.current_trio_token()
        except RuntimeError:
            pass  # asyncio has the usual message for it
    get_running_loop()
    raise AssertionError("where no loop of asyncio runs, asyncio raises")


class TrioParker(msgspec.Struct, eq=False):
    """A task of trio that waits until it is rescheduled, and the token of its run.

    `on_cancel` is called where the task is cancelled instead. It is cleared on wake-up, to break the reference cycle
    with the offer.
    """

    token: trio.lowlevel.TrioToken
    task: trio.lowlevel.Task
    on_cancel: Callable[[], object] | None = None
    is_parked: bool = True

    def abort(self, _: object) -> trio.lowlevel.Abort:
        """End the wait of a task that was cancelled."""
        self.is_parked = False
        if self.on_cancel is not None:
            self.on_cancel()
            self.on_cancel = None
        aborted: trio.lowlevel.Abort = trio_lowlevel().Abort.SUCCEEDED
        return aborted

    def is_here(self) -> bool:
        """Return whether the task's own run of trio runs in this thread."""
        try:
            return trio_lowlevel().current_trio_token() is self.token
        except RuntimeError:  # no run of trio is here
            return False

    def wake(self) -> None:
        """Reschedule the task; to be called in its own run of trio."""
        if self.is_parked:
            self.is_parked = False
            trio_lowlevel().reschedule(self.task)


def wake_trio(parker: TrioParker, here: object) -> None:
    """Wake the task of a parker."""
    if here is parker.token or parker.is_here():
        parker.wake()
        return
    try:
        parker.token.run_sync_soon(parker.wake)
    except modules["trio"].RunFinishedError:  # and its tasks have ended
        return
