"""What can be installed: syncnet in pure Python, syncnet with a compiled core, and the clients alone."""

import ast
import importlib
import importlib.machinery
import importlib.metadata
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from syncnet.server.build import build
from syncnet.server.page import FILES
from tests.end_to_end.running import running

ROOT = Path(__file__).parents[2]
MODULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["syncnet"]["compiled"]["modules"]
EXPECTED = os.environ.get("SYNCNET_EXPECT_BUILD")
PATIENCE_S = 600


def wheel(source: Path, target: Path, **environment: str) -> Path:
    """Build one wheel with what this interpreter has installed, without the network."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(target),
        str(source),
    ]
    environment = {**os.environ, "SYNCNET_COMPILED": "0", **environment}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=PATIENCE_S)
    (built,) = target.glob("*.whl")
    return built


def names(built: Path) -> list[str]:
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


@pytest.mark.skipif(EXPECTED is None, reason="only `make test` and `make test-compiled` say which build they run")
def test_the_tests_run_on_the_build_that_was_asked_for() -> None:
    suffixes = (".py",) if EXPECTED == "pure" else tuple(importlib.machinery.EXTENSION_SUFFIXES)
    files = {name: importlib.import_module(name).__file__ or "" for name in MODULES}
    assert {name: file for name, file in files.items() if not file.endswith(suffixes)} == {}
    assert build() == ("pure Python" if EXPECTED == "pure" else "compiled")


def test_no_compiled_module_is_older_than_its_source() -> None:
    """Python prefers it to the source; `make compiled` and `make pure` put it right."""
    compiled = [(file, file.with_name(file.name.partition(".")[0] + ".py")) for file in (ROOT / "src").rglob("*.so")]
    stale = [so.name for so, source in compiled if source.exists() and source.stat().st_mtime > so.stat().st_mtime]
    assert stale == []


def test_a_wheel_is_pure_python_unless_asked_otherwise(tmp_path: Path) -> None:
    built = wheel(ROOT, tmp_path)
    assert built.name.endswith("-py3-none-any.whl")
    assert "syncnet/server/handler.py" in names(built)
    others = [name for name in names(built) if not name.endswith((".py", ".typed")) and ".dist-info/" not in name]
    assert sorted(others) == sorted(f"syncnet/page/{name}" for name in FILES)


@pytest.mark.skipif(EXPECTED != "compiled", reason="needs a compiler; `make test-compiled` runs it")
def test_a_compiled_wheel_has_the_tag_of_its_platform(tmp_path: Path) -> None:
    built = wheel(ROOT, tmp_path, SYNCNET_COMPILED="1")
    assert "none-any" not in built.name
    libraries = {name.partition(".")[0].replace("/", ".") for name in names(built) if name.endswith((".so", ".pyd"))}
    assert libraries == {*MODULES, "syncnet._compiled__mypyc"}


CLIENTS = """
import anyio, importlib.util, sys, syncnet

async def meet(url):
    async with syncnet.connect(url) as net, anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, meet_in_thread, url)
        print((await net.sync("e", actor="A", timeout="30s")).payloads)

def meet_in_thread(url):
    with syncnet.Client(url) as net:
        net.sync("e", actor="B", payload="hello", timeout="30s")

for name in ("granian", "uvloop", "click", "yaml", "syncnet.server", "syncnet.cli"):
    assert importlib.util.find_spec(name) is None, name
anyio.run(meet, sys.argv[1])
"""


def test_the_clients_work_without_the_server(tmp_path: Path) -> None:
    """The wheel is unpacked into an environment that has the distributions which it requires, and no others."""
    built = wheel(ROOT / "packages" / "client", tmp_path / "wheels")
    assert not any(name.startswith(("syncnet/page/", "syncnet/server/")) for name in names(built))
    venv.create(tmp_path / "venv", symlinks=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(site)
    (metadata,) = site.glob("*.dist-info/METADATA")
    for name in required(importlib.metadata.Distribution.at(metadata.parent)):
        link(importlib.metadata.distribution(name), site)
    with running() as server:
        command = [str(tmp_path / "venv" / "bin" / "python"), "-I", "-W", "error", "-c", CLIENTS, server.url]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ast.literal_eval(ran.stdout) in ({"A": "", "B": "hello"}, {"B": "hello", "A": ""})


def required(distribution: importlib.metadata.Distribution) -> set[str]:
    """Return the names of all distributions that it needs, directly or not."""
    found: set[str] = set()
    left = [distribution]
    while left:
        for text in left.pop().requires or []:
            requirement = Requirement(text)
            is_needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if is_needed and requirement.name not in found:
                found.add(requirement.name)
                left.append(importlib.metadata.distribution(requirement.name))
    return found


def link(distribution: importlib.metadata.Distribution, site: Path) -> None:
    """Make the files of an installed distribution importable from `site`."""
    installed: Any = distribution.locate_file("")
    for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}:
        (site / top).symlink_to(Path(installed) / top)
