"""The answers of a server as values and errors.

These are pure functions. An answer becomes a value, an error for the caller, or an `UnavailableError` whose
`retry_safe` says whether the same request may be sent again. The code of a problem document decides, not the status:
a status without such a document comes from a proxy, or from a server that is ending.

Whatever a server or a proxy sends, only a `SyncnetError` is raised. `check_offer` is different: the answer to another
request means that the connection is out of step, and counts as a lost connection.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from syncnet.errors import (
    AbortedError,
    GaveUp,
    Hindrance,
    ParameterError,
    RefusedError,
    SyncnetError,
    TimedOutError,
    UnavailableError,
    WithdrawnError,
)
from syncnet.wire.results import Happened, Member, Sync

__all__ = [
    "Answer",
    "check_offer",
    "failure_of",
    "read_document",
    "read_explained",
    "read_pending",
    "read_sync",
    "read_total",
]

_TYPE_PREFIX: Final = "urn:syncnet:problem:"
_RETRY_STATUSES: Final = (429, 502, 503, 504)
_CODES_OF_REJECTIONS: Final = {408: "slow-body", 429: "quota"}
"""The codes for statuses which say that a request was not processed, when a proxy gives no code."""

_OUTCOMES: Final = frozenset(("timed-out", "aborted", "withdrawn", "replaced", "id-reused"))
"""The codes which say that the request for an offer has ended: such an answer names the offer."""

_QUOTED_CHARACTERS_MAX: Final = 128


class _SyncDocument(msgspec.Struct):
    event: str
    sync: int
    payloads: dict[str, Any]
    members: tuple[Member, ...]


class _GaveUp(msgspec.Struct):
    actor: str
    how: str = ""
    at: str = ""


class _Reason(msgspec.Struct):
    actor: str = ""
    event: str = ""
    reason: str = ""


class _Problem(msgspec.Struct):
    type: str = ""
    code: str = ""
    detail: str = ""
    parameter: str | None = None
    waited_s: float = 0.0
    present: tuple[str, ...] = ()
    missing: int = 1
    missing_actors: tuple[str, ...] = ()
    gave_up: tuple[_GaveUp, ...] = ()
    never_came: tuple[str, ...] = ()
    reasons: tuple[_Reason, ...] = ()
    by: str = ""
    reason: str = ""


_sync_decoder: Final = msgspec.json.Decoder(_SyncDocument)
_problem_decoder: Final = msgspec.json.Decoder(_Problem)


class Answer(NamedTuple):
    """Status, headers (names in lower case) and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_offer(answer: Answer, offer_id: str | None) -> None:
    """Check that an answer is about the offer `offer_id`; None: its request is about no offer.

    :raises ConnectionAbortedError: it is about another offer, so it is the answer to another request.
    :raises UnavailableError: it has an outcome, but does not say of which offer.
    """
    given = answer.headers.get("syncnet-id")
    if given == offer_id:
        return
    wanted = "no Syncnet-Id" if offer_id is None else f"the Syncnet-Id {offer_id}"
    if given is not None:
        raise ConnectionAbortedError(f"expected an answer with {wanted}, got {_quoted(given)}, that of another request")
    if answer.status == 200 or _code_of(_problem(answer)) in _OUTCOMES:
        raise _not_from_syncnet(answer, f" with {wanted}", " without one")


def read_sync(answer: Answer, offer_id: str, events: Collection[str]) -> Sync:
    """Return the sync in the answer to the offer `offer_id` of these events.

    :raises SyncnetError: the answer is not a sync, or not one of this offer.
    """
    if answer.status != 200:
        raise failure_of(answer)
    try:
        document = _decode_sync(answer.body)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise _not_from_syncnet(answer) from None
    members, rank = document.members, answer.headers.get("syncnet-rank", "")
    if not (rank.isascii() and rank.isdigit() and len(rank) < 10 and int(rank) < len(members)):
        raise _not_from_syncnet(
            answer, f" with a Syncnet-Rank from 0 to {len(members) - 1}", f" with {_quoted(rank) if rank else 'none'}"
        )
    if members[int(rank)].id != offer_id:
        raise _not_from_syncnet(
            answer, f" with the member {offer_id} at rank {rank}", f" with {_quoted(members[int(rank)].id)}"
        )
    if document.event not in events:
        raise _not_from_syncnet(answer, f" of {' or '.join(events)}", f" of {_quoted(document.event)}")
    return Sync(Happened(document.event, document.sync, document.payloads, members), int(rank))


