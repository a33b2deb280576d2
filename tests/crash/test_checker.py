"""The checker finds planted violations of every kind, and none where there is none. Nothing of syncnet runs here."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.crash import checker
from tests.crash.checker import check, matches

Lines: TypeAlias = list[dict[str, Any]]
Files: TypeAlias = dict[str, Lines]
"""What the clients wrote, by client."""


class Story:
    """Files of clients that saw a server keep all its promises; the tests then tell them otherwise."""

    def __init__(self) -> None:
        self.at = 0
        self.files: Files = {name: [] for name in ("a", "b", "c", "trace")}

    def write(self, client: str, what: str, **fields: Any) -> dict[str, Any]:
        self.at += 1
        line = {"what": what, "at": self.at, **fields}
        self.files[client].append(line)
        return line

    def asks(self, client: str, token: str, *, named: bool = True, **parameters: Any) -> None:
        given = {"event": ["coin"], "actor": token[0], "payload": f"{token}|x", **parameters}
        self.write(client, "asks", token=token, namespace="default", named=named, parameters=given)

    def told(self, client: str, token: str, status: int, code: str = "", rank: str = "", **body: Any) -> None:
        text = json.dumps(body)
        self.write(client, "told", token=token, status=status, code=code, rank=rank, body=text)

    def sync(self, number: int, event: str, *members: str) -> None:
        """Tell all members, clients of the first letters of their tokens, of a sync; and write it into the trace."""
        asked = {line["token"]: line for client in "abc" for line in self.files[client] if line["what"] == "asks"}
        listed = []
        for token in members:
            given = asked[token]["parameters"]
            labels = {"actor": given["actor"], **given.get("labels", {})}
            id = token if asked[token]["named"] else f"made-up-{token}"
            listed.append({"id": id, "actor": given["actor"], "labels": labels, "payload": given["payload"]})
        for rank, token in enumerate(members):
            self.told(token[0], token, 200, rank=str(rank), event=event, sync=number, members=listed)
        syncs = [{"sync": number, "event": event, "members": listed}]
        self.write("trace", "trace", namespace="default", syncs=syncs)

    def end(self) -> Files:
        for client in self.files:
            self.write(client, "done")
        return self.files


def good() -> Files:
    """One offer for each way in which it can end, and syncs of two and of three."""
    story = Story()
    story.asks("a", "a1")
    story.asks("b", "b1")
    story.sync(1, "coin", "a1", "b1")
    story.told("a", "a1", 503, "draining")
    story.files["a"].append(dict(story.files["a"][1]))  # told again, the same
    for token in ("a2", "b2", "c2"):
        story.asks(token[0], token, event=["tea", "exam"], expect=["a", "b", "c"])
    story.sync(2, "exam", "a2", "b2", "c2")
    for token in ("a3", "b3", "c3"):
        story.asks(token[0], token, mates=2, labels={"colour": "red"}, selector="colour in (red,blue),!size")
    story.sync(3, "coin", "c3", "b3", "a3")
    story.asks("a", "a4", timeout=1.0)
    story.told("a", "a4", 408, "timed-out", waited_s=1.0)
    story.asks("a", "a5")
    story.write("b", "aborts", by="b", reason="enough")
    story.told("a", "a5", 410, "aborted", reason="enough")
    story.asks("a", "a6")
    story.write("a", "withdraws", token="a6")
    story.write("a", "withdrawal", token="a6", status=204)
    story.told("a", "a6", 410, "withdrawn")
    story.asks("a", "a7", named=False)
    story.told("a", "a7", 503, "draining")
    story.asks("a", "a8", named=False)
    story.write("a", "lost", token="a8")
    story.asks("a", "a9")
    story.told("a", "a9", 409, "replaced")
    story.write("a", "withdraws", token="a9")
    story.write("a", "withdrawal", token="a9", status=404)
    story.write("a", "withdraws", token="a9")
    story.write("a", "withdrawal", token="a9", status=204)
    story.told("a", "a9", 410, "withdrawn")
    story.asks("b", "b9", named=False)
    story.asks("c", "c9")
    story.sync(4, "coin", "b9", "c9")
    return story.end()


def kinds(files: Files) -> set[str]:
    violations, _ = check((name, "".join(json.dumps(line) + "\n" for line in lines)) for name, lines in files.items())
    return {violation.kind for violation in violations}


def line(files: Files, client: str, what: str, token: str) -> dict[str, Any]:
    return next(each for each in files[client] if each["what"] == what and each.get("token") == token)


def retell(files: Files, client: str, token: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a member was told of its sync."""
    told = line(files, client, "told", token)
    body = json.loads(told["body"])
    change(body)
    told["body"] = json.dumps(body)


