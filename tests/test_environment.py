"""Paddle's surroundings: the settings chosen for a machine, and what the user set left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
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
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An AMD machine of six cores, each two CPUs, with glibc and Paddle for CPUs, on which nothing is set or limited."""
    for name in ("GLOG_minloglevel", "OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "FLAGS_use_stride_kernel", *MALLOC):
        monkeypatch.delenv(name, raising=False)
    for name in ("GLIBC_TUNABLES", "PADDLE_LOCAL_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 12 if logical else 6)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(12)))
    for name, text in (("CPUINFO", "vendor_id\t: AuthenticAMD\n"), ("OWN_CGROUPS", "0::/\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(environment, name, tmp_path / name)
    monkeypatch.setattr(environment, "CGROUPS", tmp_path / "cgroups")
    install(monkeypatch, "paddlepaddle")
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    return monkeypatch


def install(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Makes this the only installed package."""

    def version(name: str) -> str:
        if name != package:
            raise metadata.PackageNotFoundError(name)
        return "3.3.1"

    monkeypatch.setattr(metadata, "version", version)


def limit(own: str, files: dict[str, str]) -> None:
    """Puts the process into these control groups, with these limits."""
    environment.OWN_CGROUPS.write_text(own)
    for name, text in files.items():
        (environment.CGROUPS / name).parent.mkdir(parents=True, exist_ok=True)
        (environment.CGROUPS / name).write_text(text)


def chosen(by: str = "datamap") -> dict[str, str]:
    return {setting.name: setting.value for setting in environment.settings() if setting.by == by}


def test_settings_suit_the_machine(machine: pytest.MonkeyPatch) -> None:
    everywhere = {"GLOG_minloglevel": "2", "OMP_NUM_THREADS": "6"}
    assert everywhere | {"MKL_DEBUG_CPU_TYPE": "5", "FLAGS_use_stride_kernel": "0"} | MALLOC == chosen()
    environment.CPUINFO.write_text("vendor_id\t: GenuineIntel\n")
    install(machine, "paddlepaddle-gpu")
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
    [("max", 1, 6), ("200", 1, 2), ("250", 1, 3), ("30", 1, 1), ("6400", 1, 6), ("max", 2, 3), ("max", 8, 1)],
)
def test_a_process_takes_its_share_of_the_cores_it_may_use(
    machine: pytest.MonkeyPatch, quota: str, processes: int, threads: int
) -> None:
    limit("0::/\n", {"cpu.max": f"{quota} 100\n"})
    machine.setenv("PADDLE_LOCAL_SIZE", str(processes))
    assert str(threads) == chosen()["OMP_NUM_THREADS"]


@pytest.mark.parametrize(("cores", "usable", "threads"), [(6, 4, 4), (6, 12, 6), (None, 12, 12), (None, 1, 1)])
def test_threads_are_physical_cores_or_the_cpus_allowed_where_those_are_fewer(
    machine: pytest.MonkeyPatch, cores: int | None, usable: int, threads: int
) -> None:
    machine.setattr("psutil.cpu_count", lambda logical: 12 if logical else cores)
    machine.setattr("os.sched_getaffinity", lambda _: set(range(usable)))
    assert str(threads) == chosen()["OMP_NUM_THREADS"]


@pytest.mark.parametrize(
    ("own", "files", "threads"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 6),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 1),
        # a container that is shown the host's path, and its own group as the top
        ("0::/host/path\n", {"cpu.max": "300000 100000\n"}, 3),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "400000", "cpu/x/cpu.cfs_period_us": "100000"},
            4,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 6),
        ("", {}, 6),
    ],
)
@pytest.mark.usefixtures("machine")
def test_the_quota_of_a_container_is_found(own: str, files: dict[str, str], threads: int) -> None:
    limit(own, files)
    assert str(threads) == chosen()["OMP_NUM_THREADS"]


@pytest.mark.usefixtures("machine")
def test_a_machine_without_proc_is_taken_as_it_comes() -> None:
    for file in (environment.OWN_CGROUPS, environment.CPUINFO):
        file.unlink()
    assert "6" == chosen()["OMP_NUM_THREADS"]
    assert "MKL_DEBUG_CPU_TYPE" not in chosen()


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
print(json.dumps([asked, os.environ["OMP_NUM_THREADS"], flag, paddle.is_compiled_with_cuda()]))
"""


@pytest.mark.paddle
def test_paddle_and_the_memory_allocator_are_told() -> None:
    without = {name: value for name, value in os.environ.items() if name not in ("FLAGS_use_stride_kernel", *MALLOC)}
    told = without | {"OMP_NUM_THREADS": "3", "MALLOC_TOP_PAD_": "0"}
    ran = subprocess.run([sys.executable, "-c", LOADED], env=told, capture_output=True, text=True, check=True)
    asked, threads, stride, for_gpus = json.loads(ran.stdout.splitlines()[-1])
    assert [[-3, 1 << 30], [-1, (1 << 31) - 1]] == asked
    assert "3" == threads
    assert for_gpus is stride


def test_missing_paddle_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", {}.get)
    with pytest.raises(DatamapError, match=r"needs paddle and paddlenlp.*pip install 'datamap-cli\[train\]'"):
        environment.require_paddle()