def _decode_sync(body: bytes) -> _SyncDocument:
    try:
        return _sync_decoder.decode(body)
    except msgspec.MsgspecError:  # the number 1e400 is JSON, too
        return msgspec.convert(json.loads(body), _SyncDocument)


def read_document(answer: Answer) -> dict[str, Any]:
    """Return the JSON object in an answer with status 200.

    :raises SyncnetError: the answer has another status, or is no JSON object.
    """
    if answer.status != 200:
        raise failure_of(answer)
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _not_from_syncnet(answer)
    return document


def read_pending(answer: Answer, pending: dict[str, Any]) -> None:
    """Add a page of pending offers to those of the pages before.

    :raises SyncnetError: the answer has another status than 200, or is no such page.
    """
    try:
        for event, actors in read_document(answer).items():
            for actor, offers in actors.items():
                pending.setdefault(event, {}).setdefault(actor, {}).update(offers)
    except (AttributeError, TypeError, ValueError):
        raise _not_from_syncnet(answer) from None


def read_explained(answer: Answer, explained: dict[str, Any]) -> None:
    """Add a page of explanations to those of the pages before.

    :raises SyncnetError: the answer has another status than 200, or is no such page.
    """
    document = read_document(answer)
    offers = document.get("offers")
    if not isinstance(offers, list):
        raise _not_from_syncnet(answer)
    before = explained.get("offers", [])
    explained |= {**document, **explained, "offers": before + offers}


def read_total(answer: Answer, name: str) -> int:
    """Return the number that an answer with status 200 has under `name`.

    :raises SyncnetError: the answer has another status, or no such number.
    """
    total = read_document(answer).get(name)
    if type(total) is not int:
        raise _not_from_syncnet(answer, f" with a number {name}")
    return total


def failure_of(answer: Answer) -> SyncnetError:
    """Return the error for an answer with another status than 200."""
    problem = _problem(answer)
    code = _code_of(problem)
    detail = problem.detail or f"the server answered with status {answer.status}"
    match code:
        case "":
            return _failure_without_code(answer, detail)
        case "bad-parameter" | "too-large" if problem.parameter is not None:
            return ParameterError(problem.parameter, detail.removeprefix(f"{problem.parameter}: "), code)
        case "timed-out":
            return TimedOutError(
                detail,
                waited_s=problem.waited_s,
                present=problem.present,
                missing=problem.missing,
                missing_actors=problem.missing_actors,
                gave_up=tuple([GaveUp(each.actor, each.how, each.at) for each in problem.gave_up]),
                never_came=problem.never_came,
                reasons=tuple([Hindrance(each.actor, each.event, each.reason) for each in problem.reasons]),
            )
        case "aborted":
            return AbortedError(detail, by=problem.by, reason=problem.reason)
        case "withdrawn":
            return WithdrawnError(detail)
    if answer.status in _RETRY_STATUSES or code == "slow-body":
        return UnavailableError(detail, code, _retry_after_s(answer))
    if answer.status >= 500:
        return _without_retry(UnavailableError(detail, code))
    return RefusedError(detail, code)


def _failure_without_code(answer: Answer, detail: str) -> SyncnetError:
    """Return the error for an answer that has no problem document of syncnet."""
    if code := _CODES_OF_REJECTIONS.get(answer.status):
        return UnavailableError(detail, code, _retry_after_s(answer))
    if answer.status >= 500:
        return UnavailableError(detail, retry_after_s=_retry_after_s(answer))
    return RefusedError(detail, "refused")


def _problem(answer: Answer) -> _Problem:
    """Return the problem document in an answer, an empty one if it has none of syncnet."""
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        try:
            problem = _problem_decoder.decode(answer.body)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return _Problem()
        if problem.type.startswith(_TYPE_PREFIX):
            return problem
    return _Problem()


def _code_of(problem: _Problem) -> str:
    return problem.code or problem.type.removeprefix(_TYPE_PREFIX)


def _retry_after_s(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _not_from_syncnet(answer: Answer, wanted: str = "", given: str = "") -> UnavailableError:
    kind = answer.headers.get("content-type", "no content type")
    got = f"{len(answer.body)} bytes of {kind}{given}"
    return _without_retry(UnavailableError(f"expected an answer of syncnet{wanted}, got {got}"))


def _quoted(text: str) -> str:
    return repr(text[:_QUOTED_CHARACTERS_MAX])


def _without_retry(error: UnavailableError) -> UnavailableError:
    error.retry_safe = False
    return error
