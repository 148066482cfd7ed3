"""Paddle's surroundings: whether it is there, the settings it reads when imported, and its talk."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from datamap_cli.errors import DatamapError


def require_paddle() -> None:
    """Raises DatamapError where Paddle or PaddleNLP is not installed; imports neither.

    An installation that is there and broken crashes when it is imported.
    """
    missing = [name for name in ("paddle", "paddlenlp") if importlib.util.find_spec(name) is None]
    if missing:
        raise DatamapError(
            f"training needs {' and '.join(missing)}, not installed here: pip install 'datamap-cli[train]'"
        )


def load_paddle() -> None:
    """Imports Paddle and PaddleNLP with the settings that suit this machine, and without their warnings."""
    for name, value in settings().items():
        os.environ.setdefault(name, value)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    # Paddle prints a warning that OMP_NUM_THREADS is not 1; exceptions and a crash's own words still pass
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        importlib.import_module("paddle")
        importlib.import_module("paddlenlp.transformers")
    # one of the libraries behind PaddleNLP makes the root logger print at INFO
    root.setLevel(level)
    root.handlers = handlers
    # PaddleNLP sets its logger to DEBUG when imported
    logging.getLogger("PaddleNLP").setLevel(logging.ERROR)


def settings() -> dict[str, str]:
    """Environment variables that Paddle reads once, while it is imported, and their values here."""
    values = {"GLOG_minloglevel": "2"}  # errors only
    values["OMP_NUM_THREADS"] = str(_physical_cores())  # Paddle's default is one thread
    if _is_amd():
        values["MKL_DEBUG_CPU_TYPE"] = "5"  # else MKL takes its slowest path: twice the time
    return values


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


def _physical_cores() -> int:
    """Physical cores this process may use; logical ones where the kernel does not tell."""
    usable = os.sched_getaffinity(0)
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    try:
        return len({Path(topology.format(cpu)).read_text() for cpu in usable})
    except OSError:
        return len(usable)


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
