"""`syncnet event`, `stats`, `abort` and `completion`, used as by people and scripts."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.running import Server

COMMAND_S_MAX = 60


class Shell:
    """Runs `syncnet` with the server's URL in the environment, and with pipes."""

    def __init__(self, url: str, namespace: str) -> None:
        self._environment = {**os.environ, "SYNCNET_URL": url}
        self.namespace = namespace

    def start(self, *words: str, **options: Any) -> "subprocess.Popen[str]":
        environment = {**self._environment, **options.pop("environment", {})}
        command = [sys.executable, "-m", "syncnet", *words]
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, env=environment, text=True, **options)

    def event(self, *words: str, **options: Any) -> "subprocess.Popen[str]":
        return self.start("event", "--namespace", self.namespace, *words, **options)

    def run(self, *words: str) -> tuple[int, str, str]:
        return finished(self.start(*words))


def finished(process: "subprocess.Popen[str]", stdin: str = "") -> tuple[int, str, str]:
    """Wait for a command; return its exit status, output and error output."""
    out, err = process.communicate(stdin, timeout=COMMAND_S_MAX)
    return process.returncode, out, err


@pytest.fixture
def shell(server: Server, request: pytest.FixtureRequest) -> Iterator[Shell]:
    namespace = re.sub(r"[^a-z0-9]", "-", request.node.name)[:60].strip("-")
    yield Shell(server.url, namespace)
    server.until_pending(0, namespace)


def test_two_commands_sync(shell: Shell) -> None:
    vm = shell.event("coin", "--or", "card", "--actor", "VM", "--payload", "choc, please")
    cust = shell.event("coin", "--actor", "CUST", "--json", "--payload", '{"n": [1]}', "--label", "tier=gold")
    (status, out, err), other = finished(vm), finished(cust)
    assert (status, err) == (0, "")
    sync = json.loads(out)
    assert (sync["event"], sync["payloads"]) == ("coin", {"VM": "choc, please", "CUST": {"n": [1]}})
    assert {member["actor"]: member["labels"] for member in sync["members"]}["CUST"] == {
        "actor": "CUST",
        "tier": "gold",
    }
    assert {sync.pop("rank"), json.loads(other[1])["rank"]} == {0, 1}


def test_output_formats_and_payloads_from_files_and_pipes(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "offer.sdp").write_text("v=0\no=me\n")
    text = shell.event("coin", "--actor", "TEXT", "--mates=2", "--payload", "-", "--output", "text")
    yaml = shell.event(
        "coin", "--actor", "YAML", "--mates=2", "--payload", f"@{tmp_path}/offer.sdp", "--output", "yaml"
    )
    number = shell.event("coin", "--actor", "JSON", "--mates=2", "--json", "--payload", "[1,2]")
    _, out, _ = finished(text, "from a pipe")
    assert sorted(out.splitlines()) == ["", "[1,2]", "o=me", "v=0"]
    assert "TEXT: from a pipe\n" in finished(yaml)[1]
    assert finished(number)[0] == 0


def test_a_command_runs_after_the_sync(shell: Shell) -> None:
    script = 'echo "$SYNCNET_RANK $SYNCNET_LEADER $SYNCNET_EVENT $SYNCNET_NUMBER $SYNCNET_ACTOR $SYNCNET_PAYLOAD_B_1"'
    words = ["--", "sh", "-c", f'{script}; echo "$SYNCNET_PAYLOADS"; exit 7']
    first = shell.event("go", "--actor", "A", "--payload", "hello", *words)
    second = shell.event("go", "--actor", "B.1", "--json", "--payload", '{"port": 1}', *words)
    ranks = {}
    for process in (first, second):
        status, out, err = finished(process)
        assert (status, err) == (7, "")
        line, payloads = out.splitlines()
        rank, leader, event, number, actor, payload = line.split(" ")
        assert (leader, event, number, payload) == ("1" if rank == "0" else "0", "go", "1", '{"port":1}')
        assert json.loads(payloads) == {"A": "hello", "B.1": {"port": 1}}
        ranks[actor] = rank
    assert sorted(ranks) == ["A", "B.1"]
    assert sorted(ranks.values()) == ["0", "1"]


