"""Summarizing 200,000 examples × 10 evaluations × 2 classes against the tutorial's algorithm and a bare scan.

The baseline is written from the tutorial's description, in plain Python: read a JSON object a line, append to
per-example lists, loop over the lists for the counts, NumPy over axis 1 for mean, variance, maximum and minimum.
Everything runs in one process, in turn; medians.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from datamap_cli import signals, store
from tests.support import examples_frame, random_probs, write_run

EXAMPLES, EVALUATIONS, RUNS = 200_000, 10, 3


def tutorial(files: list[Path]) -> int:
    """The tutorial's algorithm; returns the number of rows summarized."""
    probs: list[list[float]] = [[] for _ in range(EXAMPLES)]
    correct: list[list[bool]] = [[] for _ in range(EXAMPLES)]
    for file in files:
        with file.open() as lines:
            for line in lines:
                record = json.loads(line)
                probs[record["id"]].append(record["label_probs"])
                correct[record["id"]].append(record["correct"])
    counts = []
    for history in correct:
        forgotten = learnt = first_forget = first_learn = 0
        for t in range(1, len(history)):
            if history[t - 1] and not history[t]:
                forgotten += 1
                first_forget = first_forget or t
            elif history[t] and not history[t - 1]:
                learnt += 1
                first_learn = first_learn or t
        counts.append((sum(history), forgotten, learnt, first_forget, first_learn))
    table = np.array(probs)
    statistics_ = [table.mean(axis=1), table.var(axis=1), table.max(axis=1), table.min(axis=1)]
    return min(len(counts), *(len(column) for column in statistics_))


def bare_scan(frames: list[pl.LazyFrame]) -> None:
    """Reads the columns a summary needs and adds each up."""
    for frame in frames:
        frame.select(
            pl.col("id", "label", "pred_label", "correct", "label_probs").sum(),
            (pl.col("probs").list if isinstance(frame.collect_schema()["probs"], pl.List) else pl.col("probs").arr)
            .sum()
            .sum(),
        ).collect(engine="streaming")


def median(work: Callable[[], object], runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    examples = examples_frame(EXAMPLES, 2)
    probs = random_probs(EXAMPLES, 2, EVALUATIONS)
    with tempfile.TemporaryDirectory() as directory:
        runs = {
            format: write_run(Path(directory) / format, examples, probs, format=format)
            for format in ("jsonl", "parquet")
        }
        baseline = median(lambda: tutorial(sorted((Path(directory) / "jsonl" / "signals").iterdir())), runs=1)
        print(f"{EXAMPLES:,} examples x {EVALUATIONS} evaluations; the tutorial's algorithm {baseline:.2f} s (1 run)")
        for format, run in runs.items():

            def summarize(run: store.Run = run) -> None:
                run.write_summary(signals.summarize(run.evaluations()))

            ours = median(summarize)
            scan = median(lambda run=run: bare_scan(list(run.evaluations().values())))  # type: ignore[misc]
            print(
                f"{format:8} summarize and write {ours:.2f} s: {baseline / ours:.0f} times as fast as the tutorial, "
                f"{ours / scan:.1f} times a bare scan ({scan:.2f} s)"
            )


if __name__ == "__main__":
    main()
