"""The view of tables that are summaries, ours or another tool's: typed by Polars, fast at millions of rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

from datamap_cli.data import tables
from datamap_cli.errors import DatamapError
from datamap_cli.text import shown

_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".tsv": lambda path: pl.read_csv(path, separator="\t", infer_schema_length=None, glob=False),
    ".csv": lambda path: pl.read_csv(path, infer_schema_length=None, glob=False),
    ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
    ".parquet": lambda path: tables.read_parquet(f"--summary: {path}", path),
}


def read_summary(path: Path) -> pl.DataFrame:
    """A summary in a file of its own: .tsv, .csv, .jsonl or .parquet, a row per example.

    Where they are missing, id is made of guid, index or the row, s_label is 0, and correct_ratio is cartography's
    correctness over its largest value. Raises DatamapError for a file that is no such table, and for a correct_ratio
    that is no share.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DatamapError(f"--summary: {path}: expected a file ending in {', '.join(_READERS)}")
    with tables.reading(f"--summary: {path}"):
        summary = reader(path)
    if summary.is_empty():
        raise DatamapError(f"--summary: {path}: no rows")
    if "id" not in summary.columns:
        name = next((name for name in ("guid", "index") if name in summary.columns), None)
        summary = summary.with_columns(id=pl.int_range(pl.len()) if name is None else pl.col(name))
    for column in ("id", "s_label"):
        dtype = summary.schema.get(column, pl.Null())
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration):
            raise DatamapError(f"--summary: {path}: column {column}: {dtype} where texts or numbers are expected")
    if "s_label" not in summary.columns:
        summary = summary.with_columns(s_label=pl.lit(0))
    return summary.with_columns(_correct_ratio(path, summary))


def _correct_ratio(path: Path, summary: pl.DataFrame) -> list[pl.Series]:
    """The share of the evaluations in which each example was predicted right, if it is known; NaN is no value.

    Raises DatamapError for what is no share.
    """
    name = next((name for name in ("correct_ratio", "correctness") if name in summary.columns), None)
    if name is None:
        return []
    given = summary[name]
    if given.null_count() == len(given):
        return [given.cast(pl.Float64, strict=False).alias("correct_ratio")] if name == "correct_ratio" else []
    if not given.dtype.is_numeric():
        if name == "correctness":
            return []
        raise DatamapError(f"--summary: {path}: {name} {shown(given.drop_nulls()[0])}: expected a number from 0 to 1")
    given = given.cast(pl.Float64).fill_nan(None)
    most = 1.0 if name == "correct_ratio" else sys.float_info.max
    other = given.filter(~given.is_between(0, most))
    if len(other):
        accepted = "a number from 0 to 1, the share of the evaluations" if most == 1 else "the number of evaluations"
        raise DatamapError(
            f"--summary: {path}: {name} {shown(other[0])}: expected {accepted} in which an example was predicted right"
        )
    if name == "correctness":
        # where it is 0 throughout, no example was ever right
        given = given / (given.max() or 1.0)
    return [given.alias("correct_ratio")]
