"""The main job for real: what `make demo` runs, with Paddle, and what a user finds afterwards."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from datamap_cli import examples, signals
from datamap_cli.config import load
from tests.support import REPOSITORY
from tests.test_signals import close, reference

pytestmark = pytest.mark.paddle


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The demo's run directory, what it printed, and its seconds."""
    directory = tmp_path_factory.mktemp("demo") / "quickstart"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "datamap_cli",
        "run",
        "-c",
        "configs/quickstart.yaml",
        "--run-dir",
        directory,
    ]
    start = time.monotonic()
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert 0 == result.returncode, result.stderr
    return {"directory": directory, "out": result.stdout, "err": result.stderr, "seconds": time.monotonic() - start}


def average_precision(score: list[float], positive: list[bool]) -> float:
    """Mean, over the positives, of the precision at their rank by falling score."""
    ranked = [hit for _, hit in sorted(zip(score, positive, strict=True), key=lambda pair: -pair[0])]
    hits = [rank for rank, hit in enumerate(ranked, start=1) if hit]
    return sum(found / rank for found, rank in enumerate(hits, start=1)) / len(hits)


def test_average_precision_on_a_case_worked_out_by_hand() -> None:
    assert (1 / 1 + 2 / 3) / 2 == average_precision([0.9, 0.8, 0.7], [True, False, True])


def test_it_ends_by_naming_the_map(demo: dict[str, Any]) -> None:
    maps = demo["directory"] / "maps"
    lines = demo["out"].splitlines()
    assert f"map: {maps / 'avg_probs-label_var.html'}" in lines[-2:]
    assert (maps / "avg_probs-label_var.html").stat().st_size > 1_000_000


def test_it_leaves_a_whole_run_directory(demo: dict[str, Any]) -> None:
    config = load(REPOSITORY / "configs" / "quickstart.yaml")
    info = json.loads((demo["directory"] / "run.json").read_text())
    assert config.train.epochs == len(info["evaluations"])
    assert info["finished"]
    assert ["0", "1"] == info["classes"]
    assert info["examples"] == pl.read_parquet(demo["directory"] / "examples.parquet").height >= 1000
    assert info["evaluations"][-1]["accuracy"] > 0.7
    files = [demo["directory"] / row["files"][0] for row in info["evaluations"]]
    assert all(len(file.read_text().splitlines()) == info["examples"] for file in files)
    assert any((demo["directory"] / "checkpoints" / "final").iterdir())


def test_the_summary_equals_a_slow_reference_for_every_column(demo: dict[str, Any]) -> None:
    info = json.loads((demo["directory"] / "run.json").read_text())
    histories: dict[int, list[dict[str, Any]]] = {}
    for row in info["evaluations"]:
        for line in (demo["directory"] / row["files"][0]).read_text().splitlines():
            record = json.loads(line)
            histories.setdefault(record["id"], []).append(record)
    summary = pl.read_csv(demo["directory"] / "summary.tsv", separator="\t")
    assert len(histories) == summary.height
    elsewhere = [signal.name for signal in signals.SIGNALS if signal.expression is None]
    opinions = pl.read_parquet(demo["directory"] / "opinions.parquet").rows_by_key("id", named=True, unique=True)
    for row in summary.iter_rows(named=True):
        history = histories[row["id"]]
        expected = reference(history[0]["label"], [record["probs"] for record in history])
        expected |= {"id": history[0]["id"], "label": history[0]["label"], "s_label": history[0]["s_label"]}
        expected |= {name: opinions[row["id"]][name] for name in elsewhere}
        assert set(expected) == set(row)
        assert {} == {name: (value, row[name]) for name, value in expected.items() if not close(value, row[name])}
        for record in history:
            assert math.isclose(-math.log(record["label_probs"]), record["loss"], rel_tol=1e-6, abs_tol=1e-12)
            assert record["probs"][record["label"]] == record["label_probs"]


def test_low_avg_probs_finds_the_planted_dirty_examples(demo: dict[str, Any]) -> None:
    summary = pl.read_parquet(demo["directory"] / "summary.parquet")
    dirty = (summary["s_label"] == 2).to_list()
    assert 0.07 <= sum(dirty) / len(dirty) <= 0.09
    assert average_precision((-summary["avg_probs"]).to_list(), dirty) >= 0.6


def test_the_planted_dirty_examples_lie_in_the_lower_left(demo: dict[str, Any]) -> None:
    summary = pl.read_parquet(demo["directory"] / "summary.parquet")
    means = summary.group_by("s_label").agg(pl.col("avg_probs").mean()).sort("s_label")["avg_probs"].to_list()
    plain, hard, dirty = means
    assert dirty < hard < plain
    left = summary.filter(pl.col("s_label") == 2)["label_var"].median()
    assert isinstance(left, float)
    assert left < summary["label_var"].max() / 2  # type: ignore[operator]


def test_the_example_that_init_copies_is_the_demo() -> None:
    quickstart = load(REPOSITORY / "configs" / "quickstart.yaml")
    for dotted, value in examples.SETTINGS.items():
        section, _, key = dotted.rpartition(".")
        assert value == getattr(getattr(quickstart, section) if section else quickstart, key), dotted
    assert examples.PATH == REPOSITORY / str(quickstart.data.train)


def test_plain_lines_tell_the_progress_where_there_is_no_terminal(demo: dict[str, Any]) -> None:
    lines = demo["err"].splitlines()
    assert "\x1b" not in demo["err"]
    config = load(REPOSITORY / "configs" / "quickstart.yaml")
    told = [line for line in lines if line.startswith("evaluation ")]
    assert config.train.epochs == len(told)
    assert all("accuracy" in line and "loss" in line for line in told)
    assert len(lines) <= config.train.epochs + 8, demo["err"]


def test_the_trained_model_can_be_trained_on(demo: dict[str, Any], tmp_path: Path) -> None:
    """model.name names the directory of the final model; a first evaluation then starts from what it knew."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "datamap_cli",
        "train",
        "-c",
        "configs/quickstart.yaml",
        "--run-dir",
        tmp_path / "again",
    ]
    options = {
        "model.name": demo["directory"] / "checkpoints" / "final",
        "train.epochs": 1,
        "train.learning_rate": 1e-9,
    }
    for key, value in options.items():
        command.extend(["--set", f"{key}={value}"])
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert 0 == result.returncode, result.stderr
    before = json.loads((demo["directory"] / "run.json").read_text())["evaluations"][-1]["accuracy"]
    after = json.loads((tmp_path / "again" / "run.json").read_text())["evaluations"][0]["accuracy"]
    assert before == pytest.approx(after, abs=0.002)
