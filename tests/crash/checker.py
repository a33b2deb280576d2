"""Judges what clients wrote down: `python -m tests.crash.checker FILE…` prints every broken promise, and fails on one.

It reads only those files and knows nothing of syncnet's code: what it holds against the server is the contract
(docs/semantics.md). A file is what one client wrote, line by line as JSON, each line before it went on:

| what       | beside `at` (monotonic, in ns) and, of an offer, `token` and `namespace`                              |
| ---------- | ----------------------------------------------------------------------------------------------------- |
| asks       | `named`, `parameters`: it is about to send this offer, for the first time or again                    |
| told       | `status`, `code`, `rank`, `body`: the whole answer to that                                            |
| lost       | the connection was lost and nobody will ask again: the offer has no id                                |
| withdraws  | it is about to send a DELETE                                                                          |
| withdrawal | `status`: the answer to that                                                                          |
| aborts     | `by`, `reason`: it is about to send an abort                                                          |
| trace      | `namespace`, `syncs` (`sync`, `event`, `members` with `id` and `actor`): what GET /trace said         |
| done       | the client ended in good order: it knows what became of all that it asked                             |

A token is the offer's id where it has one, and the beginning of its payload, up to the first `|`, in any case.
What nobody could learn is no violation: an offer that was asked by clients only that did not live to write `done`, or
that is lost, is a *stray*. Of a stray nothing is wanted but that what is known of it agrees.
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

TRANSIENT_CODES = {"replaced", "draining", "journal", "full", "bad-body", "slow-body"}
"""What is told of a request and not of its offer: with an id the client asks again; without, nothing was left behind.
A body is bad where a connection was cut within it."""
END_OF_CODE = {"timed-out": "timeout", "aborted": "abort", "withdrawn": "withdrawal"}
EARLY_S = 0.05
"""How much sooner than it should a timeout may come, for the sake of clocks."""

Line: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, int]
"""A sync: its namespace and its number."""


class Violation(NamedTuple):
    """One broken promise: of what kind, and what was seen."""

    kind: str
    text: str


class Told(NamedTuple):
    """An answer."""

    at: int
    status: int
    code: str
    rank: str
    body: str


@dataclass
class Offer:
    """What is known of one offer from all files."""

    token: str
    namespace: str
    named: bool
    parameters: Line
    asked_at: int
    told: list[Told] = field(default_factory=list)
    is_stray: bool = True
    may_be_withdrawn: bool = False
    withdrawn: bool = False
    is_lost: bool = False

    @property
    def events(self) -> list[str]:
        return list(self.parameters["event"])

    @property
    def labels(self) -> dict[str, str]:
        return {"actor": self.parameters["actor"], **self.parameters.get("labels", {})}

    @property
    def outcomes(self) -> list[Told]:
        """The answers that say what became of it."""
        return [told for told in self.told if told.status == 200 or told.code in END_OF_CODE]


class Checker:
    """Takes in the lines of all files, and then says what is wrong."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.offers: dict[str, Offer] = {}
        self.reasons: set[str] = set()
        self.traced: dict[Key, Line] = {}
        self.trace_end: Counter[str] = Counter()
        self.bodies: dict[Key, str] = {}
        self.members: dict[Key, list[str]] = {}
        self.first_told: dict[Key, int] = {}
        self.sync_of: dict[str, Key] = {}

    def wrong(self, kind: str, text: str) -> None:
        self.violations.append(Violation(kind, text))

    # --- reading -------------------------------------------------------------------------------------------

    def read(self, name: str, text: str) -> None:
        """Take in one file. Only its last line may be broken off, and only where the client was killed."""
        lines: list[Line] = []
        raw = text.split("\n")
        for number, written in enumerate(raw, 1):
            try:
                if written:
                    lines.append(json.loads(written))
            except ValueError:
                if number < len(raw):
                    self.wrong("unreadable", f"{name}: line {number} is no JSON: {written[:80]}")
        is_done = bool(lines) and lines[-1]["what"] == "done"
        for line in lines:
            self._take(line, is_done)

    def _take(self, line: Line, is_done: bool) -> None:
        match line["what"]:
            case "done":
                return
            case "aborts":
                self.reasons.add(line["reason"])
                return
            case "trace":
                self._take_trace(line)
                return
            case "asks":
                offer = self._asked(line)
            case _:
                offer = self.offers[line["token"]]
        offer.is_stray = offer.is_stray and not is_done
        match line["what"]:
            case "told":
                offer.told.append(Told(line["at"], line["status"], line["code"], line["rank"], line["body"]))
            case "lost":
                offer.is_lost = True
            case "withdraws":
                offer.may_be_withdrawn = True
            case "withdrawal":
                offer.withdrawn = offer.withdrawn or line["status"] == 204

    def _asked(self, line: Line) -> Offer:
        offer = self.offers.get(line["token"])
        if offer is None:
            offer = self.offers[line["token"]] = Offer(
                line["token"], line["namespace"], line["named"], line["parameters"], line["at"]
            )
        offer.asked_at = min(offer.asked_at, line["at"])
        return offer

    def _take_trace(self, line: Line) -> None:
        namespace = line["namespace"]
        for sync in line["syncs"]:
            key = namespace, sync["sync"]
            seen = {"event": sync["event"], "members": [[each["id"], each["actor"]] for each in sync["members"]]}
            if self.traced.setdefault(key, seen) != seen:
                self.wrong("trace", f"GET /trace told two things of the sync {key}: {self.traced[key]} and {seen}")
            self.trace_end[namespace] = max(self.trace_end[namespace], sync["sync"])

    # --- judging -------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Find what is wrong."""
        for offer in self.offers.values():
            offer.is_stray = offer.is_stray or offer.is_lost
            self._judge_answers(offer)
        for key in sorted(self.bodies):
            self._judge_sync(key, json.loads(self.bodies[key]))
        self._judge_numbers()
        self._judge_time()

    def _judge_answers(self, offer: Offer) -> None:
        """What one offer was told: something, nothing unexpected, and always the same (G6, G7)."""
        who = f"{offer.token} ({offer.namespace})"
        for told in offer.told:
            if told.status == 200:
                self._learn(offer, told)
            elif told.code in END_OF_CODE:
                self._judge_end(offer, told)
            elif told.code not in TRANSIENT_CODES:
                self.wrong("unexpected", f"{who} was told {told.status}: {told.body}")
        outcomes = offer.outcomes
        if len({(told.status, told.body) for told in outcomes}) > 1:
            seen = " then ".join(f"{told.status} {told.body.strip()}" for told in outcomes)
            self.wrong("changed", f"{who} was told {seen}")
        is_refused = not offer.named and any(told.code in TRANSIENT_CODES for told in offer.told)
        if not (outcomes or offer.is_stray or is_refused):
            self.wrong("never-told", f"{who} was never told what became of it")

    def _judge_end(self, offer: Offer, told: Told) -> None:
        """Whether an end other than a sync was asked for."""
        who = f"{offer.token} ({offer.namespace})"
        document = json.loads(told.body)
        match told.code:
            case "timed-out":
                timeout_s = offer.parameters.get("timeout")
                if timeout_s is None or document["waited_s"] < timeout_s - EARLY_S:
                    self.wrong("unasked", f"{who} timed out, with a timeout of {timeout_s}: {told.body}")
            case "aborted":
                if document["reason"] not in self.reasons:
                    self.wrong("unasked", f"{who} was aborted, and nobody asked for that: {told.body}")
            case _:
                if not offer.may_be_withdrawn:
                    self.wrong("unasked", f"{who} was withdrawn, and nobody asked for that: {told.body}")

    def _learn(self, offer: Offer, told: Told) -> None:
        """Note the sync that a member was told of; every member is told the same bytes (G7)."""
        try:
            sync = json.loads(told.body)
            key = offer.namespace, int(sync["sync"])
            ids = [member["id"] for member in sync["members"]]
            tokens = [str(member["payload"]).split("|")[0] for member in sync["members"]]
        except (ValueError, LookupError, TypeError):
            self.wrong("other-bytes", f"{offer.token} was told what is no sync: {told.body}")
            return
        if self.bodies.setdefault(key, told.body) != told.body:
            self.wrong("other-bytes", f"the sync {key} was told as {self.bodies[key]} and as {told.body}")
            return
        self.members[key] = tokens
        self.first_told[key] = min(self.first_told.get(key, told.at), told.at)
        if offer.token not in tokens:
            self.wrong("stranger", f"{offer.token} was told of a sync that it is not in: {told.body}")
        elif told.rank != str(tokens.index(offer.token)):
            self.wrong("rank", f"{offer.token} was told that its rank is {told.rank} in {told.body}")
        if offer.named and offer.token in tokens and ids[tokens.index(offer.token)] != offer.token:
            self.wrong("forged", f"{offer.token} has another id in {told.body}")

    def _judge_sync(self, key: Key, sync: Line) -> None:
        """One sync: all its members know it, are in no other, did not end before, and obey rules 1, 2 and 5."""
        members: list[Offer] = []
        for token, told in zip(self.members[key], sync["members"], strict=True):
            offer = self.offers.get(token)
            if offer is None or offer.namespace != key[0]:
                self.wrong("stranger", f"nobody asked in this namespace for {told}, a member of the sync {key}")
                continue
            members.append(offer)
            self._judge_member(key, offer)
            wanted = {key: offer.parameters.get(key) for key in ("actor", "payload")} | {"labels": offer.labels}
            if {name: told.get(name) for name in wanted} != wanted:
                self.wrong("forged", f"{token} asked as {wanted} and is in the sync {key} as {told}")
        if len(members) == len(sync["members"]):
            for kind, text in broken_rules(sync["event"], members):
                self.wrong(kind, f"the sync {key}: {text}: {self.bodies[key]}")

    def _judge_member(self, key: Key, offer: Offer) -> None:
        other = self.sync_of.setdefault(offer.token, key)
        if other != key:
            kind = "other-number" if set(self.members[other]) == set(self.members[key]) else "two-syncs"
            self.wrong(kind, f"{offer.token} is in the syncs {other} and {key}")
        for told in offer.told:
            if told.code in END_OF_CODE:
                self.wrong(f"after-{END_OF_CODE[told.code]}", f"{offer.token} is in the sync {key}, and: {told.body}")
            elif not offer.named and told.code in TRANSIENT_CODES:
                self.wrong("after-refusal", f"{offer.token} is in the sync {key}, and was refused: {told.body}")
        if offer.withdrawn:
            self.wrong("after-withdrawal", f"{offer.token} is in the sync {key}, and its DELETE was answered with 204")
        if not offer.is_stray and not any(told.status == 200 for told in offer.told):
            self.wrong("lost-member", f"{offer.token} was never told of the sync {key}, which others know")

    def _judge_numbers(self) -> None:
        """The numbers of a namespace are 1, 2, 3 …, and GET /trace says the same as the members."""
        for key in sorted(self.bodies.keys() & self.traced.keys()):
            sync = json.loads(self.bodies[key])
            known = {"event": sync["event"], "members": [[each["id"], each["actor"]] for each in sync["members"]]}
            if known != self.traced[key]:
                self.wrong("trace", f"GET /trace tells {self.traced[key]} of the sync {key}, its members {known}")
        namespaces = {namespace for namespace, _ in (*self.bodies, *self.traced)}
        stray_actors = {offer.parameters["actor"] for offer in self.offers.values() if offer.is_stray}
        for namespace in sorted(namespaces):
            learned = {number for name, number in self.bodies if name == namespace}
            if self.trace_end[namespace] < max(learned, default=0):
                self.wrong("trace", f"GET /trace ends at {self.trace_end[namespace]}, members know {max(learned)}")
            for number in range(1, max(max(learned, default=0), self.trace_end[namespace]) + 1):
                traced = self.traced.get((namespace, number))
                if traced is None:
                    self.wrong("hole", f"the sync {number} of {namespace} is not in the trace")
                elif number not in learned and not all(actor in stray_actors for _, actor in traced["members"]):
                    self.wrong("hole", f"nobody was told of the sync {number} of {namespace}: {traced}")

    def _judge_time(self) -> None:
        """A sync of which some member was asked for only after another sync had been told has the higher number."""
        asked: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for namespace, number in self.bodies:
            known = [self.offers[token].asked_at for token in self.members[namespace, number] if token in self.offers]
            asked[namespace].append((number, max(known, default=0)))
        for namespace, syncs in asked.items():
            first_told, later = sys.maxsize, 0
            for number, asked_at in sorted(syncs, reverse=True):
                if asked_at > first_told:
                    self.wrong("order", f"{namespace}: {number} was asked for after {later} had been told")
                if self.first_told[namespace, number] < first_told:
                    first_told, later = self.first_told[namespace, number], number

    def summary(self) -> Line:
        """What was seen, in figures: so that one can tell whether much was."""
        offers = self.offers.values()
        ends = Counter(END_OF_CODE.get(offer.outcomes[0].code, "sync") for offer in offers if offer.outcomes)
        return {
            "offers": len(self.offers),
            "syncs": len(self.bodies),
            "namespaces": len(self.trace_end),
            "larger_syncs": sum(len(members) > 2 for members in self.members.values()),
            "asked_again_when_known": sum(len(offer.outcomes) > 1 for offer in offers),
            "strays": sum(offer.is_stray for offer in offers),
            "withdrawn": sum(offer.withdrawn for offer in offers),
            "ends": dict(sorted(ends.items())),
            "transient": dict(
                sorted(Counter(told.code for offer in offers for told in offer.told if told.status >= 400).items())
            ),
        }