def test_the_exit_status_of_a_command_that_cannot_be_run(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "not-executable").touch()
    alone = ["go", "--actor", "A", "--mates", "0", "--"]
    assert finished(shell.event(*alone, "no-such-command"))[::2] == (
        127,
        "Error: cannot run no-such-command: No such file or directory\n",
    )
    assert finished(shell.event(*alone, str(tmp_path / "not-executable")))[0] == 126
    big = shell.event("go", "--actor", "A", "--mates", "0", "--payload", "-", "--", "true")
    status, _, err = finished(big, "x" * 200_000)
    assert status == 126
    assert "too large for its environment" in err
    assert finished(shell.event("go", "--actor", "A", "--"))[0] == 2


def test_a_closed_pipe_ends_the_command_by_sigpipe(shell: Shell) -> None:
    """Python ignores SIGPIPE; the command that replaces it must not."""
    words = ["go", "--actor", "A", "--mates", "0", "--", "sh", "-c", "yes 2>&1; echo ended by $? >&2"]
    process = shell.event(*words)
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        assert process.stdout.readline() == "y\n"
        process.stdout.close()
        assert process.stderr.read() == f"ended by {128 + signal.SIGPIPE}\n"


def test_exit_statuses_are_those_of_the_documentation(shell: Shell, server: Server) -> None:
    """See docs/command-line.md."""
    timed_out = finished(shell.event("x", "--actor", "A", "--expect", "B,A,C", "--timeout", "50ms"))
    assert timed_out[0] == 124
    assert timed_out[2].endswith("never came: B, C\n")
    assert finished(shell.event("x", "--actor", "A", "--mates=-1"))[0] == 3
    assert finished(shell.event("x", "--actor", "A", "--json", "--payload", "{"))[0] == 3
    assert finished(shell.event("x", "--actor", ""))[0] == 3
    assert finished(shell.event("x", "--actor", "A", "--url", "nonsense"))[0] == 3
    for words in (["--timeout", "soon"], ["--label", "k"], ["--payload", "@/no/such/file"]):
        assert finished(shell.event("x", "--actor", "A", *words))[0] == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        unused_url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    unavailable = finished(shell.event("x", "--actor", "A", "--url", unused_url, "--reconnect", "0"))
    assert unavailable[0] == 4
    assert unavailable[2].startswith(f"Error: no answer from {unused_url}: ")
    waiting = shell.event("x", "--actor", "A", "--id", "a-1")
    server.until_pending(1, shell.namespace)
    assert finished(shell.event("x", "--actor", "OTHER", "--id", "a-1"))[::2] == (
        3,
        "Error: the id a-1 is that of another offer, which is pending (id-reused)\n",
    )
    server.client.delete("/event", params={"id": "a-1", "namespace": shell.namespace}).raise_for_status()
    assert finished(waiting)[0] == 6


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_g6_an_interrupted_command_withdraws_its_offer(shell: Shell, server: Server, signum: int, status: int) -> None:
    process = shell.event("coin", "--actor", "VM")
    server.until_pending(1, shell.namespace)
    process.send_signal(signum)
    assert finished(process) == (status, "", "")
    assert server.pending(shell.namespace) == 0


def test_stats_and_abort(shell: Shell, server: Server) -> None:
    assert shell.run("stats", "--namespace", shell.namespace) == (0, "", "no pending offers\n")
    process = shell.event("coin", environment={"SYNCNET_ACTOR": "VM"})
    server.until_pending(1, shell.namespace)
    status, out, err = shell.run("stats", "--namespace", shell.namespace)
    head, row = out.splitlines()
    assert (status, err) == (0, "")
    assert head.split() == ["EVENT", "ACTOR", "MATES", "MISSING", "SINCE", "ID"]
    assert row.split()[:3] == ["coin", "VM", "1"]
    documents = shell.run("stats", "--namespace", shell.namespace, "--output", "json")
    assert json.loads(documents[1])["coin"]["VM"]
    words = ["--namespace", shell.namespace, "--reason", "it is late", "--by", "me"]
    assert shell.run("abort", "--event", "coin", "--actor", "VM", *words)[0] == 2
    assert shell.run("abort", "--actor", "VM", *words) == (0, "1\n", "")
    assert finished(process) == (5, "", "Error: the offer was aborted by me: it is late\n")


