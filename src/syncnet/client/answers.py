"""What a server answered, as the values and errors of the contract.

Pure. Every status that docs/http.md lists, and those that a proxy in between may give, come to one of three things: a
value, an error for the caller, or an `UnavailableError` that says whether it may help to ask again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from syncnet.errors import (
    AbortedError,
    ParameterError,
    RefusedError,
    SyncnetError,
    TimedOutError,
    UnavailableError,
    WithdrawnError,
)
from syncnet.wire.results import Happened, Member, Sync

__all__ = ["Answer", "failure_of", "read_document", "read_sync"]

_TYPE_PREFIX: Final = "urn:syncnet:problem:"
_ASK_AGAIN_STATUSES: Final = (429, 502, 503, 504)


class _Told(msgspec.Struct):
    event: str
    sync: int
    payloads: dict[str, Any]
    members: tuple[Member, ...]


_told: Final = msgspec.json.Decoder(_Told)


class Answer(NamedTuple):
    """Status, headers (names in small letters) and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read_sync(answer: Answer) -> Sync:
    """Return the sync that the answer to an offer tells of.

    :raises SyncnetError: it tells of something else.
    """
    if answer.status != 200:
        raise failure_of(answer)
    try:
        rank = int(answer.headers["syncnet-rank"])
        told = _told.decode(answer.body)
        return Sync(Happened(told.event, told.sync, told.payloads, told.members), rank)
    except (KeyError, ValueError, msgspec.MsgspecError):
        return _read_sync_slowly(answer)


def _read_sync_slowly(answer: Answer) -> Sync:
    """Read one that has a number in it which the fast decoder does not take, such as 1e400."""
    document = read_document(answer)
    try:
        members = tuple(
            Member(member["id"], member["actor"], member["labels"], member["payload"]) for member in document["members"]
        )
        rank = int(answer.headers["syncnet-rank"])
        return Sync(Happened(document["event"], document["sync"], document["payloads"], members), rank)
    except (KeyError, TypeError, ValueError):
        raise _no_syncnet(answer) from None


def read_document(answer: Answer) -> Any:
    """Return what the body of a good answer says.

    :raises SyncnetError: the answer is not a good one, or not JSON.
    """
    if answer.status != 200:
        raise failure_of(answer)
    try:
        return json.loads(answer.body)
    except ValueError:
        raise _no_syncnet(answer) from None


def failure_of(answer: Answer) -> SyncnetError:
    """Return the error that an answer other than 200 tells of."""
    problem = _problem(answer)
    code = str(problem.get("type", "")).removeprefix(_TYPE_PREFIX)
    detail = str(problem.get("detail") or f"the server answered with status {answer.status}")
    match answer.status, code:
        case (400 | 413, "bad-parameter" | "too-large") if "parameter" in problem:
            parameter = str(problem["parameter"])
            return ParameterError(parameter, detail.removeprefix(f"{parameter}: "), code)
        case _, "timed-out":
            return TimedOutError(
                detail,
                waited_s=float(problem.get("waited_s", 0)),
                present=tuple(problem.get("present", ())),
                missing=int(problem.get("missing", 1)),
                missing_actors=tuple(problem.get("missing_actors", ())),
            )
        case _, "aborted":
            return AbortedError(detail, by=str(problem.get("by", "")), reason=str(problem.get("reason", "")))
        case _, "withdrawn":
            return WithdrawnError(detail)
        case (status, "") if status >= 500:  # of a proxy, or of a server that ended in the midst of it
            return UnavailableError(detail, retry_after_s=_retry_after_s(answer))
        case (status, _) if status in _ASK_AGAIN_STATUSES or code == "slow-body":
            return UnavailableError(detail, code, _retry_after_s(answer))
        case (status, _) if status >= 500:
            return _not_again(UnavailableError(detail, code))
    return RefusedError(detail, code or "refused")


def _problem(answer: Answer) -> dict[str, Any]:
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        try:
            problem = json.loads(answer.body)
        except ValueError:
            problem = None
        if isinstance(problem, dict) and str(problem.get("type", "")).startswith(_TYPE_PREFIX):
            return problem
    return {}


def _retry_after_s(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _no_syncnet(answer: Answer) -> UnavailableError:
    kind = answer.headers.get("content-type", "no content type")
    return _not_again(UnavailableError(f"expected an answer of syncnet, got {len(answer.body)} bytes of {kind}"))


def _not_again(error: UnavailableError) -> UnavailableError:
    error.retry_safe = False
    return error
