"""The checker finds planted violations of every kind, and none in valid files. syncnet itself is not run."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from syncnet.testing import checker
from syncnet.testing.checker import check, matches

Lines: TypeAlias = list[dict[str, Any]]
Files: TypeAlias = dict[str, Lines]
"""The lines of each client."""


class Recording:
    """Makes files of clients without violations; the tests then change them."""

    def __init__(self) -> None:
        self.at = 0
        self.files: Files = {name: [] for name in ("a", "b", "c", "trace")}

    def write(self, client: str, what: str, **fields: Any) -> dict[str, Any]:
        self.at += 1
        line = {"what": what, "at": self.at, **fields}
        self.files[client].append(line)
        return line

    def request(self, client: str, token: str, *, named: bool = True, **parameters: Any) -> None:
        given = {"event": ["coin"], "actor": token[0], "payload": f"{token}|x", **parameters}
        self.write(client, "request", token=token, namespace="default", named=named, parameters=given)

    def response(self, client: str, token: str, status: int, code: str = "", rank: str = "", **body: Any) -> None:
        text = json.dumps(body)
        self.write(client, "response", token=token, status=status, code=code, rank=rank, body=text)

    def sync(self, number: int, event: str, *members: str) -> None:
        """Write a sync into the trace, and for each member into the file of its client (first letter of the token)."""
        requests = {line["token"]: line for client in "abc" for line in self.files[client] if line["what"] == "request"}
        listed = []
        for token in members:
            given = requests[token]["parameters"]
            labels = {"actor": given["actor"], **given.get("labels", {})}
            id = token if requests[token]["named"] else f"generated-{token}"
            listed.append({"id": id, "actor": given["actor"], "labels": labels, "payload": given["payload"]})
        for rank, token in enumerate(members):
            self.response(token[0], token, 200, rank=str(rank), event=event, sync=number, members=listed)
        syncs = [{"sync": number, "event": event, "members": listed}]
        self.write("trace", "trace", namespace="default", syncs=syncs)

    def end(self) -> Files:
        for client in self.files:
            self.write(client, "done")
        return self.files


def valid_files() -> Files:
    """Return files with an offer for each kind of end, and with syncs of two and of three."""
    recording = Recording()
    recording.request("a", "a1")
    recording.request("b", "b1")
    recording.sync(1, "coin", "a1", "b1")
    recording.response("a", "a1", 503, "draining")
    recording.files["a"].append(dict(recording.files["a"][1]))  # the same response again
    for token in ("a2", "b2", "c2"):
        recording.request(token[0], token, event=["tea", "exam"], expect=["a", "b", "c"])
    recording.sync(2, "exam", "a2", "b2", "c2")
    for token in ("a3", "b3", "c3"):
        recording.request(token[0], token, mates=2, labels={"colour": "red"}, selector="colour in (red,blue),!size")
    recording.sync(3, "coin", "c3", "b3", "a3")
    recording.request("a", "a4", timeout=1.0)
    recording.response("a", "a4", 410, "timed-out", waited_s=1.0)
    recording.request("a", "a5")
    recording.write("b", "abort-request", by="b", reason="enough")
    recording.response("a", "a5", 410, "aborted", reason="enough")
    recording.request("a", "a6")
    recording.write("a", "delete-request", token="a6")
    recording.write("a", "delete-response", token="a6", status=204)
    recording.response("a", "a6", 410, "withdrawn")
    recording.request("a", "a7", named=False)
    recording.response("a", "a7", 503, "draining")
    recording.request("a", "a8", named=False)
    recording.write("a", "lost", token="a8")
    recording.request("a", "a9")
    recording.response("a", "a9", 409, "replaced")
    recording.write("a", "delete-request", token="a9")
    recording.write("a", "delete-response", token="a9", status=404)
    recording.write("a", "delete-request", token="a9")
    recording.write("a", "delete-response", token="a9", status=204)
    recording.response("a", "a9", 410, "withdrawn")
    recording.request("b", "b9", named=False)
    recording.request("c", "c9")
    recording.sync(4, "coin", "b9", "c9")
    return recording.end()


def violation_kinds(files: Files) -> set[str]:
    violations, _ = check((name, "".join(json.dumps(line) + "\n" for line in lines)) for name, lines in files.items())
    return {violation.kind for violation in violations}


def line(files: Files, client: str, what: str, token: str) -> dict[str, Any]:
    return next(each for each in files[client] if each["what"] == what and each.get("token") == token)


def change_sync(files: Files, client: str, token: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the sync in the response of one member."""
    response = line(files, client, "response", token)
    body = json.loads(response["body"])
    change(body)
    response["body"] = json.dumps(body)


def change_sync_everywhere(files: Files, number: int, change: Callable[[dict[str, Any]], object]) -> Files:
    """Change a sync in all responses and in the trace."""
    for each in [each for lines in files.values() for each in lines]:
        if each["what"] == "response" and each["status"] == 200 and json.loads(each["body"])["sync"] == number:
            body = json.loads(each["body"])
            change(body)
            each["body"] = json.dumps(body)
        elif each["what"] == "trace" and each["syncs"][0]["sync"] == number:
            each["syncs"] = json.loads(json.dumps(each["syncs"]))
            change(each["syncs"][0])
    return files


