"""`python -m syncnet.testing.simulator`: run one seed and print all that happens, or many seeds."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from typing import Final

from syncnet.testing.simulator import Report, simulate

_PROGRESS_SEEDS: Final = 500


def main(arguments: list[str] | None = None) -> int:
    """Return 1 if a violation was found."""
    parser = argparse.ArgumentParser(prog="python -m syncnet.testing.simulator", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="run this seed and print all that happens")
    parser.add_argument("--seeds", type=int, default=1_000, help="run so many seeds (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: %(default)s)")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        report = simulate(given.seed, _print)
        _print(f"{report}\n{report.digest}")
        return bool(report.violations)
    return _many(given.first, given.seeds)


def _many(first: int, seeds: int) -> int:
    began_s = time.monotonic()
    done = failed = events = offers = syncs = 0
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for report in pool.imap(_simulate, range(first, first + seeds), chunksize=4):
            done += 1
            events += report.events_total
            offers += report.offers_total
            syncs += report.syncs_total
            if report.violations:
                failed += 1
                _print(str(report))
            if done % _PROGRESS_SEEDS == 0 or done == seeds:
                took_s = time.monotonic() - began_s
                seen = f"{events} events, {offers} offers, {syncs} syncs"
                _print(f"{done} seeds in {took_s:.0f} s: {seen}; {failed} seeds with violations")
    return bool(failed)


def _simulate(seed: int) -> Report:
    return simulate(seed)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