def everywhere(files: Files, number: int, change: Callable[[dict[str, Any]], object]) -> Files:
    """Change what all were told of a sync, the trace too."""
    for each in [each for lines in files.values() for each in lines]:
        if each["what"] == "told" and each["status"] == 200 and json.loads(each["body"])["sync"] == number:
            body = json.loads(each["body"])
            change(body)
            each["body"] = json.dumps(body)
        elif each["what"] == "trace" and each["syncs"][0]["sync"] == number:
            each["syncs"] = json.loads(json.dumps(each["syncs"]))
            change(each["syncs"][0])
    return files


def told_too(files: Files, client: str, token: str, status: int, code: str, **body: Any) -> None:
    """Let a client be told something more, before it was done."""
    files[client].insert(
        -1,
        {
            "what": "told",
            "at": 99,
            "token": token,
            "status": status,
            "code": code,
            "rank": "",
            "body": json.dumps(body),
        },
    )


def retold(files: Files, client: str, token: str, code: str) -> None:
    """Let a client be told nothing but this of an offer."""
    files[client] = [
        each for each in files[client] if (each["what"], each.get("token")) != ("told", token) or each["code"] == code
    ]


def without(files: Files, client: str, what: str, token: str) -> Files:
    files[client].remove(line(files, client, what, token))
    return files


def asked_otherwise(files: Files, client: str, token: str, **parameters: Any) -> Files:
    line(files, client, "asks", token)["parameters"].update(parameters)
    return files


def copied_sync(files: Files, number: int, as_number: int) -> None:
    """Let the members of a sync be told of another one, with the same members."""
    for lines in files.values():
        for each in [json.loads(json.dumps(each)) for each in lines]:
            if each["what"] == "told" and each["status"] == 200 and json.loads(each["body"])["sync"] == number:
                each["body"] = json.dumps({**json.loads(each["body"]), "sync": as_number})
                lines.insert(-1, each)
            elif each["what"] == "trace" and each["syncs"][0]["sync"] == number:
                each["syncs"][0]["sync"] = as_number
                lines.insert(-1, each)


def merged_member(files: Files, number: int, token: str) -> Files:
    """Let an offer of one sync be in another one too."""
    member = {"id": token, "actor": token[0], "labels": {"actor": token[0]}, "payload": f"{token}|x"}
    everywhere(files, number, lambda sync: sync["members"].append(member))
    return files


def swapped(files: Files, one: int, other: int) -> Files:
    """Let two syncs change their numbers."""
    everywhere(files, one, lambda sync: sync.update(sync=99))
    everywhere(files, other, lambda sync: sync.update(sync=one))
    return everywhere(files, 99, lambda sync: sync.update(sync=other))


def without_deletes(files: Files) -> Files:
    files["a"] = [each for each in files["a"] if not each["what"].startswith("withdraw")]
    return files


