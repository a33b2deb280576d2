# Made by scripts/unasync.py of client/aio/client.py; change that one.
"""The client: the methods of a world, over HTTP to one server.

Every offer bears an id, so a connection that is lost, a server that is started again, and one that sends its clients
away for a moment are ridden through: the same is asked again, and counted once. `ride.py` says when.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, Unpack

from syncnet.client.answers import Answer, failure_of, read_document, read_sync
from syncnet.client.requests import (
    OfferDocument,
    OfferOptions,
    Request,
    Target,
    make_abort,
    make_offer,
    make_stats,
    make_withdrawal,
)
from syncnet.client.retry import RetryState, may_help_to_ask_again
from syncnet.client.threads.http import Connections, Exchange
from syncnet.client.threads.net import Event, Semaphore, now_s, shielded, spawn
from syncnet.errors import RefusedError, SyncnetError, TimedOutError, UnavailableError, WithdrawnError
from syncnet.wire.results import Sync

__all__ = ["Actor", "Client", "Offer"]

_GOODBYE_S: Final = 2.0
"""How long a cancelled offer's withdrawal may take; after that its linger takes it away."""

_COMMANDS_AT_ONCE_MAX: Final = 16
_UNKNOWN_DELAYS_S: Final = (0.01, 0.05, 0.2)
"""When to say again that an offer is withdrawn which the server does not know: it may be on its way still."""

_SETTLED_S: Final = 0.05
"""How often to look whether a withdrawal that is under way has come to something."""


