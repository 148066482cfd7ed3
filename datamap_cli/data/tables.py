"""Tables as they lie in files of the user's: .tsv, .csv, .jsonl or .parquet → the wanted columns as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from datamap_cli.config import DataConfig
from datamap_cli.errors import DatamapError
from datamap_cli.text import counted, reason, short

SUFFIXES = (".tsv", ".txt", ".csv", ".jsonl", ".parquet")

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
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DatamapError(f"data.train: {path}: no such file (looked in {Path.cwd()})") from None
    except OSError as error:
        raise DatamapError(f"data.train: {path}: cannot be read: {error.strerror}") from None
    if not content.strip():
        raise DatamapError(f"{path}: empty")
    return path, content


def read(path: Path, content: bytes, data: DataConfig) -> Table:
    match path.suffix.lower():
        case ".parquet":
            return _read_parquet(path, content, data)
        case ".jsonl":
            return _read_jsonl(path, _decode(path, content), data)
        case _:
            separator, quoted = delimited(path, data)
            text = _decode(path, content)
            if quoted:
                rows = quoted_rows(path, io.StringIO(text, newline=""), separator)
            else:
                rows = _plain_rows(text, separator)
            return _read_delimited(path, rows, data)


def delimited(path: Path, data: DataConfig) -> tuple[str, bool]:
    """The separator of the fields, and whether quotes are read as quotes."""
    comma = path.suffix.lower() == ".csv"
    return "," if comma else "\t", data.quoting == "csv" or (data.quoting == "auto" and comma)


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatamapError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None


def _plain_rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every line that is not blank; quotes are text."""
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if line:
            yield number, line.split(separator)


def quoted_rows(path: Path, lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
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
            raise DatamapError(
                f"{path}, line {number}: {error}; where quotes are part of the text, set `data.quoting: none`"
            ) from None
        if fields:
            yield number, fields


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
        if len(fields) != len(header):
            faults.append((row, line, f"{counted(len(fields), 'field')}, expected {len(header)}"))
            continue
        places.append((row, line))
        for name, position in wanted.items():
            values[name].append(fields[position])
    return _table(values, places, faults)


def _read_jsonl(path: Path, text: str, data: DataConfig) -> Table:
    records: list[Mapping[str, Any]] = []
    places: list[tuple[int, int]] = []
    faults: list[Fault] = []
    row = -1
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        row += 1
        try:
            record = json.loads(content)
        except (ValueError, RecursionError):
            faults.append((row, line, "not valid JSON"))
            continue
        if not isinstance(record, dict):
            faults.append((row, line, "not a JSON object"))
            continue
        records.append(record)
        places.append((row, line))
    present = list(dict.fromkeys(name for record in records for name in record))
    wanted = _wanted(path, data, present) if records else []
    values: dict[str, list[str | None]] = {name: [] for name in wanted}
    kept: list[tuple[int, int]] = []
    for record, (row, line) in zip(records, places, strict=True):
        try:
            texts = {name: _as_text(record.get(name)) for name in wanted}
        except ValueError as error:
            faults.append((row, line, str(error)))
            continue
        kept.append((row, line))
        for name, value in texts.items():
            values[name].append(value)
    return _table(values, kept, faults)


def _as_text(value: Any) -> str | None:
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
    try:
        schema = pl.read_parquet_schema(io.BytesIO(content))
        wanted = _wanted(path, data, list(schema))
        frame = pl.read_parquet(io.BytesIO(content), columns=wanted)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:  # damaged bytes can make Polars panic
        raise DatamapError(f"{path}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from None
    columns = {}
    for name in wanted:
        column = frame[name]
        if column.dtype.is_float() and (column.drop_nulls() == column.drop_nulls().floor()).all():
            column = column.cast(pl.Int64)  # integers that pandas made floats, for want of another null
        if column.dtype.is_nested() or column.dtype == pl.Binary or column.dtype == pl.Object:
            raise DatamapError(f"{path}: column {name}: {column.dtype} where texts or numbers are expected")
        columns[name] = column.cast(pl.String)
    return Table(columns, pl.Series(range(frame.height), dtype=pl.Int64), None, [])


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


# ----------------------------------------------------------------------------------------- summaries


def read_summary(path: Path) -> pl.DataFrame:
    """A summary in a file of its own, ours or another tool's: .tsv, .csv, .jsonl or .parquet, a row per example.

    Where they are missing, id is made of guid, index or the row, s_label is 0, and correct_ratio is cartography's
    correctness over its largest value. Raises DatamapError for a file that is no such table.
    """
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".tsv": lambda file: pl.read_csv(file, separator="\t", infer_schema_length=None),
        ".csv": lambda file: pl.read_csv(file, infer_schema_length=None),
        ".jsonl": lambda file: pl.read_ndjson(file, infer_schema_length=None),
        ".parquet": pl.read_parquet,
    }
    if path.suffix not in readers:
        raise DatamapError(f"--summary: {path}: expected a file ending in {', '.join(readers)}")
    try:
        summary = readers[path.suffix](path)
    except OSError as error:
        raise DatamapError(f"--summary: {path}: cannot be read: {reason(error)}") from None
    except pl.exceptions.PolarsError as error:
        raise DatamapError(f"--summary: {path}: not a table that can be read: {str(error).splitlines()[0]}") from None
    if summary.is_empty():
        raise DatamapError(f"--summary: {path}: no rows")
    if "id" not in summary.columns:
        name = next((name for name in ("guid", "index") if name in summary.columns), None)
        identity = pl.int_range(pl.len()) if name is None else pl.col(name)
        summary = summary.with_columns(id=identity)
    if "s_label" not in summary.columns:
        summary = summary.with_columns(s_label=pl.lit(0))
    correctness = summary.schema.get("correctness")
    if "correct_ratio" not in summary.columns and correctness is not None and correctness.is_numeric():
        summary = summary.with_columns(correct_ratio=pl.col("correctness") / pl.col("correctness").max())
    return summary
