"""HTTP responses: status, headers and body; and the responses for every outcome that is not a sync."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from syncnet.core.effects import Aborted, Outcome, Refused, TimedOut, Withdrawn
from syncnet.errors import PROBLEMS, BadBodyError, ParameterError, SyncnetError
from syncnet.wire.answers import MEDIA_TYPES, PROBLEM_MEDIA_TYPE, aborted_problem, encode_problem, timed_out_problem

__all__ = [
    "JSON_HEADERS",
    "NO_STORE",
    "PLAIN_TEXT",
    "Header",
    "Response",
    "body_too_large",
    "bug",
    "ended",
    "headers_of",
    "problem",
    "problem_of",
]

_log = logging.getLogger("syncnet")

_RETRY_AFTER_S: Final = 1

Header = tuple[str, str]

PLAIN_TEXT: Final = "text/plain; charset=utf-8"
NO_STORE: Final[Header] = ("cache-control", "no-store")
JSON_HEADERS: Final[tuple[Header, Header]] = (("content-type", MEDIA_TYPES["json"]), NO_STORE)


class Response(NamedTuple):
    """Status, headers and body of a response; `problem` is the code of a problem document, by which it is counted."""

    status: int
    headers: list[Header]
    body: bytes
    problem: str = ""


def ended(outcome: Outcome) -> Response:
    """Return the answer to an offer that ended without a sync."""
    if isinstance(outcome, TimedOut):
        return _problem("timed-out", timed_out_problem(outcome))
    if isinstance(outcome, Aborted):
        return _problem("aborted", aborted_problem(outcome))
    if isinstance(outcome, Withdrawn):
        return problem("withdrawn", f"the offer was withdrawn: {outcome.cause}")
    if isinstance(outcome, Refused):
        return problem(outcome.code, outcome.reason)
    raise TypeError("a sync is no such outcome")


def problem_of(error: SyncnetError) -> Response:
    """Return the problem document of an error."""
    if isinstance(error, ParameterError):
        return problem(error.code, str(error), parameter=error.parameter)
    return problem(error.code, str(error))


def body_too_large(bytes_max: int) -> BadBodyError:
    """Return the error of a body with more than `bytes_max` bytes."""
    return BadBodyError(f"expected a body of at most {bytes_max} bytes, got more", "too-large")


def bug(what: str, error: Exception) -> Response:
    """Log a bug, and return the response for its request; `what` could not be made."""
    _log.error("a bug: %s could not be made", what, exc_info=error)
    return problem("internal", "this is a bug in syncnet; the server's log has the details")


def problem(code: str, detail: str, headers: list[Header] | None = None, **members: object) -> Response:
    """Return a problem document with this `code`; `members` are additional fields."""
    return _problem(code, encode_problem(code, detail, **members), headers)


def headers_of(media_type: str) -> list[Header]:
    """Return the headers of a response of this media type."""
    return [("content-type", media_type), NO_STORE]


def _problem(code: str, body: bytes, extra: list[Header] | None = None) -> Response:
    headers = headers_of(PROBLEM_MEDIA_TYPE) + (extra or [])
    status = PROBLEMS[code].status
    if status in (429, 503) and code != "rate-limited":  # which says exactly when
        headers.append(("retry-after", str(_RETRY_AFTER_S)))
    elif status == 401:
        headers.append(("www-authenticate", 'Bearer realm="syncnet"'))
    return Response(status, headers, body, code)
