"""What comes in: the commands.

A command carries everything that the core may not find out by itself: the time, and ids. It is valid from the
moment it exists (law 2 of the machine): `make_offer` (`validation.py`) and the readers of `wire` check everything that
a client wrote.

An offer consists of a *spec* (what it asks for, which many offers may share) and of what belongs to this offer alone.
A command also carries the callback of the front end that made it. The core passes it on and never calls it.

These are plain classes with explicit constructors, not dataclasses, because a dataclass with slots cannot be compiled
by mypyc. A spec never changes. Of a command only the fields that say so change, and only their owner changes them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, TypeAlias

from syncnet.core.labels import Labels
from syncnet.core.limits import MATES_UNBOUNDED, NAME_BYTES, OFFER_BYTES, WORD_BYTES
from syncnet.core.selectors import Selector

__all__ = [
    "DEFAULT_NAMESPACE",
    "NO_PAYLOAD",
    "OBJECT",
    "Abort",
    "Cause",
    "Claim",
    "Command",
    "EndCommand",
    "Expire",
    "NodeLost",
    "Offer",
    "OfferSpec",
    "Withdraw",
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
    LOST = "lost"
    """The node of a cluster to which its client was connected is lost."""


class OfferSpec:
    """What an offer asks for: `actor` is ready for one of `events`, with `mates` others that `selector` matches.

    `roster` (sorted, the actor among them) stands for mates and selector where it is not empty. `owner` is the name
    of the token that made the offer, empty where none was needed. `timeout_ns` and `linger_ns` are for the coordinator,
    which appends an `Expire` when the timeout has passed and a `Withdraw` when the linger has.

    `mates_most` is the most mates that its payload allows (`bound_mates`): an offer that wants more is in no sync with
    it.

    `event_characters` is the number of characters in all its events.

    `weight_bytes` is its share of `pending_bytes_max`, without the payload; `steps` is the cost of comparing it with
    another offer, in steps of the search (`steps.py`). `profile` is for `candidates.py`, which fills it when an index
    first needs it.
    """

    __slots__ = (
        "actor",
        "events",
        "labels",
        "linger_ns",
        "mates",
        "mates_most",
        "namespace",
        "owner",
        "profile",
        "roster",
        "selector",
        "steps",
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
        event_characters: int,
    ) -> None:
        self.namespace: str = namespace
        self.events: tuple[str, ...] = events
        self.actor: str = actor
        self.mates: int = mates
        self.mates_most: int = MATES_UNBOUNDED
        self.roster: tuple[str, ...] = roster
        self.labels: Labels = labels
        self.selector: Selector = selector
        self.timeout_ns: int | None = timeout_ns
        self.linger_ns: int = linger_ns
        self.owner: str = owner
        self.profile: Any = None
        self.steps: int = selector.steps
        weight = OFFER_BYTES + selector.weight_bytes + event_characters
        if events[1:]:
            weight += (WORD_BYTES + event_characters) * (len(events) - 1)  # it counts under each of its events
        if roster:
            weight += NAME_BYTES * mates
        if len(labels) > 1:
            weight += WORD_BYTES * len(labels) + len("".join([*labels, *labels.values()]))
        self.weight_bytes: int = weight

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


class Offer:
    """One offer: its `spec`, and what is its own.

    `at_ns` is when it was made, in nanoseconds since the Unix epoch. `named` says that the client chose the id, so that
    it may ask again by it (G7). The core never looks at `payload`: bytes of JSON, of which there are `payload_bytes`,
    or any object of this program, and then `payload_bytes` is `OBJECT`. `weight_bytes` is the offer's share of
    `pending_bytes_max`; an object of the program is the program's own and weighs nothing.

    The other fields change. The machine sets `arrival`, the offer's number among those of its namespace (1, 2, 3 …; 0
    before it arrived), and counts in `asked` how often it was asked for again. `node` is the node of a cluster to which
    its client is connected, empty on one server. The coordinator owns `waiter`, which gets the result and is None where
    nothing waits, and `deadline_tick`, its place among the timers (0: it has none).
    """

    __slots__ = (
        "arrival",
        "asked",
        "at_ns",
        "deadline_tick",
        "id",
        "named",
        "node",
        "payload",
        "payload_bytes",
        "spec",
        "waiter",
        "weight_bytes",
    )

    def __init__(
        self, spec: OfferSpec, id: str, at_ns: int, payload: Any, payload_bytes: int, named: bool, waiter: Any = None
    ) -> None:
        self.spec: OfferSpec = spec
        self.id: str = id
        self.at_ns: int = at_ns
        self.payload: Any = payload
        self.payload_bytes: int = payload_bytes
        self.named: bool = named
        self.waiter: Any = waiter
        self.weight_bytes: int = spec.weight_bytes + (payload_bytes if payload_bytes > 0 else 0)
        self.arrival: int = 0
        self.asked: int = 0
        self.node: str = ""
        self.deadline_tick: int = 0

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
        self.at_ns: int = at_ns
        self.namespace: str = namespace
        self.id: str = id
        self.cause: Cause = cause
        self.made_ns: int | None = made_ns
        self.owner: str | None = owner
        self.asked: int | None = asked
        self.waiter: Any = waiter

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
        self.at_ns: int = at_ns
        self.namespace: str = namespace
        self.id: str = id
        self.made_ns: int | None = made_ns
        self.waiter: Any = waiter

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
        self.at_ns: int = at_ns
        self.namespace: str = namespace
        self.event: str = event
        self.actor: str = actor
        self.id: str = id
        self.by: str = by
        self.reason: str = reason
        self.waiter: Any = waiter

    def _key(self) -> tuple[object, ...]:
        return self.at_ns, self.namespace, self.event, self.actor, self.id, self.by, self.reason

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Abort) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


class NodeLost:
    """The node `node` of a cluster is lost, and with it the connections of its clients.

    Its pending offers are withdrawn. Those that have an id and a linger stay pending, and the node `by` waits for them
    from now on.
    """

    __slots__ = ("at_ns", "by", "namespace", "node", "waiter")

    def __init__(self, at_ns: int, namespace: str, node: str, by: str, waiter: Any = None) -> None:
        self.at_ns: int = at_ns
        self.namespace: str = namespace
        self.node: str = node
        self.by: str = by
        self.waiter: Any = waiter

    def _key(self) -> tuple[object, ...]:
        return self.at_ns, self.namespace, self.node, self.by

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeLost) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


class Claim:
    """The client of the offer `id`, made at `made_ns`, is connected to the node `node`, which waits for it from now on.

    Nothing happens where that one is not pending, or was not asked for `asked` times, but more often since.
    """

    __slots__ = ("asked", "at_ns", "id", "made_ns", "namespace", "node", "waiter")

    def __init__(
        self, at_ns: int, namespace: str, id: str, node: str, made_ns: int, asked: int, waiter: Any = None
    ) -> None:
        self.at_ns: int = at_ns
        self.namespace: str = namespace
        self.id: str = id
        self.node: str = node
        self.made_ns: int = made_ns
        self.asked: int = asked
        self.waiter: Any = waiter

    def _key(self) -> tuple[object, ...]:
        return self.at_ns, self.namespace, self.id, self.node, self.made_ns, self.asked

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Claim) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


EndCommand: TypeAlias = Withdraw | Expire | Abort | NodeLost | Claim
"""Any command but an offer."""

Command: TypeAlias = Offer | EndCommand
