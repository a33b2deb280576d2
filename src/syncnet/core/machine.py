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
| Offer    | Attached, or Refused             | Pending, then SearchExhausted …, then perhaps Synced; or Refused |
| Withdraw | Withdrawn                        | nothing                                                 |
| Expire   | TimedOut                         | nothing                                                 |
| Abort    | Aborted, for each that it names  | nothing                                                 |

An offer that asks again for one that has ended, and is remembered, gives Replayed. Asking again with anything else than
the same parameters is refused, whether the first stands or has ended.

A full machine still takes an offer that syncs at once: it makes room, and those who wait are let go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from syncnet.core.candidates import CandidateSet, MatchProfile, add
from syncnet.core.commands import DEFAULT_NAMESPACE, Abort, Command, Expire, Offer, Withdraw
from syncnet.core.effects import (
    Aborted,
    Attached,
    Effect,
    Pending,
    Refused,
    Remembered,
    Replayed,
    SearchExhausted,
    Synced,
    TimedOut,
    Withdrawn,
    offers_of,
)
from syncnet.core.limits import LABEL_NAME_CHARACTERS_MAX, LIMITS, PRESENT_OFFERS_MAX, WORD_BYTES, Limits
from syncnet.core.matching import Found, Matcher, PendingOffer, weight_bytes
from syncnet.core.outcomes import Outcomes, is_kept
from syncnet.core.snapshot import NamespaceSnapshot, Snapshot
from syncnet.core.terms import Pair
from syncnet.core.trace import Trace

__all__ = ["Machine", "World"]


@dataclass(slots=True)
class World:
    """One namespace."""

    matcher: Matcher
    standing: dict[str, PendingOffer] = field(default_factory=dict)
    arrivals: int = 0
    syncs: int = 0
    misses: int = 0

    def is_blank(self, syncs_forgotten: int) -> bool:
        """Nothing in it needs to be remembered. Arrival numbers of the gone do not matter; sync numbers do."""
        return not self.standing and self.syncs <= syncs_forgotten and not self.misses


