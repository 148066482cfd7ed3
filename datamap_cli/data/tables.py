"""Tables as they lie in files of the user's: delimited text, JSON lines and Parquet, decoded here and nowhere else.

Three views: of data sets, below, the wanted columns as text, and what is wrong with single rows; of training dynamics
(`typed`), whole and typed; of summaries (`summaries`), typed and fast.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import polars as pl

from datamap_cli.config import DataConfig
from datamap_cli.errors import DatamapError
from datamap_cli.text import counted, first_line, reason, short

SUFFIXES = (".tsv", ".txt", ".csv", ".jsonl", ".parquet")

# integers that stay integers through every file
INTEGER = r"^(0|-?[1-9]\d{0,17})$"

# the tutorial's code calls s_label so
S_LABEL_ALIAS = "noisy_label"

# a fault of one row: (0-based row, line or None where the format has no lines, what is wrong)
Fault = tuple[int, "int | None", str]


@dataclass(frozen=True)
class Table:
    """The wanted columns of a file as text, and where each row stands."""

    columns: dict[str, pl.Series]
    rows: pl.Series
    lines: pl.Series | None
    faults: list[Fault]


def source(data: DataConfig) -> Path:
    if data.train is None:
        raise DatamapError("data.train: missing: give the file of the training data")
    if data.train.suffix.lower() not in SUFFIXES:
        raise DatamapError(f"data.train: {data.train}: expected a file ending in {', '.join(SUFFIXES)}")
    return data.train


def content_of(data: DataConfig) -> tuple[Path, bytes]:
    """The path of `data.train` and what the file holds."""
    path = source(data)
    with reading(f"data.train: {path}"):
        if not path.exists():
            raise DatamapError(f"data.train: {path}: no such file (looked in {Path.cwd()})")
        content = path.read_bytes()
    if not content.strip():
        raise DatamapError(f"{path}: empty")
    return path, content


# ------------------------------------------------------------------------------------------- decoding


@contextmanager
def reading(where: object, what: str = "a table") -> Iterator[None]:
    """Turns what the system, Polars and decoders say of a file into a line for the user, and keeps it as the cause."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DatamapError(f"{where}: not UTF-8 text; save the file as UTF-8") from error
    except OSError as error:
        raise DatamapError(f"{where}: cannot be read: {reason(error)}") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:  # damaged bytes can make Polars panic
        raise DatamapError(f"{where}: not {what} that can be read: {first_line(error)}") from error


def decode(path: Path, content: bytes) -> str:
    """UTF-8, without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatamapError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error


def plain_rows(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every line that is not blank; quotes are text."""
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        if line:
            yield number, line.split(separator)


def quoted_rows(
    path: Path,
    lines: Iterable[str],
    separator: str,
    remedy: str = "; where quotes are part of the text, set `data.quoting: none`",
) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line and fields of every record; quoted fields may hold separators and line breaks."""
    csv.field_size_limit(2**31 - 1)  # the default refuses texts of 131,072 characters
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DatamapError(f"{path}, line {number}: {error}{remedy}") from error
        if fields:
            yield number, fields


def misfit(fields: Sequence[str], header: Sequence[str]) -> str | None:
    """What is wrong with a row of so many fields, if anything."""
    return None if len(fields) == len(header) else f"{counted(len(fields), 'field')}, expected {len(header)}"


def json_object(line: str) -> dict[str, Any]:
    """The object in a line of JSON; raises ValueError for what is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("not valid JSON") from error
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return record


