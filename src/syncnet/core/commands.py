"""What comes in: the commands, and the one place where an offer is checked and its defaults are filled in.

A command carries everything that the core may not find out by itself: the time, and ids. It is valid from the
moment it exists (law 2 of the machine): `make_offer` and the readers of `wire` check everything that a client wrote.

An offer consists of a *spec* (what it asks for, which many offers may share) and of what belongs to this offer alone.
A command also carries the callback of the front end that made it. The core passes it on and never calls it.

These are plain classes with explicit constructors, not dataclasses, because a dataclass with slots cannot be compiled
by mypyc. A spec never changes. Of a command only the fields that say so change, and only their owner changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeAlias

from syncnet.core.labels import Labels, check_key, check_value, is_name, shown
from syncnet.core.limits import (
    ID_CHARACTERS_MAX,
    LIMITS,
    LINGER_NAMED_S,
    NAME_BYTES,
    OFFER_BYTES,
    REASON_CHARACTERS_MAX,
    WORD_BYTES,
    Limits,
)
from syncnet.core.selectors import EVERYTHING, Selector, not_actor
from syncnet.errors import LabelError, ParameterError

__all__ = [
    "DEFAULT_NAMESPACE",
    "NO_PAYLOAD",
    "OBJECT",
    "Abort",
    "Cause",
    "Command",
    "Expire",
    "Offer",
    "OfferSpec",
    "Withdraw",
    "check_events",
    "check_id",
    "check_namespace",
    "check_payload",
    "make_abort",
    "make_offer",
    "make_spec",
]

DEFAULT_NAMESPACE: Final = "default"
NO_PAYLOAD: Final = b'""'
"""The payload of an offer that hands over nothing: an empty text, as JSON."""
OBJECT: Final = -1
"""`Offer.payload_bytes` of a payload that is an object of this program, not JSON."""


class Cause(StrEnum):
    """Why an offer was withdrawn, in the word that the log uses."""

    WITHDRAWN = "withdrawn"
    DISCONNECTED = "disconnected"


class OfferSpec:
    """What an offer asks for: `actor` is ready for one of `events`, with `mates` others that `selector` matches.

    `roster` (sorted, the actor among them) stands for mates and selector where it is not empty. `owner` is the name
    of the token that made the offer, empty where none was needed. `timeout_ns` and `linger_ns` are for the coordinator,
    which appends an `Expire` when the timeout has passed and a `Withdraw` when the linger has.

    `weight_bytes` is its share of `pending_bytes_max`, without the payload. `profile` is for `candidates.py`, which
    fills it when an index first needs it.
    """

    __slots__ = (
        "actor",
        "events",
        "labels",
        "linger_ns",
        "mates",
        "namespace",
        "owner",
        "profile",
        "roster",
        "selector",
        "timeout_ns",
        "weight_bytes",
    )

    def __init__(
        self,
        namespace: str,
        events: tuple[str, ...],
        actor: str,
        mates: int,
        roster: tuple[str, ...],
        labels: Labels,
        selector: Selector,
        timeout_ns: int | None,
        linger_ns: int,
        owner: str,
    ) -> None:
        self.namespace = namespace
        self.events = events
        self.actor = actor
        self.mates = mates
        self.roster = roster
        self.labels = labels
        self.selector = selector
        self.timeout_ns = timeout_ns
        self.linger_ns = linger_ns
        self.owner = owner
        self.profile: Any = None
        weight = OFFER_BYTES + selector.weight_bytes + len(events[0])
        if len(events) > 1 or roster or len(labels) > 1:
            weight += _extra_weight_bytes(events, roster, labels)
        self.weight_bytes = weight

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OfferSpec):
            return NotImplemented
        return self is other or self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.namespace, self.events, self.actor))

    def _key(self) -> tuple[object, ...]:
        return (
            self.namespace,
            self.events,
            self.actor,
            self.mates,
            self.roster,
            self.labels,
            self.selector,
            self.timeout_ns,
            self.linger_ns,
            self.owner,
        )


def _extra_weight_bytes(events: tuple[str, ...], roster: tuple[str, ...], labels: Labels) -> int:
    """Return what a spec weighs beyond one event and the label `actor`; a choice counts under each of its events."""
    weight = NAME_BYTES * len(roster) if roster else 0
    if len(events) > 1:
        weight += (WORD_BYTES + sum(map(len, events))) * (len(events) - 1)
    for key, value in labels.items():
        weight += WORD_BYTES + len(key) + len(value)
    return weight


class Offer:
    """One offer: its `spec`, and what is its own.

    `at_ns` is when it was made, in nanoseconds since the Unix epoch. `named` says that the client chose the id, so that
    it may ask again by it (G7). The core never looks at `payload`: bytes of JSON, of which there are `payload_bytes`,
    or any object of this program, and then `payload_bytes` is `OBJECT`.

    The other fields change. The machine sets `arrival`, the offer's number among those of its namespace (1, 2, 3 …; 0
    before it arrived), and counts in `asked` how often it was asked for again. The coordinator owns `waiter`, which
    gets the result and is None where nothing waits, and `deadline_tick`, its place among the timers (0: it has none).
    """

    __slots__ = (
        "arrival",
        "asked",
        "at_ns",
        "deadline_tick",
        "id",
        "named",
        "payload",
        "payload_bytes",
        "spec",
        "waiter",
    )

    def __init__(
        self, spec: OfferSpec, id: str, at_ns: int, payload: Any, payload_bytes: int, named: bool, waiter: Any = None
    ) -> None:
        self.spec = spec
        self.id = id
        self.at_ns = at_ns
        self.payload = payload
        self.payload_bytes = payload_bytes
        self.named = named
        self.waiter = waiter
        self.arrival = 0
        self.asked = 0
        self.deadline_tick = 0

    @property
    def weight_bytes(self) -> int:
        """Its share of `pending_bytes_max`; an object of this program is the program's own and weighs nothing."""
        return self.spec.weight_bytes + max(0, self.payload_bytes)

    def asks_the_same_as(self, other: Offer) -> bool:
        """Return whether both are the same request, made twice: everything but the time is equal."""
        return (
            self.id == other.id
            and self.named == other.named
            and self.spec == other.spec
            and same_payload(self.payload, other.payload)
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Offer):
            return NotImplemented
        return self is other or (self.at_ns == other.at_ns and self.asks_the_same_as(other))

    def __hash__(self) -> int:
        return hash((self.spec.namespace, self.id))

    def __repr__(self) -> str:
        return f"<Offer {self.id} {self.spec.actor}:{'|'.join(self.spec.events)}>"

    # The parts of the spec, for readers that are not in a hurry.

    @property
    def namespace(self) -> str:
        """See `OfferSpec`."""
        return self.spec.namespace

    @property
    def events(self) -> tuple[str, ...]:
        """See `OfferSpec`."""
        return self.spec.events

    @property
    def actor(self) -> str:
        """See `OfferSpec`."""
        return self.spec.actor

    @property
    def mates(self) -> int:
        """See `OfferSpec`."""
        return self.spec.mates

    @property
    def roster(self) -> tuple[str, ...]:
        """See `OfferSpec`."""
        return self.spec.roster

    @property
    def labels(self) -> Labels:
        """See `OfferSpec`."""
        return self.spec.labels

    @property
    def selector(self) -> Selector:
        """See `OfferSpec`."""
        return self.spec.selector

    @property
    def timeout_ns(self) -> int | None:
        """See `OfferSpec`."""
        return self.spec.timeout_ns

    @property
    def linger_ns(self) -> int:
        """See `OfferSpec`."""
        return self.spec.linger_ns

    @property
    def owner(self) -> str:
        """See `OfferSpec`."""
        return self.spec.owner