def test_why_says_why_offers_wait(shell: Shell, server: Server) -> None:
    assert shell.run("why", "--namespace", shell.namespace) == (
        *(0, f"no such offer is pending in the namespace {shell.namespace}\n", ""),
    )
    process = shell.event("start", "--actor", "db", "--expect", "db,app", "--id", "why-1")
    server.until_pending(1, shell.namespace)
    status, out, err = shell.run("why", "db", "--namespace", shell.namespace)
    assert (status, err) == (0, "")
    assert out.startswith("db waits for 1 other on start since ")
    assert out.endswith(": nobody is here; app never came\n")
    documents = shell.run("why", "--event", "start", "--namespace", shell.namespace, "--output", "json")
    assert json.loads(documents[1])["offers"][0]["never_came"] == ["app"]
    assert shell.run("why", "--id", "none", "--namespace", shell.namespace)[0] == 3
    server.client.delete("/event", params={"id": "why-1", "namespace": shell.namespace}).raise_for_status()
    finished(process)


def test_the_default_actor_has_the_process_id(shell: Shell) -> None:
    process = shell.event("coin", "--mates", "0")
    _, out, _ = finished(process)
    (actor,) = json.loads(out)["payloads"]
    assert actor.endswith(f"-{process.pid}")
    assert 0 < len(actor) <= 63


def test_the_token_is_never_shown(shell: Shell) -> None:
    for words in (
        ["event", "x", "--actor", "A", "--timeout", "0"],
        ["event", "--help"],
        ["stats", "--url", "http://x y"],
    ):
        _, out, err = finished(shell.start(*words, environment={"SYNCNET_TOKEN": "s3cret-token"}))
        assert "s3cret" not in out + err


def test_the_live_line_on_a_terminal(shell: Shell) -> None:
    """Standard error is a real terminal: a line shows the pending offer, and is erased at the end."""
    ours, theirs = pty.openpty()
    process = shell.event("coin", "--or", "card", "--actor", "VM", "--expect", "CUST, VM,BANK", stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"0:01" not in shown:
        assert select.select([ours], [], [], COMMAND_S_MAX)[0], shown
        shown += os.read(ours, 4096)
    assert b"\r\x1b[KVM waits for coin or card with CUST, BANK, 0:00" in shown
    others = [shell.event("coin", "--actor", name, "--expect", "CUST,VM,BANK") for name in ("CUST", "BANK")]
    assert json.loads(finished(process)[1])["event"] == "coin"
    assert [finished(other)[0] for other in others] == [0, 0]
    rest = b""
    while select.select([ours], [], [], 0)[0]:
        try:
            rest += os.read(ours, 4096)
        except OSError:  # the other end of the terminal is closed
            break
    os.close(ours)
    assert (shown + rest).endswith(b"\r\x1b[K")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_completion_script_of_each_shell(shell: Shell, name: str) -> None:
    status, out, err = shell.run("completion", name)
    assert (status, err) == (0, "")
    assert f"_SYNCNET_COMPLETE={name}_complete" in out


def test_commands_options_and_values_are_completed(shell: Shell) -> None:
    def complete(words: str, index: int) -> set[str]:
        environment = {"_SYNCNET_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(index)}
        script = "from syncnet.cli import main; main(prog_name='syncnet')"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    _ = shell
    assert complete("syncnet ", 1) >= {"abort", "completion", "event", "serve", "stats"}
    assert "--payload" in complete("syncnet event --pa", 2)
    assert complete("syncnet stats --output ", 3) == {"json", "yaml", "text"}