class Client:
    """The world that the server at `url` keeps.

    `token`, and for https `verify`, `ca` and `cert`, are as in `syncnet.client.requests.Target`. `reconnect_s` is for
    how long the server may be away at a stretch, in seconds, before `UnavailableError` is raised; None is for ever. An
    offer with a timeout rides no longer than that. `connections_kept` bounds the connections kept for later. `on_away`
    is called with an error each time before something is asked for again, and with None when it has been.

    :raises ParameterError: the URL, the token or a file of certificates does not do.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        verify: bool = True,
        ca: Any = None,
        cert: Any = None,
        reconnect_s: float | None = 30.0,
        connections_kept: int = 100,
        on_away: Callable[[UnavailableError | None], None] | None = None,
    ) -> None:
        self._target = Target(url, token=token, verify=verify, ca=ca, cert=cert)
        self._connections = Connections(self._target, connections_kept)
        self._reconnect_s = reconnect_s
        self._on_away = on_away
        self._commands = Semaphore(_COMMANDS_AT_ONCE_MAX)
        self._calls: set[_Call] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._target.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Withdraw what still waits, and end all connections."""
        with shielded():
            patience_s = _GOODBYE_S
            for call in list(self._calls):
                if not self._say_goodbye(call, patience_s):
                    patience_s = 0.0  # no server is there: it is waited for once, not once for each offer
            self._connections.close_idle()

    # --- offers --------------------------------------------------------------------------------------------

    def send(self, *events: str, actor: str, **options: Unpack[OfferOptions]) -> Offer:
        """Make an offer of one of `events` and return at once; it waits beside.

        `options` are those of `OfferOptions`.

        :raises ParameterError: the payload is no JSON value, or a time is none. What the server refuses is raised
            where the outcome is asked for.
        """
        call = self._call(events, actor, options)
        offer = Offer(self, call)
        spawn(offer._run, f"syncnet {actor}:{'|'.join(events)}"[:64])
        return offer

    def sync(self, event: str, *, actor: str, **options: Unpack[OfferOptions]) -> Sync:
        """Make an offer of `event`, wait for it to happen, and return the sync.

        Who is cancelled withdraws the offer; where it has happened already, it stands.

        :raises ParameterError: a parameter does not do.
        :raises TimedOutError: the timeout has passed; it says who was missing.
        :raises WithdrawnError: somebody withdrew the offer by its id.
        :raises AbortedError: somebody ended it.
        :raises RefusedError: the server will not do it: no or a wrong token, an id of another offer.
        :raises UnavailableError: no server answered in the time that there was.
        """
        return self._finish(self._call((event,), actor, options))

    def choose(self, *events: str, actor: str, **options: Unpack[OfferOptions]) -> Sync:
        """Make an offer of several events, and return the sync of the one that happens. Errors are those of `sync`."""
        return self._finish(self._call(events, actor, options))

    def actor(self, name: str) -> Actor:
        """Return a handle whose offers are those of the actor `name`."""
        return Actor(self, name)

    # --- the rest ------------------------------------------------------------------------------------------

    def withdraw(self, id: str, *, namespace: str | None = None) -> bool:
        """Take back the offer `id`; return whether it was pending.

        :raises RefusedError: the token does not allow it.
        :raises UnavailableError: no server answered in the time that there was.
        """
        request = make_withdrawal(id, namespace)
        answer = self._command(request, self._ride())
        if answer.status == 204:
            return True
        failure = failure_of(answer)
        if isinstance(failure, RefusedError) and failure.code in ("unknown-id", "already-over"):
            return False
        raise failure

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
        """End every pending offer of `event`, of `actor` or of `id`, all at once; return how many there were.

        :raises ParameterError: a parameter does not do, or not exactly one of the three is given.
        :raises RefusedError: the token does not allow it.
        :raises UnavailableError: no server answered in the time that there was; or, its `retry_safe` False, it is not
            known whether one did it. Asked again it would end the offers that came meanwhile.
        """
        request = make_abort(event=event, actor=actor, id=id, reason=reason, by=by, namespace=namespace)
        if not request.is_repeatable:
            self._connections.close_idle()  # one that the server has closed would look like an answer lost
        answer = self._command(request, self._ride())
        aborted: int = read_document(answer)["aborted"]
        return aborted

    def stats(self, namespace: str | None = None) -> dict[str, Any]:
        """Return what is pending, as `{event: {actor: {id: {"params": {…}, "created_at": RFC 3339}}}}`.

        :raises UnavailableError: no server answered in the time that there was.
        """
        answer = self._command(make_stats(namespace), self._ride())
        document: dict[str, Any] = read_document(answer)
        return document

    # --- riding --------------------------------------------------------------------------------------------

    def _call(self, events: tuple[str, ...], actor: str, options: OfferOptions) -> _Call:
        document = make_offer(events, actor, options)
        return _Call(document, RetryState(now_s(), document.timeout_s, self._reconnect_s))

    def _ride(self, timeout_s: float | None = None) -> RetryState:
        return RetryState(now_s(), timeout_s, self._reconnect_s, graces_s=(0.0, 0.0))

    def _finish(self, call: _Call) -> Sync:
        """RetryState until the offer has come to an end; withdraw it where the one who waits for it is cancelled."""
        self._calls.add(call)
        try:
            return self._sync(call)
        except Exception:
            raise
        except BaseException:  # the task is cancelled; a thread gets Ctrl-C
            with shielded():
                self._say_goodbye(call)
            raise
        finally:
            self._calls.discard(call)

    def _sync(self, call: _Call) -> Sync:
        ride = call.ride
        while True:
            while call.is_being_taken_back and not call.is_over:
                call.over.wait(_SETTLED_S)  # asked again now, it could be made anew behind the withdrawal
            if call.is_over:
                raise WithdrawnError("the offer was withdrawn")
            try:
                answer = self._ask(call.document.request, ride, call.exchange)
                if answer.status == 200:
                    return read_sync(answer)
                trouble = failure_of(answer)
                was_own = getattr(trouble, "code", "") == "replaced" and ride.was_replaced_by_itself()
                if not was_own and not may_help_to_ask_again(trouble):
                    raise trouble
            except OSError as error:
                if isinstance(error, SyncnetError):
                    raise
                trouble = _unavailable(self._target, error)
            if call.is_over:
                raise WithdrawnError("the offer was withdrawn")
            if ride.is_late(now_s()):
                return self._end_late(call, trouble)
            self._wait(ride, trouble, call.over)

    def _end_late(self, call: _Call, trouble: SyncnetError) -> Sync:
        """Come to an end after the timeout, without a word of the server's: it may have another time, or be away."""
        ride, document = call.ride, call.document
        if not ride.may_be_known:
            raise trouble
        try:
            withdrawal = self._command(make_withdrawal(document.id, document.namespace), _brief())
            if _already_over(withdrawal):
                answer = self._ask(document.request, _brief(), call.exchange)
                return read_sync(answer)
        except OSError as error:
            if isinstance(error, SyncnetError):
                raise
            raise trouble from error
        except UnavailableError:
            raise trouble from None
        waited_s = round(ride.waited_s(now_s()), 3)
        missing = ", ".join(document.parties) or "unknown"
        raise TimedOutError(
            f"{document.actor} waited {waited_s:g} s for {' or '.join(document.events)}; missing: {missing}",
            waited_s=waited_s,
            present=(),
            missing=len(document.parties) or max(1, document.mates),
            missing_actors=document.parties,
        )

    def _command(self, request: Request, ride: RetryState) -> Answer:
        """Ask for something that does not wait for others; return the answer."""
        exchange = Exchange()
        try:
            with self._commands:
                if ride.is_late(now_s()):
                    raise TimeoutError("other commands have waited for a server for all of the time")
                while True:
                    try:
                        answer = self._ask(request, ride, exchange)
                        if answer.status < 400:
                            return answer
                        trouble = failure_of(answer)
                        if not may_help_to_ask_again(trouble):
                            return answer
                        may_have_happened = getattr(trouble, "code", "") == "unavailable"  # as a proxy says
                    except OSError as error:
                        trouble = _unavailable(self._target, error)
                        may_have_happened = ride.has_broken
                    trouble.retry_safe &= request.is_repeatable or not may_have_happened
                    if ride.is_late(now_s()):
                        raise trouble
                    self._wait(ride, trouble, None)
        finally:
            with shielded():
                exchange.close()

    def _ask(self, request: Request, ride: RetryState, exchange: Exchange) -> Answer:
        """Ask once; return the answer.

        :raises OSError: there is none.
        """
        until_s = ride.gives_up_s()
        try:
            self._connections.connected(exchange, until_s)
            is_back = ride.sent(now_s())  # said before: who is cancelled while it is sent must withdraw it
            self._connections.send(exchange, request, until_s)
            if is_back and self._on_away:
                self._on_away(None)
            answer = self._connections.answer(exchange, until_s)
        except OSError:
            ride.broke(now_s())
            raise
        ride.answered()
        return answer

    def _wait(self, ride: RetryState, trouble: SyncnetError, over: Event | None) -> None:
        """Wait until it is time to ask again."""
        if isinstance(trouble, UnavailableError) and not trouble.retry_safe:
            raise trouble
        delay_s = ride.delay_s(now_s(), trouble)
        if self._on_away and isinstance(trouble, UnavailableError):
            self._on_away(trouble)
        (over or Event()).wait(delay_s)

    # --- taking back ---------------------------------------------------------------------------------------

    def _take_back(self, call: _Call, timeout_s: float | None = None) -> bool:
        """Withdraw the offer of a call; return whether that ended it.

        :raises OSError: no server answered.
        """
        if call.ride.may_be_known:
            request = make_withdrawal(call.document.id, call.document.namespace)
            for delay_s in (*_UNKNOWN_DELAYS_S, None):
                answer = self._command(request, self._ride(timeout_s))
                if _already_over(answer):
                    return False
                if delay_s is None or (answer.status != 404 and not call.ride.has_broken):
                    break  # else a request may be on its way still that makes the offer anew
                Event().wait(delay_s)
        call.over.set()
        return True

    def _say_goodbye(self, call: _Call, patience_s: float = _GOODBYE_S) -> bool:
        """Withdraw the offer of a call as well as it goes, and end its connection; return whether a server knows."""
        try:
            self._take_back(call, patience_s)
        except (OSError, SyncnetError):
            return False
        else:
            return True
        finally:  # asyncio lets a task be cancelled once more while it is shielded
            call.over.set()
            call.exchange.close()


