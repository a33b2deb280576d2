"""The doors over the network: the clients and the command line at one server, each test in a namespace of its own."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from syncnet import (
    AbortedError,
    AsyncClient,
    Client,
    Member,
    RefusedError,
    Sync,
    SyncnetError,
    TimedOutError,
    UsageError,
    WithdrawnError,
)
from syncnet.cli import common
from syncnet.wire.results import Happened
from tests.contract.front_ends import PATIENCE_S, Door, Party, ThreadDoor, asyncio_door, trio_door

__all__ = ["NETWORK_DOORS"]

_numbers = itertools.count(1)


class _Apart:
    """A client whose namespaces are nobody else's."""

    def __init__(self, net: Any) -> None:
        self._net = net
        self._prefix = f"contract-{next(_numbers)}"

    def namespace(self, name: str | None = None) -> str:
        return f"{self._prefix}.{name or 'default'}"

    def send(self, *events: str, namespace: str | None = None, **more: Any) -> Any:
        return self._net.send(*events, namespace=self.namespace(namespace), **more)

    def sync(self, event: str, namespace: str | None = None, **more: Any) -> Any:
        return self._net.sync(event, namespace=self.namespace(namespace), **more)

    def choose(self, *events: str, namespace: str | None = None, **more: Any) -> Any:
        return self._net.choose(*events, namespace=self.namespace(namespace), **more)

    def stats(self, namespace: str | None = None) -> Any:
        return self._net.stats(self.namespace(namespace))

    def withdraw(self, id: str) -> Any:
        return self._net.withdraw(id, namespace=self.namespace())

    def abort(self, **what: Any) -> Any:
        return self._net.abort(namespace=self.namespace(), **what)

    def aclose(self) -> Any:
        return self._net.aclose()


@contextlib.contextmanager
def client_door(url: str) -> Iterator[Door]:
    with Client(url) as net:
        yield ThreadDoor(_Apart(net))


# --- the command line --------------------------------------------------------------------------------------

_TIMED_OUT: Final = re.compile(r"waited ([0-9.]+) s for .*; present: (.*); missing: (.*)")
_ABORTED: Final = re.compile(r"the offer was aborted(?: by (\S+))?: (.*)")
_REFUSED: Final = re.compile(r"(.*) \(([a-z-]+)\)")


class CommandLineDoor:
    """`syncnet event …`, a process to each party."""

    def __init__(self, net: _Apart, url: str) -> None:
        self._net, self._url = net, url

    def begin(self, *events: str, actor: str, namespace: str | None = None, **offer: Any) -> Party:
        words = [*events, f"--actor={actor}", f"--namespace={self._net.namespace(namespace)}"]
        for name, value in offer.items():
            if name == "payload":
                words += ["--json", f"--payload={json.dumps(value)}"]
            elif name == "labels":
                words += [f"--label={key}={label}" for key, label in value.items()]
            elif name == "expect" and not isinstance(value, str):
                words.append(f"--expect={','.join(value)}")
            else:
                words.append(f"--{name}={value}")
        return _ProcessParty(self._run("event", *words))

    def stats(self, namespace: str = "default") -> dict[str, Any]:
        words = [f"--namespace={self._net.namespace(namespace)}", "--output=json"]
        return dict(json.loads(self._printed("stats", *words)))

    def withdraw(self, id: str) -> bool:
        return bool(self._net.withdraw(id))  # there is no such command: to end what another one offers is to abort it

    def abort(self, **what: Any) -> int:
        words = [f"--{name}={value}" for name, value in what.items()]
        return int(self._printed("abort", f"--namespace={self._net.namespace()}", *words))

    def _printed(self, *words: str) -> str:
        out, err = self._run(*words).communicate(timeout=PATIENCE_S)
        assert err == ""
        return out

    def _run(self, *words: str) -> "subprocess.Popen[str]":
        environment = {**os.environ, "SYNCNET_URL": self._url}
        return subprocess.Popen(
            [sys.executable, "-m", "syncnet", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class _ProcessParty:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def outcome(self) -> Sync:
        out, err = self._process.communicate(timeout=PATIENCE_S)
        if self._process.returncode != 0:
            raise _error(self._process.returncode, err)
        said = json.loads(out)
        members = tuple(Member(**member) for member in said["members"])
        return Sync(Happened(said["event"], said["sync"], said["payloads"], members), said["rank"])

    def cancel(self) -> None:
        self._process.send_signal(signal.SIGINT)
        _, err = self._process.communicate(timeout=PATIENCE_S)
        assert (self._process.returncode, err) == (130, "")


def _error(status: int, err: str) -> SyncnetError:
    """Return the error that an exit status and a line of standard error tell of."""
    text = err.strip().rpartition("Error: ")[2]
    if status == common.TIMED_OUT and (match := _TIMED_OUT.search(text)):
        present = tuple(match[2].split(", ")) if match[2] != "nobody" else ()
        names = () if match[3].isdigit() else tuple(match[3].split(", "))
        missing = int(match[3]) if match[3].isdigit() else len(names)
        return TimedOutError(text, waited_s=float(match[1]), present=present, missing=missing, missing_actors=names)
    if status == common.ABORTED and (match := _ABORTED.search(text)):
        return AbortedError(text, by=match[1] or "", reason=match[2])
    if status == common.WITHDRAWN:
        return WithdrawnError(text)
    if status == common.REFUSED and (match := _REFUSED.fullmatch(text)):
        return RefusedError(match[1], match[2])
    assert status in (2, common.REFUSED), f"{status}: {err}"
    return UsageError(text)


@contextlib.contextmanager
def command_line_door(url: str) -> Iterator[Door]:
    with Client(url) as net:
        yield CommandLineDoor(_Apart(net), url)


NETWORK_DOORS: dict[str, Callable[[str], contextlib.AbstractContextManager[Door]]] = {
    "AsyncClient": lambda url: asyncio_door(_Apart(AsyncClient(url)), asyncio.new_event_loop),
    "AsyncClient-trio": lambda url: trio_door(_Apart(AsyncClient(url))),
    "Client": client_door,
    "command-line": command_line_door,
}
"""Every door over the network, by name; opened on the URL of a server."""
