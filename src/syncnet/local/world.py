"""One world inside a program: what its two faces (`faces.py`) share, and the lock under which it all happens.

The way of an offer. Its terms (all that it asks for) are checked once for all offers that ask for the same. Plain
offers go through the lane of the hub, which answers most of them on the spot; all others, and those that the lane does
not take, are appended to the hub like the offers of a server. Payloads are not copied: the core carries them unseen.

Knows nothing of HTTP; a server that shares this world is given its hub.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from time import time_ns
from typing import Any, Final, TypedDict, cast

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Cause, make_abort
from syncnet.core.effects import Effect, Synced, Withdrawn
from syncnet.core.lane import Lane
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.errors import DrainingError, RetryableError
from syncnet.local.offers import Offer, Wake
from syncnet.local.results import Happening, Pair, error_of
from syncnet.local.terms import KnownTerms
from syncnet.wire.answers import encode_pending
from syncnet.wire.bodies import Texts
from syncnet.wire.parameters import read_namespace, read_offer
from syncnet.wire.results import Sync

__all__ = ["More", "World"]

_TERMS_KEPT: Final = 4_096


class More(TypedDict, total=False):
    """What may be said of an offer beside its events, its actor and its payload; semantics.md has the meaning.

    `mates`: how many others, 1 unless given. `expect`: a roster instead, names or `"a,b,c"`. `labels`: a map of texts.
    `selector`: a Kubernetes label selector. `timeout`: seconds, or a text such as `"250ms"`; the offer ends after it.
    `id`: the offer's name, for asking again. `namespace`: the world within this world, `default` unless given.
    """

    mates: int | None
    expect: str | Iterable[str] | None
    labels: Mapping[str, str] | None
    selector: str | None
    timeout: float | str | None
    id: str | None
    namespace: str | None


class World:
    """The state behind one `Syncnet`."""

    def __init__(self, limits: Limits) -> None:
        self.hub = Coordinator(machine=Machine(limits))
        self.lock: Final = self.hub.reading
        self._limits = limits
        self._terms: dict[object, KnownTerms] = {}
        self.plain_terms: dict[tuple[str, str], KnownTerms] = {}  # of those that say nothing beside event and actor
        self._ids: list[str] = []
        self._lane = cast("Lane[Offer]", self.hub.take_lane())
        self._happening: tuple[Synced, Happening] | None = None

    # --- offers --------------------------------------------------------------------------------------------

    def send(self, events: tuple[str, ...], actor: str, payload: Any, more: More) -> Offer:
        """Make an offer; it is pending, or over, when this returns.

        :raises ParameterError: the world does not take such an offer.
        """
        terms = None if more else self._terms.get((events, actor))
        if terms is None:
            terms = self._new_terms(events, actor, more)
        if terms.is_plain:
            met = self.meet(terms, payload)
            if type(met) is Offer:
                return met
            return Offer(self, terms, payload, met.members[met.rank].id, 0, met)
        offer = Offer(self, terms, payload, more.get("id") or self.hub.new_id(), self.hub.now_ns())
        with self.lock:
            self._append(offer)
        return offer

    def meet(
        self,
        terms: KnownTerms,
        payload: Any,
        wake: Wake | None = None,
        new_sleeper: Callable[[], Any] | None = None,
        here: object = None,
    ) -> Sync | Offer:
        """Let a plain offer meet the one that rests in the lane, and return its sync; else make it, and return it.

        Where `wake` is given, its caller is about to wait: an offer that rests in the lane is given a new sleeper,
        which `wake` will wake. (To lay it to sleep later would take the lock once more.) An offer that could not rest
        has none. `here` is the loop or the run of trio of the caller, where it is known.
        """
        try:
            id = self._ids.pop()
        except IndexError:
            id = self._new_id()
        at_ns = time_ns()
        lock = self.lock
        try:
            # `with` takes twice as long. An interrupt by the keyboard after this line sees the lock released; one that
            # ends a wait for the lock becomes the context of a RuntimeError, since there is nothing to release.
            lock.acquire()
            first = self._lane.meet(terms, id, at_ns)
            if first is not None:
                pair = Pair(self._lane.number, first.terms, first.id, first.payload, terms, id, payload)
                first.told = Sync(pair, 0)
                if first.timer is not None:
                    first.timer.cancel()
                if first.wake is not None:
                    first.wake(first.sleeper, here)
                return Sync(pair, 1)
            offer = Offer(self, terms, payload, id, at_ns)
            if not self._lane.rest(offer):
                self._append(offer)
                return offer
            if new_sleeper is not None:
                offer.wake, offer.sleeper = wake, new_sleeper()
            if terms.template.timeout_ns is not None:
                self._let_time_out(offer, terms.template.timeout_ns)
            return offer
        finally:
            lock.release()

    def withdraw_offer(self, offer: Offer) -> bool:
        """Take an offer back; return whether it was pending."""
        with self.lock:
            if offer.done():
                return False
            if self._lane.leave(offer):
                offer.tell(Withdrawn(self.hub.now_ns(), offer.terms.template, Cause.WITHDRAWN))
                return True
            return self.withdraw(offer.namespace, offer.id)

    def withdraw(self, namespace: str | None, id: str) -> bool:
        """Take the offer of that id back; return whether it is withdrawn, now or by somebody before."""
        namespace = namespace or "default"
        effects: list[Effect] = []
        with self.lock:
            self.hub.withdraw(namespace, id, lambda told: effects.extend(_effects(told)))
            known = self.hub.machine.outcome_of(namespace, id, self.hub.now_ns())
        return bool(effects) or (known is not None and isinstance(known[1], Withdrawn))

    def abort(
        self,
        *,
        event: str | None = None,
        actor: str | None = None,
        id: str | None = None,
        reason: str,
        by: str = "",
        namespace: str = "default",
    ) -> int:
        """End every pending offer of `event`, of `actor` or of the id `id`, one of the three; return how many."""
        abort = make_abort(
            at_ns=self.hub.now_ns(),
            by=by,
            reason=reason,
            event=event,
            actor=actor,
            id=id,
            namespace=namespace,
            limits=self._limits,
        )
        effects: list[Effect] = []
        self.hub.abort(abort, lambda told: effects.extend(_effects(told)))
        return len(effects)

    def stats(self, namespace: str) -> dict[str, Any]:
        """Return the pending offers of a namespace, in the form of `GET /stats`."""
        read_namespace(Texts({"namespace": [namespace]}))
        with self.lock:
            pending = self.hub.machine.pending(namespace)
        stats: dict[str, Any] = json.loads(encode_pending(pending))
        return stats

    def close(self) -> None:
        """End all waits with `UnavailableError`, and take no more offers."""
        self.hub.close()

    def happening(self, synced: Synced) -> Happening:
        """Return a sync as its members see it, the same for all of them: they are told one after the other."""
        if self._happening is None or self._happening[0] is not synced:
            self._happening = (synced, Happening(synced))
        return self._happening[1]

    # --- inside --------------------------------------------------------------------------------------------

    def _append(self, offer: Offer) -> None:
        try:
            self.hub.offer(offer.core_offer(), offer.tell)
        except DrainingError as error:
            offer.tell(error)

    def _let_time_out(self, offer: Offer, timeout_ns: int) -> None:
        """Wake the hub when an offer of the lane has waited enough; it then has the offer, and sees to its end."""
        offer.timer = self.hub.call_later(timeout_ns / 1e9, self.hub.settle)

    def _new_id(self) -> str:
        self._ids = self.hub.new_ids()
        return self._ids.pop()

    def _new_terms(self, events: tuple[str, ...], actor: str, more: More) -> KnownTerms:
        """Return the terms of an offer, checked as a server checks them; they are remembered, but for a name."""
        said = {name: value for name, value in more.items() if value is not None}
        key = _key(events, actor, said)
        known = self._terms.get(key) if key is not None else None
        if known is not None:
            return known
        if unknown := said.keys() - More.__annotations__.keys():
            raise TypeError(f"an offer has no parameter {min(unknown)!r}; it has {', '.join(More.__annotations__)}")
        if isinstance(expect := said.get("expect"), Iterable) and not isinstance(expect, str):
            said["expect"] = list(expect)
        if isinstance(labels := said.get("labels"), Mapping):
            said["labels"] = dict(labels)
        values = {"event": list(events), "actor": actor, **said}
        offer = read_offer(Texts(), values, at_ns=0, new_id=lambda: "", limits=self._limits).offer
        is_plain = len(events) == 1 and offer.mates == 1 and not (said.keys() - {"mates", "timeout", "namespace"})
        terms = KnownTerms(offer, (offer.namespace, offer.events[0]), actor, is_plain)
        if key is not None:
            if len(self._terms) >= _TERMS_KEPT:
                self._terms.clear()
                self.plain_terms.clear()
            self._terms[key] = terms
            if is_plain and not said:
                self.plain_terms[events[0], actor] = terms
        return terms


def _effects(told: tuple[Effect, ...] | RetryableError) -> tuple[Effect, ...]:
    if isinstance(told, RetryableError):
        raise error_of(told)
    return told


def _key(events: tuple[str, ...], actor: str, said: dict[str, Any]) -> object | None:
    """Return by what the terms of an offer are remembered; None where they are not."""
    if not said:
        return events, actor
    if said.keys() & {"id", "expect", "labels"}:
        return None
    key = (events, actor, *said.items())
    try:
        hash(key)
    except TypeError:  # of a wrong kind, as will be said
        return None
    return key
