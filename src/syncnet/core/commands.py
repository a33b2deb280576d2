"""What comes in: the commands, and the one place where an offer is checked and its defaults are filled in.

A command carries everything that the core may not find out by itself: the time, and ids. It is valid from the
moment it exists (law 2 of the machine), because only `make_offer` makes an `Offer` out of a caller's words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from syncnet.core.labels import Labels, check_key, check_value, shown
from syncnet.core.limits import (
    EVENT_CHARACTERS_MAX,
    EVENTS_CHARACTERS_MAX,
    EVENTS_PER_OFFER_MAX,
    LABELS_PER_OFFER_MAX,
    MATES_MAX,
    PAYLOAD_BYTES_MAX,
    TIMEOUT_S_MAX,
)
from syncnet.core.selectors import EVERYTHING, Selector, not_actor
from syncnet.errors import LabelError, ParameterError

__all__ = [
    "DEFAULT_NAMESPACE",
    "Cause",
    "Command",
    "Expire",
    "Offer",
    "Withdraw",
    "check_namespace",
    "make_offer",
]

DEFAULT_NAMESPACE: Final = "default"


class Cause(StrEnum):
    """Why an offer was withdrawn, in the word that the log uses."""

    WITHDRAWN = "withdrawn"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class Offer:
    """`actor` is ready for one of `events`, together with `mates` others that `selector` matches.

    `at_ns` is when it was made, in nanoseconds since the Unix epoch. `roster` (sorted, the actor among them) stands
    for mates and selector where it is not empty. `payload` is opaque bytes: the core carries them and never looks.
    `timeout_ns` is a remark for readers; whoever owns the deadline appends an `Expire`.
    """

    at_ns: int
    namespace: str
    id: str
    events: tuple[str, ...]
    actor: str
    mates: int
    roster: tuple[str, ...]
    labels: Labels
    selector: Selector
    payload: bytes
    timeout_ns: int | None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The offer `id` is taken back; nothing happens where it is not pending."""

    at_ns: int
    namespace: str
    id: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Expire:
    """The offer `id` has waited long enough; nothing happens where it is not pending."""

    at_ns: int
    namespace: str
    id: str


Command: TypeAlias = Offer | Withdraw | Expire


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
    payload: bytes = b'""',
    timeout_s: float | None = None,
) -> Offer:
    """Return a valid offer, defaults filled in as semantics.md says: one mate, `actor=<actor>`, `actor!=<actor>`.

    `events` are the events of a choice in the order of liking. `expect` is a roster, and goes with neither `mates`
    nor `selector`. `labels` are added to the default. `timeout_s` is in seconds; 0 means "now or never".

    :raises ParameterError: a value does not do; it names the parameter.
    """
    _check_actor("actor", actor)
    roster = _roster(actor, expect)
    if roster and mates is not None:
        raise ParameterError("mates", "expected either a roster (expect) or mates, got both")
    if roster and selector is not None:
        raise ParameterError("selector", "expected either a roster (expect) or a selector, got both")
    if len(payload) > PAYLOAD_BYTES_MAX:
        too_large = f"expected at most {PAYLOAD_BYTES_MAX} bytes as JSON, got {len(payload)}"
        raise ParameterError("payload", too_large, "too-large")
    if roster:
        mates, selector = len(roster) - 1, EVERYTHING
    return Offer(
        at_ns=at_ns,
        namespace=check_namespace(namespace),
        id=id,
        events=_events(events),
        actor=actor,
        mates=_mates(1 if mates is None else mates),
        roster=roster,
        labels=_labels(actor, labels),
        selector=not_actor(actor) if selector is None else selector,
        payload=payload,
        timeout_ns=_timeout_ns(timeout_s),
    )


def check_namespace(namespace: str) -> str:
    """Return `namespace` if it is a name of the form of a label value, not empty.

    :raises ParameterError: it is not.
    """
    return _check_name("namespace", namespace, "a namespace")


def _check_actor(parameter: str, actor: str) -> str:
    return _check_name(parameter, actor, "the name of an actor")


def _check_name(parameter: str, name: str, what: str) -> str:
    if not name:
        raise ParameterError(parameter, f"expected {what}, got an empty one")
    return _as_parameter(parameter, check_value, name, what)


def _as_parameter(parameter: str, check: Callable[..., str], *words: str) -> str:
    try:
        return check(*words)
    except LabelError as error:
        raise ParameterError(parameter, str(error)) from None


def _events(events: Iterable[str]) -> tuple[str, ...]:
    named = tuple(events)
    if not named:
        raise ParameterError("event", "expected the name of an event, got none")
    if len(named) > EVENTS_PER_OFFER_MAX:
        raise ParameterError("event", f"expected at most {EVENTS_PER_OFFER_MAX} events, got {len(named)}")
    for position, event in enumerate(named, 1):
        where = f" (event {position} of {len(named)})" if len(named) > 1 else ""
        if not event:
            raise ParameterError("event", f"expected the name of an event, got an empty one{where}")
        if len(event) > EVENT_CHARACTERS_MAX:
            raise ParameterError(
                "event", f"expected at most {EVENT_CHARACTERS_MAX} characters, got {len(event)}{where}"
            )
        if not event.isprintable():
            raise ParameterError("event", f"expected printable characters only, got {shown(event)}{where}")
        if event in named[: position - 1]:
            raise ParameterError("event", f"expected events that differ, got {shown(event)} twice")
    characters = sum(map(len, named))
    if characters > EVENTS_CHARACTERS_MAX:
        raise ParameterError(
            "event", f"expected at most {EVENTS_CHARACTERS_MAX} characters in all events, got {characters}"
        )
    return named


def _mates(mates: int) -> int:
    if not 0 <= mates <= MATES_MAX:
        raise ParameterError("mates", f"expected a whole number from 0 to {MATES_MAX}, got {_figures(mates)}")
    return mates


def _figures(number: int) -> str:
    return str(number) if abs(number) < 10**20 else "one of more than 20 digits"


def _roster(actor: str, expect: Iterable[str] | None) -> tuple[str, ...]:
    if expect is None:
        return ()
    named = tuple(expect)
    if not named:
        raise ParameterError("expect", "expected the names of actors, got none")
    if len(named) > MATES_MAX:
        raise ParameterError("expect", f"expected at most {MATES_MAX} actors, got {len(named)}")
    roster: set[str] = set()
    for name in named:
        if name in roster:
            raise ParameterError("expect", f"expected actors that differ, got {shown(name)} twice")
        roster.add(_check_actor("expect", name))
    return tuple(sorted({actor, *roster}))


def _labels(actor: str, labels: Mapping[str, str] | None) -> dict[str, str]:
    merged = {"actor": actor, **(labels or {})}
    if len(merged) > LABELS_PER_OFFER_MAX:
        raise ParameterError("labels", f"expected at most {LABELS_PER_OFFER_MAX} labels, got {len(merged)}")
    for key, value in (labels or {}).items():
        _as_parameter("labels", check_key, key)
        _as_parameter("labels", check_value, value, f"a label value for {shown(key)}")
    return dict(sorted(merged.items()))


def _timeout_ns(timeout_s: float | None) -> int | None:
    if timeout_s is None:
        return None
    if not 0 <= timeout_s <= TIMEOUT_S_MAX:  # refuses not-a-number too
        got = _figures(timeout_s) if isinstance(timeout_s, int) else f"{timeout_s:g}"
        raise ParameterError("timeout", f"expected 0 to {TIMEOUT_S_MAX} seconds, got {got}")
    return round(timeout_s * 1e9)
