"""A long table in Parquet, CSV or JSON lines, or a folder of such."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from datamap_cli.dynamics.columns import ID, INTEGER, LABEL, PER_CLASS, S_LABEL, SCORES, STEP, class_columns, present
from datamap_cli.dynamics.formats import Glance, LongTable
from datamap_cli.dynamics.messages import counted, first_three, line_of, named
from datamap_cli.dynamics.records import PARQUET, is_json, magic, opening, read_json_lines, reading, separator_of
from datamap_cli.errors import DatamapError

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
            raise DatamapError(f"{path}: other columns than in {files[0].name}: {first_three(frame.columns)}")
    frame = pl.concat([frame.select(frames[0].columns) for frame in frames], how="vertical_relaxed")
    step = present(frame.columns, STEP)
    if step is None:
        raise DatamapError(f"{source}: no column step or epoch; columns: {named(frame.columns)}")
    return LongTable(frame, step, [])


def _tables_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _TABLES and path.name[0] not in "._"]


def _read_file(path: Path) -> pl.DataFrame:
    with reading(path):
        if magic(path) == PARQUET:
            return _read_parquet(path)
        return read_json_lines(path) if is_json(path) else _read_csv(path)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except pl.exceptions.PanicException:
        raise DatamapError(f"{path}: damaged: not a Parquet file that can be read") from None
    arrays = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Array) and len(dtype.shape) == 1]
    # lists: arrays of several widths would not go into one column
    return frame.with_columns(pl.col(arrays).arr.to_list())


def _read_csv(path: Path) -> pl.DataFrame:
    """Comma or tab separated, with a header; what the columns with names of our own mean is left to `_dynamics`."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) not in b"\r\n":
            raise DatamapError(f"{path}: the last line has no end: cut off? if it is whole, add a line break")
    separator = separator_of(opening(path)[1])
    with path.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=separator, strict=True)
        try:
            header = [name.strip() for name in next((row for row in reader if row), [])]
            if len(set(header)) < len(header):
                raise DatamapError(f"{path}: the header names a column twice: {named(header)}")
            rows = _whole_rows(path, reader, len(header))
            blocks = [pl.DataFrame({name: [] for name in header}, schema=dict.fromkeys(header, pl.String))]
            # in blocks: a file of millions of lines as Python strings would not fit
            while block := list(islice(rows, 100_000)):
                columns = zip(header, zip(*block, strict=True), strict=True)
                blocks.append(pl.DataFrame([pl.Series(name, values, dtype=pl.String) for name, values in columns]))
        except csv.Error as error:
            raise DatamapError(f"{path}, line {reader.line_num}: {line_of(error)}") from None
    frame = pl.concat(blocks)
    ours = [present(header, names) for names in (ID, STEP, LABEL, S_LABEL, SCORES)]
    return frame.with_columns(_inferred(frame[name]) for name in header if name not in ours)


def _whole_rows(path: Path, reader: Any, width: int) -> Iterator[list[str]]:
    for row in reader:
        if len(row) == width:
            yield row
        elif row:
            raise DatamapError(f"{path}, line {reader.line_num}: {counted(len(row), 'field')}, expected {width}")


def _inferred(texts: pl.Series) -> pl.Series:
    """Integers or numbers where every text that is not empty is one."""
    texts = texts.set(texts.str.strip_chars() == "", None)
    if texts.null_count() == len(texts):
        return texts
    if texts.str.contains(INTEGER).all():
        return texts.cast(pl.Int64)
    numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
    return numbers if numbers.null_count() == texts.null_count() else texts
