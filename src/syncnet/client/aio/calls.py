"""The requests of a client, each repeated until it has an outcome.

Every offer has an id, so that a request whose connection was lost can be sent again: the server counts the offer once.
`retry.py` decides when. An offer that its caller gives up (a cancelled task, Ctrl-C, a closed client) is withdrawn.

Connections, offers and locks belong to one process and one event loop. A client has an `AsyncCaller` for each, which
`AsyncCallers` finds: after a fork the child has copies of those of its parent, and does not touch them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from syncnet.client.aio.http import AsyncConnections, AsyncExchange, AsyncServers
from syncnet.client.aio.net import Event, LoopEnd, Semaphore, current_owner, now_s, shielded
from syncnet.client.answers import Answer, failure_of, read_sync
from syncnet.client.requests import OfferDocument, Request, Target, make_offer, make_withdrawal
from syncnet.client.retry import RetryState, is_of_server, is_retryable
from syncnet.client.retry_log import log_recovery, log_retry
from syncnet.errors import ClosedError, SyncnetError, TimedOutError, UnavailableError, WithdrawnError
from syncnet.wire.api import OfferOptions
from syncnet.wire.results import Sync

__all__ = ["WITHDRAWAL_S_MAX", "AsyncCaller", "AsyncCallers", "OfferCall", "RetryCallback"]

RetryCallback: TypeAlias = Callable[[UnavailableError | None], None]
"""Called with the error before a request is sent again, and with None once it has been sent."""

WITHDRAWAL_S_MAX: Final = 2.0
"""How long withdrawing a cancelled offer may take; after that, its `linger` ends it."""

_COMMANDS_AT_ONCE_MAX: Final = 16
_UNKNOWN_ID_DELAYS_S: Final = (0.01, 0.05, 0.2)
"""When to repeat the withdrawal of an offer that the server does not know: its request may still be on the way."""

_WITHDRAWAL_POLL_S: Final = 0.05
"""How often to check whether a withdrawal has ended."""


class _Stopped(Exception):  # noqa: N818 - not an error
    """The request was not sent, because its offer is being withdrawn."""


class OfferCall:
    """The state of one offer: its request, its attempts, and the exchange on which it waits for the answer."""

    def __init__(self, document: OfferDocument, retry: RetryState) -> None:
        self.document: Final = document
        self.retry: Final = retry
        self.exchange: Final[AsyncExchange] = AsyncExchange()
        self.ended: Final[Event] = Event()
        self.is_withdrawing: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether the offer was withdrawn or given up by this client."""
        return self.ended.is_set()

    @property
    def is_stopped(self) -> bool:
        """Whether the request must not be sent now: the offer has ended, or is being withdrawn."""
        return self.is_withdrawing or self.has_ended

    def __str__(self) -> str:
        document = self.document
        return f"offer {document.id} of {document.actor}:{'|'.join(document.events)}"


class AsyncCallers:
    """The callers of one client."""

    def __init__(
        self,
        targets: tuple[Target, ...],
        connections_kept: int,
        reconnect_s: float | None,
        on_retry: RetryCallback | None,
    ) -> None:
        self.targets: Final = targets
        self._new = partial(AsyncCaller, targets, connections_kept, reconnect_s, on_retry)
        self._by_owner: dict[object, AsyncCaller] = {}
        # async only
        self._loop_ends: dict[object, LoopEnd] = {}
        # end
        self._is_closed = False

    def here(self) -> AsyncCaller:
        """Return the caller of this process and event loop.

        :raises ClosedError: the client is closed.
        """
        if self._is_closed:
            raise _closed(self.targets)
        return self._here()

    async def aclose(self) -> None:
        """Refuse new calls, and close the caller of this process and event loop."""
        self._is_closed = True
        caller = self._here()
        await caller.aclose()
        # async only
        if end := self._loop_ends.get(caller.owner):
            await end.aclose()
        # end

    def _here(self) -> AsyncCaller:
        owner = current_owner()
        caller = self._by_owner.get(owner)
        if caller is None:  # `setdefault`, because another thread may be here, too
            caller = self._by_owner.setdefault(owner, self._new(owner))
            # async only
            self._loop_ends[owner] = LoopEnd(partial(self._forget, caller))
            # end
        return caller

    # async only
    async def _forget(self, caller: AsyncCaller) -> None:
        """Drop a caller whose event loop ends."""
        self._loop_ends.pop(caller.owner, None)
        self._by_owner.pop(caller.owner, None)
        await caller.aclose_connections()

    # end


