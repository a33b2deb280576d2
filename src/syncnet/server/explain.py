"""The requests that ask why offers wait: `/explain`, and the namespaces in which they may.

The pending offers are copied under the coordinator's lock, and explained in a thread. What never changes of an offer is
all that an explanation reads. A client is charged for the steps.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import msgspec

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.departures import Departures
from syncnet.core.explain import explain, lists_of, near_events
from syncnet.core.limits import EXPLAINED_STEPS_MAX, EXPLANATION_STEPS_MAX, NEAR_EVENTS_MAX, PAGE_BYTES_MAX, Limits
from syncnet.core.offer_list import OfferList
from syncnet.core.steps import Steps
from syncnet.server.access import Caller
from syncnet.server.background import Background
from syncnet.server.pages import Report, answer_report, from_node, next_page, when_ready
from syncnet.server.request import Request
from syncnet.server.responses import PLAIN_TEXT, Response, headers_of, problem
from syncnet.wire.explanations import circle_documents, explanation_document, is_meant, near_events_json, text_of
from syncnet.wire.negotiation import preferred_explain_output
from syncnet.wire.parameters import NAMESPACES_PARAMETERS, WhichOffers, read_page, read_which_offers

__all__ = ["Explanations"]

_COPIED_PER_STEP: Final = 2
"""Offers that are copied under the lock for one step."""
_LISTED_PER_STEP: Final = 2
"""Offers that are listed under one event for one step."""

_encode: Final = msgspec.json.Encoder().encode


class Explanations:
    """Answers why the offers of one coordinator wait."""

    def __init__(self, coordinator: Coordinator, background: Background, limits: Limits) -> None:
        self._coordinator = coordinator
        self._background = background
        self._limits = limits

    def explain(self, request: Request) -> None:
        """Answer with a page of explanations of the pending offers of a namespace."""
        which = read_which_offers(request.parameters(self._limits))
        request.caller.require("observe", which.page.namespace)
        when_ready(self._coordinator, which.page.namespace, request, partial(self._explain, request, which))

    def _explain(self, request: Request, which: WhichOffers) -> None:
        with self._coordinator.lock:
            machine = self._coordinator.machine
            pending = machine.pending(which.page.namespace)
            departures = machine.departures(which.page.namespace)
        request.charge(len(pending) // _COPIED_PER_STEP)
        making = _Making(self._coordinator, request.caller, which, pending, departures)
        output = which.output or preferred_explain_output(request.accept)
        self._background.in_thread("reports", request, answer_report, making.report, output == "text")

    def namespaces(self, request: Request) -> None:
        """Answer with a page of the namespaces that the caller may see."""
        page = read_page(request.parameters(self._limits), NAMESPACES_PARAMETERS)
        with self._coordinator.lock:
            rows = self._coordinator.machine.namespaces(page.after, page.items_max + 1)
        request.charge(len(rows))
        caller = request.caller
        seen = [
            {"namespace": name, "pending": pending, "syncs": syncs}
            for name, pending, syncs in rows[: page.items_max]
            if caller.may("observe", name)
        ]
        headers = headers_of("application/json")
        if len(rows) > page.items_max:
            headers.append(next_page(page.after + page.items_max, page.items_max))
        response = Response(200, headers, _encode({"namespaces": seen}) + b"\n")
        request.answer(from_node(request, response))


class _Making:
    """The making of one page, in a thread."""

    def __init__(
        self,
        coordinator: Coordinator,
        caller: Caller,
        which: WhichOffers,
        pending: list[Offer],
        departures: Departures,
    ) -> None:
        self._coordinator = coordinator
        self._caller = caller
        self._which = which
        self._pending = pending
        self._departures = departures
        self._now_ns = coordinator.now_ns()
        self.steps_used = 0

    def report(self, is_text: bool) -> Report:
        """Return the page, and the steps that it took."""
        which = self._which
        page = which.page
        lists = lists_of(self._pending)
        listed_steps = sum([len(each.offers) for each in lists.values()]) // _LISTED_PER_STEP
        meant = [
            offer
            for offer in self._pending
            if offer.arrival > page.after and is_meant(offer, which.actor, which.event, which.id)
        ]
        if which.id and not meant:
            detail = f"no offer {which.id} is pending in the namespace {page.namespace}"
            return Report(problem("unknown-id", detail), listed_steps)
        explained: list[dict[str, Any]] = []
        encoded: list[msgspec.Raw] = []
        made_bytes = 0
        for offer in meant[: page.items_max]:
            if self.steps_used >= EXPLAINED_STEPS_MAX or made_bytes > PAGE_BYTES_MAX:
                break
            explained.append(self._explained(lists, offer))
            body = _encode(explained[-1])
            encoded.append(msgspec.Raw(body))
            made_bytes += len(body)
        made = len(explained)
        document: dict[str, Any] = {"namespace": page.namespace, "offers": explained}
        steps = Steps(EXPLANATION_STEPS_MAX)
        document["circles"] = circle_documents(self._pending, {each["actor"] for each in explained}, steps)
        self.steps_used += steps.used
        if which.event and not page.after and which.event not in lists:
            self._note_similar(document, lists, which.event)
        headers = headers_of(PLAIN_TEXT if is_text else "application/json")
        if made < len(meant):
            given = {"namespace": page.namespace, "actor": which.actor, "event": which.event, "output": which.output}
            headers.append(next_page(meant[made - 1].arrival, page.items_max, **given))
        body = text_of(document).encode() if is_text else _encode({**document, "offers": encoded}) + b"\n"
        return Report(Response(200, headers, body), listed_steps + self.steps_used)

    def _explained(self, lists: dict[str, OfferList], offer: Offer) -> dict[str, Any]:
        steps = Steps(EXPLANATION_STEPS_MAX)
        explanation = explain(lists, self._pending, offer, self._now_ns, steps, self._departures)
        self.steps_used += steps.used
        document = explanation_document(explanation, self._now_ns)
        document["other_namespaces"] = [] if explanation.relations else self._elsewhere(list(offer.events))
        return document

    def _note_similar(self, document: dict[str, Any], lists: dict[str, OfferList], event: str) -> None:
        """Add where else offers are pending, for an event for which there is none."""
        steps = Steps(EXPLANATION_STEPS_MAX)
        document["near_events"] = near_events_json(near_events(event, lists, steps))
        self.steps_used += steps.used
        document["other_namespaces"] = self._elsewhere([event])

    def _elsewhere(self, events: list[str]) -> list[dict[str, Any]]:
        """Return where else offers of these events are pending, of the namespaces that the caller may see."""
        steps = Steps(EXPLANATION_STEPS_MAX)  # more than it takes
        with self._coordinator.lock:
            found = self._coordinator.machine.waiting_elsewhere(self._which.page.namespace, events, steps)
        self.steps_used += steps.used + len(found)
        seen = [
            {"namespace": namespace, "event": event, "waiting": waiting}
            for namespace, event, waiting in found
            if self._caller.may("observe", namespace)
        ]
        return seen[:NEAR_EVENTS_MAX]
