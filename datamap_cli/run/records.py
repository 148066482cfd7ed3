"""Signal records as they lie in files: a file per evaluation, JSON lines or Parquet."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from datamap_cli.errors import DatamapError
from datamap_cli.text import first_line

# rows that are read at a time from each of many files
ROW_GROUP = 16_384

_FIELD_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "label": pl.Int64,
    "pred_label": pl.Int64,
    "correct": pl.Boolean,
    "loss": pl.Float64,
    "probs": pl.List(pl.Float64),
    "label_probs": pl.Float64,
    "runner_up": pl.Int64,
    "runner_up_probs": pl.Float64,
    "s_label": pl.Int64,
    "noisy_label": pl.Int64,
}


def scan_records(path: Path) -> pl.LazyFrame:
    """The signal records in a file, JSONL or Parquet, lazily; the tutorial's `noisy_label` is read as `s_label`.

    Raises DatamapError for a file that is missing, cut off or no table.
    """
    if not path.is_file():
        raise DatamapError(f"{path}: missing, though run.json names it; train again with --overwrite")
    try:
        if path.suffix == ".parquet":
            records = pl.scan_parquet(path)
            fields = records.collect_schema()
        else:
            _refuse_cut_off(path)
            # the types of our own fields are fixed; those of the id and of the user's are inferred
            fields = pl.scan_ndjson(path).collect_schema()
            records = pl.scan_ndjson(
                path, schema_overrides={name: dtype for name, dtype in _FIELD_TYPES.items() if name in fields}
            )
    except pl.exceptions.PolarsError as error:
        raise DatamapError(f"{path}: cannot be read as signal records: {first_line(error)}") from error
    if "noisy_label" in fields and "s_label" not in fields:
        records = records.rename({"noisy_label": "s_label"})
    return records


def as_parquet(records: pl.LazyFrame, path: Path) -> pl.LazyFrame:
    try:
        records.sink_parquet(path, row_group_size=ROW_GROUP)
    except pl.exceptions.PolarsError:
        return records  # what is wrong with them is said where they are summarized
    return pl.scan_parquet(path)


def _refuse_cut_off(path: Path) -> None:
    """Raises DatamapError for a JSONL file that does not end with a whole line."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            raise DatamapError(f"{path}: empty; train again with --overwrite")
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        line = sum(1 for _ in file)
    raise DatamapError(f"{path}: cut off in the middle of line {line}; train again with --overwrite")
