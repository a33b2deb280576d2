"""Where offers and aborts are checked and their defaults are filled in: words of a client in, valid commands out.

What these functions return satisfies law 2 of the machine. A message says what was expected, what came, and where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from syncnet.core.commands import DEFAULT_NAMESPACE, NO_PAYLOAD, Abort, Offer, OfferSpec
from syncnet.core.labels import check_key, check_value, is_name, shown
from syncnet.core.limits import ID_CHARACTERS_MAX, LIMITS, LINGER_NAMED_S, REASON_CHARACTERS_MAX, Limits
from syncnet.core.selectors import EVERYTHING, Selector, not_actor
from syncnet.errors import LabelError, ParameterError

__all__ = [
    "bound_mates",
    "check_events",
    "check_id",
    "check_namespace",
    "check_payload",
    "make_abort",
    "make_offer",
    "make_spec",
]


def make_offer(
    *,
    at_ns: int,
    id: str,
    events: Iterable[str],
    actor: str,
    namespace: str = DEFAULT_NAMESPACE,
    mates: int | None = None,
    expect: Iterable[str] | None = None,
    labels: Mapping[str, str] | None = None,
    selector: Selector | None = None,
    payload: bytes = NO_PAYLOAD,
    timeout_s: int | float | None = None,
    linger_s: int | float | None = None,
    named: bool = False,
    owner: str = "",
    limits: Limits = LIMITS,
) -> Offer:
    """Return a valid offer: `make_spec` with an id, a time and a payload. `named` says that the client chose the id.

    :raises ParameterError: a value is invalid; it names the parameter.
    """
    spec = make_spec(
        events=events,
        actor=actor,
        namespace=namespace,
        mates=mates,
        expect=expect,
        labels=labels,
        selector=selector,
        timeout_s=timeout_s,
        linger_s=linger_s,
        named=named,
        owner=owner,
        limits=limits,
    )
    payload = check_payload(payload, limits)
    bound_mates(spec, payload, limits)
    return Offer(spec, check_id(id) if named else id, at_ns, payload, len(payload), named)


def make_spec(
    *,
    events: Iterable[str],
    actor: str,
    namespace: str = DEFAULT_NAMESPACE,
    mates: int | None = None,
    expect: Iterable[str] | None = None,
    labels: Mapping[str, str] | None = None,
    selector: Selector | None = None,
    timeout_s: int | float | None = None,
    linger_s: int | float | None = None,
    named: bool = False,
    owner: str = "",
    limits: Limits = LIMITS,
) -> OfferSpec:
    """Return a valid spec, defaults filled in as semantics.md says: one mate, `actor=<actor>`, `actor!=<actor>`.

    `events` are the events of a choice in the order of preference. `expect` is a roster and excludes `mates` and
    `selector`. `labels` are added to the default. `timeout_s` is in seconds; 0 means "now or never". `linger_s` is
    for how many seconds the offer stays pending after its connection is lost: by default 10 where the client chose the
    id (`named`), else 0.

    :raises ParameterError: a value is invalid; it names the parameter.
    """
    if not is_name(actor):
        _check_actor("actor", actor)
    roster = _roster(actor, expect, limits.mates_max) if expect is not None else ()
    if roster and mates is not None:
        raise ParameterError("mates", "expected either a roster (expect) or mates, got both")
    if roster and selector is not None:
        raise ParameterError("selector", "expected either a roster (expect) or a selector, got both")
    if roster:
        mates, selector = len(roster) - 1, EVERYTHING
    names = check_events(events, limits)
    return OfferSpec(
        namespace if namespace == DEFAULT_NAMESPACE else check_namespace(namespace),
        names,
        actor,
        _mates(1 if mates is None else mates, limits.mates_max),
        roster,
        _labels(actor, labels, limits.labels_per_offer_max) if labels else {"actor": actor},
        not_actor(actor) if selector is None else selector,
        None if timeout_s is None else _nanoseconds("timeout", timeout_s, limits.timeout_s_max),
        _linger_ns(linger_s, named, limits.linger_s_max) if named or linger_s is not None else 0,
        owner,
        len("".join(names)),
    )


def make_abort(
    *,
    at_ns: int,
    by: str,
    reason: str,
    event: str | None = None,
    actor: str | None = None,
    id: str | None = None,
    namespace: str = DEFAULT_NAMESPACE,
    limits: Limits = LIMITS,
) -> Abort:
    """Return a valid abort of all that is pending under one of `event`, `actor` and `id`.

    `by` is a name of the form of an actor's, or empty; `reason` is a line of text for people.

    :raises ParameterError: a value is invalid; it names the parameter.
    """
    given = [name for name, value in (("event", event), ("actor", actor), ("id", id)) if value is not None]
    if len(given) != 1:
        got = " and ".join(given) or "none of them"
        raise ParameterError(given[1] if given else "event", f"expected one of event, actor and id, got {got}")
    if by:
        _check_actor("by", by)
    if not reason or len(reason) > REASON_CHARACTERS_MAX or not reason.isprintable():
        wanted = f"a line of 1 to {REASON_CHARACTERS_MAX} printable characters"
        raise ParameterError("reason", f"expected {wanted}, got {shown(reason) if reason else 'none'}")
    return Abort(
        at_ns=at_ns,
        namespace=check_namespace(namespace),
        event=check_events([event], limits)[0] if event is not None else "",
        actor=_check_actor("actor", actor) if actor is not None else "",
        id=check_id(id) if id is not None else "",
        by=by,
        reason=reason,
    )


def check_id(id: str) -> str:
    """Return `id` if a client may choose it: 1 to 128 visible ASCII characters, which a header can bear.

    :raises ParameterError: it may not.
    """
    if not 0 < len(id) <= ID_CHARACTERS_MAX or not (id.isascii() and id.isprintable()) or " " in id:
        wanted = f"1 to {ID_CHARACTERS_MAX} visible ASCII characters"
        raise ParameterError("id", f"expected {wanted}, got {shown(id) if id else 'none'}")
    return id


def check_payload(payload: bytes, limits: Limits) -> bytes:
    """Return `payload`, which is JSON, if it is not too large.

    :raises ParameterError: it is.
    """
    if len(payload) > limits.payload_bytes_max:
        too_large = f"expected at most {limits.payload_bytes_max} bytes as JSON, got {len(payload)}"
        raise ParameterError("payload", too_large, "too-large")
    return payload


def bound_mates(spec: OfferSpec, payload: bytes, limits: Limits) -> None:
    """Set how many mates an offer may have with this payload: those of one sync together have a limit.

    Every pair of a sync is checked for it, so that no member has more mates than its payload allows.

    :raises ParameterError: they are fewer than it wants itself.
    """
    bytes_max = limits.sync_payload_bytes_max
    most = bytes_max // len(payload) - 1
    if spec.mates > most:
        wanted = f"expected at most {bytes_max // (spec.mates + 1)} bytes as JSON for {spec.mates} mates"
        together = f"{bytes_max} for all {spec.mates + 1} members together"
        raise ParameterError("payload", f"{wanted} ({together}), got {len(payload)}", "too-large")
    if most < limits.mates_max:
        spec.mates_most = most


def check_namespace(namespace: str) -> str:
    """Return `namespace` if it is a name of the form of a label value, not empty.

    :raises ParameterError: it is not.
    """
    return _check_name("namespace", namespace, "a namespace")


def _check_actor(parameter: str, actor: str) -> str:
    return _check_name(parameter, actor, "the name of an actor")


def _check_name(parameter: str, name: str, what: str) -> str:
    if is_name(name):
        return name
    if not name:
        raise ParameterError(parameter, f"expected {what}, got an empty one")
    return _as_parameter(parameter, check_value, name, what)


def _as_parameter(parameter: str, check: Callable[..., str], *words: str) -> str:
    try:
        return check(*words)
    except LabelError as error:
        raise ParameterError(parameter, str(error)) from None


def check_events(events: Iterable[str], limits: Limits) -> tuple[str, ...]:
    """Return the events of an offer if they are valid: printable, all different, not too long, not too many.

    :raises ParameterError: they are not.
    """
    named = tuple(events)
    characters = "".join(named)
    if (
        characters.isprintable()
        and 0 < len(characters) <= min(limits.event_characters_max, limits.events_characters_max)
        and 0 < len({*named, ""}) - 1 == len(named) <= limits.events_per_offer_max
    ):
        return named  # the ordinary case; the rest finds out what is wrong
    if not named:
        raise ParameterError("event", "expected the name of an event, got none")
    if len(named) > limits.events_per_offer_max:
        raise ParameterError(
            "event", f"expected at most {limits.events_per_offer_max} events, got {len(named)}", "too-large"
        )
    for position, event in enumerate(named, 1):
        where = f" (event {position} of {len(named)})" if len(named) > 1 else ""
        if not event:
            raise ParameterError("event", f"expected the name of an event, got an empty one{where}")
        if len(event) > limits.event_characters_max:
            raise ParameterError(
                "event",
                f"expected at most {limits.event_characters_max} characters, got {len(event)}{where}",
                "too-large",
            )
        if not event.isprintable():
            raise ParameterError("event", f"expected printable characters only, got {shown(event)}{where}")
        if event in named[: position - 1]:
            raise ParameterError("event", f"expected events that differ, got {shown(event)} twice")
    if len(characters) > limits.events_characters_max:
        raise ParameterError(
            "event",
            f"expected at most {limits.events_characters_max} characters in all events, got {len(characters)}",
            "too-large",
        )
    return named


def _mates(mates: int, mates_max: int) -> int:
    if not 0 <= mates <= mates_max:
        raise ParameterError("mates", f"expected a whole number from 0 to {mates_max}, got {_figures(mates)}")
    return mates


def _figures(number: int) -> str:
    return str(number) if abs(number) < 10**20 else "one of more than 20 digits"


def _roster(actor: str, expect: Iterable[str], actors_max: int) -> tuple[str, ...]:
    named = tuple(expect)
    if not named:
        raise ParameterError("expect", "expected the names of actors, got none")
    if len(named) > actors_max:
        raise ParameterError("expect", f"expected at most {actors_max} actors, got {len(named)}", "too-large")
    roster: set[str] = set()
    for name in named:
        if name in roster:
            raise ParameterError("expect", f"expected actors that differ, got {shown(name)} twice")
        roster.add(_check_actor("expect", name))
    return tuple(sorted({actor, *roster}))


def _labels(actor: str, labels: Mapping[str, str], labels_max: int) -> dict[str, str]:
    merged = {"actor": actor, **labels}
    if len(merged) > labels_max:
        raise ParameterError("labels", f"expected at most {labels_max} labels, got {len(merged)}", "too-large")
    for key, value in labels.items():
        _as_parameter("labels", check_key, key)
        _as_parameter("labels", check_value, value, f"a label value for {shown(key)}")
    return dict(sorted(merged.items()))


def _linger_ns(linger_s: int | float | None, named: bool, seconds_max: int) -> int:
    if linger_s is None:  # whatever the limit: a client that asks again must not meet another default
        linger_s = LINGER_NAMED_S if named else 0
    return _nanoseconds("linger", linger_s, seconds_max)


def _nanoseconds(parameter: str, seconds: int | float, seconds_max: int) -> int:
    # `int | float`, not `float`: compiled, that would be a C double, which holds no whole number of hundreds of digits.
    if not 0 <= seconds <= seconds_max:  # refuses not-a-number too
        got = _figures(seconds) if isinstance(seconds, int) else f"{seconds:g}"
        raise ParameterError(parameter, f"expected 0 to {seconds_max} seconds, got {got}")
    return round(seconds * 1e9)
