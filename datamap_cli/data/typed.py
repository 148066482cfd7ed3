"""The typed view of tables: whole files in which every row is looked at; the first one that is wrong is the error."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from datamap_cli.data import tables
from datamap_cli.errors import DatamapError
from datamap_cli.text import listed_all, shown

# rows that are Python strings at a time: a file of millions of lines as such would not fit
_BLOCK = 100_000


def read_delimited(path: Path, separator: str, texts: Callable[[Sequence[str]], Collection[str]]) -> pl.DataFrame:
    """A delimited file with a header and quotes. Numbers where all values of a column are, save in those of `texts`,
    which picks names from the header.

    Raises DatamapError for what is no such file, and for a last line without an end, which may be cut off.
    """
    with tables.reading(path), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) not in b"\r\n":
            raise DatamapError(f"{path}: the last line has no end: cut off? if it is whole, add a line break")
    with tables.reading(path), path.open(encoding="utf-8-sig", newline="") as lines:
        rows = tables.quoted_rows(path, lines, separator, remedy="")
        header = [name.strip() for name in next(rows, (0, []))[1]]
        if len(set(header)) < len(header):
            raise DatamapError(f"{path}: the header names a column twice: {listed_all(header)}")
        whole = _whole(path, rows, header)
        blocks = [pl.DataFrame({name: [] for name in header}, schema=dict.fromkeys(header, pl.String))]
        while block := list(islice(whole, _BLOCK)):
            columns = zip(header, zip(*block, strict=True), strict=True)
            blocks.append(pl.DataFrame([pl.Series(name, values, dtype=pl.String) for name, values in columns]))
    frame = pl.concat(blocks)
    as_they_are = texts(header)
    return frame.with_columns(_inferred(frame[name]) for name in header if name not in as_they_are)


def _whole(path: Path, rows: Iterator[tuple[int, list[str]]], header: Sequence[str]) -> Iterator[list[str]]:
    for line, fields in rows:
        if (what := tables.misfit(fields, header)) is not None:
            raise DatamapError(f"{path}, line {line}: {what}")
        yield fields


def _inferred(texts: pl.Series) -> pl.Series:
    """Integers or numbers where every text that is not empty is one."""
    texts = texts.set(texts.str.strip_chars() == "", None)
    if texts.null_count() == len(texts):
        return texts
    if texts.str.contains(tables.INTEGER).all():
        return texts.cast(pl.Int64)
    numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
    return numbers if numbers.null_count() == texts.null_count() else texts


def read_records(path: Path, decoded: Callable[[str], dict[str, Any]] = tables.json_object) -> pl.DataFrame:
    """JSON lines, or what else `decoded` makes a record of; a field that a record lacks is null.

    Raises DatamapError for a file that cannot be read, and for a line that is no record.
    """
    columns: dict[str, list[Any]] = {}
    count = 0
    with tables.reading(path), path.open(encoding="utf-8-sig", newline="\n") as file:
        for line, record in tables.records(file, decoded):
            if isinstance(record, ValueError):
                raise DatamapError(f"{path}, line {line}: {record}") from record
            if record.keys() != columns.keys():
                for name in record:
                    columns.setdefault(name, [None] * count)
                record = {name: record.get(name) for name in columns}
            for name, value in record.items():
                columns[name].append(value)
            count += 1
    return pl.DataFrame([column(path, name, values) for name, values in columns.items()])


def column(path: Path, name: str, values: Sequence[Any]) -> pl.Series:
    """Python values as a column: integers, numbers, booleans, lists of numbers; anything else as text."""
    types = set(map(type, values)) - {type(None)}
    if types == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if types == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    try:
        if types in ({float}, {int, float}):
            return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
        if types in ({list}, {tuple}, {list, tuple}):
            elements = set(map(type, chain.from_iterable(value for value in values if value)))
            if elements <= {int, float, type(None)}:
                return _lists(name, values)
    except OverflowError:
        pass  # an integer beyond every float stays text
    try:
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
    except ValueError as error:
        raise DatamapError(f"{path}: {shown(name)}: a value that is no valid text or number") from error


def _lists(name: str, values: Sequence[Sequence[float | None] | None]) -> pl.Series:
    """Lists of numbers as a column."""
    widths = {len(value) if value else 0 for value in values}
    if len(widths) == 1 and 0 not in widths:
        # through numpy, many times as fast; of None it makes NaN
        flat = np.array(list(chain.from_iterable(value for value in values if value)), dtype=np.float64)
        return pl.Series(name, flat.reshape(len(values), -1)).arr.to_list()
    floats = [None if value is None else [None if v is None else float(v) for v in value] for value in values]
    return pl.Series(name, floats, dtype=pl.List(pl.Float64))