class Offer:
    """An offer that waits. Its result is the sync, or raises what `Client.sync` raises."""

    def __init__(self, client: Client, call: _Call) -> None:
        self._client = client
        self._call = call
        self._ended = Event()
        self._sync: Sync | None = None
        self._error: SyncnetError | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.actor}:{'|'.join(self.events)}>"

    @property
    def id(self) -> str:
        """The id under which the server knows it."""
        return self._call.document.id

    @property
    def actor(self) -> str:
        """Who made it."""
        return self._call.document.actor

    @property
    def events(self) -> tuple[str, ...]:
        """What it is for, in the order of liking."""
        return self._call.document.events

    def done(self) -> bool:
        """Return whether it has come to an end, and this is known here."""
        return self._ended.is_set()

    def result(self, timeout: float | None = None) -> Sync:
        """Wait for the offer to come to an end, so many seconds at most; return the sync.

        Who is cancelled while they wait withdraws it.

        :raises TimeoutError: it still waits, and goes on waiting.
        :raises SyncnetError: how it ended instead; see `Client.sync`.
        """
        try:
            ended = self._ended.wait(timeout)
        except Exception:
            raise
        except BaseException:  # the task is cancelled; a thread gets Ctrl-C
            with shielded():
                self._client._say_goodbye(self._call)
            raise
        if not ended:
            raise TimeoutError(f"{self!r} still waits")
        if self._error is not None:
            raise self._error
        assert self._sync is not None  # noqa: S101 - it ended, one way or the other
        return self._sync

    def withdraw(self) -> bool:
        """Take the offer back; return whether that ended it. One that has come to an end already stands.

        :raises UnavailableError: no server answered in the time that there was.
        """
        if self.done():
            return False
        self._call.is_being_taken_back = True
        try:
            if not self._client._take_back(self._call):
                return False
        finally:
            self._call.is_being_taken_back = False
        if not self._ended.wait(_GOODBYE_S):
            self._call.exchange.close()
        return True

    def _run(self) -> None:
        try:
            self._sync = self._client._finish(self._call)
        except SyncnetError as error:
            self._error = error
        except Exception as error:
            self._error = SyncnetError(f"a bug in the client: {error!r}")
            self._error.__cause__ = error
        except BaseException:
            self._error = WithdrawnError("the offer was withdrawn, because its client ended")
            raise
        finally:
            self._ended.set()