PLANTED: list[tuple[str, Callable[[Files], object]]] = [
    ("lost-member", lambda f: without(f, "b", "told", "b1")),
    ("lost-member", lambda f: without(f, "c", "told", "c2")),
    ("lost-member", lambda f: without(f, "c", "told", "c9")),
    ("never-told", lambda f: without(f, "a", "told", "a4")),
    ("never-told", lambda f: without(f, "a", "lost", "a8")),
    ("never-told", lambda f: retold(f, "a", "a9", "replaced")),
    ("other-bytes", lambda f: retell(f, "b", "b1", lambda sync: sync.update(payloads={}))),
    ("other-bytes", lambda f: line(f, "b", "told", "b1").update(body='{"event": "coin", "sy')),
    ("other-number", lambda f: copied_sync(f, 4, 5)),
    ("other-number", lambda f: retell(f, "c", "c9", lambda sync: sync.update(sync=5))),
    ("two-syncs", lambda f: merged_member(f, 4, "a1")),
    ("hole", lambda f: everywhere(f, 2, lambda sync: sync.update(sync=7))),
    ("hole", lambda f: f["trace"].pop(1)),
    ("hole", lambda f: [without(f, token[0], "told", token) for token in ("a2", "b2", "c2")]),
    ("trace", lambda f: f["trace"].pop(-2)),
    ("trace", lambda f: f["trace"][0]["syncs"][0].update(event="tea")),
    ("trace", lambda f: f["trace"][0]["syncs"][0].update(members=[])),
    (
        "trace",
        lambda f: f["trace"].insert(1, {**f["trace"][0], "syncs": [{**f["trace"][0]["syncs"][0], "event": "x"}]}),
    ),
    ("after-timeout", lambda f: merged_member(f, 1, "a4")),
    ("after-abort", lambda f: merged_member(f, 1, "a5")),
    ("after-withdrawal", lambda f: merged_member(f, 1, "a6")),
    ("after-withdrawal", lambda f: merged_member(without(f, "a", "told", "a6"), 1, "a6")),
    ("after-refusal", lambda f: merged_member(f, 1, "a7")),
    ("changed", lambda f: told_too(f, "a", "a1", 408, "timed-out", waited_s=1)),
    ("changed", lambda f: told_too(f, "a", "a4", 408, "timed-out", waited_s=2)),
    ("changed", lambda f: told_too(f, "a", "a5", 410, "withdrawn")),
    ("incompatible", lambda f: asked_otherwise(f, "a", "a1", selector="colour=red")),
    ("incompatible", lambda f: asked_otherwise(f, "a", "a1", event=["tea"])),
    ("incompatible", lambda f: asked_otherwise(f, "c", "c3", selector="colour!=red")),
    ("size", lambda f: asked_otherwise(f, "a", "a1", mates=2)),
    ("size", lambda f: [asked_otherwise(f, token[0], token, mates=1) for token in ("a3", "b3", "c3")]),
    ("roster", lambda f: asked_otherwise(f, "b", "b2", expect=["a", "b", "d"])),
    ("roster", lambda f: asked_otherwise(f, "b", "b1", expect=["a", "b", "c"])),
    ("forged", lambda f: asked_otherwise(f, "a", "a1", payload="a1|y")),
    ("forged", lambda f: asked_otherwise(f, "a", "a3", labels={"colour": "blue"})),
    ("forged", lambda f: everywhere(f, 1, lambda sync: sync["members"][0].update(id="another"))),
    ("stranger", lambda f: merged_member(f, 1, "b8")),
    ("stranger", lambda f: line(f, "a", "told", "a1").update(body=line(f, "c", "told", "c9")["body"])),
    ("rank", lambda f: line(f, "a", "told", "a1").update(rank="1")),
    ("order", lambda f: swapped(f, 1, 4)),
    ("unasked", lambda f: retell(f, "a", "a4", lambda problem: problem.update(waited_s=0.4))),
    ("unasked", lambda f: told_too(f, "a", "a9", 408, "timed-out", waited_s=1)),
    ("unasked", lambda f: retell(f, "a", "a5", lambda problem: problem.update(reason="no reason"))),
    ("unasked", without_deletes),
    ("unexpected", lambda f: told_too(f, "a", "a1", 409, "id-reused")),
    ("unexpected", lambda f: told_too(f, "a", "a1", 500, "internal")),
]
"""Each a way to break a promise, and the kind of violation that it is."""


