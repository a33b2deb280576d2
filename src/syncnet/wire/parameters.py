"""Parameters of a request in, what it asks for out.

A parameter comes as text (from a query or a form) or as a value (from JSON or YAML). The table in
`parameter_table.py` says how each is read and how its type is checked, the tuples below say which path takes which
parameters, and `core.commands` checks the values.

`read_offer` reads every request to `/event`. The readers in `query.py` and `json_body.py` are faster and read the
ordinary requests only: they return the same result, or None, and then `read_offer` reads the request or explains what
is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, NamedTuple, TypeAlias

from syncnet.core.commands import DEFAULT_NAMESPACE, NO_PAYLOAD, Abort, OfferSpec
from syncnet.core.labels import readable, shown
from syncnet.core.limits import LIMITS, Limits
from syncnet.core.selectors import Selector, parse_selector
from syncnet.core.validation import bound_mates, check_id, check_namespace, check_payload, make_abort, make_spec
from syncnet.errors import ParameterError, SelectorError
from syncnet.wire.bodies import Texts, Values
from syncnet.wire.negotiation import preferred_trace_output
from syncnet.wire.parameter_table import EXPLAIN_OUTPUTS, OUTPUTS, PAGE_LIMIT, PARAMETERS, TRACE_OUTPUTS

__all__ = [
    "ABORT_PARAMETERS",
    "ALL_NAMESPACES",
    "EXPLAIN_PARAMETERS",
    "NAMESPACES_PARAMETERS",
    "OFFER_PARAMETERS",
    "PAGE_PARAMETERS",
    "TRACE_PARAMETERS",
    "WATCH_PARAMETERS",
    "WITHDRAWAL_PARAMETERS",
    "Asked",
    "Page",
    "Watch",
    "WhichOffers",
    "did_you_mean",
    "read_abort",
    "read_offer",
    "read_page",
    "read_trace_output",
    "read_watch",
    "read_which_offers",
    "read_withdrawal",
]

OFFER_PARAMETERS: Final = (
    *("event", "actor", "mates", "expect", "labels", "selector", "payload"),
    *("timeout", "id", "linger", "namespace", "output"),
)
EXPLAIN_PARAMETERS: Final = ("namespace", "actor", "event", "id", "after", "limit", "output")
NAMESPACES_PARAMETERS: Final = ("after", "limit")
ABORT_PARAMETERS: Final = ("event", "actor", "id", "reason", "by", "namespace")
WITHDRAWAL_PARAMETERS: Final = ("id", "namespace")
PAGE_PARAMETERS: Final = ("namespace", "after", "limit")
TRACE_PARAMETERS: Final = (*PAGE_PARAMETERS, "output")
WATCH_PARAMETERS: Final = ("namespace", "after", "output")

ALL_NAMESPACES: Final = "*"

_UNSET_WHEN_EMPTY: Final = ("mates", "labels", "selector")
"""An empty text of these counts as absent, because an unset shell variable leaves one in a URL."""

Asked: TypeAlias = tuple[OfferSpec, bytes, str | None, str | None]
"""What a request to `/event` asks for.

