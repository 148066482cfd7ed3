"""Columns as found in a long table → ids, labels, probs in our form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.data import typed
from datamap_cli.data.tables import INTEGER
from datamap_cli.errors import DatamapError
from datamap_cli.text import counted, listed, listed_all, shown

ID = ("id", "guid", "index", "example_id")
STEP = ("step", "epoch")
LABEL = ("label", "gold")
S_LABEL = ("s_label", "noisy_label")
SCORES = ("probs", "logits")
PER_CLASS = ("probs_", "prob_", "logits_", "logit_")

# follow from label and probs: never taken over from a source
DERIVED = ("pred_label", "correct", "loss", "label_probs", "runner_up", "runner_up_probs")

# how far a row of probs may be from summing to 1: dumps in float16 are
_SUM_TOLERANCE = 1e-3
# how far beyond 1 a single prob may be: softmax in float32 ends up at 1 + 1.2e-7
_ROUNDING = 1e-6


def ids_of(source: Path, frame: pl.DataFrame) -> pl.Series:
    """The ids: integers where all are, of 18 digits at most, else texts."""
    name = present(frame.columns, ID)
    if name is None:
        raise DatamapError(f"{source}: no column {', '.join(ID)}; columns: {listed_all(frame.columns)}")
    ids = texts_of(frame[name]).alias("id")
    if (row := first(ids.is_null())) is not None:
        value = shown(frame[name][row])
        raise DatamapError(f"{source}: record {row + 1}: {name} {value}: expected a whole number or a text")
    return ids.cast(pl.Int64) if ids.str.contains(INTEGER).all() else ids


def texts_of(column: pl.Series) -> pl.Series:
    """Integers and texts as texts, stripped; null where a value is neither."""
    if column.dtype.is_float() or column.dtype.is_decimal():
        column = integers(column)
    if column.dtype.is_integer() or isinstance(column.dtype, (pl.String, pl.Categorical, pl.Enum)):
        texts = column.cast(pl.String).str.strip_chars()
        return texts.set(texts == "", None)
    return pl.Series(column.name, [None] * len(column), dtype=pl.String)


def integers(column: pl.Series) -> pl.Series:
    """Integers, whole floats and texts of integers as Int64; null where a value is none of these."""
    if column.dtype.is_decimal():
        column = column.cast(pl.Float64)
    if column.dtype.is_float():
        # beyond 2**53 a float no longer tells which integer it was
        column = column.set(((column != column.floor()) | (column.abs() > 2.0**53)).fill_null(True), None)
    elif isinstance(column.dtype, (pl.String, pl.Categorical, pl.Enum)):
        column = column.cast(pl.String).str.strip_chars()
        column = column.set(~column.str.contains(INTEGER).fill_null(False), None)
    elif not column.dtype.is_integer():
        column = pl.Series(column.name, [None] * len(column))
    return column.cast(pl.Int64, strict=False)


def scores_of(
    source: Path, frame: pl.DataFrame, at: Callable[[int], str]
) -> tuple[npt.NDArray[np.float64], list[str], list[str] | None]:
    """Probs or logits as found (R, C), the columns they are in, and class names where column names tell them."""
    name = present(frame.columns, SCORES)
    if name is not None:
        return _from_lists(frame[name], at), [name], None
    for prefix in PER_CLASS:
        names = class_columns(frame.columns, prefix)
        if len(names) > 1:
            columns = [prefix + name for name in names]
            return np.column_stack([_floats(frame[name], at) for name in columns]), columns, names
    raise DatamapError(
        f"{source}: no column probs or logits, nor one for each class (probs_0, probs_1, …); "
        f"columns: {listed_all(frame.columns)}"
    )


def class_columns(columns: Sequence[str], prefix: str) -> list[str]:
    """What follows the prefix: the classes, by number where all are numbers."""
    names = [name.removeprefix(prefix) for name in columns if name.startswith(prefix) and name != prefix]
    return sorted(names, key=int) if all(re.fullmatch(r"0|[1-9]\d{0,17}", name) for name in names) else names


def _from_lists(column: pl.Series, at: Callable[[int], str]) -> npt.NDArray[np.float64]:
    if isinstance(column.dtype, pl.String):
        column = _parsed(column)
    if not isinstance(column.dtype, pl.List) or not column.dtype.inner.is_numeric():
        raise DatamapError(f"{at(0)}: {column.name}: expected a list of numbers, found {shown(column[0])}")
    widths = column.list.len().fill_null(0)
    # the usual width, lest one odd record in front make all the others look wrong
    width: int = widths.mode().sort()[-1]
    if (row := first(widths != width)) is not None:
        raise DatamapError(f"{at(row)}: {widths[row]} {column.name}, but {width} elsewhere")
    if width < 2:
        raise DatamapError(f"{at(0)}: {width} {column.name}; two classes or more are needed")
    # of a number that is missing NaN is made, which is refused where the values are looked at
    flat = column.explode().cast(pl.Float64).fill_null(float("nan"))
    return flat.to_numpy().reshape(len(column), -1)


def _parsed(column: pl.Series) -> pl.Series:
    """Lists of numbers that a CSV holds as text; stays as it is where a text is no such list."""
    try:
        values = [None if text is None else json.loads(text) for text in column]
    except (ValueError, RecursionError):
        return column
    return typed.column(Path(), column.name, values)


def _floats(column: pl.Series, at: Callable[[int], str]) -> npt.NDArray[np.float64]:
    numbers = column
    if isinstance(column.dtype, pl.String):
        numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    row = 0 if not numbers.dtype.is_numeric() else first(numbers.is_null())
    if row is not None:
        raise DatamapError(f"{at(row)}: {shown(column.name)} {shown(column[row])}: expected a number")
    return numbers.cast(pl.Float64).to_numpy()


def softmax(logits: npt.NDArray[np.float64], at: Callable[[int], str]) -> npt.NDArray[np.float64]:
    """Probs (R, C) of logits. A logit of −∞ is a class that was masked out, unless all of the row are."""
    largest = logits.max(axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(largest))
    if len(bad):
        raise DatamapError(f"{at(int(bad[0]))}: logits {numbers_of(logits[bad[0]])}: expected finite numbers")
    with np.errstate(over="ignore"):  # a difference beyond all floats: exp(−∞) is the 0 it should be
        exponentials = np.exp(logits - largest)
    probs: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probs


def checked(probs: npt.NDArray[np.float64], at: Callable[[int], str]) -> npt.NDArray[np.float64]:
    """The probs (R, C) as they are, but for rounding beyond 1; raises where a row is no distribution."""
    outside = np.flatnonzero(~((probs >= 0) & (probs <= 1 + _ROUNDING)).all(axis=1))
    if len(outside):
        row = int(outside[0])
        raise DatamapError(f"{at(row)}: probs {numbers_of(probs[row])}: expected numbers from 0 to 1")
    sums = probs.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > _SUM_TOLERANCE)
    if len(off):
        row = int(off[0])
        raise DatamapError(f"{at(row)}: probs {numbers_of(probs[row])} sum to {sums[row]:.6g}: expected 1")
    return probs.clip(max=1)


def labels_of(
    source: Path,
    frame: pl.DataFrame,
    n_classes: int,
    names: list[str] | None,
    notes: list[str],
    at: Callable[[int], str],
) -> tuple[pl.Series, str]:
    """Class indices, and the column they come from; where the classes have names, labels may be these."""
    column = present(frame.columns, LABEL)
    if column is None:
        raise DatamapError(f"{source}: no column {' or '.join(LABEL)}; columns: {listed_all(frame.columns)}")
    plain = [str(k) for k in range(n_classes)]
    if names is not None and names != plain:
        indices = texts_of(frame[column]).replace_strict(
            names, list(range(n_classes)), default=None, return_dtype=pl.Int64
        )
        if not indices.null_count():
            return indices.alias("label"), column
    index = integers(frame[column])
    row = first(~index.is_between(0, n_classes - 1).fill_null(False))
    if row is None:
        if names is not None and names != plain:
            notes.append(f"labels are taken as indices of the classes {listed_all(names)}, in this order")
        return index.alias("label"), column
    accepted = f"a class index from 0 to {n_classes - 1}"
    if names is None:
        accepted += "; where labels are names, give a column for each class (probs_NAME)"
    elif names != plain:
        accepted = f"one of {listed_all(names)}, or {accepted}"
    raise DatamapError(f"{at(row)}: {column} {shown(frame[column][row])}: expected {accepted}")


def s_label_of(frame: pl.DataFrame, at: Callable[[int], str]) -> pl.Series:
    """The s_label; null where no record has one, else 0 where a record lacks it, as in the data set room."""
    name = present(frame.columns, S_LABEL)
    given = frame[name] if name is not None else pl.Series([None] * frame.height)
    if isinstance(given.dtype, pl.String):
        given = given.set(given.str.strip_chars() == "", None)
    if given.null_count() == len(given):
        return pl.Series("s_label", [None] * len(given), dtype=pl.Int64)
    values = integers(given)
    row = first(given.is_not_null() & ~values.is_between(0, 2).fill_null(False))
    if row is not None:
        raise DatamapError(f"{at(row)}: {name} {shown(given[row])}: expected 0, 1 or 2")
    return values.fill_null(0).alias("s_label")


def compare(frame: pl.DataFrame, labels: pl.Series, probs: npt.NDArray[np.float64], notes: list[str]) -> None:
    """Notes where the source's own label_probs are others than probs has for the labels."""
    if "label_probs" not in frame.columns or not frame["label_probs"].dtype.is_numeric():
        return
    ours = probs[np.arange(len(labels)), labels.to_numpy()]
    theirs = frame["label_probs"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    other = int((np.abs(ours - theirs) > _SUM_TOLERANCE).sum())
    if other:
        notes.append(f"{counted(other, 'record')} with label_probs that probs does not have at the label; probs count")


def own(frame: pl.DataFrame, used: Sequence[str], notes: list[str]) -> list[pl.Series]:
    """The user's own columns: numbers, truth values and texts."""
    roles = [present(frame.columns, names) for names in (ID, S_LABEL)]
    # the last two are the index that pandas writes, to CSV and to Parquet
    taken = {*used, *roles, *DERIVED, *STEP, *SCORES, "id", "label", *S_LABEL, "", "__index_level_0__"}
    own, left_out = [], []
    for column in frame:
        if column.name in taken:
            continue
        if column.dtype.is_decimal():
            own.append(column.cast(pl.Float64))
        elif column.dtype.is_numeric() or isinstance(column.dtype, (pl.String, pl.Boolean)):
            own.append(column)
        elif isinstance(column.dtype, (pl.Categorical, pl.Enum, pl.Date, pl.Datetime, pl.Time)):
            own.append(column.cast(pl.String))
        else:
            left_out.append(column.name)
    if left_out:
        notes.append(f"left out, neither numbers nor texts: {listed(left_out)}")
    return own


def present(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def first(mask: pl.Series) -> int | None:
    """The first row where the mask is true."""
    return mask.arg_max() if mask.any() else None


def id_of(value: object) -> str:
    return f"id {shown(value)}"


def numbers_of(row: npt.NDArray[np.float64]) -> str:
    return listed(row, lambda value: f"{value:.6g}").join("[]")
