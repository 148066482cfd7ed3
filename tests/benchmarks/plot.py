"""Drawing the map, as whole commands, against the tutorial's way.

    python -m tests.benchmarks.plot [ROWS …]     default: 238766 10000000; the tutorial's only up to 238766

The coordinates are WinoGrande's, resampled with jitter, the texts are pieces of PAWS-X's pairs, as long as LCQMC's. Every
run is a process of its own, the sides in turn; seconds are those of the process without the start of the interpreter, imports included;
medians of RUNS, with the largest resident memory of the process (the browser's is its own) and the size of the file.

The tutorial's way is written from its description: the summary read line by line into lists, a call of Matplotlib's
scatter with a marker of its own for each category, a PNG of 6.4 × 4.8 inches at 600 dpi; no texts, no histograms.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from datamap_cli import config
from datamap_cli.run import Origin, Run
from tests.support import DATA

RUNS, EVALUATIONS = 5, 6

MEASURED = """
import json, resource, sys, time
start = time.perf_counter()
{work}
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""

OURS = """
import contextlib
from datamap_cli.cli import main
with contextlib.suppress(SystemExit):
    main(["plot", *sys.argv[1:]])
"""

TUTORIAL = """
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
looks = [("r", "X"), ("m", "v"), ("orange", "^"), ("g", "<"), ("c", ">"), ("b", "D")]
categories = [([], []) for _ in looks]
with open(sys.argv[1]) as lines:
    place = {name: column for column, name in enumerate(next(lines).split())}
    for line in lines:
        row = line.strip().split("\\t")
        ratio = float(row[place["correct_ratio"]])
        category = 5 if ratio == 1 else int(ratio * 5 + 1e-9)
        categories[category][0].append([float(row[place["label_var"]])])
        categories[category][1].append([float(row[place["avg_probs"]])])
plt.figure(dpi=600)
for number, ((x, y), (color, marker)) in enumerate(zip(categories, looks)):
    plt.scatter(x, y, marker=marker, alpha=0.3, c=color, s=3, label=f"correct_ratio {number / 5}")
plt.xlabel("label_var")
plt.ylabel("avg_probs")
plt.legend()
plt.savefig(sys.argv[2])
"""


def measure(work: str, *arguments: str) -> tuple[float, float]:
    """Seconds and largest megabytes of `work` in a process of its own."""
    command = [sys.executable, "-c", MEASURED.replace("{work}", work), *arguments]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, megabytes = json.loads(out.splitlines()[-1])
    return seconds, megabytes


def summary(rows: int) -> pl.DataFrame:
    """WinoGrande's coordinates, so many times over, each a little aside."""
    table = pl.read_ndjson(DATA / "cartography/winogrande_coordinates.jsonl")
    rng = np.random.default_rng(0)
    source = rng.integers(0, table.height, rows)
    right = table["correctness"].to_numpy()[source]
    mean = np.clip(table["confidence"].to_numpy()[source] + rng.normal(0, 0.006, rows), 0, 1)
    spread = np.clip(table["variability"].to_numpy()[source] + rng.normal(0, 0.004, rows), 0, 0.5)
    forgotten = rng.binomial(np.minimum(right, EVALUATIONS - right), 0.4)
    label = rng.integers(0, 2, rows)
    return pl.DataFrame(
        {
            "id": np.arange(rows),
            "label": label,
            "s_label": 0,
            "correct_times": right,
            "correct_ratio": right / EVALUATIONS,
            "avg_probs": mean,
            "label_var": spread**2,
            "forgetting_times": forgotten,
            "learnt_times": forgotten,
            "variability": spread,
            "pred_label": np.where(mean < 0.5, 1 - label, label),
            "suggested_label": np.where(mean < 0.5, 1 - label, label),
        }
    )


def write_run(directory: Path, table: pl.DataFrame) -> None:
    """A run directory of this summary, with a pair of real sentences for each example."""
    pairs = pl.read_csv(DATA / "pawsx_zh/train.tsv", separator="\t", quote_char=None)
    lengths = pl.read_csv(DATA / "lcqmc_sample/sample_100.tsv", separator="\t", quote_char=None)
    rng = np.random.default_rng(1)
    pair, length = (rng.integers(0, part.height, table.height) for part in (pairs, lengths))
    begin = rng.integers(0, 20, table.height)
    pieces = [
        pl.DataFrame(
            {
                "sentence": pairs[:, column].gather(pair),
                "begin": begin,
                "length": lengths[:, column].str.len_chars().gather(length),
            }
        ).select(pl.col("sentence").str.slice("begin", "length"))["sentence"]
        for column in (0, 1)
    ]
    examples = table.select(
        "id", text_a=pieces[0], text_b=pieces[1], label="label", s_label=pl.lit(None, dtype=pl.Int64)
    )
    run = Run.create(
        directory,
        examples=examples,
        classes=["different", "same"],
        config=config.dump(config.parse({"run_dir": str(directory)}, "benchmark")),
        origin=Origin("train", "train.tsv", "0" * 64, model="tiny", seed=1000),
        overwrite=False,
    )
    run.write_summary(table.lazy())


def compare(name: str, sides: dict[str, tuple[str, list[str], Path]], runs: int) -> None:
    """Prints the median seconds, the largest memory and the size of what each side wrote, measured in turn."""
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in range(runs):
        for side, (work, arguments, _) in sides.items():
            found[side].append(measure(work, *arguments))
    print(f"{name}, median of {runs}")
    seconds = {side: statistics.median(second for second, _ in times) for side, times in found.items()}
    for side, (_, _, file) in sides.items():
        megabytes = max(megabytes for _, megabytes in found[side])
        print(
            f"  {side:24} {seconds[side]:7.2f} s  {megabytes:6,.0f} MB  {file.name} {file.stat().st_size / 1e6:.2f} MB"
        )
    if "the tutorial's PNG" in sides:
        ratio = seconds["the tutorial's PNG"] / seconds["datamap plot"]
        print(f"  the tutorial's one PNG takes {ratio:.2f} times as long as our page and PNG")


def main(sizes: list[int]) -> None:
    for rows in sizes:
        table = summary(rows)
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch)
            stem = directory / "map"
            if rows <= 1_000_000:
                write_run(directory / "run", table)
                source = ["--run-dir", str(directory / "run")]
                tsv = directory / "run/summary.tsv"
            else:
                table.write_parquet(directory / "summary.parquet")
                source = ["--summary", str(directory / "summary.parquet")]
            del table
            page = [*source, "--output", str(directory / "page")]
            sides = {
                "datamap plot --no-png": (OURS, [*page, "--no-png"], directory / "page.html"),
                "datamap plot": (OURS, [*source, "--output", str(stem)], directory / "map.png"),
            }
            if rows <= 1_000_000:
                sides["the tutorial's PNG"] = (
                    TUTORIAL,
                    [str(tsv), str(directory / "tutorial.png")],
                    directory / "tutorial.png",
                )
            compare(f"{rows:,} examples", sides, RUNS if rows <= 1_000_000 else 3)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [238_766, 10_000_000])