def broken_rules(event: str, members: list[Offer]) -> Iterable[Violation]:
    """Yield which of the rules 1, 2 and 5 a set of offers breaks."""
    for member in members:
        if event not in member.events:
            yield Violation("incompatible", f"{member.token} is not there for {event}")
        for other in members:
            selector = member.parameters.get("selector", f"actor!={member.parameters['actor']}")
            if other is not member and "expect" not in member.parameters and not matches(selector, other.labels):
                yield Violation("incompatible", f"{selector} of {member.token} does not match {other.labels}")
        if "expect" in member.parameters:
            roster = sorted({*member.parameters["expect"], member.parameters["actor"]})
            actors = sorted(other.parameters["actor"] for other in members)
            if actors != roster:
                yield Violation("roster", f"{member.token} expected {roster}, not {actors}")
    mates = max(
        len({*member.parameters["expect"], member.parameters["actor"]}) - 1
        if "expect" in member.parameters
        else int(member.parameters.get("mates", 1))
        for member in members
    )
    if len(members) != mates + 1:
        yield Violation("size", f"{mates} mates were wanted at most, and {len(members) - 1} came")


def matches(selector: str, labels: dict[str, str]) -> bool:
    """Return whether a selector of the simple forms that the clients of these tests use matches labels."""
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
    """Return the violations in files (name and text of each, the eldest of one client first), and a summary."""
    checker = Checker()
    for name, text in files:
        checker.read(name, text)
    checker.judge()
    return checker.violations, checker.summary()


def main(paths: list[str]) -> int:
    violations, summary = check((path, Path(path).read_text()) for path in paths)
    for violation in violations:
        sys.stderr.write(f"{violation.kind}: {violation.text}\n")
    sys.stdout.write(json.dumps(summary) + "\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
