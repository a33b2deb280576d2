"""How those who wait for an offer sleep and are woken: tasks of asyncio, tasks of trio, and threads.

A sleeper is woken once, from any thread, by a function that takes it; nothing happens where it has woken by itself.
Where it sleeps on the very loop that wakes it, it is woken directly, which costs a fraction of a message from another
thread.
"""

from __future__ import annotations

import sys
from _thread import LockType
from asyncio import AbstractEventLoop, Future, _get_running_loop
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import trio

__all__ = ["TrioSleeper", "in_trio", "wake_asyncio", "wake_thread", "wake_trio"]


def wake_asyncio(future: Future[None]) -> None:
    """Wake the task that awaits `future`."""
    loop = future.get_loop()
    if _get_running_loop() is loop:
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


def wake_thread(lock: LockType) -> None:
    """Wake the thread that waits to acquire `lock`."""
    lock.release()


def in_trio() -> bool:
    """Tell whether a task of trio runs here. Nothing is imported for that: who uses trio has imported it."""
    trio = sys.modules.get("trio")
    return trio is not None and _in_trio_task(trio)


def _in_trio_task(trio: Any) -> bool:
    return bool(trio.lowlevel.in_trio_task())


class TrioSleeper:
    """A task of trio that waits to be rescheduled."""

    __slots__ = ("_sleeps", "_task", "_token")

    def __init__(self) -> None:
        import trio

        self._token = trio.lowlevel.current_trio_token()
        self._task = trio.lowlevel.current_task()
        self._sleeps = True

    async def sleep(self, abandon: Callable[[], object]) -> None:
        """Sleep until woken; `abandon` is called where the task is cancelled before."""
        import trio

        def abort(_: object) -> trio.lowlevel.Abort:
            self._sleeps = False
            abandon()
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def let_others_run(self) -> None:
        """Give way once, as every call of trio does; what has happened is not undone by a cancellation."""
        import trio

        await trio.lowlevel.cancel_shielded_checkpoint()

    def wake(self) -> None:
        """Reschedule the task; to be called in its own run of trio."""
        if self._sleeps:
            self._sleeps = False
            sys.modules["trio"].lowlevel.reschedule(self._task)

    def hand_over(self) -> None:
        """Have the task rescheduled, from anywhere."""
        trio = sys.modules["trio"]
        try:
            here = trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:  # no trio runs in this thread
            here = False
        if here:
            self.wake()
            return
        try:
            self._token.run_sync_soon(self.wake)
        except trio.RunFinishedError:  # and all its tasks are gone
            return


def wake_trio(sleeper: TrioSleeper) -> None:
    """Wake the task that sleeps in `sleeper`."""
    sleeper.hand_over()
