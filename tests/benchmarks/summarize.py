"""Summarizing against a bare Polars scan of the same columns, and against the tutorial's algorithm.

    python -m tests.benchmarks.summarize [EXAMPLES …]     default: 200000 1000000; the tutorial's only up to 200000

T is 10, C is 2. Every run is a process of its own, the two sides in turn; seconds are those of the process without the
start of the interpreter, Polars' import included; medians of RUNS, with the peak of resident memory.

The tutorial's algorithm is written from its description, in plain Python: read a JSON object a line, append to
per-example lists, loop over the lists for the counts, NumPy over axis 1 for mean, variance, maximum and minimum.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

from datamap_cli.signals import loss, records
from tests.support import examples_frame, random_probs, write_run

EVALUATIONS, RUNS = 10, 5
BLOCK = 500_000

MEASURED = """
import json, resource, sys, time
start = time.perf_counter()
{work}
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""

OURS = """
from pathlib import Path
from datamap_cli import signals
from datamap_cli.run import Run
run = Run.open(Path(sys.argv[1]))
with run.scratch() as scratch:
    {sink}
"""
TO_BOTH = "signals.write_summary(run.write_summary, run.evaluations(scratch), scratch)"
TO_PARQUET = "signals.write_summary(lambda s: s.sink_parquet(scratch / 's.parquet'), run.evaluations(scratch), scratch)"

SCAN = """
from pathlib import Path
import polars as pl
for path in sorted((Path(sys.argv[1]) / "signals").iterdir()):
    frame = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_ndjson(path)
    probs = pl.col("probs").arr if path.suffix == ".parquet" else pl.col("probs").list
    frame.select(
        pl.col("id", "label", "pred_label", "correct", "label_probs").sum(), probs.sum().sum()
    ).collect(engine="streaming")
"""

TUTORIAL = """
from pathlib import Path
import numpy as np
probs, correct = {}, {}
for path in sorted((Path(sys.argv[1]) / "signals").iterdir()):
    with path.open() as lines:
        for line in lines:
            record = json.loads(line)
            probs.setdefault(record["id"], []).append(record["label_probs"])
            correct.setdefault(record["id"], []).append(record["correct"])
counts = []
for history in correct.values():
    right = forgotten = learnt = first_forget = first_learn = 0
    for t, now in enumerate(history):
        right += now
        if t and history[t - 1] and not now:
            forgotten += 1
            first_forget = first_forget or t
        elif t and now and not history[t - 1]:
            learnt += 1
            first_learn = first_learn or t
    counts.append((right, right / len(history), forgotten, learnt, first_forget, first_learn))
table = np.array(list(probs.values()))
columns = [table.mean(axis=1), table.var(axis=1), table.max(axis=1), table.min(axis=1)]
with open(Path(sys.argv[1]) / "tutorial.tsv", "w") as file:
    for identity, row, *numbers in zip(probs, counts, *columns):
        file.write("\\t".join(map(str, (identity, *row, *numbers))) + "\\n")
"""


def measure(work: str, directory: Path) -> tuple[float, float]:
    """Seconds and peak megabytes of `work` in a process of its own."""
    code = MEASURED.replace("{work}", work)
    out = subprocess.run([sys.executable, "-c", code, directory], capture_output=True, text=True, check=True).stdout
    seconds, megabytes = json.loads(out.splitlines()[-1])
    return seconds, megabytes


def in_turn(works: dict[str, str], directory: Path, runs: int) -> dict[str, tuple[float, float]]:
    """Median seconds and largest memory of each, measured in turn after a warm-up."""
    for work in works.values():
        measure(work, directory)
    found = [{name: measure(work, directory) for name, work in works.items()} for _ in range(runs)]
    return {
        name: (statistics.median(run[name][0] for run in found), max(run[name][1] for run in found)) for name in works
    }


def write_signals(directory: Path, count: int, format: str) -> None:
    """A run of `count` examples, made in blocks so that it takes little memory."""
    write_run(directory, examples_frame(10, 2), random_probs(10, 2, EVALUATIONS), format=format)
    parts = directory / "parts"
    parts.mkdir()
    for t, path in enumerate(sorted((directory / "signals").iterdir())):
        blocks = []
        for start in range(0, count, BLOCK):
            size = min(BLOCK, count - start)
            examples = examples_frame(size, 2, seed=start).with_columns(pl.col("id") + start)
            probs = random_probs(size, 2, 1, seed=start + t)[0]
            blocks.append(parts / f"{start}.parquet")
            records(examples, probs, loss(probs, examples["label"].to_numpy())).write_parquet(blocks[-1])
        frame = pl.scan_parquet(blocks)
        frame.sink_parquet(path, row_group_size=16_384) if format == "parquet" else frame.sink_ndjson(path)


def main(sizes: list[int]) -> None:
    for count in sizes:
        runs = RUNS if count <= 1_000_000 else 1
        for format in ("parquet", "jsonl"):
            with tempfile.TemporaryDirectory() as name:
                directory = Path(name) / "run"
                write_signals(directory, count, format)
                works = {
                    "bare scan": SCAN,
                    "summarize to Parquet": OURS.replace("{sink}", TO_PARQUET),
                    "summarize to TSV and Parquet": OURS.replace("{sink}", TO_BOTH),
                }
                found = in_turn(works, directory, runs)
                baseline = measure(TUTORIAL, directory)[0] if format == "jsonl" and count <= 200_000 else None
                print(f"{count:,} × {EVALUATIONS}, {format}, median of {runs}")
                for work, (seconds, megabytes) in found.items():
                    ratio = f"{seconds / found['bare scan'][0]:5.2f} × scan"
                    print(f"  {work:30} {seconds:7.2f} s  {ratio}  {megabytes:6,.0f} MB")
                if baseline is not None:
                    times = baseline / found["summarize to TSV and Parquet"][0]
                    print(f"  the tutorial's algorithm       {baseline:7.2f} s  {times:.0f} times ours")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [200_000, 1_000_000])
