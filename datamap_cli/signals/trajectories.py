"""The course of single examples: what the model thought of their label, evaluation by evaluation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.errors import DatamapError
from datamap_cli.signals.record import has_all_probs


def trajectories(
    evaluations: Iterable[pl.LazyFrame], ids: pl.Series
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Probability of the label and of the runner-up, the most probable other class: two arrays (N, T), rows as `ids`.

    NaN where an evaluation has no record of an example. In memory is one evaluation at a time, of it the records of
    these ids alone. Raises DatamapError for an evaluation in which an id stands more than once.
    """
    wanted = ids.alias("id").to_frame().lazy()
    courses = [
        wanted.join(_course(evaluation), on="id", how="left", maintain_order="left")
        .select("label_probs", "runner_up_probs")
        .collect(engine="streaming")
        .to_numpy()
        for evaluation in evaluations
    ]
    other = next((t for t, course in enumerate(courses) if len(course) != len(ids)), None)
    if other is not None:
        raise DatamapError(f"evaluation {other + 1}: ids that stand more than once")
    # (T, N, 2) → (N, T) of each
    table = np.stack(courses)
    return table[:, :, 0].T, table[:, :, 1].T


def _course(evaluation: pl.LazyFrame) -> pl.LazyFrame:
    """id, label_probs and runner_up_probs (Float32) of every record."""
    all_probs = has_all_probs(evaluation.collect_schema())
    runner_up = _runner_up(evaluation) if all_probs else pl.col("runner_up_probs")
    return evaluation.select("id", pl.col("label_probs").cast(pl.Float32), runner_up_probs=runner_up.cast(pl.Float32))


def _runner_up(evaluation: pl.LazyFrame) -> pl.Expr:
    """The largest of probs besides that at the label."""
    probs = pl.col("probs").cast(pl.List(pl.Float64))
    first = evaluation.select(probs.drop_nulls().list.len()).head(1).collect()
    classes = 0 if first.is_empty() else first.item()
    # class by class: sorting each row's probs takes ten times as long
    others = [pl.when(pl.col("label") != k).then(probs.list.get(k, null_on_oob=True)) for k in range(classes)]
    return pl.max_horizontal(pl.lit(None, pl.Float64), *others)
