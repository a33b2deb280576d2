"""Checks what clients recorded: `python -m syncnet.testing.checker FILE…` prints violations and fails on any.

It reads only these files and knows nothing about syncnet's code: it checks the contract (docs/semantics.md). Each file
was written by one client. Each line is a JSON object, which the client wrote before it continued:

| what            | fields in addition to `at` (monotonic, in ns) and, for an offer, `token` and `namespace`         |
| --------------- | ------------------------------------------------------------------------------------------------ |
| request         | `named`, `parameters`: it will send this offer now, for the first time or again                  |
| response        | `status`, `code`, `rank`, `body`: the whole response to that                                     |
| lost            | the connection was lost, and the offer has no id, so no other request will be sent for it        |
| delete-request  | it will send a DELETE now                                                                        |
| delete-response | `status`: the status of the response to that                                                     |
| abort-request   | `by`, `reason`: it will send an abort now                                                        |
| trace           | `namespace`, `syncs` (`sync`, `event`, `members` with `id` and `actor`): the response of /trace  |
| done            | the client ended normally: it knows the outcome of every offer that it made                      |

A token is the id of an offer that has one. In any case it is also the beginning of the payload, up to the first `|`.
An offer is *abandoned* if it is lost, or if no client that sent it has written `done`. Its client may have learned
nothing, which is no violation; but everything that is known about it must agree.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

UNCERTAIN_CODES = {"cluster"}
"""Transient codes after which an offer without an id may yet be pending, or in a sync."""
TRANSIENT_CODES = {"replaced", "draining", "journal", "full", "busy", "bad-body", "slow-body"} | UNCERTAIN_CODES
"""Codes that are about a request and not about its offer: with an id the client sends it again; without an id, no offer
is left, except after an uncertain one. A body is bad if its connection was cut."""
END_OF_CODE = {"timed-out": "timeout", "aborted": "abort", "withdrawn": "withdrawal"}
EARLY_TIMEOUT_S_MAX = 0.05
"""How much too early a timeout may be, because clocks differ."""

Line: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, int]
"""A sync: its namespace and its number."""


class Violation(NamedTuple):
    """One violation of the contract: its kind, and what was recorded."""

    kind: str
    text: str


class Response(NamedTuple):
    """A response to an offer."""

    at: int
    status: int
    code: str
    rank: str
    body: str


@dataclass
class Offer:
    """What all files have about one offer."""

    token: str
    namespace: str
    named: bool
    parameters: Line
    requested_at: int
    responses: list[Response] = field(default_factory=list)
    is_abandoned: bool = True
    may_be_withdrawn: bool = False
    withdrawn: bool = False
    is_lost: bool = False

    @property
    def events(self) -> list[str]:
        """The events that it names."""
        return list(self.parameters["event"])

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return {"actor": self.parameters["actor"], **self.parameters.get("labels", {})}

    @property
    def outcomes(self) -> list[Response]:
        """The responses that have the outcome of the offer."""
        return [response for response in self.responses if response.status == 200 or response.code in END_OF_CODE]


class Checker:
    """Reads the lines of all files, and then finds violations."""

    def __init__(self, clock_jumps_s: float | None = None) -> None:
        self.clock_jumps_s: float | None = clock_jumps_s
        """For a cluster, by how much the clock of the log was set forward. Its timeouts are checked by the clock of the
        clients: its own may be set back, and an offer may have been made again with the time that was left."""
        self.violations: list[Violation] = []
        self.offers: dict[str, Offer] = {}
        self.reasons: set[str] = set()
        self.traced: dict[Key, Line] = {}
        self.trace_end: Counter[str] = Counter()
        self.bodies: dict[Key, str] = {}
        self.members: dict[Key, list[str]] = {}
        self.first_response: dict[Key, int] = {}
        self.sync_of: dict[str, Key] = {}

    def violation(self, kind: str, text: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(kind, text))

    # --- reading -------------------------------------------------------------------------------------------

    def read(self, name: str, text: str) -> None:
        """Read one file. Only its last line may be incomplete, because the client may have been killed."""
        lines: list[Line] = []
        raw = text.split("\n")
        for number, written in enumerate(raw, 1):
            try:
                if written:
                    lines.append(json.loads(written))
            except ValueError:
                if number < len(raw):
                    self.violation("unreadable", f"{name}: line {number} is not JSON: {written[:80]}")
        self.read_lines(lines)

    def read_lines(self, lines: list[Line]) -> None:
        """Read the lines of one client."""
        is_done = bool(lines) and lines[-1]["what"] == "done"
        for line in lines:
            self._add_line(line, is_done)

    def _add_line(self, line: Line, is_done: bool) -> None:
        match line["what"]:
            case "done":
                return
            case "abort-request":
                self.reasons.add(line["reason"])
                return
            case "trace":
                self._add_trace(line)
                return
            case "request":
                offer = self._add_request(line)
            case _:
                offer = self.offers[line["token"]]
        offer.is_abandoned = offer.is_abandoned and not is_done
        match line["what"]:
            case "response":
                offer.responses.append(Response(line["at"], line["status"], line["code"], line["rank"], line["body"]))
            case "lost":
                offer.is_lost = True
            case "delete-request":
                offer.may_be_withdrawn = True
            case "delete-response":
                offer.withdrawn = offer.withdrawn or line["status"] == 204

    def _add_request(self, line: Line) -> Offer:
        offer = self.offers.get(line["token"])
        if offer is None:
            offer = self.offers[line["token"]] = Offer(
                line["token"], line["namespace"], line["named"], line["parameters"], line["at"]
            )
        offer.requested_at = min(offer.requested_at, line["at"])
        return offer

    def _add_trace(self, line: Line) -> None:
        namespace = line["namespace"]
        for sync in line["syncs"]:
            key = namespace, sync["sync"]
            seen = {"event": sync["event"], "members": [[each["id"], each["actor"]] for each in sync["members"]]}
            if self.traced.setdefault(key, seen) != seen:
                self.violation("trace", f"GET /trace had the sync {key} as {self.traced[key]} and as {seen}")
            self.trace_end[namespace] = max(self.trace_end[namespace], sync["sync"])

    # --- checking ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Find all violations."""
        for offer in self.offers.values():
            is_uncertain = not offer.named and any(each.code in UNCERTAIN_CODES for each in offer.responses)
            offer.is_abandoned = offer.is_abandoned or offer.is_lost or is_uncertain
            self._check_responses(offer)
        for key in sorted(self.bodies):
            self._check_sync(key, json.loads(self.bodies[key]))
        self._check_numbers()
        self._check_order()

    def _check_responses(self, offer: Offer) -> None:
        """Check that an offer gets an outcome, nothing unexpected, and always the same outcome (G6, G7)."""
        who = f"{offer.token} ({offer.namespace})"
        for response in offer.responses:
            if response.status == 200:
                self._add_sync(offer, response)
            elif response.code in END_OF_CODE:
                self._check_end(offer, response)
            elif response.code not in TRANSIENT_CODES:
                self.violation("unexpected", f"{who} got {response.status}: {response.body}")
        outcomes = offer.outcomes
        if len({(response.status, response.body) for response in outcomes}) > 1:
            seen = " then ".join(f"{response.status} {response.body.strip()}" for response in outcomes)
            self.violation("changed", f"{who} got {seen}")
        was_refused = not offer.named and any(response.code in TRANSIENT_CODES for response in offer.responses)
        if not (outcomes or offer.is_abandoned or was_refused):
            self.violation("no-outcome", f"{who} never got an outcome")

    def _check_end(self, offer: Offer, response: Response) -> None:
        """Check that an offer ends without a sync only if a client requested it."""
        who = f"{offer.token} ({offer.namespace})"
        document = json.loads(response.body)
        match response.code:
            case "timed-out":
                timeout_s = offer.parameters.get("timeout")
                if timeout_s is None or self._waited_s(offer, response, document) < timeout_s - EARLY_TIMEOUT_S_MAX:
                    self.violation("unrequested", f"{who} timed out, with a timeout of {timeout_s}: {response.body}")
            case "aborted":
                if document["reason"] not in self.reasons:
                    self.violation("unrequested", f"{who} was aborted, but no client requested it: {response.body}")
            case _:
                if not offer.may_be_withdrawn:
                    self.violation("unrequested", f"{who} was withdrawn, but no client requested it: {response.body}")

    def _waited_s(self, offer: Offer, response: Response, document: Line) -> float:
        """Return how long an offer has waited: by the server's account, or by the client's.

        A node that was taken for lost makes offers without an id again, for the time that is left, and counts anew.
        """
        waited_s = (response.at - offer.requested_at) / 1e9
        if self.clock_jumps_s is None:
            return max(float(document["waited_s"]), waited_s)
        return waited_s + self.clock_jumps_s

    def _add_sync(self, offer: Offer, response: Response) -> None:
        """Add the sync in the response of a member; every member gets the same bytes (G7)."""
        try:
            sync = json.loads(response.body)
            key = offer.namespace, int(sync["sync"])
            ids = [member["id"] for member in sync["members"]]
            tokens = [str(member["payload"]).split("|")[0] for member in sync["members"]]
        except (ValueError, LookupError, TypeError):
            self.violation("other-bytes", f"{offer.token} got a body that is not a sync: {response.body}")
            return
        if self.bodies.setdefault(key, response.body) != response.body:
            self.violation("other-bytes", f"the sync {key} has the bodies {self.bodies[key]} and {response.body}")
            return
        self.members[key] = tokens
        self.first_response[key] = min(self.first_response.get(key, response.at), response.at)
        if offer.token not in tokens:
            self.violation("unknown-member", f"{offer.token} got a sync of which it is not a member: {response.body}")
        elif response.rank != str(tokens.index(offer.token)):
            self.violation("rank", f"{offer.token} got the rank {response.rank} in {response.body}")
        if offer.named and offer.token in tokens and ids[tokens.index(offer.token)] != offer.token:
            self.violation("forged", f"{offer.token} has another id in {response.body}")

    def _check_sync(self, key: Key, sync: Line) -> None:
        """All members of a sync know it, are in no other, did not end otherwise, and obey rules 1, 2 and 5."""
        members: list[Offer] = []
        for token, member in zip(self.members[key], sync["members"], strict=True):
            offer = self.offers.get(token)
            if offer is None or offer.namespace != key[0]:
                self.violation(
                    "unknown-member", f"no client in this namespace offered {member}, a member of the sync {key}"
                )
                continue
            members.append(offer)
            self._check_member(key, offer)
            expected = {key: offer.parameters.get(key) for key in ("actor", "payload")} | {"labels": offer.labels}
            if {name: member.get(name) for name in expected} != expected:
                self.violation("forged", f"{token} was offered as {expected} and is in the sync {key} as {member}")
        if len(members) == len(sync["members"]):
            for kind, text in broken_rules(sync["event"], members):
                self.violation(kind, f"the sync {key}: {text}: {self.bodies[key]}")

    def _check_member(self, key: Key, offer: Offer) -> None:
        other = self.sync_of.setdefault(offer.token, key)
        if other != key:
            kind = "other-number" if set(self.members[other]) == set(self.members[key]) else "two-syncs"
            self.violation(kind, f"{offer.token} is in the syncs {other} and {key}")
        for response in offer.responses:
            if response.code in END_OF_CODE:
                self.violation(
                    f"after-{END_OF_CODE[response.code]}", f"{offer.token} is in the sync {key}, and: {response.body}"
                )
            elif not offer.named and response.code in TRANSIENT_CODES - UNCERTAIN_CODES:
                self.violation("after-refusal", f"{offer.token} is in the sync {key}, and was refused: {response.body}")
        if offer.withdrawn:
            self.violation("after-withdrawal", f"{offer.token} is in the sync {key}, and its DELETE got 204")
        if not offer.is_abandoned and not any(response.status == 200 for response in offer.responses):
            self.violation("lost-member", f"{offer.token} never got the sync {key}, which other members got")

    def _check_numbers(self) -> None:
        """Check that the syncs of a namespace are numbered 1, 2, 3 …, and GET /trace agrees with the members."""
        for key in sorted(self.bodies.keys() & self.traced.keys()):
            sync = json.loads(self.bodies[key])
            known = {"event": sync["event"], "members": [[each["id"], each["actor"]] for each in sync["members"]]}
            if known != self.traced[key]:
                self.violation("trace", f"GET /trace has the sync {key} as {self.traced[key]}, its members as {known}")
        namespaces = {namespace for namespace, _ in (*self.bodies, *self.traced)}
        abandoned_actors = {offer.parameters["actor"] for offer in self.offers.values() if offer.is_abandoned}
        for namespace in sorted(namespaces):
            learned = {number for name, number in self.bodies if name == namespace}
            if self.trace_end[namespace] < max(learned, default=0):
                self.violation("trace", f"GET /trace ends at {self.trace_end[namespace]}, members got {max(learned)}")
            for number in range(1, max(max(learned, default=0), self.trace_end[namespace]) + 1):
                traced = self.traced.get((namespace, number))
                if traced is None:
                    self.violation("hole", f"the sync {number} of {namespace} is not in the trace")
                elif number not in learned and not all(actor in abandoned_actors for _, actor in traced["members"]):
                    self.violation("hole", f"no member got the sync {number} of {namespace}: {traced}")

    def _check_order(self) -> None:
        """If a member was first offered after another sync was in a response, its own sync has the higher number."""
        requested: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for namespace, number in self.bodies:
            known = [
                self.offers[token].requested_at for token in self.members[namespace, number] if token in self.offers
            ]
            requested[namespace].append((number, max(known, default=0)))
        for namespace, syncs in requested.items():
            first_response, later = sys.maxsize, 0
            for number, requested_at in sorted(syncs, reverse=True):
                if requested_at > first_response:
                    self.violation("order", f"{namespace}: {number} was requested after {later} was in a response")
                if self.first_response[namespace, number] < first_response:
                    first_response, later = self.first_response[namespace, number], number

    def summary(self) -> Line:
        """Return counts of what was recorded, so that a test can check that it was enough."""
        offers = self.offers.values()
        ends = Counter(END_OF_CODE.get(offer.outcomes[0].code, "sync") for offer in offers if offer.outcomes)
        return {
            "offers": len(self.offers),
            "syncs": len(self.bodies),
            "namespaces": len(self.trace_end),
            "larger_syncs": sum(len(members) > 2 for members in self.members.values()),
            "repeated_after_outcome": sum(len(offer.outcomes) > 1 for offer in offers),
            "abandoned": sum(offer.is_abandoned for offer in offers),
            "withdrawn": sum(offer.withdrawn for offer in offers),
            "ends": dict(sorted(ends.items())),
            "transient": dict(
                sorted(
                    Counter(
                        response.code for offer in offers for response in offer.responses if response.status >= 400
                    ).items()
                )
            ),
        }


