"""One runtime inside a program: what its two APIs (`api.py`) share.

The way of an offer. Its spec (all that it asks for) is checked once for all offers that ask for the same. The offer is
then appended to the coordinator, as a server's are; its waiter is the `Offer` that the program holds. Payloads are not
copied: the core never looks at them.

It knows nothing of HTTP; a server that shares this runtime is given its coordinator.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import DEFAULT_NAMESPACE, OBJECT, OfferSpec
from syncnet.core.commands import Offer as CoreOffer
from syncnet.core.effects import Remembered, Withdrawn
from syncnet.core.explain import explain, lists_of
from syncnet.core.limits import EXPLANATION_STEPS_MAX, Limits
from syncnet.core.machine import Machine
from syncnet.core.steps import Steps
from syncnet.core.validation import check_namespace, make_abort
from syncnet.errors import ClosedError, DrainingError, RetryableError
from syncnet.local.offers import Offer, Wake
from syncnet.local.results import SharedParts, error_of
from syncnet.wire.answers import encode_pending
from syncnet.wire.api import OfferOptions
from syncnet.wire.bodies import Texts
from syncnet.wire.explanations import circle_documents, explanation_document, is_meant
from syncnet.wire.parameter_table import PARAMETERS
from syncnet.wire.parameters import read_offer

__all__ = ["LocalRuntime"]

_SPECS_KEPT: Final = 4_096


class LocalRuntime:
    """The state behind one `Syncnet`."""

    def __init__(self, limits: Limits) -> None:
        self.coordinator: Coordinator = Coordinator(machine=Machine(limits))
        self.lock: threading.RLock = self.coordinator.lock
        self._limits = limits
        self._specs: dict[object, OfferSpec] = {}
        self.plain_specs: dict[tuple[str, str], OfferSpec] = {}  # of an event and an actor, without options
        self._is_closed = False
        self.here: object = None
        """The loop or the run of trio in which an offer is being made: waking a task there costs less."""
        self.latest_parts: SharedParts | None = None
        """What the members of the latest sync share; they are called one after the other."""

    # --- offers --------------------------------------------------------------------------------------------

    def send(self, events: tuple[str, ...], actor: str, payload: Any, options: OfferOptions) -> Offer:
        """Make an offer; it is pending, or has ended, when this returns.

        :raises ParameterError: a value is invalid; it names the parameter.
        """
        spec = None if options else self._specs.get((events, actor))
        if spec is None:
            spec = self.spec_of(events, actor, options)
        return self.offer(spec, payload, options.get("id"))

    def offer(
        self,
        spec: OfferSpec,
        payload: Any,
        id: str | None = None,
        wake: Wake | None = None,
        new_parker: Callable[[], Any] | None = None,
        here: object = None,
    ) -> Offer:
        """Make an offer of a spec.

        Where `wake` is given, the caller is about to wait: an offer that is still pending gets a new parker. Doing it
        here avoids taking the lock a second time. `here` is the loop or the run of trio that the caller is in, where
        it is known.
        """
        coordinator = self.coordinator
        named = id is not None
        offer = Offer(self, spec, payload, coordinator.new_id() if id is None else id)
        core_offer = CoreOffer(spec, offer.id, coordinator.now_ns(), payload, OBJECT, named, offer)
        lock = self.lock
        lock.acquire()  # not `with`, which takes twice as long
        try:
            self.here = here
            coordinator.offer(core_offer)
            if wake is not None and new_parker is not None and offer._result is None:
                offer._wake, offer._parker = wake, new_parker()
        except DrainingError as error:
            self._check_open()
            offer.ended(error)  # a server that shares the coordinator is shutting down
        finally:
            self.here = None
            lock.release()
        return offer

    def withdraw_offer(self, offer: Offer) -> bool:
        """Withdraw an offer; return whether it was pending."""
        with self.lock:
            return not offer.done() and self.withdraw(offer.namespace, offer.id)

    def withdraw(self, namespace: str | None, id: str) -> bool:
        """Withdraw the offer of that id; return whether it is withdrawn, now or by an earlier call."""
        self._check_open()
        namespace = namespace or DEFAULT_NAMESPACE
        outcomes: list[Remembered] = []
        with self.lock:
            self.coordinator.withdraw(namespace, id, lambda result: outcomes.extend(_outcomes(result)))
            known = self.coordinator.machine.outcome_of(namespace, id, self.coordinator.now_ns())
        return bool(outcomes) or (known is not None and isinstance(known[1], Withdrawn))

    def abort(
        self,
        *,
        event: str | None = None,
        actor: str | None = None,
        id: str | None = None,
        reason: str,
        by: str | None = None,
        namespace: str | None = None,
    ) -> int:
        """End every pending offer of `event`, of `actor` or of the id `id`, one of the three; return how many."""
        self._check_open()
        abort = make_abort(
            at_ns=self.coordinator.now_ns(),
            by=by or "",
            reason=reason,
            event=event,
            actor=actor,
            id=id,
            namespace=namespace or DEFAULT_NAMESPACE,
            limits=self._limits,
        )
        outcomes: list[Remembered] = []
        with self.lock:
            self.coordinator.abort(abort, lambda result: outcomes.extend(_outcomes(result)))
        return len(outcomes)

    def stats(self, namespace: str | None) -> dict[str, Any]:
        """Return the pending offers of a namespace, in the form of `GET /stats`."""
        self._check_open()
        namespace = check_namespace(namespace or DEFAULT_NAMESPACE)
        with self.lock:
            pending = self.coordinator.machine.pending(namespace)
        stats: dict[str, Any] = json.loads(encode_pending(pending, pending))
        return stats

    def explain(self, actor: str, event: str, id: str, namespace: str | None) -> dict[str, Any]:
        """Return why offers of a namespace are pending, in the form of `GET /explain`."""
        self._check_open()
        namespace = check_namespace(namespace or DEFAULT_NAMESPACE)
        with self.lock:
            machine, now_ns = self.coordinator.machine, self.coordinator.now_ns()
            pending, departures = machine.pending(namespace), machine.departures(namespace)
        lists = lists_of(pending)
        explained = [
            explanation_document(
                explain(lists, pending, offer, now_ns, Steps(EXPLANATION_STEPS_MAX), departures), now_ns
            )
            for offer in pending
            if is_meant(offer, actor, event, id)
        ]
        actors = {each["actor"] for each in explained}
        found = circle_documents(pending, actors, Steps(EXPLANATION_STEPS_MAX))
        return {"namespace": namespace, "offers": explained, "circles": found}

    def close(self) -> None:
        """End all waits with `UnavailableError`, and accept no more calls."""
        self._is_closed = True
        self.coordinator.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("this runtime was closed")

    # --- specs ---------------------------------------------------------------------------------------------

    def spec_of(self, events: tuple[str, ...], actor: str, options: OfferOptions) -> OfferSpec:
        """Return a spec, checked as a server checks it; it is remembered, unless the offer has an id.

        :raises ParameterError: a value is invalid; it names the parameter.
        """
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        given.pop("linger", None)  # an offer in this process has no connection that could be lost
        key = _key(events, actor, given)
        known = self._specs.get(key) if key is not None else None
        if known is not None:
            return known
        if unknown := given.keys() - OfferOptions.__annotations__.keys():
            raise TypeError(
                f"an offer has no option {min(unknown)!r}; it has {', '.join(OfferOptions.__annotations__)}"
            )
        if isinstance(expect := given.get("expect"), Iterable) and not isinstance(expect, str):
            given["expect"] = list(expect)
        labels = given.get("labels")
        if isinstance(labels, Mapping):
            given["labels"] = dict(labels)
        elif isinstance(labels, str):
            given["labels"] = PARAMETERS["labels"].read("labels", labels, self._limits)
        values = {"event": list(events), "actor": actor, **given}
        spec, _, _, _ = read_offer(Texts(), values, limits=self._limits, owner="")
        if key is not None:
            if len(self._specs) >= _SPECS_KEPT:
                self._specs.clear()
                self.plain_specs.clear()
            self._specs[key] = spec
            if len(events) == 1 and not given:
                self.plain_specs[events[0], actor] = spec
        return spec


def _outcomes(result: Sequence[Remembered] | RetryableError) -> Sequence[Remembered]:
    if isinstance(result, RetryableError):
        raise error_of(result)
    return result


def _key(events: tuple[str, ...], actor: str, given: dict[str, Any]) -> object | None:
    """Return the key by which a spec is remembered; None where it is not."""
    if not given:
        return events, actor
    if given.keys() & {"id", "expect", "labels"}:
        return None
    key = (events, actor, *given.items())
    try:
        hash(key)
    except TypeError:  # a value of a wrong type, which is refused later
        return None
    return key
