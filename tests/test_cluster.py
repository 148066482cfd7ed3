"""Summarizing on a Dask cluster of two worker processes gives what this process gives, bit for bit."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest

from datamap_cli import SignalRecorder, signals
from datamap_cli.errors import DatamapError
from datamap_cli.signals import cluster
from datamap_cli.signals.alignment import Incomplete
from tests.support import evaluation_frames, examples_frame, random_probs, summarize, write_run

pytest.importorskip("distributed", reason="Dask is not installed")
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with two workers, each a process of its own."""
    dask = [str(Path(sys.executable).with_name("dask"))]
    command = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True)]
    stderr = processes[0].stderr
    assert stderr is not None
    address = next(found[0] for line in stderr if (found := re.search(r"tcp://127\.0\.0\.1:\d+", line)))
    worker = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"]
    processes += [subprocess.Popen(worker, stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    from distributed import Client

    with Client(address) as client:
        client.wait_for_workers(2, timeout=60)
    yield address
    for process in reversed(processes):
        process.terminate()
        process.wait()
    stderr.close()


def on_cluster(scheduler: str, evaluations: dict[str, pl.LazyFrame], block: int, **options: Any) -> pl.DataFrame:
    with TemporaryDirectory() as scratch, cluster.client(scheduler) as client:
        return signals.write_summary(
            lambda summary: summary.collect(engine="streaming"),
            evaluations,
            Path(scratch),
            blockwise=cluster.Workers(client),
            block=block,
            **options,
        )


@pytest.mark.parametrize(("classes", "block"), [(2, 100), (2, 7), (5, 33), (5, 1000)])
def test_the_result_equals_the_local_one_bit_for_bit(scheduler: str, tmp_path: Path, classes: int, block: int) -> None:
    run = write_run(tmp_path, examples_frame(100, classes, s_label=True), random_probs(100, classes, 6))
    evaluations = run.evaluations()
    assert summarize(evaluations).equals(on_cluster(scheduler, evaluations, block))


def test_records_without_all_probabilities_are_summarized_as_here(scheduler: str, tmp_path: Path) -> None:
    with SignalRecorder(tmp_path, examples=examples_frame(50, 4), classes=list("abcd"), probs="label") as recorder:
        for t, probs in enumerate(random_probs(50, 4, 3)):
            recorder.record(step=t, ids=range(50), probs=probs)
            recorder.finish_evaluation()
    evaluations = recorder.run.evaluations()
    expected = summarize(evaluations)
    assert 50 == expected["suggested_label"].null_count()
    assert expected.equals(on_cluster(scheduler, evaluations, 7))


@pytest.mark.parametrize("incomplete", ["drop", "keep"])
def test_examples_in_another_order_or_missing_are_dealt_with_as_here(
    scheduler: str, tmp_path: Path, incomplete: Incomplete
) -> None:
    rng = np.random.default_rng(0)
    evaluations = {}
    for t, (name, frame) in enumerate(evaluation_frames(examples_frame(40, 3), random_probs(40, 3, 4)).items()):
        path = tmp_path / f"{t}.parquet"
        frame.collect().filter(pl.Series(rng.random(40) < 0.8)).sample(fraction=1, shuffle=True, seed=t).write_parquet(
            path
        )
        evaluations[name] = pl.scan_parquet(path)
    expected = summarize(evaluations, incomplete=incomplete)
    assert expected.equals(on_cluster(scheduler, evaluations, 9, incomplete=incomplete))
    with pytest.raises(DatamapError, match="no record of"):
        on_cluster(scheduler, evaluations, 9)


def test_the_command_line_takes_the_scheduler(scheduler: str, tmp_path: Path, run_cli: Cli) -> None:
    write_run(tmp_path, examples_frame(30, 2), random_probs(30, 2, 3))
    run_cli("summarize", "--run-dir", tmp_path)
    expected = (tmp_path / "summary.tsv").read_bytes()
    (tmp_path / "summary.tsv").unlink()
    options = ["--set", "summarize.engine=dask", "--set", f"summarize.scheduler={scheduler}"]
    assert 0 == run_cli("summarize", "--run-dir", tmp_path, *options)[0]
    assert expected == (tmp_path / "summary.tsv").read_bytes()
    parts = [
        ".datamap.json",
        "config.yaml",
        "examples.parquet",
        "opinions.json",
        "opinions.parquet",
        "run.json",
        "signals",
    ]
    assert [*parts, "summary.parquet", "summary.tsv"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_scheduler_that_is_not_there_is_a_line(tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_SECONDS", 1)
    write_run(tmp_path, examples_frame(30, 2), random_probs(30, 2, 3))
    options = ["--set", "summarize.engine=dask", "--set", "summarize.scheduler=tcp://127.0.0.1:1"]
    code, _, err = run_cli("summarize", "--run-dir", tmp_path, *options)
    assert 1 == code
    assert "datamap: summarize.scheduler: tcp://127.0.0.1:1: cannot be reached" in err
    code, _, err = run_cli("summarize", "--run-dir", tmp_path, "--set", "summarize.engine=dask")
    assert (1, True) == (code, "summarize: engine: dask and scheduler: tcp://… go together" in err)