class Actor:
    """A client that speaks for one actor."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    def send(self, *events: str, **options: Unpack[OfferOptions]) -> Offer:
        """Do as `Client.send` does."""
        return self._client.send(*events, actor=self.name, **options)

    def sync(self, event: str, **options: Unpack[OfferOptions]) -> Sync:
        """Do as `Client.sync` does."""
        return self._client.sync(event, actor=self.name, **options)

    def choose(self, *events: str, **options: Unpack[OfferOptions]) -> Sync:
        """Do as `Client.choose` does."""
        return self._client.choose(*events, actor=self.name, **options)


class _Call:
    """An offer on its way: what it asks for, how it rides, and the exchange that it waits on."""

    def __init__(self, document: OfferDocument, ride: RetryState) -> None:
        self.document = document
        self.ride = ride
        self.exchange = Exchange()
        self.over = Event()
        self.is_being_taken_back = False

    @property
    def is_over(self) -> bool:
        """Return whether nobody waits for it any more."""
        return self.over.is_set()


def _already_over(answer: Answer) -> bool:
    """Return whether a withdrawal came too late: the offer has come to an end of its own."""
    return answer.status == 409


def _brief() -> RetryState:
    return RetryState(now_s(), _GOODBYE_S, None, graces_s=(0.0, 0.0))


def _unavailable(target: Target, error: OSError) -> UnavailableError:
    if isinstance(error, TimeoutError):
        reason = "no answer in time"
    else:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    unavailable = UnavailableError(f"no answer from {target.url}: {reason}")
    unavailable.__cause__ = error
    ssl = sys.modules.get("ssl")  # where TLS failed it has been imported
    if ssl and isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        unavailable.retry_safe = False  # another certificate will not come by itself
    return unavailable