@pytest.mark.parametrize(("kind", "plant"), PLANTED, ids=[f"{n}-{kind}" for n, (kind, _) in enumerate(PLANTED)])
def test_a_planted_violation_is_found(kind: str, plant: Callable[[Files], object]) -> None:
    files = good()
    plant(files)
    assert kind in kinds(files)


def test_every_kind_of_violation_is_planted() -> None:
    source = Path(checker.__file__).read_text()
    found = set(re.findall(r'(?:wrong\(|Violation\(|kind = )"([a-z-]+)"', source)) | {"two-syncs"}
    ends = {f"after-{end}" for end in checker.END_OF_CODE.values()}
    assert found | ends == {kind for kind, _ in PLANTED} | {"unreadable"}


def test_where_all_promises_are_kept_nothing_is_found() -> None:
    assert kinds(good()) == set()


def test_what_nobody_could_learn_is_no_violation() -> None:
    """A client that was killed may have been told nothing; the others know of it, or nobody does."""
    files = good()
    files["c"] = [each for each in files["c"] if each["what"] == "asks"]  # killed before it was told anything
    assert kinds(files) == set()
    files["b"] = [each for each in files["b"] if each["what"] in ("asks", "aborts")]
    assert kinds(files) == set()  # the sync of b9 and c9 stands in the trace only


def test_a_successor_must_learn_what_its_predecessor_did_not() -> None:
    files = good()
    asks = line(files, "c", "asks", "c2")
    files["c"] = [each for each in files["c"] if each["what"] == "asks"]
    files["c-again"] = [asks, {"what": "done", "at": 100}]
    assert kinds(files) == {"lost-member", "never-told"}
    told = line(good(), "c", "told", "c2")
    files["c-again"].insert(1, told)
    assert kinds(files) == set()


def test_only_the_last_line_of_a_client_that_was_killed_may_be_broken_off() -> None:
    text = '{"what": "aborts", "at": 1, "by": "a", "reason": "r"}\n'
    assert check([("a", text + '{"what": "as')])[0] == []
    assert [violation.kind for violation in check([("a", '{"what": "as\n' + text)])[0]] == ["unreadable"]


def test_the_program_prints_what_it_finds_and_fails(tmp_path: Path) -> None:
    files = good()
    paths = [tmp_path / name for name in files]

    def run() -> subprocess.CompletedProcess[str]:
        for path in paths:
            path.write_text("".join(json.dumps(each) + "\n" for each in files[path.name]))
        command = [sys.executable, "-m", "tests.crash.checker", *map(str, paths)]
        return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent)

    well = run()
    assert (well.returncode, well.stderr) == (0, "")
    assert json.loads(well.stdout)["syncs"] == 4
    without(files, "b", "told", "b1")
    ill = run()
    assert ill.returncode == 1
    assert "lost-member: b1 was never told of the sync ('default', 1), which others know\n" in ill.stderr


def test_the_checker_knows_nothing_of_syncnet() -> None:
    assert not re.search(r"^(from|import) (syncnet|tests)", Path(checker.__file__).read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        ("", True),
        ("colour=red", True),
        ("colour=blue", False),
        ("colour!=red", False),
        ("size!=1", True),
        ("colour in (blue,red),actor=a", True),
        ("colour in (blue,red),actor=b", False),
        ("colour notin (blue,red)", False),
        ("size notin (1,2)", True),
        ("colour,!size", True),
        ("!colour", False),
        ("size", False),
    ],
)
def test_selectors_of_the_checker(selector: str, wanted: bool) -> None:
    assert matches(selector, {"actor": "a", "colour": "red"}) == wanted
