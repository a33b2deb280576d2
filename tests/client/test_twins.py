"""The clients for threads are what the script makes of the clients for tasks, and both have the same methods."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import unasync
from syncnet import AsyncClient, Client, Syncnet
from syncnet.client.aio.client import AsyncActor, AsyncOffer
from syncnet.client.threads.client import Actor, Offer


def test_the_twins_have_not_drifted() -> None:
    assert unasync.drifted() == []


def test_a_drift_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("aio", "threads"):
        (tmp_path / kind).mkdir()
        for name in ("http.py", "client.py"):
            (tmp_path / kind / name).write_text((unasync._CLIENT / kind / name).read_text())
    monkeypatch.setattr(unasync, "_CLIENT", tmp_path)
    assert unasync.drifted() == []
    twin = tmp_path / "threads" / "client.py"
    twin.write_text(twin.read_text().replace("30.0", "31.0"))
    assert unasync.drifted() == [twin]
    assert unasync._main(["--check"]) == 1
    assert unasync._main([]) == 0
    assert unasync._main(["--check"]) == 0


def test_what_the_script_does_to_words() -> None:
    made = unasync.unasync("class AsyncThing:\n    async def run(self) -> None:\n        await self.aclose()\n", "x.py")
    assert made == (
        "# Made by scripts/unasync.py of x.py; change that one.\n"
        "class Thing:\n    def run(self) -> None:\n        self.close()\n"
    )


def public(kind: type) -> dict[str, list[str]]:
    return {
        name.removeprefix("a") if name == "aclose" else name: list(inspect.signature(member).parameters)
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("one", "other"), [(AsyncClient, Client), (AsyncActor, Actor), (AsyncOffer, Offer)])
def test_both_have_the_same_methods(one: type, other: type) -> None:
    assert public(one) == public(other)


def test_a_client_has_the_methods_of_a_world_in_a_program() -> None:
    here = {name for name in dir(Syncnet) if not name.startswith("_")} - {"blocking", "hub", "close"}
    assert here <= set(dir(AsyncClient))
    assert here - {"aclose"} <= set(dir(Client))


def test_what_a_command_needs_is_loaded_and_no_more() -> None:
    """A command should ask at once: neither the server, nor tasks, nor YAML are loaded for it."""
    heavy = ("granian", "uvloop", "yaml", "asyncio", "anyio", "ssl", "syncnet.coordinator.coordinator", "logging")
    code = f"import sys, syncnet.cli.event; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
