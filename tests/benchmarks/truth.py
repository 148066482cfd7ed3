"""How well every signal finds planted label errors, with and without folds, beside cleanlab.

    python -m tests.benchmarks.truth [DIRECTORY [SEEDS]]     default: outputs/truth 3

Data: 4,000 rows of banking77 (77 classes; `../shared/data`, left out where it is not there) and the bundled example without
its planted errors (1,840 pairs, 2 classes). A tenth of the labels is flipped, to any other class, or to the class's
neighbour, the next one, which with two classes is the same. The tiny model is trained gently, so that it has not learnt the flips, and longer and without
dropout, until it has memorized them: what share of them it predicts at the end stands in the table.

Of each there is a run without folds (one training), and one with `train.folds: 5` (five). cleanlab's get_label_quality_scores
(self-confidence) takes the held-out probabilities of the same five models at the end of their training: as many
trainings of the same model.

A result is kept in DIRECTORY as soon as it is there, and not measured again: a benchmark that was interrupted goes on. Two
trainings run side by side, a thread each.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from datamap_cli import signals
from datamap_cli.analysis import selfcheck, suspects
from datamap_cli.examples import PATH
from datamap_cli.run import Run, files
from datamap_cli.signals.averages import mean_probs
from tests.support import DATA, REPOSITORY

SHARE, FOLDS, ROWS = 0.1, 5, 4_000
BANKING = DATA / "banking77" / "train.tsv"

TRAINING = {
    ("banking77", "gentle"): {"epochs": 12, "batch_size": 16, "learning_rate": 1e-3},
    ("banking77", "memorized"): {"epochs": 30, "batch_size": 32, "learning_rate": 1.5e-3},
    ("example", "gentle"): {"epochs": 7, "batch_size": 32, "learning_rate": 7e-4},
    ("example", "memorized"): {"epochs": 20, "batch_size": 32, "learning_rate": 7e-4},
}
LENGTHS = {"banking77": 24, "example": 48}


@dataclass(frozen=True)
class Cell:
    """One run: what is trained on, how, and with which seed."""

    data: str
    flips: str
    training: str
    seed: int
    folds: bool

    @property
    def name(self) -> str:
        return "-".join([self.data, self.flips, self.training, str(self.seed), "folds" if self.folds else "plain"])


def cells(seeds: int) -> list[Cell]:
    """All, the quicker ones first."""
    # of two classes the neighbour is the only other one
    kinds = [("example", "uniform")]
    if BANKING.exists():
        kinds += [("banking77", "uniform"), ("banking77", "neighbour")]
    ways = product(("gentle", "memorized"), range(seeds), kinds, (False, True))
    return [Cell(data, flips, training, seed, folds) for training, seed, (data, flips), folds in ways]


def write_data(cell: Cell, path: Path) -> None:
    """The data set with its labels flipped and the flipped rows marked; classes in the order of their names."""
    source = BANKING if cell.data == "banking77" else PATH
    rows = pl.read_csv(source, separator="\t", quote_char=None, schema_overrides={"label": pl.String})
    rows = rows.sample(ROWS, seed=1, shuffle=True) if cell.data == "banking77" else rows.filter(pl.col("s_label") != 2)
    names = rows["label"].unique().sort()
    codes = rows["label"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    neighbour = (np.arange(len(names)) + 1) % len(names) if cell.flips == "neighbour" else None
    everywhere = np.ones(rows.height, np.bool_)
    labels, flipped = selfcheck.flip(codes, len(names), SHARE, cell.seed, among=everywhere, towards=neighbour)
    rows = rows.with_columns(label=names.gather(pl.Series(labels)), s_label=pl.Series(np.where(flipped, 2, 0)))
    rows.write_csv(path, separator="\t", quote_style="never")


def measure(cell: Cell) -> dict[str, Any]:
    """Trains, and measures each signal: AUROC, average precision, precision at the number flipped."""
    with tempfile.TemporaryDirectory() as temporary:
        data, run_dir = Path(temporary) / "train.tsv", Path(temporary) / "run"
        write_data(cell, data)
        settings: dict[str, Any] = {
            "data.train": data,
            "model.name": "tiny",
            "model.max_seq_len": LENGTHS[cell.data],
            "train.seed": cell.seed,
            "train.checkpoint_steps": 0,
            "signals.format": "parquet",
        }
        if cell.training == "memorized":
            settings["model.name"] = without_dropout(Path(temporary), settings)
        more: dict[str, Any] = TRAINING[cell.data, cell.training] | ({"folds": FOLDS} if cell.folds else {})
        started = time.perf_counter()
        datamap("train", run_dir, settings | {f"train.{key}": value for key, value in more.items()})
        seconds = time.perf_counter() - started
        datamap("summarize", run_dir, {})
        return {**asdict(cell), "seconds": seconds, **detections(Run.open(run_dir), folds=cell.folds)}


def without_dropout(directory: Path, settings: dict[str, Any]) -> Path:
    """The untrained tiny model for this data and seed, its dropout off, in a directory of its own."""
    datamap("train", directory / "untrained", settings | {"train.max_steps": 1, "train.learning_rate": 1e-30})
    path = directory / "untrained" / "checkpoints" / "final"
    config = json.loads((path / "config.json").read_text())
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    assert off.keys() <= config.keys()
    (path / "config.json").write_text(json.dumps(config | off))
    return path


def datamap(command: str, run_dir: Path, settings: dict[str, Any]) -> None:
    """Runs a command in a process of its own, on one thread."""
    config = run_dir.with_suffix(".yaml")
    config.write_text("{}\n")
    given = ["-c", str(config)] if settings else []
    overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "datamap_cli", command, *given, "--run-dir", str(run_dir), *overrides],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


def detections(run: Run, *, folds: bool) -> dict[str, Any]:
    """Of the run each signal's measures, with folds cleanlab's too, and the share of the flips it has learnt."""
    summary = run.scan_summary().collect()
    flipped = (summary["s_label"] == 2).to_numpy()
    measured = {}
    for signal in signals.SIGNALS:
        if signal.name in ("pred_label", "suggested_label") or summary[signal.name].null_count() == summary.height:
            continue
        severity = summary.select(suspects.severity(signal.name, signal.suspicious or "high")).to_series().to_numpy()
        measured[signal.name] = values(severity, flipped)
    evaluations = run.evaluations()
    last = dict([list(evaluations.items())[-1]])
    correct = next(iter(last.values())).select("correct").collect().to_series().to_numpy()
    if folds:
        from cleanlab.rank import get_label_quality_scores

        probs = mean_probs(last, summary["id"])
        assert probs is not None
        quality = get_label_quality_scores(summary["label"].to_numpy(), probs, method="self_confidence")
        measured["cleanlab"] = values(-quality, flipped)
    return {
        "measured": measured,
        "flips predicted": float(correct[flipped].mean()),
        "others predicted": float(correct[~flipped].mean()),
    }


def values(severity: Any, flipped: Any) -> list[float]:
    found = selfcheck.detection(severity, flipped, seed=0, resamples=100)
    return [found.auroc.value, found.average_precision.value, found.precision.value]


# ------------------------------------------------------------------------------------------------- tables


def tables(results: list[dict[str, Any]]) -> Iterator[str]:
    """Means over the seeds, and their spread (standard deviation)."""
    for data, training, flips in product(("example", "banking77"), ("gentle", "memorized"), ("uniform", "neighbour")):
        alike = [r for r in results if (r["data"], r["training"], r["flips"]) == (data, training, flips)]
        seeds = {folds: [r for r in alike if r["folds"] == folds] for folds in (False, True)}
        if not all(seeds.values()):
            continue
        yield f"\n{data}, {training}, {flips} flips; seeds: {len(seeds[False])} without folds, {len(seeds[True])} with"
        for folds, runs in seeds.items():
            yield (
                f"  {'with' if folds else 'without'} folds: predicted at the end {_mean(runs, 'flips predicted'):.0%} of "
                f"the flips, {_mean(runs, 'others predicted'):.0%} of the others; {_mean(runs, 'seconds'):.0f} s a run"
            )
        yield f"  {'':24}{'without folds':^43}{'with folds':^43}"
        yield f"  {'':24}" + f"{'AUROC':>14}{'AP':>14}{'P at k':>14} " * 2
        names = sorted(seeds[False][0]["measured"], key=lambda name: -_of(seeds[False], name)[0][0])
        for name in names:
            marked = f"{name} *" if name in (suspects.ALONE, suspects.ALONE_HELD_OUT) else name
            yield f"  {marked:24}" + "".join(f"{_cells(seeds[folds], name)} " for folds in (False, True))
        yield f"  {'cleanlab, 5 folds':24}{'':43}{_cells(seeds[True], 'cleanlab')}"
        (plain, *_), (held_out, *_), (cleanlab, *_) = (
            _of(seeds[folds], name)
            for folds, name in ((False, suspects.ALONE), (True, suspects.ALONE_HELD_OUT), (True, "cleanlab"))
        )
        yield f"  * the default scores: {suspects.ALONE} without folds, {suspects.ALONE_HELD_OUT} with"
        yield (
            f"  AUROC of the default less cleanlab's: without folds {plain[0] - cleanlab[0]:+.4f}"
            f"{' (asked: ≥ −0.02)' if training == 'gentle' else ''}, with folds {held_out[0] - cleanlab[0]:+.4f} (asked: > 0)"
        )


def _mean(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.fmean(run[key] for run in runs)


def _of(runs: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    """Mean and standard deviation of the three measures."""
    return [(statistics.fmean(v), statistics.pstdev(v)) for v in zip(*(r["measured"][name] for r in runs), strict=True)]


def _cells(runs: list[dict[str, Any]], name: str) -> str:
    return "".join(f"{mean:>7.3f} ±{spread:.3f}" for mean, spread in _of(runs, name))


def main(directory: Path, seeds: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)

    def once(cell: Cell) -> dict[str, Any]:
        path = directory / f"{cell.name}.json"
        if not path.exists():
            files.write_bytes(path, json.dumps(measure(cell)).encode())
            print(f"measured: {cell.name}", file=sys.stderr, flush=True)
        result: dict[str, Any] = json.loads(path.read_bytes())
        return result

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(once, cells(seeds)))
    print("\n".join(tables(results)))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(Path(arguments[0] if arguments else "outputs/truth"), int(arguments[1]) if len(arguments) > 1 else 3)
