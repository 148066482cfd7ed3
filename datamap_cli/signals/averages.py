"""Probabilities averaged over the evaluations, for those who need the numbers of all classes at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.errors import DatamapError
from datamap_cli.signals import alignment


def mean_probs(evaluations: Mapping[str, pl.LazyFrame], ids: pl.Series) -> npt.NDArray[np.float64] | None:
    """Mean over the evaluations of the probabilities of all classes, (N, C), of the examples with these N ids.

    An example that is missing in some evaluations is averaged over the others. None where the records have only the
    label's and the runner-up's. In memory are 2 N C numbers. Raises DatamapError for what are no signal records.
    """
    alignment.schemas(evaluations)
    n_classes = alignment.n_classes(evaluations)
    if n_classes is None:
        return None
    total = np.zeros((len(ids), n_classes))
    times = np.zeros(len(ids), dtype=np.int64)
    for name, evaluation in evaluations.items():
        records = evaluation.select("id", "probs").collect(engine="streaming")
        if not records["id"].equals(ids):
            records = pl.DataFrame({"id": ids}).join(records, on="id", how="left", maintain_order="left")
        there = records["probs"].is_not_null()
        probs = records["probs"].filter(there)
        flat = probs.explode() if isinstance(probs.dtype, pl.List) else probs.arr.explode()
        rows = there.to_numpy()
        if len(records) != len(ids) or len(flat) != n_classes * rows.sum():
            raise DatamapError(
                f"{name}: expected one record of each example, with {n_classes} probs; summarize it anew"
            )
        total[rows] += flat.to_numpy().reshape(-1, n_classes)
        times += rows
    mean: npt.NDArray[np.float64] = total / times[:, None]
    return mean
