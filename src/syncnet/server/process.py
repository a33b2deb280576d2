"""What the kernel says about this process, as the metrics that Prometheus' client libraries name `process_*`.

From proc(5), so on Linux only; elsewhere there are none.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

__all__ = ["process_metrics"]

_PROC: Final = Path("/proc")
_UTIME, _STIME, _STARTTIME, _VSIZE, _RSS = 11, 12, 19, 20, 21  # the fields of `stat` after the name, from 0


def process_metrics(proc: Path = _PROC) -> dict[str, float]:
    """Return the values by name; none where there is no such file system."""
    try:
        stat = (proc / "self/stat").read_text().rpartition(")")[2].split()
        (booted,) = [line.split()[1] for line in (proc / "stat").read_text().splitlines() if line.startswith("btime ")]
        open_fds = len(os.listdir(proc / "self/fd")) - 1  # one of them reads the directory
    except (OSError, ValueError):
        return {}
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    max_fds, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "process_cpu_seconds_total": (int(stat[_UTIME]) + int(stat[_STIME])) / ticks_per_s,
        "process_resident_memory_bytes": int(stat[_RSS]) * resource.getpagesize(),
        "process_virtual_memory_bytes": int(stat[_VSIZE]),
        "process_open_fds": open_fds,
        "process_max_fds": float("inf") if max_fds == resource.RLIM_INFINITY else max_fds,
        "process_start_time_seconds": int(booted) + int(stat[_STARTTIME]) / ticks_per_s,
    }
