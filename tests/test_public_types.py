"""The types of the public API are complete, and a type checker finds a typo in a call.

pyright reads its configuration from nowhere and its packages from the environment that runs these tests.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent.parent / "src"

CORRECT = """
import asyncio

import syncnet


async def play(net: syncnet.Net, options: syncnet.OfferOptions) -> int:
    vm: syncnet.OfferHandle = net.send("coin", actor="VM", payload={"price": 2}, labels="tier=gold")
    actor: syncnet.ActorHandle = net.actor("CUST")
    sync: syncnet.Sync = await actor.sync("coin", **options)
    await net.withdraw(vm.id, namespace=vm.namespace)
    vm.withdraw()
    await net.abort(event="coin", reason="over", by=None)
    await net.stats()
    return sync.rank + (await vm).rank


async def main(url: str | None, server: str) -> None:
    async with syncnet.connect(url, token="secret", reconnect_s=None) as net:
        await play(net, {"mates": 1, "linger": "1s"})
    async with syncnet.connect(server) as client:
        offer: syncnet.AsyncOffer = client.send("coin", actor="VM")
        await offer.result(timeout=1)
        await play(client, {})
    async with syncnet.connect() as local:
        await play(local, {"namespace": "ci"})
    local.blocking.sync("coin", actor="VM", mates=0)


asyncio.run(main(None, "http://localhost"))
"""

# Each has one error. Coroutines are awaited, because the type checkers report one that is not.
WRONG = {
    "unknown-option-of-net": 'await net.sync("coin", actor="VM", mate=1)',
    "unknown-option-of-actor": 'await net.actor("VM").sync("coin", timout=1)',
    "unknown-method-of-net": 'await net.sinc("coin", actor="VM")',
    "missing-actor": 'await net.sync("coin")',
    "wrong-type": 'await net.sync("coin", actor="VM", mates="2")',
    "unknown-option-of-client": 'client.send("coin", actor="VM", label="a=b")',
    "unknown-option-of-client-actor": 'await client.actor("VM").choose("coin", "tea", selectr="a")',
    "unknown-option-of-threads": 'threads.sync("coin", actor="VM", linge=1)',
    "unknown-option-of-syncnet": 'local.send("coin", actor="VM", namespac="x")',
    "unknown-option-of-blocking": 'local.blocking.sync("coin", actor="VM", mate=1)',
    "unknown-option-of-connect-url": 'syncnet.connect("http://localhost", tokn="x")',
    "unknown-option-of-connect": "syncnet.connect(limit=None)",
    "option-of-a-server-without-url": 'syncnet.connect(token="x")',
    "unknown-key-of-options": 'options: syncnet.OfferOptions = {"mate": 1}',
}
TEMPLATE = """
import syncnet


async def main(
    net: syncnet.Net, client: syncnet.AsyncClient, threads: syncnet.Client, local: syncnet.Syncnet
) -> None:
    {line}
"""


def needs_pyright() -> None:
    if find_spec("pyright") is None:
        if os.environ.get("CI"):
            pytest.fail("expected the package pyright, which is in the dev extra; it is not installed")
        pytest.skip("pyright is not installed")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a module of this environment; pyright finds the environment by `python` on the PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(SOURCE),
        "MYPYPATH": str(SOURCE),
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    }
    return subprocess.run([sys.executable, "-m", *arguments], env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a correct program, and with one wrong program for each line of `WRONG`."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "correct.py").write_text(CORRECT)
    for name, line in WRONG.items():
        (folder / f"{name.replace('-', '_')}.py").write_text(TEMPLATE.format(line=line))
    return folder


def test_the_public_types_are_complete() -> None:
    needs_pyright()
    completed = run("pyright", "--verifytypes", "syncnet", "--ignoreexternal", "--outputjson")
    symbols: list[dict[str, Any]] = json.loads(completed.stdout)["typeCompleteness"]["symbols"]
    assert "syncnet.Net" in {name for each in symbols for name in (each["name"], *each.get("alternateNames", ()))}
    incomplete = {
        each["name"]: [diagnostic["message"] for diagnostic in each["diagnostics"]]
        for each in symbols
        if each["isExported"] and each["diagnostics"]
    }
    assert incomplete == {}


def test_pyright_finds_every_typo(folder: Path) -> None:
    needs_pyright()
    completed = run("pyright", "--outputjson", str(folder))
    diagnostics = json.loads(completed.stdout)["generalDiagnostics"]
    errors = {Path(each["file"]).stem for each in diagnostics if each["severity"] == "error"}
    assert errors == {name.replace("-", "_") for name in WRONG}, completed.stdout


def test_mypy_finds_every_typo(folder: Path) -> None:
    completed = run("mypy", "--strict", "--no-incremental", "--follow-imports=silent", "--config-file=", str(folder))
    errors = {Path(line.partition(":")[0]).stem for line in completed.stdout.splitlines() if ": error:" in line}
    assert errors == {name.replace("-", "_") for name in WRONG}, completed.stdout + completed.stderr
