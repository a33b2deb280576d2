"""The state of all namespaces, and the only place where it changes: commands in, effects out.

Laws

1. Time, ids and random choices come in with commands. The machine reads no clock.
2. A command is valid when it comes in; `commands.py` and the readers of `wire` saw to that. One that could crash a node
   would crash every node that reads the same log.
3. Every loop is bounded by a count from `limits.py`, never by time, and takes steps (`steps.py`) where other clients
   decide its length.
4. The machine never raises on a valid command, and leaves the state as it was where it refuses one.

Theory of operation. A namespace consists of its pending offers by id, a list of them for each event, and two counters,
of arrivals and of syncs. Because only sets that contain the newcomer are searched (rule 3), and removing offers makes
no new set, no set that can sync is ever left pending (G3).

| command  | where an offer of the id is pending | where none is                                           |
| -------- | ----------------------------------- | ------------------------------------------------------- |
| Offer    | Attached, or Refused                | Pending, SearchExhausted …, perhaps Synced; or Refused  |
| Withdraw | Withdrawn                           | nothing                                                 |
| Expire   | TimedOut                            | nothing                                                 |
| Abort    | Aborted, for each that it names     | nothing                                                 |
| NodeLost | Withdrawn, for each of that node    | nothing                                                 |
| Claim    | nothing; another node waits for it  | nothing                                                 |

An offer that asks again for one that has ended, and is remembered, gives Replayed. Asking again with other parameters
is refused, whether the first is pending or has ended.

A full machine still accepts an offer that syncs at once: it makes room, and its mates are waiting for it.

There are two entries, `offer` for offers and `end` for all else, because most offers have one effect at most, which
is returned as it is. `apply` takes any command and returns all of its effects.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Final, TypeAlias

from syncnet.core.candidates import add
from syncnet.core.commands import (
    DEFAULT_NAMESPACE,
    Abort,
    Cause,
    Claim,
    Command,
    EndCommand,
    Expire,
    NodeLost,
    Offer,
    Withdraw,
)
from syncnet.core.counts import FEW_MEMBERS, MEMBERS_BOUNDS, SHORT_WAIT_NS, WAIT_BOUNDS_NS, Counts
from syncnet.core.departures import Departures
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
    how_ended,
    offers_of,
)
from syncnet.core.explain import timed_out
from syncnet.core.limits import ELSEWHERE_LOOKUPS_MAX, EXPLANATION_STEPS_MAX, LIMITS, WORD_BYTES, Limits
from syncnet.core.matching import Search
from syncnet.core.namespace import Namespace
from syncnet.core.offer_list import OfferList
from syncnet.core.outcomes import Outcomes, is_kept
from syncnet.core.snapshot import NamespaceSnapshot, Snapshot
from syncnet.core.steps import Steps
from syncnet.core.trace import Trace, TracedSync, traced

__all__ = ["Machine"]

_LOOKUPS_PER_STEP: Final = 4
"""Events that are looked up in other namespaces for one step."""

Answer: TypeAlias = Synced | Attached | Replayed | Refused | None
"""What `Machine.offer` returns; None: the offer is pending."""


class Machine:
    """The state of one server, or of one node of a cluster."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._reset(limits)

    def _reset(self, limits: Limits) -> None:
        self.limits = limits
        self._room: int = min(limits.pending_offers_max, limits.pending_per_namespace_max)  # fewer need no other check
        self._room_bytes: int = limits.pending_bytes_max  # what further pending offers may weigh
        self.steps: Steps = Steps(0)
        """The steps of the latest offer or expiry: what it cost the other clients."""
        self._search = Search(limits.search_steps_max, self.steps)
        self._namespaces: dict[str, Namespace] = {}
        self._outcomes = Outcomes(limits)
        self._trace = Trace(limits)
        self._departures = Departures()
        self.pending_total: int = 0
        self.counts: Counts = Counts()
        self._pending_by_owner: dict[str, int] = {}
        self._syncs_forgotten = 0  # no number of a sync is given twice, even where a namespace was forgotten

    # --- commands ------------------------------------------------------------------------------------------

    def apply(self, command: Command) -> tuple[Effect, ...]:
        """Return all effects of a command, in order."""
        if isinstance(command, Offer):
            return self.effects_of(command, self.offer(command))
        return tuple(self.end(command))

    def effects_of(self, offer: Offer, answer: Answer) -> tuple[Effect, ...]:
        """Return all effects of the offer that arrived last, of which `offer` returned `answer`, in order."""
        if answer is not None and not isinstance(answer, Synced):
            return (answer,)
        if not self._search.exhausted:
            return (Pending(offer),) if answer is None else (Pending(offer), answer)
        effects: list[Effect] = [Pending(offer), *self.exhausted_by(offer)]
        if answer is not None:
            effects.append(answer)
        return tuple(effects)

    def exhausted_by(self, offer: Offer) -> list[SearchExhausted]:
        """Return an effect for each event in which the search for the offer that arrived last hit its bound."""
        steps = self.steps.allowed
        return [SearchExhausted(offer.at_ns, offer, event, steps) for event in self._search.exhausted]

    def offer(self, offer: Offer) -> Answer:
        """Accept or refuse an offer that arrives."""
        self.steps.left = self.steps.allowed  # none are used where nothing is searched
        if self._outcomes.entries:
            self._outcomes.forget(offer.at_ns)
        spec = offer.spec
        namespace = self._namespaces[spec.namespace] if spec.namespace in self._namespaces else None  # noqa: SIM401
        if offer.named or (namespace is not None and offer.id in namespace.pending):
            again = self._asked_again(namespace, offer)
            if again is not None:
                return again
        if namespace is None:
            refused = self._no_room(Namespace(0), offer) if spec.mates else None
            if refused is not None:  # before another namespace is forgotten to make room
                return refused
            namespace = self._new_namespace(spec.namespace)
            if namespace is None:
                return Refused(offer, "full", f"offers are pending in {self.limits.namespaces_max} namespaces")
        others = self._search.find(namespace.lists, offer)
        if others is None and (self.pending_total >= self._room or spec.owner or offer.weight_bytes > self._room_bytes):
            refused = self._no_room(namespace, offer)
            if refused is not None:
                return refused
        if self._search.exhausted:
            namespace.exhausted += len(self._search.exhausted)
            self.counts.exhausted += len(self._search.exhausted)
        namespace.arrivals += 1
        offer.arrival = namespace.arrivals
        if others is not None:
            return self._sync(namespace, others, offer)
        self._add(namespace, offer)
        return None

    def end(self, command: EndCommand) -> list[Remembered]:
        """End the offers that a command means; return the outcome of each."""
        if isinstance(command, Withdraw):
            return self._withdraw(command)
        if isinstance(command, Expire):
            return self._expire(command)
        if isinstance(command, Abort):
            return self._abort(command)
        if isinstance(command, NodeLost):
            return self._lose(command)
        return self._claim(command)

    # --- the state as a value ------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return the state."""
        namespaces = [
            NamespaceSnapshot(name, each.arrivals, each.syncs, each.exhausted, tuple(each.pending.values()))
            for name, each in self._namespaces.items()
        ]
        outcomes, trace = tuple(self._outcomes.all()), tuple(self._trace.all())
        return Snapshot(self.limits, self._syncs_forgotten, tuple(namespaces), outcomes, trace, self._departures.all())

    def restore(self, snapshot: Snapshot) -> None:
        """Take on a state, and the limits under which it was decided, in place of the present ones."""
        self._reset(snapshot.limits)
        self._syncs_forgotten = snapshot.syncs_forgotten
        for outcome in snapshot.outcomes:
            self._outcomes.remember(outcome, _weight_bytes(outcome))
        for sync in snapshot.trace:
            self._trace.add(sync)
        self._departures.restore(snapshot.departures)
        for saved in snapshot.namespaces:
            namespace = self._namespaces[saved.namespace] = Namespace(saved.syncs)
            namespace.arrivals, namespace.exhausted = saved.arrivals, saved.exhausted
            for offer in saved.pending:
                self._add(namespace, offer)

    def change_limits(self, limits: Limits) -> None:
        """Continue with other limits. Pending offers stay; of the past, what is above the limits is forgotten."""
        if limits != self.limits:
            self.restore(replace(self.snapshot(), limits=limits))

    # --- questions -----------------------------------------------------------------------------------------

    def pending(self, namespace: str) -> list[Offer]:
        """Return the pending offers of a namespace, by arrival; none of a namespace that is not known."""
        known = self._namespaces.get(namespace)
        return list(known.pending.values()) if known else []

    def all_pending(self) -> list[Offer]:
        """Return the pending offers of all namespaces."""
        return [offer for namespace in self._namespaces.values() for offer in namespace.pending.values()]

    def oldest_ns(self) -> int | None:
        """Return when the offer was made that has been pending longest; None where none is."""
        oldest = [next(iter(each.pending.values())).at_ns for each in self._namespaces.values() if each.pending]
        return min(oldest) if oldest else None

    @property
    def namespaces_total(self) -> int:
        """How many namespaces are kept."""
        return len(self._namespaces)

    @property
    def pending_bytes(self) -> int:
        """What the pending offers weigh."""
        return self.limits.pending_bytes_max - self._room_bytes

    def pending_offer(self, namespace: str, id: str) -> Offer | None:
        """Return the pending offer of that id."""
        known = self._namespaces.get(namespace)
        return known.pending.get(id) if known is not None else None

    def outcome_of(self, namespace: str, id: str, now_ns: int) -> tuple[Offer, Remembered] | None:
        """Return the offer of that id and its outcome, if it has ended and that is remembered."""
        return self._outcomes.recall(namespace, id, now_ns)

    def totals(self, namespace: str) -> tuple[int, int, int]:
        """Return how many offers are pending in a namespace, how many syncs it saw and how many exhausted searches."""
        known = self._namespaces.get(namespace)
        return (len(known.pending), known.syncs, known.exhausted) if known else (0, 0, 0)

    def trace(self, namespace: str, after: int, syncs_max: int) -> list[TracedSync]:
        """Return the syncs of a namespace with numbers above `after`, by number: a page of at most so many."""
        return self._trace.of(namespace, after, syncs_max)

    def syncs_since(self, after: int) -> list[TracedSync]:
        """Return the syncs with numbers above `after`, the latest first, of a machine with one namespace."""
        return self._trace.since(after)

    def departures(self, namespace: str) -> Departures:
        """Return a copy of what is remembered of who left the events of a namespace."""
        copy = Departures()
        copy.restore(tuple([each for each in self._departures.all() if each[0] == namespace]))
        return copy

    def namespaces(self, after: int, namespaces_max: int) -> list[tuple[str, int, int]]:
        """Return names, pending offers and syncs of so many namespaces at most, without the first `after` of them."""
        page = islice(self._namespaces.items(), after, after + namespaces_max)
        return [(name, len(each.pending), each.syncs) for name, each in page]

    def waiting_elsewhere(self, namespace: str, events: list[str], steps: Steps) -> list[tuple[str, str, int]]:
        """Return other namespaces where offers of these events are pending, the event, and how many they are.

        Only so many namespaces and events are looked at as `ELSEWHERE_LOOKUPS_MAX` allows.

        :raises BoundHit: the steps were not enough.
        """
        looked_at = min(len(self._namespaces), ELSEWHERE_LOOKUPS_MAX // max(1, len(events)))
        steps.take(1 + looked_at * len(events) // _LOOKUPS_PER_STEP)
        return [
            (name, event, len(each.lists[event].offers))
            for name, each in islice(self._namespaces.items(), looked_at)
            if name != namespace
            for event in events
            if event in each.lists
        ]

    # --- inside: offers ------------------------------------------------------------------------------------

    def _sync(self, namespace: Namespace, others: list[Offer], newcomer: Offer) -> Synced:
        """Remove the members from the state, and put their sync into the outcomes and the trace."""
        namespace.syncs += 1
        named = newcomer.named
        weight_bytes = newcomer.weight_bytes
        counts, at_ns, members = self.counts, newcomer.at_ns, 1
        for other in others[::-1]:  # an index lists a class by its oldest offer, so the oldest goes last
            named = named or other.named
            weight_bytes += other.weight_bytes
            self._remove(namespace, other)
            members += 1
            wait_ns = at_ns - other.at_ns
            if wait_ns > 0:  # two threads may append in another order than they took the time
                counts.wait_ns += wait_ns
                if wait_ns > SHORT_WAIT_NS:
                    bucket = 1
                    while wait_ns > WAIT_BOUNDS_NS[bucket]:
                        bucket += 1
                    counts.waits[bucket] += 1
        counts.synced += members
        bucket = members - 1  # right for few; the bounds begin with 1, 2, 3, 4
        if members > FEW_MEMBERS:
            bucket = FEW_MEMBERS
            while members > MEMBERS_BOUNDS[bucket]:
                bucket += 1
        counts.syncs[bucket] += 1
        others += (newcomer,)
        synced = Synced(newcomer.at_ns, newcomer.spec.namespace, self._search.event, namespace.syncs, tuple(others))
        if named:
            self._outcomes.remember(synced, weight_bytes)
        self._trace.add(traced(synced))
        if self._departures.events:
            self._departures.came_back(newcomer.spec.namespace, synced.event, synced.members)
        return synced

    def _asked_again(self, namespace: Namespace | None, offer: Offer) -> Attached | Replayed | Refused | None:
        """Return the answer to an offer whose id is known; None where it is not."""
        if namespace is not None and offer.id in namespace.pending:
            pending = namespace.pending[offer.id]
            if offer.named and offer.asks_the_same_as(pending):
                pending.asked += 1
                pending.node = offer.node
                return Attached(offer)
            return Refused(offer, "id-reused", f"the id {offer.id} is that of another offer, which is pending")
        known = self._outcomes.recall(offer.spec.namespace, offer.id, offer.at_ns) if offer.named else None
        if known is None:
            return None
        if offer.asks_the_same_as(known[0]):
            return Replayed(offer, known[1])
        return Refused(offer, "id-reused", f"the id {offer.id} is that of another offer, which has ended")

    def _no_room(self, namespace: Namespace, offer: Offer) -> Refused | None:
        """Return why no further offer can be pending; None where one can."""
        limits = self.limits
        if self.pending_total >= limits.pending_offers_max:
            return Refused(offer, "full", f"{self.pending_total} offers are pending, which is the limit")
        if offer.weight_bytes > self._room_bytes:
            taken = limits.pending_bytes_max - self._room_bytes
            reason = f"the pending offers take {taken} bytes, and this one is too large to be added"
            return Refused(offer, "full", reason)
        if len(namespace.pending) >= limits.pending_per_namespace_max:
            reason = f"{len(namespace.pending)} offers are pending in this namespace, which is the limit"
            return Refused(offer, "quota", reason)
        owner = offer.spec.owner
        if owner:
            of_owner = self._pending_by_owner.get(owner, 0)
            if of_owner >= limits.pending_per_token_max:
                return Refused(offer, "quota", f"{of_owner} offers of this token are pending, which is the limit")
        return None

    def _add(self, namespace: Namespace, offer: Offer) -> None:
        """Make an offer pending."""
        namespace.pending[offer.id] = offer
        lists = namespace.lists
        for event in offer.spec.events:
            if event not in lists:
                lists[event] = OfferList()
            lists[event].add(offer)
        self.pending_total += 1
        self._room_bytes -= offer.weight_bytes
        if offer.spec.owner:
            add(self._pending_by_owner, offer.spec.owner, 1)

    def _remove(self, namespace: Namespace, offer: Offer) -> None:
        """Remove a pending offer."""
        del namespace.pending[offer.id]
        lists = namespace.lists
        for event in offer.spec.events:
            offers = lists[event]
            offers.remove(offer)
            if not offers.offers:
                del lists[event]
        if not namespace.pending:  # an emptied dict would keep its memory
            namespace.pending = {}
            namespace.lists = {}
        self.pending_total -= 1
        self._room_bytes += offer.weight_bytes
        if offer.spec.owner:
            add(self._pending_by_owner, offer.spec.owner, -1)

    # --- inside: namespaces --------------------------------------------------------------------------------

    def _new_namespace(self, name: str) -> Namespace | None:
        """Return a new namespace; None where there are too many, and in each of them an offer is pending."""
        if len(self._namespaces) >= self.limits.namespaces_max and name != DEFAULT_NAMESPACE:
            for oldest, each in self._namespaces.items():
                if not each.pending and oldest != DEFAULT_NAMESPACE:
                    break
            else:
                return None
            self._syncs_forgotten = max(self._syncs_forgotten, self._namespaces.pop(oldest).syncs)
        namespace = self._namespaces[name] = Namespace(self._syncs_forgotten)
        return namespace

    def _forget_if_blank(self, name: str) -> None:
        if self._namespaces[name].is_blank(self._syncs_forgotten):
            del self._namespaces[name]

    # --- inside: ends --------------------------------------------------------------------------------------

    def _end(self, offer: Offer, outcome: Remembered) -> None:
        """Remove a pending offer, and remember its outcome."""
        self._remove(self._namespaces[offer.spec.namespace], offer)
        self._departures.note(offer.spec, how_ended(outcome), outcome.at_ns)
        self._forget_if_blank(offer.spec.namespace)
        if is_kept(outcome):
            self._outcomes.remember(outcome, _weight_bytes(outcome))

    def _pending_of(self, namespace: str, event: str, actor: str) -> list[Offer]:
        """Return the pending offers of an event or of an actor, the other of which is empty, by arrival."""
        if actor:
            return [offer for offer in self.pending(namespace) if offer.spec.actor == actor]
        known = self._namespaces.get(namespace)
        return list(known.lists[event].offers.values()) if known is not None and event in known.lists else []

    def _meant(self, command: Withdraw | Expire | Claim) -> Offer | None:
        """Return the pending offer that a command means; None where it is no longer pending."""
        offer = self.pending_offer(command.namespace, command.id)
        if offer is None or (command.made_ns is not None and command.made_ns != offer.at_ns):
            return None
        return offer

    def _withdraw(self, command: Withdraw) -> list[Remembered]:
        offer = self._meant(command)
        if offer is None:
            return []
        if command.owner is not None and command.owner != offer.spec.owner:
            return []
        if command.asked is not None and command.asked != offer.asked:
            return []
        withdrawn = Withdrawn(command.at_ns, offer, command.cause)
        self._end(offer, withdrawn)
        return [withdrawn]

    def _expire(self, command: Expire) -> list[Remembered]:
        offer = self._meant(command)
        if offer is None:
            return []
        self.steps.begin(EXPLANATION_STEPS_MAX)
        namespace = self._namespaces[command.namespace]
        pending = namespace.pending.values()
        outcome = timed_out(namespace.lists, pending, offer, command.at_ns, self.steps, self._departures)
        self._end(offer, outcome)
        return [outcome]

    def _abort(self, command: Abort) -> list[Remembered]:
        if command.id:
            offer = self.pending_offer(command.namespace, command.id)
            meant = [] if offer is None else [offer]
        else:
            meant = self._pending_of(command.namespace, command.event, command.actor)
        aborted: list[Remembered] = [Aborted(command.at_ns, offer, command.by, command.reason) for offer in meant]
        for offer, outcome in zip(meant, aborted, strict=True):
            self._end(offer, outcome)
        return aborted

    def _lose(self, command: NodeLost) -> list[Remembered]:
        withdrawn: list[Remembered] = []
        for offer in self.pending(command.namespace):
            if offer.node == command.node:
                if offer.named and offer.spec.linger_ns:
                    offer.node = command.by
                    continue
                lost = Withdrawn(command.at_ns, offer, Cause.LOST)
                withdrawn.append(lost)
                self._end(offer, lost)
        return withdrawn

    def _claim(self, command: Claim) -> list[Remembered]:
        offer = self._meant(command)
        if offer is not None and offer.asked == command.asked:
            offer.asked += 1
            offer.node = command.node
        return []


def _weight_bytes(outcome: Remembered) -> int:
    """Return what an outcome weighs: its offers, and what a timeout says in addition."""
    weight_bytes = sum([offer.weight_bytes for offer in offers_of(outcome)])
    if isinstance(outcome, TimedOut):
        weight_bytes += WORD_BYTES * len(outcome.gave_up)
        weight_bytes += sum([WORD_BYTES + len(each.reason) for each in outcome.reasons])
    return weight_bytes
