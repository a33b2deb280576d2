"""The two APIs of a runtime inside a program: `Syncnet` for tasks, `Blocking` for threads, with the same methods.

One runtime serves tasks of several loops of asyncio, tasks of trio, and threads, all at the same time.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Coroutine
from dataclasses import replace
from sys import modules
from types import TracebackType
from typing import Any, Final, Unpack

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import OfferSpec
from syncnet.core.limits import LIMITS, Limits
from syncnet.local.offers import Offer
from syncnet.local.runtime import LocalRuntime
from syncnet.local.wakers import (
    TrioParker,
    is_guest_of,
    loop_here,
    trio_here,
    trio_lowlevel,
    wake_asyncio,
    wake_trio,
)
from syncnet.wire.api import OfferOptions
from syncnet.wire.results import Sync

__all__ = ["Actor", "Blocking", "BlockingActor", "Syncnet"]


_LIMITS: Final = replace(LIMITS, trace_syncs_max=1_000)
"""A program seldom asks for its trace, and a short one stays in the processor's caches."""


class Syncnet:
    """A runtime inside this program; its methods are awaited by tasks of asyncio and trio.

    `async with Syncnet() as net:` or `with Syncnet() as net:` closes it at the end: offers that are pending then end
    with `UnavailableError`. `limits` are those of a server (docs/limits.md), but with a shorter trace.
    """

    def __init__(self, limits: Limits = _LIMITS) -> None:
        self._runtime = LocalRuntime(limits)

    @property
    def blocking(self) -> Blocking:
        """The same runtime with the same methods for threads: they block instead of being awaited."""
        return Blocking(self)

    @property
    def coordinator(self) -> Coordinator:
        """What a server uses that shares this runtime: `ASGIApp(net)`."""
        return self._runtime.coordinator

    def send(self, *events: str, actor: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Offer:
        """Make an offer of one event, or of several (a choice), and return it at once.

        `payload` is any object; every member of the sync gets that very object. The options are those of
        `OfferOptions`: `mates`, `expect`, `labels`, `selector`, `timeout`, `id`, `linger` (ignored) and `namespace`.

        :raises ParameterError: a value is invalid; it names the parameter.
        :raises ClosedError: the runtime was closed.
        """
        return self._runtime.send(events, actor, payload, options)

    async def sync(self, event: str, *, actor: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Sync:
        """Make an offer, wait for its sync and return it. Cancelling the task withdraws the offer.

        The options are those of `OfferOptions`, see `send`.

        :raises ParameterError: a value is invalid; it names the parameter.
        :raises TimedOutError: the timeout has passed; the error names who was present and who was missing.
        :raises WithdrawnError: the offer was withdrawn by its id.
        :raises AbortedError: the offer was aborted.
        :raises RefusedError: the id is that of another offer, or another call replaced this one.
        :raises UnavailableError: the runtime accepts no more offers, or was closed meanwhile.
        :raises ClosedError: the runtime was closed before.
        """
        loop = _get_running_loop()
        runtime = self._runtime
        spec = None if options else runtime.plain_specs.get((event, actor))
        if spec is None:
            return await self.choose(event, actor=actor, payload=payload, **options)
        if loop is None:
            return await self._sync_in_trio(spec, payload)
        if "trio" in modules and is_guest_of(loop):
            return await runtime.offer(spec, payload).wait()
        offer = runtime.offer(spec, payload, None, wake_asyncio, loop.create_future, loop)
        if offer._result is None:
            try:
                await offer._parker
            except BaseException:  # cancelled; or the loop was closed
                offer.withdraw()
                raise
        result = offer._result
        return result if type(result) is Sync else offer.outcome()

    async def _sync_in_trio(self, spec: OfferSpec, payload: Any) -> Sync:
        """Do what `sync` does, in a task of trio."""
        lowlevel, token = trio_here()
        await lowlevel.checkpoint_if_cancelled()
        task = lowlevel.current_task()
        offer = self._runtime.offer(spec, payload, None, wake_trio, lambda: TrioParker(token, task), token)
        if offer._result is None:
            parker = offer._parker
            parker.on_cancel = offer.withdraw
            await lowlevel.wait_task_rescheduled(parker.abort)
            parker.on_cancel = None
        return offer.outcome()

    async def choose(self, *events: str, actor: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Sync:
        """Make an offer of several events, wait for the sync of one of them and return it; see `sync`."""
        if loop_here() is None:
            await trio_lowlevel().checkpoint_if_cancelled()
        return await self._runtime.send(events, actor, payload, options).wait()

    async def withdraw(self, id: str, *, namespace: str | None = None) -> bool:
        """Withdraw the offer of that id; return whether it is withdrawn."""
        return self._runtime.withdraw(namespace, id)

    async def abort(
        self,
        *,
        event: str | None = None,
        actor: str | None = None,
        id: str | None = None,
        reason: str,
        by: str | None = None,
        namespace: str | None = None,
    ) -> int:
        """End every pending offer of `event`, of `actor` or of `id` (give one of the three); return how many.

        Calls that wait for them raise `AbortedError` with `reason` and `by`.

        :raises ParameterError: a value is invalid, or not exactly one of the three is given.
        """
        return self._runtime.abort(event=event, actor=actor, id=id, reason=reason, by=by, namespace=namespace)

    async def explain(
        self,
        *,
        actor: str | None = None,
        event: str | None = None,
        id: str | None = None,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Return why offers are pending, of an actor, of an event, of an id, or all: `{"offers": [{"summary": …}]}`."""
        return self._runtime.explain(actor or "", event or "", id or "", namespace)

    async def stats(self, namespace: str | None = None) -> dict[str, Any]:
        """Return the pending offers: `{event: {actor: {id: {"params": {…}, "created_at": …, "missing": …}}}}`."""
        return self._runtime.stats(namespace)

    def actor(self, name: str) -> Actor:
        """Return a handle that fills in the actor."""
        return Actor(self, name)

    def close(self) -> None:
        """End all pending offers with `UnavailableError`, and refuse all later calls. Closing again does nothing."""
        self._runtime.close()

    async def aclose(self) -> None:
        """Do what `close` does; the clients of a server have this method too."""
        self.close()

    async def __aenter__(self) -> Syncnet:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __enter__(self) -> Syncnet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Blocking:
    """The runtime of a `Syncnet` for threads: the same methods, which block.

    Not for a thread in which an event loop runs: the loop would stand still.
    """

    def __init__(self, net: Syncnet) -> None:
        self._net = net
        self._runtime = net._runtime

    def send(self, *events: str, actor: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Offer:
        """Make an offer and return it at once; see `Syncnet.send`."""
        return self._runtime.send(events, actor, payload, options)

    def sync(self, event: str, *, actor: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Sync:
        """Make an offer and wait for its sync; see `Syncnet.sync`. An interrupt withdraws the offer."""
        return _result(self._runtime.send((event,), actor, payload, options))

    def choose(self, *events: str, actor: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Sync:
        """Make an offer of several events and wait for its sync; see `Syncnet.choose`."""
        return _result(self._runtime.send(events, actor, payload, options))

    def withdraw(self, id: str, *, namespace: str | None = None) -> bool:
        """Withdraw the offer of that id; return whether it is withdrawn."""
        return self._runtime.withdraw(namespace, id)

    def abort(
        self,
        *,
        event: str | None = None,
        actor: str | None = None,
        id: str | None = None,
        reason: str,
        by: str | None = None,
        namespace: str | None = None,
    ) -> int:
        """End every pending offer of an event, of an actor, or of an id; see `Syncnet.abort`."""
        return self._runtime.abort(event=event, actor=actor, id=id, reason=reason, by=by, namespace=namespace)

    def explain(
        self,
        *,
        actor: str | None = None,
        event: str | None = None,
        id: str | None = None,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Return why offers are pending; see `Syncnet.explain`."""
        return self._runtime.explain(actor or "", event or "", id or "", namespace)

    def stats(self, namespace: str | None = None) -> dict[str, Any]:
        """Return the pending offers; see `Syncnet.stats`."""
        return self._runtime.stats(namespace)

    def actor(self, name: str) -> BlockingActor:
        """Return a handle that fills in the actor."""
        return BlockingActor(self, name)

    def close(self) -> None:
        """Close the runtime, for tasks too; see `Syncnet.close`."""
        self._runtime.close()

    def __enter__(self) -> Blocking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Actor:
    """One actor of a `Syncnet`: its methods, with the actor filled in."""

    def __init__(self, net: Syncnet, name: str) -> None:
        self._net = net
        self.name = name

    def send(self, *events: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Offer:
        """See `Syncnet.send`."""
        return self._net.send(*events, actor=self.name, payload=payload, **options)

    def sync(self, event: str, *, payload: Any = "", **options: Unpack[OfferOptions]) -> Coroutine[Any, Any, Sync]:
        """See `Syncnet.sync`; to be awaited."""
        return self._net.sync(event, actor=self.name, payload=payload, **options)

    def choose(self, *events: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Coroutine[Any, Any, Sync]:
        """See `Syncnet.choose`; to be awaited."""
        return self._net.choose(*events, actor=self.name, payload=payload, **options)


class BlockingActor:
    """One actor of a `Blocking`: its methods, with the actor filled in."""

    def __init__(self, net: Blocking, name: str) -> None:
        self._net = net
        self.name = name

    def send(self, *events: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Offer:
        """See `Syncnet.send`."""
        return self._net.send(*events, actor=self.name, payload=payload, **options)

    def sync(self, event: str, *, payload: Any = "", **options: Unpack[OfferOptions]) -> Sync:
        """See `Blocking.sync`."""
        return self._net.sync(event, actor=self.name, payload=payload, **options)

    def choose(self, *events: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Sync:
        """See `Blocking.choose`."""
        return self._net.choose(*events, actor=self.name, payload=payload, **options)


def _result(offer: Offer) -> Sync:
    try:
        return offer.result()
    except BaseException:
        offer.withdraw()  # an interrupt by the keyboard; anything else has ended it
        raise
