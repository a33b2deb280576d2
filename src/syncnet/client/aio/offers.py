"""An offer that a client has sent and that waits in the background."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from syncnet.client.aio.calls import WITHDRAWAL_S_MAX, AsyncCaller, OfferCall
from syncnet.client.aio.net import BackgroundTask, Event, shielded
from syncnet.errors import SyncnetError, WithdrawnError
from syncnet.wire.results import Sync

__all__ = ["AsyncOffer"]


class AsyncOffer:
    """An offer made by `AsyncClient.send`. Awaiting it returns the sync, or raises what `AsyncClient.sync` raises."""

    def __init__(self, caller: AsyncCaller, call: OfferCall) -> None:
        self._caller = caller
        self._call = call
        self._has_outcome = Event()
        self._sync: Sync | None = None
        self._error: SyncnetError | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.actor}:{'|'.join(self.events)}>"

    @property
    def id(self) -> str:
        """The id of the offer."""
        return self._call.document.id

    @property
    def actor(self) -> str:
        """The actor that makes the offer."""
        return self._call.document.actor

    @property
    def events(self) -> tuple[str, ...]:
        """The events of the offer, in order of preference; more than one for a choice."""
        return self._call.document.events

    @property
    def namespace(self) -> str:
        """The namespace of the offer."""
        return self._call.document.namespace or "default"

    def done(self) -> bool:
        """Return whether the outcome of the offer is known here."""
        return self._has_outcome.is_set()

    # async only
    def __await__(self) -> Generator[Any, Any, Sync]:
        return self.result().__await__()

    # end
    async def result(self, timeout: float | None = None) -> Sync:  # noqa: ASYNC109
        """Wait for the outcome, for at most `timeout` seconds, and return the sync.

        `timeout` ends the wait, not the offer. Cancelling the wait withdraws the offer.

        :raises TimeoutError: there is no outcome yet; the offer stays pending.
        :raises ClosedError: there is no outcome yet, and the offer was made in another process or event loop.
        :raises SyncnetError: the offer ended without a sync; see `AsyncClient.sync`.
        """
        if not self.done():
            self._caller.check_owner(self._call)
        try:
            has_outcome = await self._has_outcome.wait(timeout)
        except Exception:
            raise
        except BaseException:  # the task is cancelled; a thread gets Ctrl-C
            with shielded():
                await self._caller.abandon(self._call)
            raise
        if not has_outcome:
            raise TimeoutError(f"{self!r} is still pending")
        if self._error is not None:
            raise self._error
        assert self._sync is not None  # noqa: S101 - an outcome is a sync or an error
        return self._sync

    # async only
    def withdraw(self) -> BackgroundTask[bool]:
        """Withdraw the offer in the background. Await the result to learn whether this ended the offer.

        An offer that has an outcome already keeps it. Raised where the result is awaited:

        :raises UnavailableError: no server answered in time.
        :raises ClosedError: the offer was made in another process or event loop.
        """
        return BackgroundTask(self._withdraw)

    # end
    async def _withdraw(self) -> bool:
        """Withdraw the offer; return whether this ended it. An offer that has an outcome already keeps it.

        :raises UnavailableError: no server answered in time.
        :raises ClosedError: the offer was made in another process or event loop.
        """
        if self.done():
            return False
        self._caller.check_owner(self._call)
        self._call.is_withdrawing = True
        try:
            if not await self._caller.withdraw(self._call):
                return False
        finally:
            self._call.is_withdrawing = False
        if not await self._has_outcome.wait(WITHDRAWAL_S_MAX):
            await self._call.exchange.aclose()
        return True

    async def _run(self) -> None:
        """Wait for the outcome in the background, and keep it."""
        try:
            self._sync = await self._caller.finish(self._call)
        except SyncnetError as error:
            self._error = error
        except Exception as error:
            self._error = SyncnetError(f"a bug in the client: {error!r}")
            self._error.__cause__ = error
        except BaseException:
            self._error = WithdrawnError("the offer was withdrawn because its client ended")
            raise
        finally:
            self._has_outcome.set()
