"""Simulated clients: they make offers of all kinds at all nodes, and record what they see for the checker.

A client makes one offer after another. Each ends: by a sync, its timeout, an abort, or its own DELETE. An offer with an
id is asked for again, at any node, until its outcome is known; one without an id is asked for once. Some clients give
up. The lines are those of the crash test (`syncnet.testing.checker`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from syncnet.core.commands import Abort, Offer
from syncnet.core.selectors import parse_selector
from syncnet.core.validation import make_offer
from syncnet.testing.checker import END_OF_CODE
from syncnet.testing.simulator.events import Events
from syncnet.testing.simulator.nodes import SimulatedNode, SimulatedRequest

__all__ = ["LINGER_S_MAX", "TIMEOUT_S_MAX", "Client", "Wish"]

LINGER_S_MAX: Final = 6.0
TIMEOUT_S_MAX: Final = 6.0
_COLOURS: Final = ("red", "blue", "green")


class Wish:
    """An offer as its client knows it: `token` is its id if it has one, and the beginning of its payload."""

    def __init__(self, token: str, namespace: str, named: bool, parameters: dict[str, Any], linger_s: float) -> None:
        self.token: str = token
        self.namespace: str = namespace
        self.named: bool = named
        self.parameters: dict[str, Any] = parameters
        self.linger_s: float = linger_s
        self.is_known: bool = False
        """Its client has the outcome."""
        self.is_over: bool = False
        """Its client asks no more."""
        self.given_up_ns: int | None = None
        """When its client lost its connection for good."""
        self.requests: list[SimulatedRequest] = []

    @property
    def is_connected(self) -> bool:
        """Whether its client waits for the answer to a request."""
        return any(request.is_connected for request in self.requests)

    def offer(self) -> Offer:
        """Return a new object for this offer."""
        given = self.parameters
        selector = given.get("selector")
        return make_offer(
            at_ns=0,
            id=self.token,
            events=given["event"],
            actor=given["actor"],
            namespace=self.namespace,
            mates=given.get("mates"),
            expect=given.get("expect"),
            labels=given.get("labels"),
            selector=None if selector is None else parse_selector(selector),
            payload=json.dumps(given["payload"]).encode(),
            timeout_s=given.get("timeout"),
            linger_s=self.linger_s if self.named else None,
            named=self.named,
        )


class Client:
    """One client: an actor."""

    def __init__(
        self, events: Events, name: str, namespaces: list[str], nodes: Callable[[], list[SimulatedNode]]
    ) -> None:
        self.name: str = name
        self.lines: list[dict[str, Any]] = []
        self.wishes: list[Wish] = []
        self.is_finishing: bool = False
        """It makes no more offers, and keeps its connections."""
        self.is_resting: bool = False
        """It makes no more offers for a while."""
        self._events = events
        self._random = events.random
        self._namespaces = namespaces
        self._nodes = nodes
        self._count = 0
        self._later(0, 1, self._next)

    def go_on(self) -> None:
        """Make offers again, after a rest."""
        self.is_resting = False
        self._next()

    # --- at the end of a run -------------------------------------------------------------------------------

    def withdraw_pending(self) -> None:
        """Withdraw what is pending."""
        for wish in self.wishes:
            if not (wish.is_known or wish.is_over):
                self._withdraw(wish)

    def ask_again(self) -> None:
        """Ask once more for every outcome, where there is an id."""
        for wish in self.wishes:
            if wish.is_known and wish.named:
                self._ask(wish)

    def done(self) -> None:
        """Record that all outcomes are known."""
        self._write("done")

    # --- the offers ----------------------------------------------------------------------------------------

    def _next(self) -> None:
        if self.is_finishing or self.is_resting:
            return
        wish = self._roster() if self.name in ("a", "b", "c") and self._events.chance(0.2) else self._any()
        self.wishes.append(wish)
        self._ask(wish)
        if wish.named and self._events.chance(0.1):
            self._ask(wish)
        if "timeout" not in wish.parameters and self._events.chance(0.9):
            self._later(0.5, 8, partial(self._withdraw, wish))
        if self._events.chance(0.04):
            self._later(0, 2, partial(self._abort, wish))

    def _any(self) -> Wish:
        choice = self._random.choice
        parameters: dict[str, Any] = {"event": ["pair"]}
        match choice(["pair", "pair", "triple", "mixed", "choice", "colours"]):
            case "triple":
                parameters = {"event": ["triple"], "mates": 2}
            case "mixed":
                parameters = {"event": ["mixed"], "mates": choice([1, 1, 2, 3])}
            case "choice":
                parameters = {"event": self._random.sample(["pair", "triple", "mixed", "other"], 3)}
            case "colours":
                colour, other = self._random.sample(_COLOURS, 2)
                wanted = choice([f"colour!={colour}", f"colour in ({other},{colour})", "colour"])
                parameters = {"event": ["colours"], "labels": {"colour": colour}}
                parameters["selector"] = f"{wanted},actor!={self.name}"
        return self._wish(parameters)

    def _roster(self) -> Wish:
        return self._wish({"event": ["roster"], "expect": ["a", "b", "c"]})

    def _wish(self, parameters: dict[str, Any]) -> Wish:
        self._count += 1
        token = f"{self.name}.{self._count}"
        named = self._events.chance(0.7)
        parameters |= {"actor": self.name, "payload": f"{token}|" + "x" * self._random.choice([0, 0, 0, 700])}
        if not named or self._events.chance(0.7):
            parameters["timeout"] = round(self._random.uniform(0, TIMEOUT_S_MAX), 2)
        linger_s = self._random.choice([0.0, 0.5, 2.0, LINGER_S_MAX])
        return Wish(token, self._random.choice(self._namespaces), named, parameters, linger_s)

    # --- the requests --------------------------------------------------------------------------------------

    def _ask(self, wish: Wish) -> None:
        """Make a request for an offer at some node."""
        if wish.is_over:
            return
        nodes = self._nodes()
        if not nodes:
            self._later(0.2, 1, partial(self._ask, wish))
            return
        node = self._random.choice(nodes)
        fields = {"named": wish.named, "parameters": wish.parameters}
        self._write("request", wish, **fields)
        self._events.note(f"{self.name} asks {node.name} for {wish.token} {'' if wish.named else 'without an id'}")
        request = node.offer(wish.offer(), partial(self._answered, wish), named=wish.named)
        wish.requests.append(request)
        if not self.is_finishing and self._events.chance(0.15):
            self._later(0, 4, partial(self._disconnect, wish, request))

    def _disconnect(self, wish: Wish, request: SimulatedRequest) -> None:
        if request.is_connected and not self.is_finishing:
            self._events.note(f"{self.name} disconnects from {request.node.name}: {wish.token}")
            request.disconnect()
            self._lost(wish)

    def _answered(self, wish: Wish, status: int, code: str, rank: str, body: str) -> None:
        if not status:
            self._lost(wish)
            return
        self._write("response", wish, status=status, code=code, rank=rank, body=body)
        if status == 200 or code in END_OF_CODE:
            was_known, wish.is_known = wish.is_known, True
            if not was_known:
                self._later(0, 1.5, self._next)
                if wish.named and self._events.chance(0.3):
                    self._later(0, 5, partial(self._ask, wish))
        elif wish.named and not wish.is_connected and not wish.is_known:
            self._later(0.05, 1, partial(self._ask_if_needed, wish))
        elif not wish.named:
            wish.is_over = True
            self._later(0, 1.5, self._next)

    def _lost(self, wish: Wish) -> None:
        """Ask again, soon or after a while, or give up."""
        if wish.named and (self.is_finishing or self._events.chance(0.9)):
            if not (wish.is_known or wish.is_connected):
                self._later(0, self._random.choice([0.3, 0.3, 1.5 * LINGER_S_MAX]), partial(self._ask_if_needed, wish))
            return
        self._write("lost", wish)
        wish.given_up_ns = self._events.now_ns
        if not (wish.is_over or wish.is_known):
            self._later(0, 1.5, self._next)
        wish.is_over = True

    def _ask_if_needed(self, wish: Wish) -> None:
        if not (wish.is_known or wish.is_connected):
            self._ask(wish)

    def _withdraw(self, wish: Wish) -> None:
        """Send DELETE until the outcome is known."""
        if wish.is_known or wish.is_over:
            return
        nodes = self._nodes()
        if nodes and wish.requests:
            self._write("delete-request", wish)
            self._random.choice(nodes).withdraw(wish.namespace, wish.token, partial(self._withdrawn, wish))
        self._later(0.3, 2, partial(self._withdraw, wish))

    def _withdrawn(self, wish: Wish, status: int) -> None:
        self._write("delete-response", wish, status=status)

    def _abort(self, wish: Wish) -> None:
        nodes = self._nodes()
        if not nodes:
            return
        reason = f"reason {wish.token}"
        self._write("abort-request", by=self.name, reason=reason)
        what = self._random.choice(["event", "actor", "id"])
        given = {"event": wish.parameters["event"][0], "actor": self._random.choice("abc"), "id": wish.token}
        event, actor, id = (given[each] if each == what else "" for each in ("event", "actor", "id"))
        self._random.choice(nodes).abort(Abort(0, wish.namespace, event, actor, id, self.name, reason))

    # --- inside --------------------------------------------------------------------------------------------

    def _later(self, least_s: float, most_s: float, function: Callable[[], None]) -> None:
        self._events.later(self._events.between(least_s, most_s), function)

    def _write(self, what: str, wish: Wish | None = None, **fields: Any) -> None:
        line = {"what": what, "at": self._events.now_ns, **fields}
        if wish is not None:
            line |= {"token": wish.token, "namespace": wish.namespace}
        self.lines.append(line)
