"""The view of tables that are summaries, ours or another tool's: typed by Polars, fast at millions of rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from datamap_cli.data import tables
from datamap_cli.errors import DatamapError

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
    if "s_label" not in summary.columns:
        summary = summary.with_columns(s_label=pl.lit(0))
    correctness = summary.schema.get("correctness")
    if "correct_ratio" not in summary.columns and correctness is not None and correctness.is_numeric():
        largest = pl.col("correctness").max()
        # where it is 0 throughout, no example was ever right
        ratio = pl.when(largest == 0).then(0.0).otherwise(pl.col("correctness") / largest)
        summary = summary.with_columns(correct_ratio=ratio)
    return summary