def same_payload(one: Any, other: Any) -> bool:
    """Return whether two payloads are equal; of objects that cannot be compared, whether they are the same object."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    try:
        return bool(one == other)
    except Exception:  # an object's own idea of equality must not stop the machine
        return False


class Withdraw:
    """The offer `id` is withdrawn; nothing happens where it is not pending.

    Nor where another offer is pending under that id than the one that was meant. With `made_ns` it is the offer made at
    that time, with `owner` one of that token, with `asked` one that was not asked for again since. `waiter` gets the
    effects.
    """

    __slots__ = ("asked", "at_ns", "cause", "id", "made_ns", "namespace", "owner", "waiter")

    def __init__(
        self,
        at_ns: int,
        namespace: str,
        id: str,
        cause: Cause,
        made_ns: int | None = None,
        owner: str | None = None,
        asked: int | None = None,
        waiter: Any = None,
    ) -> None:
        self.at_ns = at_ns
        self.namespace = namespace
        self.id = id
        self.cause = cause
        self.made_ns = made_ns
        self.owner = owner
        self.asked = asked
        self.waiter = waiter

    def _key(self) -> tuple[object, ...]:
        return self.at_ns, self.namespace, self.id, self.cause, self.made_ns, self.owner, self.asked

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Withdraw) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.namespace, self.id))


class Expire:
    """The timeout of offer `id`, made at `made_ns`, has passed; nothing happens where that one is not pending."""

    __slots__ = ("at_ns", "id", "made_ns", "namespace", "waiter")

    def __init__(self, at_ns: int, namespace: str, id: str, made_ns: int | None = None, waiter: Any = None) -> None:
        self.at_ns = at_ns
        self.namespace = namespace
        self.id = id
        self.made_ns = made_ns
        self.waiter = waiter

    def _key(self) -> tuple[object, ...]:
        return self.at_ns, self.namespace, self.id, self.made_ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expire) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.namespace, self.id))


class Abort:
    """Every pending offer of `event`, of `actor` or of the id `id` is ended, all at once; two of the three are empty.

    `by` says who did it and `reason` why, for people. `waiter` gets the effects.
    """

    __slots__ = ("actor", "at_ns", "by", "event", "id", "namespace", "reason", "waiter")

    def __init__(
        self,
        at_ns: int,
        namespace: str,
        event: str,
        actor: str,
        id: str,
        by: str,
        reason: str,
        waiter: Any = None,
    ) -> None:
        self.at_ns = at_ns
        self.namespace = namespace
        self.event = event
        self.actor = actor
        self.id = id
        self.by = by
        self.reason = reason
        self.waiter = waiter

    def _key(self) -> tuple[object, ...]:
        return self.at_ns, self.namespace, self.event, self.actor, self.id, self.by, self.reason

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Abort) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


Command: TypeAlias = Offer | Withdraw | Expire | Abort


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
    return OfferSpec(
        namespace if namespace == DEFAULT_NAMESPACE else check_namespace(namespace),
        check_events(events, limits),
        actor,
        _mates(1 if mates is None else mates, limits.mates_max),
        roster,
        _labels(actor, labels, limits.labels_per_offer_max) if labels else {"actor": actor},
        not_actor(actor) if selector is None else selector,
        None if timeout_s is None else _nanoseconds("timeout", timeout_s, limits.timeout_s_max),
        _linger_ns(linger_s, named, limits.linger_s_max) if named or linger_s is not None else 0,
        owner,
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

    :raises ParameterError: a value does not do; it names the parameter.
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
    characters_max = min(limits.event_characters_max, limits.events_characters_max)
    if len(named) == 1 and 0 < len(named[0]) <= characters_max and named[0].isprintable():
        return named
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
    characters = sum(map(len, named))
    if characters > limits.events_characters_max:
        raise ParameterError(
            "event",
            f"expected at most {limits.events_characters_max} characters in all events, got {characters}",
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
