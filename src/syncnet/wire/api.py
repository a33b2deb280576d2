"""The types that all front ends for Python share: the options of an offer, and the protocols behind `syncnet.connect`.

`Net` is what a program needs from syncnet. `syncnet.Syncnet` (in this process) and `syncnet.AsyncClient` (a server)
both satisfy it, so a program that is written for `Net` runs with either. The front ends for threads,
`Syncnet().blocking` and `syncnet.Client`, have the same methods with the same parameters; theirs block instead of
being awaited.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypedDict, Unpack

from syncnet.wire.results import Sync

__all__ = ["ActorHandle", "Net", "OfferHandle", "OfferOptions"]


class OfferOptions(TypedDict, total=False):
    """The options of an offer, for code that passes them on: `net.sync("start", actor="A", **options)`.

    An option that is left out or None has its default.

    - `mates`: how many other offers must be present; 1.
    - `expect`: a roster, instead of `mates` and `selector`: actors, or a text `"a,b,c"`.
    - `labels`: labels of the offer, added to `actor=<actor>`: a mapping, or a text `"k1=v1,k2=v2"`.
    - `selector`: a Kubernetes label selector over the labels of the mates; `actor!=<actor>`. An empty text selects
      everything.
    - `timeout`: end the offer after this time: seconds, or a text such as `"250ms"` or `"1m30s"`; never.
    - `id`: your own name for the offer; asking again with it is safe. One is made if you give none.
    - `linger`: how long the offer stays pending after its connection is lost, as `timeout`; the server's default. An
      offer in this process has no connection, so it ignores this.
    - `namespace`: a separate set of events; `"default"`.
    """

    mates: int | None
    expect: Iterable[str] | str | None
    labels: Mapping[str, str] | str | None
    selector: str | None
    timeout: float | str | None
    id: str | None
    linger: float | str | None
    namespace: str | None


class OfferHandle(Protocol):
    """An offer that `Net.send` has made. Awaiting it returns the sync, or raises what `Net.sync` raises."""

    @property
    def id(self) -> str:
        """The id of the offer."""

    @property
    def actor(self) -> str:
        """The actor that makes the offer."""

    @property
    def events(self) -> tuple[str, ...]:
        """The events of the offer; more than one for a choice."""

    @property
    def namespace(self) -> str:
        """The namespace of the offer."""

    def done(self) -> bool:
        """Return whether the outcome of the offer is known here."""

    def withdraw(self) -> object:
        """Withdraw the offer.

        The result depends on the front end: a bool in this process, an awaitable bool over the network. To learn in
        both cases whether this ended the offer, use `await net.withdraw(offer.id, namespace=offer.namespace)`.
        """

    def __await__(self) -> Generator[Any, Any, Sync]:
        """Wait for the outcome. Cancelling the task that waits withdraws the offer."""


class ActorHandle(Protocol):
    """A `Net` for one actor: its methods with `actor` filled in."""

    @property
    def name(self) -> str:
        """The name of the actor."""

    def send(self, *events: str, payload: Any = "", **options: Unpack[OfferOptions]) -> OfferHandle:
        """Make an offer and return it at once; see `Net.send`."""

    def sync(self, event: str, *, payload: Any = "", **options: Unpack[OfferOptions]) -> Coroutine[Any, Any, Sync]:
        """Make an offer and wait for its sync; see `Net.sync`."""

    def choose(self, *events: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Coroutine[Any, Any, Sync]:
        """Make an offer of several events and wait for its sync; see `Net.choose`."""


class Net(Protocol):
    """What `syncnet.connect` returns: the offers, syncs and namespaces of this process, or those of a server.

    Use it as `async with syncnet.connect(url) as net:`. The methods are for tasks of asyncio and trio. Those that
    return a coroutine are to be awaited.
    """

    def send(
        self,
        *events: str,
        actor: str,
        payload: Any = "",
        mates: int | None = None,
        expect: Iterable[str] | str | None = None,
        labels: Mapping[str, str] | str | None = None,
        selector: str | None = None,
        timeout: float | str | None = None,
        id: str | None = None,
        linger: float | str | None = None,
        namespace: str | None = None,
    ) -> OfferHandle:
        """Make an offer of one event, or of several (a choice), and return it at once; `OfferOptions` has the options.

        :raises ParameterError: a parameter is invalid. A server may report this only where the offer is awaited.
        :raises ClosedError: this has been closed.
        """

    def sync(
        self,
        event: str,
        *,
        actor: str,
        payload: Any = "",
        mates: int | None = None,
        expect: Iterable[str] | str | None = None,
        labels: Mapping[str, str] | str | None = None,
        selector: str | None = None,
        timeout: float | str | None = None,
        id: str | None = None,
        linger: float | str | None = None,
        namespace: str | None = None,
    ) -> Coroutine[Any, Any, Sync]:
        """Make an offer, wait for its sync and return it. Cancelling the task withdraws the offer.

        `OfferOptions` describes the options.

        :raises ParameterError: a parameter is invalid.
        :raises TimedOutError: the timeout has passed; the error names who was present and who was missing.
        :raises WithdrawnError: the offer was withdrawn by its id.
        :raises AbortedError: the offer was aborted.
        :raises RefusedError: the offer is not allowed, its id is that of another offer, or another call replaced it.
        :raises UnavailableError: no server is available, or it takes no more offers.
        :raises ClosedError: this has been closed.
        """

    def choose(
        self,
        *events: str,
        actor: str,
        payload: Any = "",
        mates: int | None = None,
        expect: Iterable[str] | str | None = None,
        labels: Mapping[str, str] | str | None = None,
        selector: str | None = None,
        timeout: float | str | None = None,
        id: str | None = None,
        linger: float | str | None = None,
        namespace: str | None = None,
    ) -> Coroutine[Any, Any, Sync]:
        """Make an offer of several events, wait for the sync of one of them and return it.

        Parameters and errors are those of `sync`.
        """

    def withdraw(self, id: str, *, namespace: str | None = None) -> Coroutine[Any, Any, bool]:
        """Withdraw the offer with this id; return whether it is withdrawn."""

    def abort(
        self,
        *,
        event: str | None = None,
        actor: str | None = None,
        id: str | None = None,
        reason: str,
        by: str | None = None,
        namespace: str | None = None,
    ) -> Coroutine[Any, Any, int]:
        """End every pending offer of `event`, of `actor` or of `id` (give one of the three); return how many.

        :raises ParameterError: a parameter is invalid, or not exactly one of the three is given.
        """

    def explain(
        self,
        *,
        actor: str | None = None,
        event: str | None = None,
        id: str | None = None,
        namespace: str | None = None,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Return why offers are pending, of an actor, of an event, of an id, or all: what `GET /explain` says."""

    def stats(self, namespace: str | None = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """Return the pending offers: `{event: {actor: {id: {"params": {…}, "created_at": RFC 3339}}}}`."""

    def actor(self, name: str) -> ActorHandle:
        """Return a handle that fills in `actor`."""

    def aclose(self) -> Coroutine[Any, Any, None]:
        """End the pending offers and refuse all later calls. Closing again does nothing."""

    async def __aenter__(self) -> Self:
        """Return this."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close this; see `aclose`."""
