"""The packages keep their order: imports point one way, files and functions stay small, the public names are pinned.

The order of the packages is that of docs/architecture.md.
"""

import ast
import gc
import importlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "syncnet"
FILES = sorted(SOURCE.rglob("*.py"))

MAY_IMPORT = {
    "errors": set(),
    "core": {"errors"},
    "wire": {"errors", "core"},
    "log": {"errors", "core", "wire"},
    "client": {"errors", "wire"},
    "coordinator": {"errors", "core", "wire", "log"},
    "server": {"errors", "core", "wire", "log", "coordinator", "view"},
    "local": {"errors", "core", "wire", "log", "coordinator"},
    "testing": {"", "errors", "core", "wire", "log", "coordinator", "local"},
    "view": {"core"},
    "cli": {"", "errors", "core", "wire", "client", "log", "coordinator", "server", "view"},
    "": {"errors", "core", "wire", "client", "log", "coordinator", "local", "server"},  # the public names
    "__main__": {"cli"},
}
PURE = {"core": "the standard library", "view": "the standard library"}
FORBIDDEN_IN_CORE = {"asyncio", "threading", "time", "random", "secrets", "uuid", "logging", "os", "socket", "sys"}
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@lru_cache
def parsed(file: Path) -> ast.Module:
    """Parse a file without garbage collection: CPython 3.11 fails where a finalizer runs meanwhile (SystemError)."""
    gc.disable()
    try:
        return ast.parse(file.read_text())
    finally:
        gc.enable()


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield node.module or ""


def wrong_arrows(package: str, imported: list[str]) -> list[str]:
    ours = [name for name in imported if name.split(".")[0] == "syncnet"]
    return [name for name in ours if package_of(name) not in MAY_IMPORT[package] | {package}]


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_point_one_way(file: Path) -> None:
    assert wrong_arrows(package_of(module_of(file)), list(imports(file))) == []


def test_a_wrong_arrow_is_seen() -> None:
    assert wrong_arrows("core", ["syncnet.coordinator.coordinator", "syncnet.errors", "re"]) == [
        "syncnet.coordinator.coordinator"
    ]
    assert wrong_arrows("view", ["syncnet.errors", "syncnet.core.effects"]) == ["syncnet.errors"]
    assert wrong_arrows("server", ["syncnet.cli"]) == ["syncnet.cli"]


@pytest.mark.parametrize("file", [f for f in FILES if package_of(module_of(f)) in PURE], ids=module_of)
def test_the_core_and_the_view_are_pure(file: Path) -> None:
    tops = {name.split(".")[0] for name in imports(file)} - {"syncnet", "__future__"}
    assert tops & FORBIDDEN_IN_CORE == set()
    for top in tops:
        origin = importlib.import_module(top).__spec__
        assert origin is not None
        assert "site-packages" not in (origin.origin or ""), f"{file.name} imports {top}"


def test_every_package_is_in_the_table() -> None:
    assert {package_of(module_of(file)) for file in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_files_and_functions_fit_on_a_screen(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= FILE_LINES_MAX
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_nothing_is_left_to_be_mended(file: Path) -> None:
    left = [word for word in ("FIX" + "ME", "TO" + "DO", "XX" + "X") if word in file.read_text()]
    assert left == []


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_every_file_says_what_it_is_for(file: Path) -> None:
    assert ast.get_docstring(parsed(file))


def test_the_public_names_are_pinned() -> None:
    import syncnet

    assert sorted(syncnet.__all__) == [
        "ASGIApp",
        "AbortedError",
        "ActorHandle",
        "AsyncClient",
        "AsyncOffer",
        "Client",
        "ClosedError",
        "DrainingError",
        "LabelError",
        "Limits",
        "Member",
        "Net",
        "Offer",
        "OfferHandle",
        "OfferOptions",
        "ParameterError",
        "RefusedError",
        "RetryableError",
        "SelectorError",
        "Sync",
        "Syncnet",
        "SyncnetError",
        "TimedOutError",
        "UnavailableError",
        "UsageError",
        "WithdrawnError",
        "__version__",
        "connect",
    ]
    assert all(hasattr(syncnet, name) for name in syncnet.__all__)


def test_no_index_address_is_committed() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if line.count("==") != 1 or "/" in line] == []