def broken_rules(event: str, members: list[Offer]) -> Iterable[Violation]:
    """Yield the violations of rules 1, 2 and 5 by a set of offers."""
    for member in members:
        if event not in member.events:
            yield Violation("incompatible", f"{member.token} is not an offer for {event}")
        for other in members:
            selector = member.parameters.get("selector", f"actor!={member.parameters['actor']}")
            if other is not member and "expect" not in member.parameters and not matches(selector, other.labels):
                yield Violation("incompatible", f"{selector} of {member.token} does not match {other.labels}")
        if "expect" in member.parameters:
            roster = sorted({*member.parameters["expect"], member.parameters["actor"]})
            actors = sorted(other.parameters["actor"] for other in members)
            if actors != roster:
                yield Violation("roster", f"{member.token} expected {roster}, got {actors}")
    mates = max(
        len({*member.parameters["expect"], member.parameters["actor"]}) - 1
        if "expect" in member.parameters
        else int(member.parameters.get("mates", 1))
        for member in members
    )
    if len(members) != mates + 1:
        yield Violation("size", f"expected {mates} mates, got {len(members) - 1}")


def matches(selector: str, labels: dict[str, str]) -> bool:
    """Return whether a selector matches labels; only the simple selectors of these tests are supported."""
    return all(_requirement(part.strip())(labels) for part in re.split(r",(?![^(]*\))", selector) if part.strip())


def _requirement(text: str) -> Callable[[dict[str, str]], bool]:
    if found := re.fullmatch(r"(\S+) (in|notin) \(([^)]*)\)", text):
        key, word, values = found[1], found[2], set(found[3].split(","))
        return lambda labels: (labels.get(key) in values) == (word == "in")
    if found := re.fullmatch(r"([^!=]+)(!=|=)([^=]*)", text):
        name, sign, value = found[1], found[2], found[3]
        return lambda labels: (labels.get(name) == value) == (sign == "=")
    if text.startswith("!"):
        return lambda labels: text[1:] not in labels
    return lambda labels: text in labels


def check(files: Iterable[tuple[str, str]]) -> tuple[list[Violation], Line]:
    """Return the violations in files (name and text of each, the oldest of one client first), and a summary."""
    checker = Checker()
    for name, text in files:
        checker.read(name, text)
    checker.check()
    return checker.violations, checker.summary()


def main(paths: list[str]) -> int:
    """Check files, and print what was found; return 1 if there are violations."""
    violations, summary = check((path, Path(path).read_text()) for path in paths)
    for violation in violations:
        sys.stderr.write(f"{violation.kind}: {violation.text}\n")
    sys.stdout.write(json.dumps(summary) + "\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