class AsyncCaller:
    """Sends the requests of one client, and knows which of its offers have no outcome yet."""

    def __init__(
        self,
        targets: tuple[Target, ...],
        connections_kept: int,
        reconnect_s: float | None,
        on_retry: RetryCallback | None,
        owner: object,
    ) -> None:
        self.targets: Final = targets
        self.owner: Final = owner
        self._servers = AsyncServers(targets, connections_kept)
        self._reconnect_s = reconnect_s
        self._on_retry = on_retry
        self._commands = Semaphore(_COMMANDS_AT_ONCE_MAX)
        self._calls: set[OfferCall] = set()
        self._is_closed = False

    async def aclose(self) -> None:
        """Refuse new calls, withdraw the offers that have no outcome yet, and close the idle connections."""
        self._is_closed = True
        with shielded():
            timeout_s = WITHDRAWAL_S_MAX
            for call in list(self._calls):
                if not await self.abandon(call, timeout_s):
                    timeout_s = 0.0  # no server is reachable: wait for it once, not once for each offer
            await self._servers.aclose()

    async def aclose_connections(self) -> None:
        """Close the idle connections, and keep none from now on."""
        await self._servers.aclose()

    def check_owner(self, call: OfferCall) -> None:
        """Refuse a call for an offer that was made in another process or event loop.

        :raises ClosedError: it was; nothing here waits for its outcome.
        """
        if self.owner != current_owner():
            raise ClosedError(f"expected a call where the offer was made, got one in another process or loop: {call}")

    # --- offers --------------------------------------------------------------------------------------------

    def new_call(self, events: tuple[str, ...], actor: str, payload: Any, options: OfferOptions) -> OfferCall:
        """Return the call for an offer; the caller must run `finish` on it.

        :raises ClosedError: the client is closed.
        :raises ParameterError: a value has no JSON form, or the timeout is not a duration.
        """
        document = make_offer(events, actor, payload, options)
        retry = RetryState(now_s(), document.timeout_s, self._reconnect_s, servers_total=len(self.targets))
        call = OfferCall(document, retry)
        self._calls.add(call)
        if self._is_closed:  # checked after the call was added, so that `aclose` in another thread cannot miss it
            self._calls.discard(call)
            raise _closed(self.targets)
        return call

    async def finish(self, call: OfferCall) -> Sync:
        """Send the request until the offer has an outcome; withdraw the offer if the caller is cancelled."""
        try:
            return await self._sync(call)
        except Exception:
            raise
        except BaseException:  # the task is cancelled; a thread gets Ctrl-C
            with shielded():
                await self.abandon(call)
            raise
        finally:
            self._calls.discard(call)

    async def withdraw(self, call: OfferCall, timeout_s: float | None = None) -> bool:
        """Withdraw the offer of a call; return whether this ended it.

        :raises UnavailableError: no server answered.
        """
        retry = call.retry
        if retry.may_have_reached_server:
            request = make_withdrawal(call.document.id, call.document.namespace)
            for delay_s in (*_UNKNOWN_ID_DELAYS_S, None):
                answer = await self._command(request, self._new_retry(timeout_s))
                if _came_too_late(answer):
                    return False
                if delay_s is None or (answer.status != 404 and not retry.has_lost_request):
                    break
                await Event().wait(delay_s)  # a lost request may still arrive, and make the offer again
        call.ended.set()
        return True

    async def abandon(self, call: OfferCall, timeout_s: float = WITHDRAWAL_S_MAX) -> bool:
        """Withdraw the offer if a server is reachable, and close its connection; return whether a server answered."""
        call.is_withdrawing = True
        try:
            await self.withdraw(call, timeout_s)
        except (OSError, SyncnetError):
            return False
        else:
            return True
        finally:  # needed because asyncio can cancel a task again while it is shielded
            call.ended.set()
            await call.exchange.aclose()

    async def _sync(self, call: OfferCall) -> Sync:
        retry = call.retry
        while True:
            while call.is_withdrawing and not call.has_ended:
                await call.ended.wait(_WITHDRAWAL_POLL_S)  # a new request could make the offer again
            if call.has_ended:
                raise WithdrawnError("the offer was withdrawn")
            try:
                server = self._servers.used
                answer = await self._ask(server, call.document.request, retry, call.exchange, str(call), call)
                if answer.status == 200:
                    return read_sync(answer, call.document.id, call.document.events)
                failure = failure_of(answer)
                is_own_doing = getattr(failure, "code", "") == "replaced" and retry.was_replaced_by_own_request()
                if not is_own_doing and not is_retryable(failure):
                    raise failure
            except _Stopped:
                continue
            except OSError as error:
                if isinstance(error, SyncnetError):
                    raise
                failure = _unavailable(server.target, error)
            if call.has_ended:
                raise WithdrawnError("the offer was withdrawn")
            if retry.is_past_deadline(now_s()):
                return await self._finish_after_deadline(call, failure)
            await self._wait(server, retry, failure, call.ended, str(call))

    async def _finish_after_deadline(self, call: OfferCall, failure: SyncnetError) -> Sync:
        """End an offer whose timeout has passed without an answer: the server was restarted, or is not reachable."""
        retry, document = call.retry, call.document
        if not retry.may_have_reached_server:
            raise failure
        try:
            withdrawal = await self._command(make_withdrawal(document.id, document.namespace), _short_retry())
            if _came_too_late(withdrawal):
                answer = await self._ask(self._servers.used, document.request, _short_retry(), call.exchange, str(call))
                return read_sync(answer, document.id, document.events)
        except OSError as error:
            if isinstance(error, SyncnetError):
                raise
            raise failure from error
        except UnavailableError:
            raise failure from None
        waited_s = round(retry.waited_s(now_s()), 3)
        missing = ", ".join(document.other_actors) or "unknown"
        raise TimedOutError(
            f"{document.actor} waited {waited_s:g} s for {' or '.join(document.events)}; missing: {missing}",
            waited_s=waited_s,
            present=(),
            missing=len(document.other_actors) or max(1, document.mates),
            missing_actors=document.other_actors,
        )

    # --- requests ------------------------------------------------------------------------------------------

    async def command(self, request: Request) -> Answer:
        """Send a request that does not wait for other actors; return the answer.

        :raises UnavailableError: no server answered in time.
        """
        if not request.is_idempotent:
            await self._servers.used.aclose_idle()  # a connection that the server has closed looks like a lost answer
        return await self._command(request, self._new_retry())

    async def _command(self, request: Request, retry: RetryState) -> Answer:
        exchange = AsyncExchange()
        label = f"{request.method} {request.path.partition('?')[0]}"
        try:
            async with self._commands:
                if retry.is_past_deadline(now_s()):
                    raise TimeoutError("other requests have waited for a server until the deadline")
                while True:
                    server = self._servers.used
                    try:
                        answer = await self._ask(server, request, retry, exchange, label)
                        if answer.status < 400:
                            return answer
                        failure = failure_of(answer)
                        if not is_retryable(failure):
                            return answer
                        may_be_done = getattr(failure, "code", "") == "unavailable"  # the answer of a proxy
                    except OSError as error:
                        failure = _unavailable(server.target, error)
                        may_be_done = retry.has_lost_request
                    failure.retry_safe &= request.is_idempotent or not may_be_done
                    if retry.is_past_deadline(now_s()):
                        raise failure
                    await self._wait(server, retry, failure, None, label)
        finally:
            with shielded():
                await exchange.aclose()

    async def _ask(
        self,
        server: AsyncConnections,
        request: Request,
        retry: RetryState,
        exchange: AsyncExchange,
        label: str,
        call: OfferCall | None = None,
    ) -> Answer:
        """Send a request once; return the answer.

        :raises _Stopped: `call` is stopped.
        :raises OSError: the connection was lost or could not be opened, or no answer came in time.
        :raises UnavailableError: the answer does not come from a server of syncnet.
        """
        deadline_s = retry.answer_deadline_s()
        try:
            await server.acquire(exchange, deadline_s)
            is_recovery = retry.note_sent(now_s())  # noted first: a task that is cancelled in `send` must withdraw
            if call is not None and call.is_stopped:  # checked after: `withdraw` looks whether a request was sent
                retry.note_answered()
                await exchange.aclose()
                raise _Stopped
            await server.send(exchange, request, deadline_s)
            if is_recovery:
                log_recovery(label, retry.failures)
                if self._on_retry:
                    self._on_retry(None)
            answer = await server.receive(exchange, request, deadline_s)
        except OSError:
            retry.note_connection_lost(now_s())
            raise
        retry.note_answered()
        return answer

    async def _wait(
        self, server: AsyncConnections, retry: RetryState, failure: SyncnetError, ended: Event | None, label: str
    ) -> None:
        """Wait for the next attempt, which goes to another server if this one failed."""
        if isinstance(failure, UnavailableError) and not failure.retry_safe:
            raise failure
        delay_s = retry.next_delay_s(now_s(), failure)
        if is_of_server(failure):
            self._servers.leave(server)
        log_retry(label, failure, delay_s, retry.failures)
        if self._on_retry and isinstance(failure, UnavailableError):
            self._on_retry(failure)
        await (ended or Event()).wait(delay_s)

    def _new_retry(self, timeout_s: float | None = None) -> RetryState:
        return RetryState(now_s(), timeout_s, self._reconnect_s, graces_s=(0.0, 0.0), servers_total=len(self.targets))


def _closed(targets: tuple[Target, ...]) -> ClosedError:
    urls = ", ".join(target.url for target in targets)
    return ClosedError(f"expected an open client, got one that is closed ({urls})")


def _came_too_late(withdrawal: Answer) -> bool:
    """Return whether the offer had an outcome before the withdrawal came."""
    return withdrawal.status >= 400 and getattr(failure_of(withdrawal), "code", "") == "already-over"


def _short_retry() -> RetryState:
    return RetryState(now_s(), WITHDRAWAL_S_MAX, None, graces_s=(0.0, 0.0))


def _unavailable(target: Target, error: OSError) -> UnavailableError:
    if isinstance(error, TimeoutError):
        reason = "no answer in time"
    else:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    unavailable = UnavailableError(f"no answer from {target.url}: {reason}")
    unavailable.__cause__ = error
    ssl = sys.modules.get("ssl")  # it has been imported if the error comes from it
    if ssl and isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        unavailable.retry_safe = False  # a certificate does not become valid by asking again
    return unavailable
