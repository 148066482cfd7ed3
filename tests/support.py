"""Signal records made without training, for tests of what comes after it; and where the real data is."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from datamap_cli import config, signals
from datamap_cli.run import Origin, Run

REPOSITORY = Path(__file__).parent.parent
DATA = REPOSITORY.parent / "shared" / "data"


def shared(name: str) -> Path:
    """A file of real data beside the repository; the test is skipped where it is not."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


def examples_frame(count: int, n_classes: int, seed: int = 0, *, s_label: bool = False) -> pl.DataFrame:
    """Examples as the data set room makes them, with the row as id and as the last class all labels occur."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id": range(count),
            "text_a": [f"第{i}个问题怎么做" for i in range(count)],
            "text_b": [f"如何做第{i}个" for i in range(count)],
            "label": [*range(n_classes), *rng.integers(0, n_classes, count)][:count],
            "s_label": rng.integers(0, 3, count) if s_label else [None] * count,
        },
        schema_overrides={"id": pl.Int64, "label": pl.Int64, "s_label": pl.Int64},
    )


def random_probs(count: int, n_classes: int, evaluations: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Softmax outputs that sharpen over the evaluations, (T, N, C)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(evaluations, count, n_classes)) * np.linspace(0.5, 6, evaluations)[:, None, None]
    exponentials = np.exp(logits - logits.max(axis=2, keepdims=True))
    probs: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=2, keepdims=True)
    return probs


def evaluation_frames(examples: pl.DataFrame, probs: npt.NDArray[np.float64]) -> dict[str, pl.LazyFrame]:
    """The signal records of T evaluations, probs (T, N, C), as the store hands them out."""
    loss = [signals.loss(p, examples["label"].to_numpy()) for p in probs]
    return {f"evaluation {t}": signals.records(examples, p, loss[t]).lazy() for t, p in enumerate(probs)}


def summarize(evaluations: Mapping[str, pl.LazyFrame], **options: Any) -> pl.DataFrame:
    """The summary as a frame, put in order first where need be."""
    with TemporaryDirectory() as scratch:
        return signals.write_summary(
            lambda summary: summary.collect(engine="streaming"), evaluations, Path(scratch), **options
        )


def write_run(
    directory: Path,
    examples: pl.DataFrame,
    probs: npt.NDArray[np.float64],
    *,
    format: str = "jsonl",
    steps: list[int] | None = None,
    overwrite: bool = False,
) -> Run:
    """A run directory as training leaves it before it is finished."""
    settings = config.parse({"data": {"train": "train.tsv"}, "run_dir": str(directory)}, "test")
    run = Run.create(
        directory,
        examples=examples,
        classes=[str(k) for k in range(probs.shape[2])],
        config=config.dump(settings),
        origin=Origin("train", "train.tsv", "0" * 64, model="tiny", seed=1000),
        overwrite=overwrite,
    )
    label = examples["label"].to_numpy()
    for t, p in enumerate(probs):
        run.write_evaluation(
            signals.records(examples, p, signals.loss(p, label)),
            format="parquet" if format == "parquet" else "jsonl",
            step=steps[t] if steps else 10 * (t + 1),
            epoch=float(t + 1),
            train_loss=0.5,
            accuracy=float((p.argmax(axis=1) == label).mean()),
            seconds=0.1,
        )
    return run


def page_columns(page: Path, kind: str) -> list[list[Any]]:
    """The ids, texts or evidence that a page carries, a list per column, in the order of its points."""
    found = re.findall(rf'<script type="text/plain" id="{kind}-\d+">([^<]*)</script>', page.read_text(encoding="utf-8"))
    blocks = [json.loads(zlib.decompress(base64.b64decode(block), -zlib.MAX_WBITS)) for block in found]
    return [[value for block in columns for value in block] for columns in zip(*blocks, strict=True)]