def add_response(files: Files, client: str, token: str, status: int, code: str, **body: Any) -> None:
    """Add a response before the last line of a client."""
    files[client].insert(
        -1,
        {
            "what": "response",
            "at": 99,
            "token": token,
            "status": status,
            "code": code,
            "rank": "",
            "body": json.dumps(body),
        },
    )


def keep_response(files: Files, client: str, token: str, code: str) -> None:
    """Remove all responses to an offer except those with this code."""
    files[client] = [
        each
        for each in files[client]
        if (each["what"], each.get("token")) != ("response", token) or each["code"] == code
    ]


def without(files: Files, client: str, what: str, token: str) -> Files:
    files[client].remove(line(files, client, what, token))
    return files


def change_request(files: Files, client: str, token: str, **parameters: Any) -> Files:
    line(files, client, "request", token)["parameters"].update(parameters)
    return files


def copy_sync(files: Files, number: int, as_number: int) -> None:
    """Add a copy of a sync with another number."""
    for lines in files.values():
        for each in [json.loads(json.dumps(each)) for each in lines]:
            if each["what"] == "response" and each["status"] == 200 and json.loads(each["body"])["sync"] == number:
                each["body"] = json.dumps({**json.loads(each["body"]), "sync": as_number})
                lines.insert(-1, each)
            elif each["what"] == "trace" and each["syncs"][0]["sync"] == number:
                each["syncs"][0]["sync"] = as_number
                lines.insert(-1, each)


def add_member(files: Files, number: int, token: str) -> Files:
    """Add an offer to the members of a sync."""
    member = {"id": token, "actor": token[0], "labels": {"actor": token[0]}, "payload": f"{token}|x"}
    change_sync_everywhere(files, number, lambda sync: sync["members"].append(member))
    return files


def swap_numbers(files: Files, one: int, other: int) -> Files:
    """Exchange the numbers of two syncs."""
    change_sync_everywhere(files, one, lambda sync: sync.update(sync=99))
    change_sync_everywhere(files, other, lambda sync: sync.update(sync=one))
    return change_sync_everywhere(files, 99, lambda sync: sync.update(sync=other))


def without_deletes(files: Files) -> Files:
    files["a"] = [each for each in files["a"] if not each["what"].startswith("delete")]
    return files


PLANTED: list[tuple[str, Callable[[Files], object]]] = [
    ("lost-member", lambda f: without(f, "b", "response", "b1")),
    ("lost-member", lambda f: without(f, "c", "response", "c2")),
    ("lost-member", lambda f: without(f, "c", "response", "c9")),
    ("no-outcome", lambda f: without(f, "a", "response", "a4")),
    ("no-outcome", lambda f: without(f, "a", "lost", "a8")),
    ("no-outcome", lambda f: keep_response(f, "a", "a9", "replaced")),
    ("other-bytes", lambda f: change_sync(f, "b", "b1", lambda sync: sync.update(payloads={}))),
    ("other-bytes", lambda f: line(f, "b", "response", "b1").update(body='{"event": "coin", "sy')),
    ("other-number", lambda f: copy_sync(f, 4, 5)),
    ("other-number", lambda f: change_sync(f, "c", "c9", lambda sync: sync.update(sync=5))),
    ("two-syncs", lambda f: add_member(f, 4, "a1")),
    ("hole", lambda f: change_sync_everywhere(f, 2, lambda sync: sync.update(sync=7))),
    ("hole", lambda f: f["trace"].pop(1)),
    ("hole", lambda f: [without(f, token[0], "response", token) for token in ("a2", "b2", "c2")]),
    ("trace", lambda f: f["trace"].pop(-2)),
    ("trace", lambda f: f["trace"][0]["syncs"][0].update(event="tea")),
    ("trace", lambda f: f["trace"][0]["syncs"][0].update(members=[])),
    (
        "trace",
        lambda f: f["trace"].insert(1, {**f["trace"][0], "syncs": [{**f["trace"][0]["syncs"][0], "event": "x"}]}),
    ),
    ("after-timeout", lambda f: add_member(f, 1, "a4")),
    ("after-abort", lambda f: add_member(f, 1, "a5")),
    ("after-withdrawal", lambda f: add_member(f, 1, "a6")),
    ("after-withdrawal", lambda f: add_member(without(f, "a", "response", "a6"), 1, "a6")),
    ("after-refusal", lambda f: add_member(f, 1, "a7")),
    ("changed", lambda f: add_response(f, "a", "a1", 410, "timed-out", waited_s=1)),
    ("changed", lambda f: add_response(f, "a", "a4", 410, "timed-out", waited_s=2)),
    ("changed", lambda f: add_response(f, "a", "a5", 410, "withdrawn")),
    ("incompatible", lambda f: change_request(f, "a", "a1", selector="colour=red")),
    ("incompatible", lambda f: change_request(f, "a", "a1", event=["tea"])),
    ("incompatible", lambda f: change_request(f, "c", "c3", selector="colour!=red")),
    ("size", lambda f: change_request(f, "a", "a1", mates=2)),
    ("size", lambda f: [change_request(f, token[0], token, mates=1) for token in ("a3", "b3", "c3")]),
    ("roster", lambda f: change_request(f, "b", "b2", expect=["a", "b", "d"])),
    ("roster", lambda f: change_request(f, "b", "b1", expect=["a", "b", "c"])),
    ("forged", lambda f: change_request(f, "a", "a1", payload="a1|y")),
    ("forged", lambda f: change_request(f, "a", "a3", labels={"colour": "blue"})),
    ("forged", lambda f: change_sync_everywhere(f, 1, lambda sync: sync["members"][0].update(id="another"))),
    ("unknown-member", lambda f: add_member(f, 1, "b8")),
    ("unknown-member", lambda f: line(f, "a", "response", "a1").update(body=line(f, "c", "response", "c9")["body"])),
    ("rank", lambda f: line(f, "a", "response", "a1").update(rank="1")),
    ("order", lambda f: swap_numbers(f, 1, 4)),
    ("unrequested", lambda f: change_sync(f, "a", "a4", lambda problem: problem.update(waited_s=0.4))),
    ("unrequested", lambda f: add_response(f, "a", "a9", 410, "timed-out", waited_s=1)),
    ("unrequested", lambda f: change_sync(f, "a", "a5", lambda problem: problem.update(reason="no reason"))),
    ("unrequested", without_deletes),
    ("unexpected", lambda f: add_response(f, "a", "a1", 409, "id-reused")),
    ("unexpected", lambda f: add_response(f, "a", "a1", 500, "internal")),
]
"""The kind of a violation, and a change that plants it."""


