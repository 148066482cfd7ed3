"""Paddle's surroundings: whether it is there, the settings it reads when imported, and its talk."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import io
import logging
import math
import os
import platform
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from datamap_cli.errors import DatamapError
from datamap_cli.train import lazy

CPUINFO = Path("/proc/cpuinfo")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")

# glibc's variable -> the parameter of its mallopt that does the same, and the value. A training step frees what the
# next one takes; by default it all goes back to the kernel, which clears every page anew.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 1 << 30),
    "MALLOC_TRIM_THRESHOLD_": (-1, (1 << 31) - 1),
    "MALLOC_TOP_PAD_": (-2, 1 << 26),
}


def require_paddle() -> None:
    """Raises DatamapError where Paddle or PaddleNLP is not installed; imports neither.

    An installation that is there and broken crashes when it is imported.
    """
    missing = [name for name in ("paddle", "paddlenlp") if importlib.util.find_spec(name) is None]
    if missing:
        raise DatamapError(
            f"training needs {' and '.join(missing)}, not installed here: pip install 'datamap-cli[train]'"
        )


@dataclass(frozen=True)
class Setting:
    """An environment variable that decides how fast Paddle is here, or how talkative."""

    name: str
    value: str
    by: Literal["you", "datamap"]
    """Who chose the value: what the user set stands."""


def settings() -> list[Setting]:
    """The environment variables that suit this machine. Read once: by Paddle when it is imported, or by glibc."""
    values = {
        "GLOG_minloglevel": "2",  # errors only
        "OMP_NUM_THREADS": str(_threads()),  # Paddle's default is one thread
    }
    if _is_amd():
        values["MKL_DEBUG_CPU_TYPE"] = "5"  # else MKL takes its slowest path: twice the time
    if not _is_for_gpus():
        values["FLAGS_use_stride_kernel"] = "0"  # computing on views with strides costs more than the copies they save
    if "glibc.malloc" not in os.environ.get("GLIBC_TUNABLES", "") and platform.libc_ver()[0] == "glibc":
        values |= {name: str(value) for name, (_, value) in MALLOC.items()}
    return [
        Setting(name, os.environ.get(name, value), "you" if name in os.environ else "datamap")
        for name, value in values.items()
    ]


def load_paddle(*, whole: bool = False) -> None:
    """Imports Paddle and PaddleNLP with the settings that suit this machine, and without their warnings.

    Of PaddleNLP only what training needs, unless it is to be `whole`.
    """
    for setting in settings():
        if setting.by == "datamap" and setting.name in MALLOC:
            # glibc has read its variables when the process began
            ctypes.CDLL(None).mallopt(*MALLOC[setting.name])
        elif setting.by == "datamap":
            os.environ[setting.name] = setting.value
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    # Paddle prints a warning that OMP_NUM_THREADS is not 1; exceptions and a crash's own words still pass
    with quiet(), contextlib.redirect_stderr(io.StringIO()), _no_collection():
        importlib.import_module("paddle")
        if whole:
            importlib.import_module("paddlenlp")
        else:
            lazy.import_paddlenlp()
    # one of the libraries behind PaddleNLP makes the root logger print at INFO
    root.setLevel(level)
    root.handlers = handlers
    # PaddleNLP sets its logger to DEBUG when imported
    logging.getLogger("PaddleNLP").setLevel(logging.ERROR)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops Python warnings and printed lines; exceptions pass.

    Standard error stays: a model's download shows its progress there, and a crash its reason.
    """
    with (
        warnings.catch_warnings(),
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Pauses the garbage collector: what an import makes stays, and it would be looked through time and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _threads() -> int:
    """Threads each process on this machine should compute with: its share of the cores it may use."""
    # where Paddle's launcher starts several processes, it tells how many are on this machine
    processes = int(os.environ.get("PADDLE_LOCAL_SIZE", "1"))
    return max(1, min(_physical_cores(), math.ceil(min(_cpu_quota(), 1e6))) // processes)


def _physical_cores() -> int:
    """Physical cores of this machine, or the CPUs this process may run on where those are fewer."""
    import psutil  # comes with Paddle's set; `datamap doctor` imports this module without it

    usable = len(os.sched_getaffinity(0))
    return min(usable, psutil.cpu_count(logical=False) or usable)


def _cpu_quota() -> float:
    """CPUs whose time the control groups of this process may use, as containers set it; infinite without a limit."""
    quota = math.inf
    for line in OWN_CGROUPS.read_text().splitlines() if OWN_CGROUPS.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "cpu", "cpu,cpuacct"):
            continue
        top = CGROUPS / ("cpu" if controllers else "")  # version 2 has one tree, version 1 one for each controller
        group = top / path.lstrip("/")
        # a container may see its own group as the top; a limit of any group above holds too
        for directory in {top, group, *(parent for parent in group.parents if parent.is_relative_to(top))}:
            quota = min(quota, _quota_of(directory))
    return quota


def _quota_of(group: Path) -> float:
    """CPUs' worth of time a control group may use in each period."""
    try:
        if (group / "cpu.max").is_file():
            most, period = (group / "cpu.max").read_text().split()
        else:
            most, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except OSError:
        return math.inf
    return math.inf if most in ("max", "-1") else int(most) / int(period)


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in CPUINFO.read_text()
    except OSError:
        return False


def _is_for_gpus() -> bool:
    """Whether the installed Paddle is the one for GPUs, told without importing it."""
    try:
        metadata.version("paddlepaddle-gpu")
    except metadata.PackageNotFoundError:
        return False
    return True
