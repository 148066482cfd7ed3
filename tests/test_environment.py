"""Paddle's surroundings: the settings chosen for a machine, and what the user set left alone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datamap_cli.errors import DatamapError
from datamap_cli.train import environment

MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "2147483647",
    "MALLOC_TOP_PAD_": "67108864",
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An AMD machine of six cores with glibc and Paddle for CPUs, on which nothing is set."""
    for name in ("GLOG_minloglevel", "OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "FLAGS_use_stride_kernel", *MALLOC):
        monkeypatch.delenv(name, raising=False)
    for name in ("GLIBC_TUNABLES", "PADDLE_LOCAL_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "_physical_cores", lambda: 6)
    monkeypatch.setattr(environment, "_cpu_quota", lambda: math.inf)
    monkeypatch.setattr(environment, "_is_amd", lambda: True)
    monkeypatch.setattr(environment, "_is_for_gpus", lambda: False)
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    return monkeypatch


def chosen(by: str = "datamap") -> dict[str, str]:
    return {setting.name: setting.value for setting in environment.settings() if setting.by == by}


def test_settings_suit_the_machine(machine: pytest.MonkeyPatch) -> None:
    everywhere = {"GLOG_minloglevel": "2", "OMP_NUM_THREADS": "6"}
    assert everywhere | {"MKL_DEBUG_CPU_TYPE": "5", "FLAGS_use_stride_kernel": "0"} | MALLOC == chosen()
    machine.setattr(environment, "_is_amd", lambda: False)
    machine.setattr(environment, "_is_for_gpus", lambda: True)
    assert everywhere | MALLOC == chosen()
    machine.setattr("platform.libc_ver", lambda: ("", ""))  # musl
    assert everywhere == chosen()
    assert {} == chosen("you")


def test_what_the_user_set_stands(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("OMP_NUM_THREADS", "3")
    machine.setenv("MALLOC_TOP_PAD_", "0")
    assert {"OMP_NUM_THREADS": "3", "MALLOC_TOP_PAD_": "0"} == chosen("you")
    assert not {"OMP_NUM_THREADS", "MALLOC_TOP_PAD_"} & set(chosen())
    machine.setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=0")
    assert not set(MALLOC) & set(chosen())


@pytest.mark.parametrize(
    ("quota", "processes", "threads"),
    [(math.inf, 1, 6), (2.0, 1, 2), (2.5, 1, 3), (0.3, 1, 1), (64.0, 1, 6), (math.inf, 2, 3), (math.inf, 8, 1)],
)
def test_a_process_takes_its_share_of_the_cores_it_may_use(
    machine: pytest.MonkeyPatch, quota: float, processes: int, threads: int
) -> None:
    machine.setattr(environment, "_cpu_quota", lambda: quota)
    machine.setenv("PADDLE_LOCAL_SIZE", str(processes))
    assert str(threads) == chosen()["OMP_NUM_THREADS"]


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 0.5),
        # a container that is shown the host's path, and its own group as the top
        ("0::/host/path\n", {"cpu.max": "300000 100000\n"}, 3),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "400000", "cpu/x/cpu.cfs_period_us": "100000"},
            4,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_the_quota_of_a_container_is_found(tmp_path: Path, own: str, files: dict[str, str], expected: float) -> None:
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert expected == environment._cpu_quota(tmp_path / "groups", tmp_path / "own")


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert math.inf == environment._cpu_quota(tmp_path, tmp_path / "none")


LOADED = """
import ctypes, json, os
from datamap_cli.train import environment
asked = []
class Library:
    def __init__(self, name): pass
    def mallopt(self, parameter, value): asked.append([parameter, value])
real, ctypes.CDLL = ctypes.CDLL, Library
importing, environment.importlib.import_module = environment.importlib.import_module, lambda name: None
environment.load_paddle(whole=True)
ctypes.CDLL, environment.importlib.import_module = real, importing
import paddle
flag = paddle.get_flags("FLAGS_use_stride_kernel")["FLAGS_use_stride_kernel"]
print(json.dumps([asked, os.environ["OMP_NUM_THREADS"], flag]))
"""


@pytest.mark.paddle
def test_paddle_and_the_memory_allocator_are_told() -> None:
    without = {name: value for name, value in os.environ.items() if name not in ("FLAGS_use_stride_kernel", *MALLOC)}
    told = without | {"OMP_NUM_THREADS": "3", "MALLOC_TOP_PAD_": "0"}
    ran = subprocess.run([sys.executable, "-c", LOADED], env=told, capture_output=True, text=True, check=True)
    asked, threads, stride = json.loads(ran.stdout.splitlines()[-1])
    assert [[-3, 1 << 30], [-1, (1 << 31) - 1]] == asked
    assert "3" == threads
    assert stride is environment._is_for_gpus()


def test_missing_paddle_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", {}.get)
    with pytest.raises(DatamapError, match=r"needs paddle and paddlenlp.*pip install 'datamap-cli\[train\]'"):
        environment.require_paddle()
