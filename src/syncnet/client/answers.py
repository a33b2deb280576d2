"""The answers of a server as values and errors.

These are pure functions. An answer becomes a value, an error for the caller, or an `UnavailableError` whose
`retry_safe` says whether the same request may be sent again. The code of a problem document decides, not the status:
a status without such a document comes from a proxy, or from a server that is ending.
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
_RETRY_STATUSES: Final = (429, 502, 503, 504)
_CODES_OF_REJECTIONS: Final = {408: "slow-body", 429: "quota"}
"""The codes for statuses which say that a request was not processed, when a proxy gives no code."""


class _SyncDocument(msgspec.Struct):
    event: str
    sync: int
    payloads: dict[str, Any]
    members: tuple[Member, ...]


_sync_decoder: Final = msgspec.json.Decoder(_SyncDocument)


class Answer(NamedTuple):
    """Status, headers (names in lower case) and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read_sync(answer: Answer) -> Sync:
    """Return the sync in the answer to an offer.

    :raises SyncnetError: the answer is not a sync.
    """
    if answer.status != 200:
        raise failure_of(answer)
    try:
        rank = int(answer.headers["syncnet-rank"])
        document = _sync_decoder.decode(answer.body)
        return Sync(Happened(document.event, document.sync, document.payloads, document.members), rank)
    except (KeyError, ValueError, msgspec.MsgspecError):
        return _read_sync_slowly(answer)


def _read_sync_slowly(answer: Answer) -> Sync:
    """Read a sync that the fast decoder rejects, for instance because of the number 1e400."""
    document = read_document(answer)
    try:
        members = tuple(
            Member(member["id"], member["actor"], member["labels"], member["payload"]) for member in document["members"]
        )
        rank = int(answer.headers["syncnet-rank"])
        return Sync(Happened(document["event"], document["sync"], document["payloads"], members), rank)
    except (KeyError, TypeError, ValueError):
        raise _not_from_syncnet(answer) from None


def read_document(answer: Answer) -> Any:
    """Return the JSON document in an answer with status 200.

    :raises SyncnetError: the answer has another status, or is not JSON.
    """
    if answer.status != 200:
        raise failure_of(answer)
    try:
        return json.loads(answer.body)
    except ValueError:
        raise _not_from_syncnet(answer) from None


def failure_of(answer: Answer) -> SyncnetError:
    """Return the error for an answer with another status than 200."""
    problem = _problem(answer)
    code = str(problem.get("code") or str(problem.get("type", "")).removeprefix(_TYPE_PREFIX))
    detail = str(problem.get("detail") or f"the server answered with status {answer.status}")
    match code:
        case "":
            return _failure_without_code(answer, detail)
        case "bad-parameter" | "too-large" if "parameter" in problem:
            parameter = str(problem["parameter"])
            return ParameterError(parameter, detail.removeprefix(f"{parameter}: "), code)
        case "timed-out":
            return TimedOutError(
                detail,
                waited_s=float(problem.get("waited_s", 0)),
                present=tuple(problem.get("present", ())),
                missing=int(problem.get("missing", 1)),
                missing_actors=tuple(problem.get("missing_actors", ())),
            )
        case "aborted":
            return AbortedError(detail, by=str(problem.get("by", "")), reason=str(problem.get("reason", "")))
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


def _not_from_syncnet(answer: Answer) -> UnavailableError:
    kind = answer.headers.get("content-type", "no content type")
    return _without_retry(UnavailableError(f"expected an answer of syncnet, got {len(answer.body)} bytes of {kind}"))


def _without_retry(error: UnavailableError) -> UnavailableError:
    error.retry_safe = False
    return error