def records(
    lines: Iterable[str], decoded: Callable[[str], dict[str, Any]] = json_object
) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """Line number and record of every line that is not blank, or what is wrong with it."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield number, decoded(line)
            except ValueError as fault:
                yield number, fault


def read_parquet(where: object, source: Path | IO[bytes], columns: list[str] | None = None) -> pl.DataFrame:
    with reading(where, "a Parquet file"):
        return pl.read_parquet(source, columns=columns, glob=False, hive_partitioning=False)


# ------------------------------------------------------------------------------------------- data sets


def read(path: Path, content: bytes, data: DataConfig) -> Table:
    match path.suffix.lower():
        case ".parquet":
            return _read_parquet(path, content, data)
        case ".jsonl":
            return _read_jsonl(path, decode(path, content), data)
        case _:
            separator, quoted = delimited(path, data)
            text = decode(path, content)
            if quoted:
                rows = quoted_rows(path, io.StringIO(text, newline=""), separator)
            else:
                rows = plain_rows(text.split("\n"), separator)
            return _read_delimited(path, rows, data)


def delimited(path: Path, data: DataConfig) -> tuple[str, bool]:
    """The separator of the fields, and whether quotes are read as quotes."""
    comma = path.suffix.lower() == ".csv"
    return "," if comma else "\t", data.quoting == "csv" or (data.quoting == "auto" and comma)


def _read_delimited(path: Path, rows: Iterator[tuple[int, list[str]]], data: DataConfig) -> Table:
    _, header = next(rows, (0, []))
    header = [name.strip() for name in header]
    wanted = {name: header.index(name) for name in _wanted(path, data, header)}
    for name in wanted:
        if header.count(name) > 1:
            raise DatamapError(f"{path}: the header names column {name} {header.count(name)} times")
    values: dict[str, list[str]] = {name: [] for name in wanted}
    places: list[tuple[int, int]] = []
    faults: list[Fault] = []
    for row, (line, fields) in enumerate(rows):
        if (what := misfit(fields, header)) is not None:
            faults.append((row, line, what))
            continue
        places.append((row, line))
        for name, position in wanted.items():
            values[name].append(fields[position])
    return _table(values, places, faults)


def _read_jsonl(path: Path, text: str, data: DataConfig) -> Table:
    found: list[Mapping[str, Any]] = []
    places: list[tuple[int, int]] = []
    faults: list[Fault] = []
    for row, (line, record) in enumerate(records(text.split("\n"))):
        if isinstance(record, ValueError):
            faults.append((row, line, str(record)))
        else:
            found.append(record)
            places.append((row, line))
    present = list(dict.fromkeys(name for record in found for name in record))
    wanted = _wanted(path, data, present) if found else []
    values: dict[str, list[str | None]] = {name: [] for name in wanted}
    kept: list[tuple[int, int]] = []
    for fields, (row, line) in zip(found, places, strict=True):
        try:
            texts = {name: as_text(fields.get(name)) for name in wanted}
        except ValueError as error:
            faults.append((row, line, str(error)))
            continue
        kept.append((row, line))
        for name, value in texts.items():
            values[name].append(value)
    return _table(values, kept, faults)


def as_text(value: Any) -> str | None:
    """A JSON value as the text it would have in a TSV; raises ValueError for lists and objects."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"a {'list' if isinstance(value, list) else 'JSON object'} where a text or number is expected")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("a text with half a surrogate pair") from None
    return value


def _read_parquet(path: Path, content: bytes, data: DataConfig) -> Table:
    with reading(path, "a Parquet file"):
        schema = pl.read_parquet_schema(io.BytesIO(content))
    wanted = _wanted(path, data, list(schema))
    frame = read_parquet(path, io.BytesIO(content), wanted)
    columns = {}
    for name in wanted:
        column = frame[name]
        if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object, pl.Duration):
            raise DatamapError(f"{path}: column {name}: {column.dtype} where texts or numbers are expected")
        columns[name] = as_texts(column)
    return Table(columns, pl.Series(range(frame.height), dtype=pl.Int64), None, [])


def as_texts(column: pl.Series) -> pl.Series:
    """The values of a column of Parquet as the texts they would be in a TSV."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
        known = column.drop_nulls()
        # beyond 2**53 a float no longer tells which integer it was
        if ((known == known.floor()) & (known.abs() <= 2.0**53)).all():
            column = column.cast(pl.Int64)  # integers that pandas made floats, for want of another null
    return column.cast(pl.String)


def _table(values: Mapping[str, Sequence[str | None]], places: Sequence[tuple[int, int]], faults: list[Fault]) -> Table:
    return Table(
        columns={name: pl.Series(column, dtype=pl.String) for name, column in values.items()},
        rows=pl.Series([row for row, _ in places], dtype=pl.Int64),
        lines=pl.Series([line for _, line in places], dtype=pl.Int64),
        faults=faults,
    )


def _wanted(path: Path, data: DataConfig, present: Sequence[str]) -> list[str]:
    """The columns to read; raises DatamapError naming those present where one that is needed is missing."""
    needed = {"text_a": data.text_a, "label": data.label, **({"id": data.id} if data.id is not None else {})}
    missing = [f"data.{key}: no column {name}" for key, name in needed.items() if name not in present]
    if missing:
        raise DatamapError(f"{path}: {'; '.join(missing)}; columns in the file: {short(', '.join(present))}")
    optional = [data.text_b, data.s_label if data.s_label in present else S_LABEL_ALIAS]
    return list(dict.fromkeys([*needed.values(), *(name for name in optional if name in present and name)]))
