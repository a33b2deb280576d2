"""apply(command) -> effects: the state of all namespaces, and the only place where it changes.

Laws

1. Time, ids and random choices come in with commands. The machine reads no clock.
2. A command is valid when it comes in; `commands.make_offer` saw to that. One that could crash a node would crash
   every node that reads the same log.
3. Every loop is bounded by a count from `limits.py`, never by time.
4. `apply` never raises on a valid command, and leaves the state as it was where it refuses one.

Theory of operation. A namespace is a world of its own: offers that stand, by id; a matcher that says which of them
happen together; and two counters, of arrivals and of syncs. Because only sets that contain the newcomer are
searched (rule 3), and taking offers away makes no new set, no set that can sync is ever left behind (G3).

| command  | where the id stands              | where it does not                                       |
| -------- | -------------------------------- | ------------------------------------------------------- |
| Offer    | Refused                          | Pending, then Missed …, then perhaps Synced; or Refused |
| Withdraw | Withdrawn                        | nothing                                                 |
| Expire   | TimedOut                         | nothing                                                 |

A full machine still takes an offer that syncs at once: it makes room, and those who wait are let go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from syncnet.core.commands import DEFAULT_NAMESPACE, Command, Expire, Offer, Withdraw
from syncnet.core.effects import Effect, Missed, Pending, Refused, Synced, TimedOut, Withdrawn
from syncnet.core.groups import Group, Shape
from syncnet.core.limits import (
    NAMESPACES_MAX,
    PENDING_BYTES_MAX,
    PENDING_OFFERS_MAX,
    PRESENT_OFFERS_MAX,
    SEARCH_STEPS_MAX,
)
from syncnet.core.matching import Matcher, Standing

__all__ = ["Machine"]


@dataclass(slots=True)
class _World:
    """One namespace."""

    matcher: Matcher
    standing: dict[str, Standing] = field(default_factory=dict)
    arrivals: int = 0
    syncs: int = 0
    misses: int = 0

    def is_blank(self, syncs_forgotten: int) -> bool:
        """Nothing in it needs to be remembered. Arrival numbers of the gone do not matter; sync numbers do."""
        return not self.standing and self.syncs <= syncs_forgotten and not self.misses


class Machine:
    """The state of one server, or of one node of a cluster."""

    def __init__(
        self,
        *,
        pending_offers_max: int = PENDING_OFFERS_MAX,
        pending_bytes_max: int = PENDING_BYTES_MAX,
        namespaces_max: int = NAMESPACES_MAX,
        search_steps_max: int = SEARCH_STEPS_MAX,
    ) -> None:
        self._pending_offers_max = pending_offers_max
        self._pending_bytes_max = pending_bytes_max
        self._namespaces_max = namespaces_max
        self._search_steps_max = search_steps_max
        self._worlds: dict[str, _World] = {}
        self._pending_offers = 0
        self._syncs_forgotten = 0  # no number of a sync is given twice, even where a namespace was forgotten
        self._pending_bytes = 0

    def apply(self, command: Command) -> tuple[Effect, ...]:
        """Return the effects of one command, in order."""
        match command:
            case Offer():
                return self._offer(command)
            case Withdraw(at_ns, namespace, id, cause):
                standing = self._take(namespace, id)
                return (Withdrawn(at_ns, standing.offer, cause),) if standing else ()
            case Expire():
                return self._expire(command)

    def pending(self, namespace: str) -> list[Offer]:
        """Return the pending offers of a namespace, by arrival; none of a namespace that is not known."""
        world = self._worlds.get(namespace)
        return [standing.offer for standing in world.standing.values()] if world else []

    def totals(self, namespace: str) -> tuple[int, int, int]:
        """Return how many offers are pending in a namespace, how many syncs and how many misses it has seen."""
        world = self._worlds.get(namespace)
        return (len(world.standing), world.syncs, world.misses) if world else (0, 0, 0)

    @property
    def pending_total(self) -> int:
        """How many offers are pending, over all namespaces."""
        return self._pending_offers

    def _offer(self, offer: Offer) -> tuple[Effect, ...]:
        world = self._worlds.get(offer.namespace)
        if world is None:
            if not self._make_room_for(offer.namespace):
                return (Refused(offer, "full", f"offers are pending in {self._namespaces_max} namespaces"),)
            world = self._worlds[offer.namespace] = _World(Matcher(self._search_steps_max), syncs=self._syncs_forgotten)
        if offer.id in world.standing:
            return (Refused(offer, "id-pending", f"the id {offer.id} is pending"),)
        newcomer = world.matcher.standing(world.arrivals + 1, offer)
        found = world.matcher.find(newcomer)
        if not found.members and (reason := self._full(newcomer)):
            self._forget_if_blank(offer.namespace)
            return (Refused(offer, "full", reason),)

        world.arrivals += 1
        world.misses += len(found.missed)
        effects: list[Effect] = [Pending(offer, newcomer.arrival)]
        effects += [Missed(offer.at_ns, offer, event, self._search_steps_max) for event in found.missed]
        if not found.members:
            world.standing[offer.id] = newcomer
            world.matcher.add(newcomer)
            self._pending_offers += 1
            self._pending_bytes += newcomer.weight_bytes
            return tuple(effects)

        world.syncs += 1
        for member in found.members[:-1]:
            self._take(offer.namespace, member.offer.id)
        members = tuple(member.offer for member in found.members)
        effects.append(Synced(offer.at_ns, offer.namespace, found.event, world.syncs, members))
        return tuple(effects)

    def _full(self, newcomer: Standing) -> str:
        """Return why no further offer can wait; the empty text where one can."""
        if self._pending_offers >= self._pending_offers_max:
            return f"{self._pending_offers} offers are pending, and no more can be"
        if self._pending_bytes + newcomer.weight_bytes > self._pending_bytes_max:
            return f"the offers that are pending take {self._pending_bytes} bytes, and this one is too large to wait"
        return ""

    def _take(self, namespace: str, id: str) -> Standing | None:
        """Take a pending offer out of the state, and return it."""
        world = self._worlds.get(namespace)
        standing = world.standing.pop(id, None) if world else None
        if world is None or standing is None:
            return None
        world.matcher.remove(standing)
        if not world.standing:
            world.standing.clear()  # an empty dict keeps the memory of its fullest day until it is told
        self._pending_offers -= 1
        self._pending_bytes -= standing.weight_bytes
        self._forget_if_blank(namespace)
        return standing

    def _forget_if_blank(self, namespace: str) -> None:
        if self._worlds[namespace].is_blank(self._syncs_forgotten):
            del self._worlds[namespace]

    def _make_room_for(self, namespace: str) -> bool:
        """Forget the eldest idle namespace where there are too many; tell whether a new one may be."""
        if len(self._worlds) < self._namespaces_max or namespace == DEFAULT_NAMESPACE:
            return True
        idle = (name for name, world in self._worlds.items() if not world.standing and name != DEFAULT_NAMESPACE)
        eldest = next(idle, None)
        if eldest is None:
            return False
        self._syncs_forgotten = max(self._syncs_forgotten, self._worlds.pop(eldest).syncs)
        return True

    def _expire(self, command: Expire) -> tuple[Effect, ...]:
        world = self._worlds.get(command.namespace)
        standing = world.standing.get(command.id) if world else None
        if world is None or standing is None:
            return ()
        around = _Surroundings(standing.offer)
        for event in standing.offer.events:
            around.look(world.matcher.compatible_with(standing, event, PRESENT_OFFERS_MAX))
        self._take(command.namespace, command.id)
        absent = tuple(a for a in standing.offer.roster if a != standing.offer.actor and a not in around.present)
        missing = len(absent) or around.missing
        return (TimedOut(command.at_ns, standing.offer, tuple(around.present), missing, absent),)


class _Surroundings:
    """Who is there for an offer that did not sync, and how many are not."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self.present: dict[str, None] = {}
        self.missing = offer.mates

    def look(self, others: Iterable[Offer]) -> None:
        """Note the compatible offers of one event, by arrival.

        How many are missing is asked of the group that forms when those who came first are let in first; each that
        joins may want more mates than the ones before. No such group can sync (G3), so the answer is 1 or more.
        """
        group = Group(Shape(self._offer))
        for other in others:
            self.present.setdefault(other.actor)
            shape = Shape(other)
            if group.admits(shape):
                group.join(shape)
                self.missing = max(1, min(self.missing, group.missing))
