"""The client: the methods of `syncnet.Net` over HTTP, for one server or the servers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from syncnet.client.aio.calls import AsyncCallers, RetryCallback
from syncnet.client.aio.net import spawn
from syncnet.client.aio.offers import AsyncOffer
from syncnet.client.answers import Answer, failure_of, read_explained, read_pending, read_total
from syncnet.client.requests import (
    CertificateFiles,
    FilePath,
    Request,
    Urls,
    make_abort,
    make_explain,
    make_stats,
    make_targets,
    make_withdrawal,
    next_page,
)
from syncnet.errors import RefusedError
from syncnet.wire.api import OfferOptions
from syncnet.wire.results import Sync

__all__ = ["AsyncActor", "AsyncClient"]


class AsyncClient:
    """A client of the server at `url`.

    - `url` may also name several servers of a cluster, as a list or as a text with commas. The client uses the first of
      them that answers. When that one fails, it goes to the next, with the offers that are pending.
    - `token` is sent with every request and never shown.
    - For https: `verify` says whether to check the certificate of the server, `ca` is a file of authorities to trust
      instead of those of the system, and `cert` is the client's own certificate: one file, or a pair of files
      (certificate, key).
    - `reconnect_s`: for how many seconds at a time the server may be unavailable before `UnavailableError` is raised;
      None for no limit. An offer with a timeout gives up when its timeout has passed.
    - `connections_kept`: how many idle connections to keep for later requests.
    - `on_retry` is called with the error before a request is sent again, and with None once it has been sent. It must
      return quickly.

    :raises ParameterError: the URL or the token is invalid.
    """

    def __init__(
        self,
        url: Urls,
        *,
        token: str | None = None,
        verify: bool = True,
        ca: FilePath | None = None,
        cert: CertificateFiles | None = None,
        reconnect_s: float | None = 30.0,
        connections_kept: int = 100,
        on_retry: RetryCallback | None = None,
    ) -> None:
        targets = make_targets(url, token=token, verify=verify, ca=ca, cert=cert)
        self._callers = AsyncCallers(targets, connections_kept, reconnect_s, on_retry)

    def __repr__(self) -> str:
        urls = ",".join(target.url for target in self._callers.targets)
        return f"{type(self).__name__}({urls!r})"

    async def __aenter__(self) -> Self:
        self._callers.here()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Withdraw the pending offers, close all connections and refuse all later calls.

        Closing again does nothing.
        """
        await self._callers.aclose()

    # --- offers --------------------------------------------------------------------------------------------

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
    ) -> AsyncOffer:
        """Make an offer of one event, or of several (a choice), and return it at once; it waits in the background.

        The options are those of `sync`. What the server refuses is raised where the outcome is read.

        :raises ParameterError: a value has no JSON form, or the timeout is not a duration.
        :raises ClosedError: the client is closed.
        """
        caller = self._callers.here()
        options: OfferOptions = {
            "mates": mates,
            "expect": expect,
            "labels": labels,
            "selector": selector,
            "timeout": timeout,
            "id": id,
            "linger": linger,
            "namespace": namespace,
        }
        call = caller.new_call(events, actor, payload, options)
        offer = AsyncOffer(caller, call)
        spawn(offer._run, f"syncnet {actor}:{'|'.join(events)}"[:64])
        return offer

    async def sync(
        self,
        event: str,
        *,
        actor: str,
        payload: Any = "",
        mates: int | None = None,
        expect: Iterable[str] | str | None = None,
        labels: Mapping[str, str] | str | None = None,
        selector: str | None = None,
        timeout: float | str | None = None,  # noqa: ASYNC109
        id: str | None = None,
        linger: float | str | None = None,
        namespace: str | None = None,
    ) -> Sync:
        """Make an offer of `event`, wait for its sync and return it.

        Cancelling the caller withdraws the offer; if the sync has happened already, it remains valid.

        - `payload`: any JSON value; every member of the sync gets it.
        - `mates`: how many other offers must be present; 1.
        - `expect`: a roster, instead of `mates` and `selector`: actors, or a text `"a,b,c"`.
        - `labels`: labels of the offer, added to `actor=<actor>`: a mapping, or a text `"k1=v1,k2=v2"`.
        - `selector`: a Kubernetes label selector over the labels of the mates. None is `actor!=<actor>`, an empty text
          selects everything.
        - `timeout`: end the offer after this time: seconds, or a text such as `"250ms"` or `"1m30s"`; None is never.
        - `id`: your own name for the offer; asking again with it is safe. One is made if you give none.
        - `linger`: how long the offer stays pending after its connection is lost, as `timeout`; 10 s.
        - `namespace`: a separate set of events; `"default"`.

        :raises ParameterError: a parameter is invalid.
        :raises TimedOutError: the timeout has passed; the error names who was present and who was missing.
        :raises WithdrawnError: the offer was withdrawn by its id.
        :raises AbortedError: the offer was aborted.
        :raises RefusedError: the token does not allow it, the id is that of another offer, or another client
            replaced this one with the same id.
        :raises UnavailableError: no server answered in time.
        :raises ClosedError: the client is closed.
        """
        options: OfferOptions = {
            "mates": mates,
            "expect": expect,
            "labels": labels,
            "selector": selector,
            "timeout": timeout,
            "id": id,
            "linger": linger,
            "namespace": namespace,
        }
        caller = self._callers.here()
        return await caller.finish(caller.new_call((event,), actor, payload, options))

    async def choose(
        self,
        *events: str,
        actor: str,
        payload: Any = "",
        mates: int | None = None,
        expect: Iterable[str] | str | None = None,
        labels: Mapping[str, str] | str | None = None,
        selector: str | None = None,
        timeout: float | str | None = None,  # noqa: ASYNC109
        id: str | None = None,
        linger: float | str | None = None,
        namespace: str | None = None,
    ) -> Sync:
        """Make an offer of several events, wait for the sync of one of them and return it.

        Options and errors are those of `sync`.
        """
        options: OfferOptions = {
            "mates": mates,
            "expect": expect,
            "labels": labels,
            "selector": selector,
            "timeout": timeout,
            "id": id,
            "linger": linger,
            "namespace": namespace,
        }
        caller = self._callers.here()
        return await caller.finish(caller.new_call(events, actor, payload, options))

    def actor(self, name: str) -> AsyncActor:
        """Return a handle that fills in `actor`."""
        return AsyncActor(self, name)

    # --- other requests ------------------------------------------------------------------------------------

    async def withdraw(self, id: str, *, namespace: str | None = None) -> bool:
        """Withdraw the offer with this id; return whether it is withdrawn.

        False means that the server does not know the id, or that the offer has had another outcome.

        :raises RefusedError: the token does not allow it.
        :raises UnavailableError: no server answered in time.
        :raises ClosedError: the client is closed.
        """
        answer = await self._callers.here().command(make_withdrawal(id, namespace))
        if answer.status == 204:
            return True
        failure = failure_of(answer)
        if isinstance(failure, RefusedError) and failure.code in ("unknown-id", "already-over"):
            return False
        raise failure

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

        Their members get `AbortedError` with `reason` and `by`.

        :raises ParameterError: a parameter is invalid, or not exactly one of the three is given.
        :raises RefusedError: the token does not allow it.
        :raises UnavailableError: no server answered in time. If its `retry_safe` is False, the abort may have
            happened; a second one would also end the offers that were made since then.
        :raises ClosedError: the client is closed.
        """
        request = make_abort(event=event, actor=actor, id=id, reason=reason, by=by, namespace=namespace)
        return read_total(await self._callers.here().command(request), "aborted")

    async def stats(self, namespace: str | None = None) -> dict[str, Any]:
        """Return the pending offers: `{event: {actor: {id: {"params": {…}, "created_at": RFC 3339}}}}`.

        A choice is listed under the first of its events. The server answers in pages; all of them are read.

        :raises RefusedError: the token does not allow it.
        :raises UnavailableError: no server answered in time.
        :raises ClosedError: the client is closed.
        """
        return await self._all_pages(make_stats(namespace), read_pending)

    async def explain(
        self,
        *,
        actor: str | None = None,
        event: str | None = None,
        id: str | None = None,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Return why offers are pending, of an actor, of an event, of an id, or all: what `GET /explain` says as JSON.

        The server answers in pages; all of them are read.

        :raises RefusedError: the token does not allow it, or no offer of the id is pending.
        :raises UnavailableError: no server answered in time.
        :raises ClosedError: the client is closed.
        """
        return await self._all_pages(make_explain(actor, event, id, namespace), read_explained)

    async def _all_pages(self, first: Request, read: Callable[[Answer, dict[str, Any]], None]) -> dict[str, Any]:
        """Return what `read` makes of all pages, each of which it adds to those before."""
        document: dict[str, Any] = {}
        page: Request | None = first
        while page is not None:
            answer = await self._callers.here().command(page)
            read(answer, document)
            page = next_page(page, answer.headers.get("link", ""))
        return document