class Machine:
    """The state of one server, or of one node of a cluster."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._worlds: dict[str, World] = {}
        self._outcomes = Outcomes(limits)
        self._trace = Trace(limits)
        self._pending_offers = 0
        self._pending_bytes = 0
        self._pending_by_owner: dict[str, int] = {}
        self._syncs_forgotten = 0  # no number of a sync is given twice, even where a namespace was forgotten

    def apply(self, command: Command) -> tuple[Effect, ...]:
        """Return the effects of one command, in order."""
        match command:
            case Offer():
                return self._offer(command)
            case Withdraw():
                return self._withdraw(command)
            case Expire():
                return self._expire(command)
            case Abort():
                return self._abort(command)

    def snapshot(self) -> Snapshot:
        """Return the state."""
        worlds = (
            NamespaceSnapshot(
                namespace,
                world.arrivals,
                world.syncs,
                world.misses,
                tuple((standing.arrival, standing.offer) for standing in world.standing.values()),
            )
            for namespace, world in self._worlds.items()
        )
        return Snapshot(
            self._limits, self._syncs_forgotten, tuple(worlds), tuple(self._outcomes.all()), tuple(self._trace.all())
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Take on a state, and the limits under which it came about, in place of those that there are."""
        self.__init__(snapshot.limits)  # type: ignore[misc]
        self._syncs_forgotten = snapshot.syncs_forgotten
        weights_bytes: dict[int, int] = {}  # by identity: most syncs of the trace are outcomes too
        for outcome in snapshot.outcomes:
            weight = weights_bytes[id(outcome)] = _weight_bytes(outcome)
            self._outcomes.remember(outcome, weight)
        for synced in snapshot.trace:
            self._trace.add(synced, weights_bytes.get(id(synced)) or _weight_bytes(synced))
        for saved in snapshot.worlds:
            world = self._new_world(saved.namespace)
            world.arrivals, world.syncs, world.misses = saved.arrivals, saved.syncs, saved.misses
            for arrival, offer in saved.standing:
                self._let_stand(world, PendingOffer(arrival, offer))

    def pending(self, namespace: str) -> list[Offer]:
        """Return the pending offers of a namespace, by arrival; none of a namespace that is not known."""
        world = self._worlds.get(namespace)
        return [standing.offer for standing in world.standing.values()] if world else []

    def totals(self, namespace: str) -> tuple[int, int, int]:
        """Return how many offers are pending in a namespace, how many syncs and how many misses it has seen."""
        world = self._worlds.get(namespace)
        return (len(world.standing), world.syncs, world.misses) if world else (0, 0, 0)

    def change_limits(self, limits: Limits) -> None:
        """Go on under other limits. What is pending stays, and of the past what is above them is forgotten."""
        if limits != self._limits:
            self.restore(replace(self.snapshot(), limits=limits))

    def trace(self, namespace: str, after: int, syncs_max: int) -> list[Synced]:
        """Return the syncs of a namespace with numbers above `after`, by number, at most so many."""
        return self._trace.of(namespace, after, syncs_max)

    def standing_offer(self, namespace: str, id: str) -> Offer | None:
        """Return the pending offer of that id."""
        standing = self._standing(namespace, id)
        return standing.offer if standing else None

    def outcome_of(self, namespace: str, id: str, now_ns: int) -> tuple[Offer, Remembered] | None:
        """Return the offer of that id and what became of it, if it has ended and that is remembered."""
        return self._outcomes.recall(namespace, id, now_ns)

    def all_pending(self) -> list[tuple[int, Offer]]:
        """Return the pending offers of all namespaces with their arrival numbers."""
        return [
            (standing.arrival, standing.offer)
            for world in self._worlds.values()
            for standing in world.standing.values()
        ]

    @property
    def pending_total(self) -> int:
        """How many offers are pending, over all namespaces."""
        return self._pending_offers

    # --- what the lane asks (core/lane.py) -----------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """The bounds of this machine."""
        return self._limits

    def quiet_world(self, namespace: str, event: str) -> World | None:
        """Return the world of a namespace that is known and in which no offer stands under an event; else None."""
        world = self._worlds.get(namespace)
        return world if world is not None and world.matcher.is_idle(event) else None

    def room_for_plain(self) -> int:
        """Return how many further plain offers could be pending, of whatever namespace."""
        limits = self._limits
        offers = min(limits.pending_offers_max, limits.pending_per_namespace_max) - self._pending_offers
        return min(offers, (limits.pending_bytes_max - self._pending_bytes) // _plain_bytes_max(limits))

    def note(self, pairs: Iterable[Pair]) -> None:
        """Put syncs of the lane into the trace."""
        self._trace.add_pairs(pairs)

    # --- inside --------------------------------------------------------------------------------------------

    def _offer(self, offer: Offer) -> tuple[Effect, ...]:
        self._outcomes.forget(offer.at_ns)
        world = self._worlds.get(offer.namespace)
        may_be_known = offer.named or (world is not None and offer.id in world.standing)
        if may_be_known and (again := self._asked_again(world, offer)):
            return (again,)
        if world is None:
            if not self._make_room_for(offer.namespace):
                return (Refused(offer, "full", f"offers are pending in {self._limits.namespaces_max} namespaces"),)
            world = self._new_world(offer.namespace)
        newcomer = PendingOffer(world.arrivals + 1, offer)
        found = world.matcher.find(newcomer)
        if not found.members and (refused := self._full(world, newcomer)):
            self._forget_if_blank(offer.namespace)
            return (refused,)

        world.arrivals += 1
        effects: tuple[Effect, ...] = (Pending(offer, newcomer.arrival),)
        if found.missed:
            world.misses += len(found.missed)
            steps = self._limits.search_steps_max
            effects += tuple(SearchExhausted(offer.at_ns, offer, event, steps) for event in found.missed)
        if found.members:
            return (*effects, self._sync(world, newcomer, found))
        self._let_stand(world, newcomer)
        return effects

    def _sync(self, world: World, newcomer: PendingOffer, found: Found) -> Synced:
        """Take the members out of the state, and put their sync into the trace."""
        world.syncs += 1
        weight_bytes = 0
        members = []
        for member in found.members:
            weight_bytes += member.weight_bytes
            members.append(member.offer)
            if member is not newcomer:
                self._let_go(world, member)
        offer = newcomer.offer
        synced = Synced(offer.at_ns, offer.namespace, found.event, world.syncs, tuple(members))
        self._outcomes.remember(synced, weight_bytes)
        self._trace.add(synced, weight_bytes)
        return synced

    def _asked_again(self, world: World | None, offer: Offer) -> Attached | Replayed | Refused | None:
        """Return what an offer comes to whose id is known; None where it is not."""
        standing = world.standing.get(offer.id) if world else None
        if standing is not None:
            if offer.named and offer.asks_the_same_as(standing.offer):
                return Attached(offer)
            return Refused(offer, "id-reused", f"the id {offer.id} is that of another offer, which is pending")
        known = self._outcomes.recall(offer.namespace, offer.id, offer.at_ns) if offer.named else None
        if known is None:
            return None
        if offer.asks_the_same_as(known[0]):
            return Replayed(offer, known[1])
        return Refused(offer, "id-reused", f"the id {offer.id} is that of another offer, which has come to an end")

    def _full(self, world: World, newcomer: PendingOffer) -> Refused | None:
        """Return why no further offer can wait; None where one can."""
        limits, offer = self._limits, newcomer.offer
        if self._pending_offers >= limits.pending_offers_max:
            return Refused(offer, "full", f"{self._pending_offers} offers are pending, and no more can be")
        if self._pending_bytes + newcomer.weight_bytes > limits.pending_bytes_max:
            reason = f"the offers that are pending take {self._pending_bytes} bytes, and this one is too large to wait"
            return Refused(offer, "full", reason)
        if len(world.standing) >= limits.pending_per_namespace_max:
            reason = f"{len(world.standing)} offers are pending in this namespace, and no more can be"
            return Refused(offer, "quota", reason)
        of_owner = self._pending_by_owner.get(offer.owner, 0) if offer.owner else 0
        if of_owner >= limits.pending_per_token_max:
            return Refused(offer, "quota", f"{of_owner} offers of this token are pending, and no more can be")
        return None

    def _let_stand(self, world: World, newcomer: PendingOffer) -> None:
        world.standing[newcomer.offer.id] = newcomer
        world.matcher.add(newcomer)
        self._pending_offers += 1
        self._pending_bytes += newcomer.weight_bytes
        if newcomer.offer.owner:
            add(self._pending_by_owner, newcomer.offer.owner, 1)

    def _standing(self, namespace: str, id: str) -> PendingOffer | None:
        """Return the pending offer of that id as it stands."""
        world = self._worlds.get(namespace)
        return world.standing.get(id) if world else None

    def _take(self, standing: PendingOffer) -> None:
        """Take a pending offer out of the state."""
        namespace = standing.offer.namespace
        self._let_go(self._worlds[namespace], standing)
        self._forget_if_blank(namespace)

    def _let_go(self, world: World, standing: PendingOffer) -> None:
        del world.standing[standing.offer.id]
        world.matcher.remove(standing)
        if not world.standing:
            world.standing.clear()  # an empty dict keeps the memory of its fullest day until it is told
        self._pending_offers -= 1
        self._pending_bytes -= standing.weight_bytes
        if standing.offer.owner:
            add(self._pending_by_owner, standing.offer.owner, -1)

    def _forget_if_blank(self, namespace: str) -> None:
        if self._worlds[namespace].is_blank(self._syncs_forgotten):
            del self._worlds[namespace]

    def _new_world(self, namespace: str) -> World:
        matcher = Matcher(self._limits.search_steps_max)
        world = self._worlds[namespace] = World(matcher, syncs=self._syncs_forgotten)
        return world

    def _make_room_for(self, namespace: str) -> bool:
        """Forget the eldest idle namespace where there are too many; return whether a new one may be."""
        if len(self._worlds) < self._limits.namespaces_max or namespace == DEFAULT_NAMESPACE:
            return True
        idle = (name for name, world in self._worlds.items() if not world.standing and name != DEFAULT_NAMESPACE)
        eldest = next(idle, None)
        if eldest is None:
            return False
        self._syncs_forgotten = max(self._syncs_forgotten, self._worlds.pop(eldest).syncs)
        return True

    def _meant(self, command: Withdraw | Expire) -> PendingOffer | None:
        """Return the pending offer that a command means; None where it is there no more."""
        standing = self._standing(command.namespace, command.id)
        return standing if standing and command.made_ns in (None, standing.offer.at_ns) else None

    def _withdraw(self, command: Withdraw) -> tuple[Effect, ...]:
        standing = self._meant(command)
        if standing is None or command.owner not in (None, standing.offer.owner):
            return ()
        self._take(standing)
        withdrawn = Withdrawn(command.at_ns, standing.offer, command.cause)
        if is_kept(withdrawn):
            self._outcomes.remember(withdrawn, standing.weight_bytes)
        return (withdrawn,)

    def _expire(self, command: Expire) -> tuple[Effect, ...]:
        standing = self._meant(command)
        if standing is None:
            return ()
        world = self._worlds[command.namespace]
        around = _Surroundings(standing.offer)
        for event in standing.offer.events:
            around.look(world.matcher.compatible_with(standing, event, PRESENT_OFFERS_MAX))
        self._take(standing)
        absent = tuple(a for a in standing.offer.roster if a != standing.offer.actor and a not in around.present)
        missing = len(absent) or around.missing
        timed_out = TimedOut(command.at_ns, standing.offer, tuple(around.present), missing, absent)
        self._outcomes.remember(timed_out, standing.weight_bytes)
        return (timed_out,)

    def _abort(self, command: Abort) -> tuple[Effect, ...]:
        world = self._worlds.get(command.namespace)
        if world is None:
            return ()
        if command.id:
            meant = [world.standing[command.id]] if command.id in world.standing else []
        else:
            meant = [
                standing
                for standing in world.standing.values()
                if command.event in standing.offer.events or command.actor == standing.offer.actor
            ]
        effects = []
        for standing in meant:
            self._take(standing)
            aborted = Aborted(command.at_ns, standing.offer, command.by, command.reason)
            self._outcomes.remember(aborted, standing.weight_bytes)
            effects.append(aborted)
        return tuple(effects)


def _weight_bytes(outcome: Remembered) -> int:
    return sum(map(weight_bytes, offers_of(outcome)))


def _plain_bytes_max(limits: Limits) -> int:
    """Return what a plain offer weighs at most, its payload apart, which is the program's own."""
    return limits.event_characters_max + 4 * LABEL_NAME_CHARACTERS_MAX + 8 * WORD_BYTES


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
        group = CandidateSet(MatchProfile(self._offer))
        for other in others:
            self.present.setdefault(other.actor)
            shape = MatchProfile(other)
            if group.admits(shape):
                group.join(shape)
                self.missing = max(1, min(self.missing, group.missing))
