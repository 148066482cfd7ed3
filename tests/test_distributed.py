"""Two processes under Paddle's launcher on this machine's CPU (gloo): the same files as one process writes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from datamap_cli.run import Run
from tests.forking import Forker

pytestmark = pytest.mark.paddle

# sums over several threads end in other last digits
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    forker = Forker(**ENVIRONMENT)
    yield forker
    forker.close()


def configuration(tmp_path: Path, **settings: Any) -> Path:
    """A configuration beside its data: 101 texts, so that neither batches nor shares come out even."""
    draw = random.Random(3)
    texts = ["".join(draw.choices("天地玄黄宇宙洪荒", k=draw.randrange(3, 20))) for _ in range(101)]
    data = tmp_path / "train.tsv"
    data.write_text(
        "text_a\tlabel\n" + "".join(f"{text}\t{row % 2}\n" for row, text in enumerate(texts)), encoding="utf-8"
    )
    (tmp_path / "dev.tsv").write_text(
        "text_a\tlabel\n" + "".join(f"{text}中\t{row % 2}\n" for row, text in enumerate(texts[:31])), encoding="utf-8"
    )
    tree = {
        "data": {"train": str(data), "dev": str(tmp_path / "dev.tsv")},
        "model": {"name": settings.pop("model", "tiny"), "max_seq_len": 24},
        "signals": {"mode": settings.pop("mode", "evaluate")},
        "train": {"epochs": 2, "device": "cpu", **settings},
    }
    path = tmp_path / "datamap.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def launch(config: Path, run_dir: Path) -> None:
    """Trains in two processes."""
    launcher = [
        "-m",
        "paddle.distributed.launch",
        "--nproc_per_node",
        "2",
        "--log_dir",
        str(run_dir.with_suffix(".log")),
    ]
    datamap = str(Path(sys.executable).with_name("datamap"))
    done = subprocess.run(
        [sys.executable, *launcher, datamap, "train", "-c", str(config), "--run-dir", str(run_dir)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ENVIRONMENT},
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def signal_files(run_dir: Path) -> list[bytes]:
    """Those of the training set, then those of the dev set."""
    runs = [Run.open(run_dir), Run.open(run_dir / "dev")]
    return [
        (run.directory / file).read_bytes() for run in runs for entry in run.info.evaluations for file in entry.files
    ]


@pytest.mark.parametrize(
    ("folds", "steps_of_one", "steps_of_two", "models"), [(None, [7, 14], [4, 8], ["final"]), (3, [5, 10], [3, 6], [])]
)
def test_a_pass_shared_by_two_processes_writes_the_bytes_of_one(
    tmp_path: Path,
    forker: Forker,
    folds: int | None,
    steps_of_one: list[int],
    steps_of_two: list[int],
    models: list[str],
) -> None:
    # steps so small that the weights stay what they were: what differs would be the pass
    config = configuration(tmp_path, batch_size=16, learning_rate=1e-30, folds=folds)
    one, two = tmp_path / "one", tmp_path / "two"
    assert 0 == forker.run("train", "-c", str(config), "--run-dir", str(one))["status"]
    launch(config, two)
    # a batch is a process's own: half as many steps
    assert steps_of_one == [entry.step for entry in Run.open(one).info.evaluations]
    assert steps_of_two == [entry.step for entry in Run.open(two).info.evaluations]
    assert signal_files(one) == signal_files(two)
    assert models == [path.name for path in (two / "checkpoints").iterdir()]


def test_a_step_is_the_same_in_one_batch_in_two_or_in_two_processes(tmp_path: Path, forker: Forker) -> None:
    config = configuration(tmp_path, batch_size=16, learning_rate=1e-3, max_steps=1)
    assert 0 == forker.run("train", "-c", str(config), "--run-dir", str(tmp_path / "model"))["status"]
    model = tmp_path / "model" / "checkpoints" / "final"
    undropped = json.loads((model / "config.json").read_text()) | {
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    (model / "config.json").write_text(json.dumps(undropped))
    found = {}
    for way in ("one batch", "two batches", "two processes"):
        config = configuration(
            tmp_path,
            model=str(model),
            mode="online",
            learning_rate=1e-3,
            weight_decay=0.01,
            batch_size=16 if way == "one batch" else 8,
            gradient_accumulation=2 if way == "two batches" else 1,
        )
        run_dir = tmp_path / way.replace(" ", "-")
        if way == "two processes":
            launch(config, run_dir)
        else:
            assert 0 == forker.run("train", "-c", str(config), "--run-dir", str(run_dir))["status"]
        assert [7, 14] == [entry.step for entry in Run.open(run_dir).info.evaluations]
        found[way] = pl.concat(frame.collect() for frame in Run.open(run_dir).evaluations().values())
    expected = found.pop("one batch")
    assert 202 == expected.height
    assert 0.02 < expected["label_probs"][101:].std()  # type: ignore[operator]  # else nothing was learnt to compare
    for records in found.values():
        assert expected["id"].equals(records["id"])
        np.testing.assert_allclose(expected["label_probs"], records["label_probs"], atol=2e-4)