The spec; the payload as JSON; the id that the client chose, or None; the format of the answer, None: as `Accept` says.
"""


class Page(NamedTuple):
    """Which part of a list a request wants: the items of `namespace` after number `after`, at most `items_max`."""

    namespace: str
    after: int
    items_max: int


class Watch(NamedTuple):
    """What a reader of the live trace wants: what happens in `namespace`, or in all where it is `ALL_NAMESPACES`.

    `after` is the position at which it resumes, after the name of the parameter or header that it came in.
    """

    namespace: str
    after: tuple[str, str] | None


class WhichOffers(NamedTuple):
    """Which offers a request to `/explain` is about: of an actor, of an event, of an id; empty where any will do.

    `output` is `json`, `text`, or empty: as `Accept` says.
    """

    page: Page
    actor: str
    event: str
    id: str
    output: str


def read_offer(query: Texts, body: Texts | Values, *, owner: str = "", limits: Limits = LIMITS) -> Asked:
    """Return what a request to `/event` asks for. `owner` is the name of its token and becomes part of the spec.

    :raises ParameterError: a parameter is missing, unknown, given twice, or its value is invalid.
    """
    values = _merged(query, body, OFFER_PARAMETERS, limits)
    for name in ("event", "actor"):
        if name not in values:
            raise ParameterError(name, "expected a value, got none; it is required")
    output = _one_of(values.pop("output"), OUTPUTS) if "output" in values else None
    selector = _selector(values.pop("selector"), limits) if "selector" in values else None
    id = check_id(values.pop("id")) if "id" in values else None
    payload = check_payload(values.pop("payload", NO_PAYLOAD), limits)
    spec = make_spec(
        events=values.pop("event"),
        timeout_s=values.pop("timeout", None),
        linger_s=values.pop("linger", None),
        selector=selector,
        named=id is not None,
        owner=owner,
        limits=limits,
        **values,
    )
    if payload is not NO_PAYLOAD:
        bound_mates(spec, payload, limits)
    return spec, payload, id, output


def read_abort(query: Texts, body: Texts | Values, *, at_ns: int, owner: str = "", limits: Limits = LIMITS) -> Abort:
    """Return what a request to `/abort` asks for. A client with a token aborts in its name, `owner`.

    :raises ParameterError: a parameter is missing, unknown, given twice, or its value is invalid.
    """
    values = _merged(query, body, ABORT_PARAMETERS, limits)
    events = values.pop("event", None)
    if events is not None and len(events) != 1:
        raise ParameterError("event", f"expected one event, got {len(events)}")
    if owner and values.get("by", owner) != owner:
        raise ParameterError("by", f"expected the name of the token, {owner}, or nothing; got {shown(values['by'])}")
    return make_abort(
        at_ns=at_ns,
        by=owner or values.pop("by", ""),
        reason=values.pop("reason", ""),
        event=events[0] if events else None,
        limits=limits,
        **{name: value for name, value in values.items() if name != "by"},
    )


def read_withdrawal(query: Texts) -> tuple[str, str]:
    """Return the namespace and the id of the offer to withdraw.

    :raises ParameterError: there is no id, or a parameter is invalid.
    """
    values = _from_texts(query, WITHDRAWAL_PARAMETERS)
    if "id" not in values:
        raise ParameterError("id", "expected a value, got none; it is required")
    return check_namespace(values.get("namespace", DEFAULT_NAMESPACE)), check_id(values["id"])


def read_trace_output(query: Texts, accept: str) -> str:
    """Return the format of `/trace` that a request wants: `json` is a page, `sse` and `jsonl` are live.

    :raises ParameterError: it wants another one.
    """
    outputs = query.get("output")
    return preferred_trace_output(accept) if outputs is None else _one_of(outputs[0], TRACE_OUTPUTS)


def read_watch(query: Texts, last_event_id: str) -> Watch:
    """Return what a reader of the live trace wants. The header `Last-Event-ID` is newer than a parameter in the URL.

    :raises ParameterError: a parameter is invalid.
    """
    query = Texts(query)
    after = query.pop("after", [""])
    namespaces = query.pop("namespace", [DEFAULT_NAMESPACE])
    for name, given in (("after", after), ("namespace", namespaces)):
        if len(given) > 1:
            raise ParameterError(name, f"expected once, got it {len(given)} times")
    if "limit" in query:
        raise ParameterError("limit", "expected none with a stream, got one")
    _from_texts(query, WATCH_PARAMETERS)
    namespace = namespaces[0] if namespaces[0] == ALL_NAMESPACES else check_namespace(namespaces[0])
    if last_event_id:
        return Watch(namespace, ("Last-Event-ID", last_event_id))
    return Watch(namespace, ("after", after[0]) if after[0] else None)


def read_page(query: Texts, known: Iterable[str] = PAGE_PARAMETERS) -> Page:
    """Return which page of `/stats` or `/trace` a request wants: the first 1,000 items, unless it says otherwise.

    :raises ParameterError: a parameter is invalid.
    """
    return _page(_from_texts(query, known))


def read_which_offers(query: Texts) -> WhichOffers:
    """Return which offers a request to `/explain` is about.

    :raises ParameterError: a parameter is invalid.
    """
    values = _from_texts(query, EXPLAIN_PARAMETERS)
    events, output = values.get("event", ()), values.get("output", "")
    if len(events) > 1:
        raise ParameterError("event", f"expected one event, got {len(events)}")
    if output not in ("", *EXPLAIN_OUTPUTS):
        raise ParameterError("output", f"expected json or text, got {shown(output)}")
    event = events[0] if events else ""
    return WhichOffers(_page(values), values.get("actor", ""), event, values.get("id", ""), output)


def _page(values: Values) -> Page:
    items_max = values.get("limit", PAGE_LIMIT)
    if not 1 <= items_max <= PAGE_LIMIT:
        raise ParameterError("limit", f"expected a whole number from 1 to {PAGE_LIMIT}, got {items_max}")
    return Page(check_namespace(values.get("namespace", DEFAULT_NAMESPACE)), values.get("after", 0), items_max)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the nearest known one, or all of them."""
    nearest = get_close_matches(word, list(known), n=1)
    return f'did you mean "{nearest[0]}"?' if nearest else f"expected one of {', '.join(known)}"


# --- texts, from a query or a form -------------------------------------------------------------------------


def _from_texts(texts: Texts, known: Iterable[str], limits: Limits = LIMITS) -> Values:
    _check_known(texts, known)
    values: Values = {}
    for name, given in texts.items():
        parameter = PARAMETERS[name]
        if len(given) > 1 and not parameter.repeats:
            raise ParameterError(name, f"expected once, got it {len(given)} times")
        if given[0] == "" and name in _UNSET_WHEN_EMPTY:
            continue
        values[name] = parameter.read(name, given if parameter.repeats else given[0], limits)
    return values


def _check_known(names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ParameterError(readable(name), f"unknown parameter; {did_you_mean(name, known)}")


# --- values, from JSON or YAML -----------------------------------------------------------------------------


def _from_values(given: Values, known: Iterable[str], limits: Limits) -> Values:
    _check_known(given, known)
    values: Values = {}
    for name, value in given.items():
        check = PARAMETERS[name].check
        values[name] = value if check is None else check(name, value, limits)
    return values


# --- both -----------------------------------------------------------------------------------------------------


def _merged(query: Texts, body: Texts | Values, known: Iterable[str], limits: Limits) -> Values:
    values = _from_texts(query, known, limits)
    if not body:
        return values
    for name in body:
        if name in values:
            raise ParameterError(readable(name), "expected once, got it both in the query and in the body")
    return values | (_from_texts(body, known, limits) if isinstance(body, Texts) else _from_values(body, known, limits))


def _selector(text: str, limits: Limits) -> Selector:
    if len(text) > limits.selector_characters_max:
        wanted = f"expected at most {limits.selector_characters_max} characters"
        raise ParameterError("selector", f"{wanted}, got {len(text)}", "too-large")
    try:
        return parse_selector(text, limits.selector_characters_max)
    except SelectorError as error:
        raise ParameterError("selector", f"{error}, in {shown(text)}") from None


def _one_of(output: str, outputs: tuple[str, ...]) -> str:
    if output not in outputs:
        raise ParameterError("output", f"expected {' or '.join(outputs)}, got {shown(output)}")
    return output