class AsyncActor:
    """An `AsyncClient` for one actor: its methods with `actor` filled in.

    The options of the methods are those of `AsyncClient.sync`: `mates`, `expect`, `labels`, `selector`, `timeout`,
    `id`, `linger` and `namespace`.
    """

    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client = client
        self._name = name

    @property
    def name(self) -> str:
        """The name of the actor."""
        return self._name

    def send(self, *events: str, payload: Any = "", **options: Unpack[OfferOptions]) -> AsyncOffer:
        """Make an offer and return it at once; see `AsyncClient.send`.

        Options: `mates`, `expect`, `labels`, `selector`, `timeout`, `id`, `linger`, `namespace`.
        """
        return self._client.send(*events, actor=self.name, payload=payload, **options)

    async def sync(self, event: str, *, payload: Any = "", **options: Unpack[OfferOptions]) -> Sync:
        """Make an offer and wait for its sync; see `AsyncClient.sync`.

        Options: `mates`, `expect`, `labels`, `selector`, `timeout`, `id`, `linger`, `namespace`.
        """
        return await self._client.sync(event, actor=self.name, payload=payload, **options)

    async def choose(self, *events: str, payload: Any = "", **options: Unpack[OfferOptions]) -> Sync:
        """Make an offer of several events and wait for its sync; see `AsyncClient.choose`.

        Options: `mates`, `expect`, `labels`, `selector`, `timeout`, `id`, `linger`, `namespace`.
        """
        return await self._client.choose(*events, actor=self.name, payload=payload, **options)
