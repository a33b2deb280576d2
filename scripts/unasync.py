"""Makes the clients for threads of the written source for tasks: `python scripts/unasync.py [--check]`.

Words are replaced one by one by the table below, nothing is understood. Lines between `# async only` and `# end` are
left out. With `--check` nothing is written, and the exit status is 1 where a twin differs from what it would be.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

_CLIENT: Final = Path(__file__).parent.parent / "src" / "syncnet" / "client"
_NAME_FOR_RUFF: Final = str(_CLIENT / "threads" / "twin.py")  # by which it finds the configuration
_FILES: Final = ("http.py", "client.py")
_MARK: Final = "# Made by scripts/unasync.py of {source}; change that one.\n"
_WORDS: Final = (
    (r"\bawait ", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bsyncnet\.client\.aio\b", "syncnet.client.threads"),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\baclose(_?)", r"close\1"),
    (r"\bAsync([A-Z][a-z]+)\b", r"\1"),
    (r"\b_withdraw_and_tell\b", "withdraw"),
    (r"\bimport BackgroundTask, ", "import "),
    (r"  # noqa: ASYNC[0-9]+$", ""),
    (r"\bAwaiting it gives the sync\b", "Its result is the sync"),
)
_ASYNC_ONLY: Final = re.compile(r"^ *# async only\n.*?^ *# end\n", re.DOTALL | re.MULTILINE)


def unasync(text: str, source: str) -> str:
    """Return the twin of a source."""
    text = _ASYNC_ONLY.sub("", text)
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    if "Generator[" not in text:
        text = text.replace("import Callable, Generator\n", "import Callable\n")
    text = _ruff("check", "--quiet", "--fix", "--select", "I", text=_MARK.format(source=source) + text)
    return _ruff("format", "--quiet", text=text)


def _ruff(*arguments: str, text: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", _NAME_FOR_RUFF, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def drifted() -> list[Path]:
    """Return the twins that are not what the source makes."""
    return [twin for twin, text in _twins() if not twin.exists() or twin.read_text() != text]


def _twins() -> list[tuple[Path, str]]:
    return [
        (_CLIENT / "threads" / name, unasync((_CLIENT / "aio" / name).read_text(), f"client/aio/{name}"))
        for name in _FILES
    ]


def _main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        for twin in drifted():
            sys.stderr.write(f"{twin.name}: differs from what its source makes; run scripts/unasync.py\n")
        return 1 if drifted() else 0
    for twin, text in _twins():
        twin.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
