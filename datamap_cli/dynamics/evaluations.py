"""A long table, a row per example and evaluation → evaluations of the same examples in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.dynamics.columns import (
    checked,
    compare,
    first,
    id_of,
    ids_of,
    integers,
    labels_of,
    own,
    s_label_of,
    scores_of,
    softmax,
)
from datamap_cli.dynamics.formats import LongTable
from datamap_cli.errors import DatamapError
from datamap_cli.text import counted, listed, listed_ids, shown


@dataclass(frozen=True)
class Evaluation:
    """What the model thought of every example at one time of the training."""

    step: int
    """Step or epoch as in the source, or the 0-based number of the evaluation where the source names neither."""
    examples: pl.DataFrame
    """id (Int64 or String), label (Int64 class index), s_label (Int64; null where the source has none), then the user's
    own columns: numbers, texts, booleans. The same ids in the same order in every evaluation."""
    probs: npt.NDArray[np.float64]
    """(N, C), rows of `examples`."""


@dataclass(frozen=True)
class Dynamics:
    """Training dynamics as read from a foreign source."""

    format: str
    """One of `FORMATS`."""
    classes: list[str]
    """Class names by index; "0" … where the source has no names."""
    evaluations: Sequence[Evaluation]
    """In the order of their steps, which strictly increase."""
    notes: list[str]
    """What the user should know of how the source was read, a line each."""


def in_order(source: Path, format: str, table: LongTable, *, drop: bool) -> Dynamics:
    """The evaluations in a long table; raises DatamapError where they are not of the same examples."""
    frame, notes = table.frame, list(table.notes)
    if not frame.height:
        raise DatamapError(f"{source}: no records")
    ids = ids_of(source, frame)
    steps = integers(frame[table.step]).fill_null(-1)
    if (row := first(steps < 0)) is not None:
        value = shown(frame[table.step][row])
        raise DatamapError(f"{source}: {table.step} {value} of {id_of(ids[row])}: expected a whole number from 0")

    def at(row: int) -> str:
        return f"{source}: {table.step} {steps[row]}, {id_of(ids[row])}"

    # before the values: whoever gives the wrong file should hear of that first
    rows, numbers = _aligned(source, table.step, ids, steps, notes, drop=drop)
    values, scores, names = scores_of(source, frame, at)
    names = names if table.classes is None else table.classes
    probs = softmax(values, at) if "logit" in scores[0] else checked(values, at)
    labels, label = labels_of(source, frame, probs.shape[1], names, notes, at)
    examples = pl.DataFrame([ids, labels, s_label_of(frame, at)])
    for column in (examples["label"], examples["s_label"].fill_null(0)):
        _refuse_changing(source, table.step, column, ids, rows, numbers)
    compare(frame, labels, probs, notes)
    examples = examples.with_columns(own(frame, [*scores, label, table.step], notes))
    return Dynamics(
        format=format,
        classes=names if names is not None else [str(k) for k in range(probs.shape[1])],
        evaluations=[Evaluation(step, examples[row], probs[row]) for step, row in zip(numbers, rows, strict=True)],
        notes=notes,
    )


def _aligned(
    source: Path, unit: str, ids: pl.Series, steps: pl.Series, notes: list[str], *, drop: bool
) -> tuple[npt.NDArray[np.int64], list[int]]:
    """Where the evaluations stand in the table, rows (T, N) in the order of the first one; and their T steps."""
    numbers, evaluation = np.unique(steps.to_numpy(), return_inverse=True)
    if len(numbers) == 1:
        notes.append("one evaluation only: no signal over the training can tell anything")
    frame = pl.DataFrame({"id": ids, "evaluation": evaluation}).with_row_index("row")
    doubled = first(frame.select("id", "evaluation").is_duplicated())
    if doubled is not None:
        raise DatamapError(f"{source}: {unit} {steps[doubled]}: {id_of(ids[doubled])} stands there more than once")
    times = frame.group_by("id", maintain_order=True).agg(pl.len())
    if len(numbers) > 1 and (times["len"] == 1).all():
        raise DatamapError(
            f"{source}: no id stands in two evaluations ({unit} {listed(numbers)}), so nothing can be "
            "followed over the training; were different examples collected each time?"
        )
    some = times.filter(pl.col("len") < len(numbers))["id"]
    if len(some):
        there = evaluation[frame["id"].eq(some[0]).to_numpy()]
        lacking = numbers[np.setdiff1d(np.arange(len(numbers)), there)]
        what = f"{len(some):,} of {counted(times.height, 'id')} are not in every evaluation: {listed_ids(some)}"
        what += f"; {id_of(some[0])} is missing in {unit} {listed(lacking)}"
        if not drop:
            raise DatamapError(f"{source}: {what}")
        if len(some) == times.height:
            raise DatamapError(f"{source}: no id stands in every evaluation; {what}")
        notes.append(f"left out: {what}")
        frame = frame.filter(~pl.col("id").is_in(some.implode()))
    order = frame.filter(pl.col("evaluation") == 0).select("id").with_row_index("position")
    frame = frame.join(order, on="id", how="left").sort("evaluation", "position")
    return frame["row"].to_numpy().astype(np.int64).reshape(len(numbers), -1), numbers.tolist()


def _refuse_changing(
    source: Path,
    unit: str,
    column: pl.Series,
    ids: pl.Series,
    rows: npt.NDArray[np.int64],
    numbers: Sequence[int],
) -> None:
    """Raises DatamapError where what should be one value an example is not the same in all evaluations."""
    table = column.to_numpy()[rows]
    changed = np.flatnonzero((table != table[0]).any(axis=0))
    if not len(changed):
        return
    k = changed[0]
    t = int((table[:, k] != table[0, k]).argmax())
    raise DatamapError(
        f"{source}: another {column.name} for {counted(len(changed), 'example')} than in the first evaluation: "
        f"{listed_ids(ids[rows[0, changed]])}; {id_of(ids[int(rows[0, k])])} has {table[0, k]} at {unit} "
        f"{numbers[0]} and {table[t, k]} at {unit} {numbers[t]}"
    )