@pytest.mark.parametrize(("kind", "plant"), PLANTED, ids=[f"{n}-{kind}" for n, (kind, _) in enumerate(PLANTED)])
def test_a_planted_violation_is_found(kind: str, plant: Callable[[Files], object]) -> None:
    files = valid_files()
    plant(files)
    assert kind in violation_kinds(files)


def test_every_kind_of_violation_is_planted() -> None:
    source = Path(checker.__file__).read_text()
    found = set(re.findall(r'(?:violation\(|Violation\(|kind = )"([a-z-]+)"', source)) | {"two-syncs"}
    ends = {f"after-{end}" for end in checker.END_OF_CODE.values()}
    assert found | ends == {kind for kind, _ in PLANTED} | {"unreadable"}


def test_in_valid_files_no_violation_is_found() -> None:
    assert violation_kinds(valid_files()) == set()


def test_missing_responses_of_a_killed_client_are_no_violation() -> None:
    """The other members have the sync, or only the trace has it."""
    files = valid_files()
    files["c"] = [each for each in files["c"] if each["what"] == "request"]  # killed before its first response
    assert violation_kinds(files) == set()
    files["b"] = [each for each in files["b"] if each["what"] in ("request", "abort-request")]
    assert violation_kinds(files) == set()  # the sync of b9 and c9 is only in the trace


def test_a_later_client_must_get_the_outcomes_of_an_earlier_one() -> None:
    files = valid_files()
    request = line(files, "c", "request", "c2")
    files["c"] = [each for each in files["c"] if each["what"] == "request"]
    files["c-again"] = [request, {"what": "done", "at": 100}]
    assert violation_kinds(files) == {"lost-member", "no-outcome"}
    response = line(valid_files(), "c", "response", "c2")
    files["c-again"].insert(1, response)
    assert violation_kinds(files) == set()


def test_only_the_last_line_of_a_file_may_be_incomplete() -> None:
    text = '{"what": "abort-request", "at": 1, "by": "a", "reason": "r"}\n'
    assert check([("a", text + '{"what": "as')])[0] == []
    assert [violation.kind for violation in check([("a", '{"what": "as\n' + text)])[0]] == ["unreadable"]


def test_the_program_prints_violations_and_fails(tmp_path: Path) -> None:
    files = valid_files()
    paths = [tmp_path / name for name in files]

    def run() -> subprocess.CompletedProcess[str]:
        for path in paths:
            path.write_text("".join(json.dumps(each) + "\n" for each in files[path.name]))
        command = [sys.executable, "-m", "syncnet.testing.checker", *map(str, paths)]
        return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent)

    valid = run()
    assert (valid.returncode, valid.stderr) == (0, "")
    assert json.loads(valid.stdout)["syncs"] == 4
    without(files, "b", "response", "b1")
    invalid = run()
    assert invalid.returncode == 1
    assert "lost-member: b1 never got the sync ('default', 1), which other members got\n" in invalid.stderr


def test_the_checker_imports_nothing_of_syncnet() -> None:
    assert not re.search(r"^(from|import) (syncnet|tests)", Path(checker.__file__).read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("selector", "expected"),
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
def test_selectors_of_the_checker(selector: str, expected: bool) -> None:
    assert matches(selector, {"actor": "a", "colour": "red"}) == expected
