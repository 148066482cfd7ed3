"""A long table in Parquet, CSV or JSON lines, or a folder of such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from datamap_cli.data.tables import read_parquet, reading
from datamap_cli.data.typed import read_delimited, read_records
from datamap_cli.dynamics.columns import ID, LABEL, PER_CLASS, S_LABEL, SCORES, STEP, class_columns, present
from datamap_cli.dynamics.formats import Glance, LongTable
from datamap_cli.dynamics.records import PARQUET, magic, opening, record_in, separator_of
from datamap_cli.errors import DatamapError
from datamap_cli.text import listed, listed_all

# columns of which two or more make a table a summary, a row per example
_SUMMARY = {"confidence", "variability", "correctness", "avg_probs", "label_var", "correct_ratio"}

_TABLES = {".parquet": "Parquet", ".csv": "CSV", ".tsv": "CSV", ".jsonl": "JSON lines", ".json": "JSON lines"}


def recognizes(source: Glance) -> bool:
    """Whether it has ids or steps, or is a folder of tables; raises DatamapError for a summary."""
    if source.is_folder:
        return bool(_tables_in(source.path))
    refuse_summary(source.path, source.columns)
    return source.magic == PARQUET or present(source.columns, (*STEP, *ID)) is not None


def refuse_summary(source: Path, columns: Sequence[str]) -> None:
    found = [name for name in columns if name in _SUMMARY]
    scores = present(columns, SCORES) or any(class_columns(columns, prefix) for prefix in PER_CLASS)
    if len(found) > 1 and not scores:
        raise DatamapError(
            f"{source}: a summary already ({', '.join(found)}), no training dynamics; "
            f"`datamap plot --summary {source}` draws it"
        )


def read(source: Path) -> LongTable:
    """A row per example and evaluation: id, step or epoch, label, and probs or logits in a list or by class."""
    files = _tables_in(source) if source.is_dir() else [source]
    if not files:
        raise DatamapError(f"{source}: no file in it ends in {', '.join(_TABLES)}")
    kinds = sorted({_TABLES[path.suffix.lower()] for path in files if source.is_dir()})
    if len(kinds) > 1:
        raise DatamapError(f"{source}: files of several kinds ({', '.join(kinds)}); give a folder of one kind")
    frames = [_read_file(path) for path in files]
    for path, frame in zip(files, frames, strict=True):
        refuse_summary(path, frame.columns)
        if set(frame.columns) != set(frames[0].columns):
            raise DatamapError(f"{path}: other columns than in {files[0].name}: {listed(frame.columns)}")
    frame = pl.concat([frame.select(frames[0].columns) for frame in frames], how="vertical_relaxed")
    step = present(frame.columns, STEP)
    if step is None:
        raise DatamapError(f"{source}: no column step or epoch; columns: {listed_all(frame.columns)}")
    return LongTable(frame, step, [])


def _tables_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _TABLES and path.name[0] not in "._"]


def _read_file(path: Path) -> pl.DataFrame:
    with reading(path):
        start, line = magic(path), opening(path)[1]
    if start == PARQUET:
        frame = read_parquet(path, path)
        arrays = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Array) and len(dtype.shape) == 1]
        # lists: arrays of several widths would not go into one column
        return frame.with_columns(pl.col(arrays).arr.to_list())
    if line.startswith("{"):
        return read_records(path, record_in)
    return read_delimited(path, separator_of(line), _ours)


def _ours(header: Sequence[str]) -> list[str]:
    """The columns with names of our own: what their texts mean is decided where all evaluations are looked at."""
    found = [present(header, names) for names in (ID, STEP, LABEL, S_LABEL, SCORES)]
    return [name for name in found if name is not None]
