"""The data set: a file of the user's → examples and class names.

The file is foreign: every row is looked at, and what is wrong is said with its line.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from datamap_cli.config import DataConfig
from datamap_cli.errors import DatamapError

SUFFIXES = (".tsv", ".txt", ".csv", ".jsonl", ".parquet")

# the tutorial's code calls s_label so
_S_LABEL_ALIAS = "noisy_label"

# a fault of one row: (0-based row, line or None where the format has no lines, what is wrong)
_Fault = tuple[int, "int | None", str]


@dataclass(frozen=True)
class Dataset:
    """A training data set as the rest of the tool knows it."""

    examples: pl.DataFrame
    """id (Int64 or String), text_a, text_b (null: single texts), label (class index), s_label (null: there is none)."""
    classes: list[str]
    """Class names by index."""
    path: Path
    """Absolute."""
    sha256: str
    """Of the file's bytes."""
    notes: list[str] = field(default_factory=list)
    """What the user should know of how the file was read, a line each."""


@dataclass(frozen=True)
class _Table:
    """The wanted columns of a file as text, and where each row stands."""

    columns: dict[str, pl.Series]
    rows: pl.Series
    lines: pl.Series | None
    faults: list[_Fault]


def load(data: DataConfig) -> Dataset:
    """Reads `data.train`.

    Raises DatamapError for a file that is missing, not of a known format, not UTF-8 or without usable rows, for
    a column that is missing, for bad rows unless `data.on_bad_rows` is skip, and for ids that are not unique.
    """
    path, content = _content(data)
    frame, notes = _usable(path, content, data)
    label, classes = _classes(frame["label"])
    if len(classes) < 2:
        raise DatamapError(f"{path}: every label is {classes[0]!r}; two classes or more are needed")
    return Dataset(
        examples=frame.select("id", "text_a", "text_b", label, "s_label"),
        classes=classes,
        path=path.resolve(),
        sha256=hashlib.sha256(content).hexdigest(),
        notes=notes,
    )


def load_texts(data: DataConfig) -> pl.DataFrame:
    """id, text_a and text_b of `data.train`, for examples whose labels are known otherwise.

    Raises DatamapError as `load` does.
    """
    # no label is needed: the text, which every row has, stands in for it
    frame, _ = _usable(*_content(data), data.model_copy(update={"label": data.text_a}))
    return frame.select("id", "text_a", "text_b")


def _file(data: DataConfig) -> Path:
    if data.train is None:
        raise DatamapError("data.train: missing: give the file of the training data")
    if data.train.suffix.lower() not in SUFFIXES:
        raise DatamapError(f"data.train: {data.train}: expected a file ending in {', '.join(SUFFIXES)}")
    return data.train


def _content(data: DataConfig) -> tuple[Path, bytes]:
    """The path of `data.train` and what the file holds."""
    path = _file(data)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DatamapError(f"data.train: {path}: no such file (looked in {Path.cwd()})") from None
    except OSError as error:
        raise DatamapError(f"data.train: {path}: cannot be read: {error.strerror}") from None
    if not content.strip():
        raise DatamapError(f"{path}: empty")
    return path, content


def _usable(path: Path, content: bytes, data: DataConfig) -> tuple[pl.DataFrame, list[str]]:
    """The rows that can be used, labels still as text, and notes; raises DatamapError for those that cannot."""
    table = _read(path, content, data)
    notes = []
    frame, faults = _examine(table, data)
    faults = sorted([*table.faults, *faults], key=lambda fault: fault[0])
    if faults:
        if data.on_bad_rows == "error":
            raise DatamapError(f"{path}: {_listed(faults)}; `data.on_bad_rows: skip` leaves them out")
        frame = frame.filter(~pl.col("row").is_in([row for row, _, _ in faults]))
        notes.append(f"left out {_listed(faults)}")
    if not frame.height:
        raise DatamapError(f"{path}: no examples below the header" if not faults else f"{path}: no usable rows")
    if data.text_b is not None and data.text_b not in table.columns:
        notes.append(f"no column {data.text_b}: single texts")
    _refuse_doubled(path, frame["id"])
    return frame, notes


# --------------------------------------------------------------------------------------------- reading


def _read(path: Path, content: bytes, data: DataConfig) -> _Table:
    match path.suffix.lower():
        case ".parquet":
            return _read_parquet(path, content, data)
        case ".jsonl":
            return _read_jsonl(path, _decode(path, content), data)
        case _:
            separator, quoted = _delimited(path, data)
            text = _decode(path, content)
            if quoted:
                rows = _quoted_rows(path, io.StringIO(text, newline=""), separator)
            else:
                rows = _plain_rows(text, separator)
            return _read_delimited(path, rows, data)


def _delimited(path: Path, data: DataConfig) -> tuple[str, bool]:
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


def _quoted_rows(path: Path, lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
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


def _read_delimited(path: Path, rows: Iterator[tuple[int, list[str]]], data: DataConfig) -> _Table:
    _, header = next(rows, (0, []))
    header = [name.strip() for name in header]
    wanted = {name: header.index(name) for name in _wanted(path, data, header)}
    for name in wanted:
        if header.count(name) > 1:
            raise DatamapError(f"{path}: the header names column {name} {header.count(name)} times")
    values: dict[str, list[str]] = {name: [] for name in wanted}
    places: list[tuple[int, int]] = []
    faults: list[_Fault] = []
    for row, (line, fields) in enumerate(rows):
        if len(fields) != len(header):
            faults.append((row, line, f"{_fields(len(fields))}, expected {len(header)}"))
            continue
        places.append((row, line))
        for name, position in wanted.items():
            values[name].append(fields[position])
    return _table(values, places, faults)


def _read_jsonl(path: Path, text: str, data: DataConfig) -> _Table:
    records: list[Mapping[str, Any]] = []
    places: list[tuple[int, int]] = []
    faults: list[_Fault] = []
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


def _read_parquet(path: Path, content: bytes, data: DataConfig) -> _Table:
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
    return _Table(columns, pl.Series(range(frame.height), dtype=pl.Int64), None, [])


def _table(
    values: Mapping[str, Sequence[str | None]], places: Sequence[tuple[int, int]], faults: list[_Fault]
) -> _Table:
    return _Table(
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
        raise DatamapError(f"{path}: {'; '.join(missing)}; columns in the file: {_short(', '.join(present))}")
    optional = [data.text_b, data.s_label if data.s_label in present else _S_LABEL_ALIAS]
    return list(dict.fromkeys([*needed.values(), *(name for name in optional if name in present and name)]))


# ------------------------------------------------------------------------------------------ the file's rows


def locate(data: DataConfig, ids: pl.Series) -> pl.Series:
    """The 0-based row in `data.train` of each of the ids, (N,) Int64; null where the file has no such id.

    Without a column of ids it is the id itself, whether or not the file has so many rows. Raises DatamapError where
    the ids are texts and no column of them is named, and as `load` does.
    """
    if data.id is None:
        if not ids.dtype.is_integer():
            raise DatamapError(
                f"data.id: the ids are texts such as {ids[0]!r}; name their column: --set data.id=COLUMN"
            )
        return ids.cast(pl.Int64).alias("row")
    # no label is needed: the text, which every row has, stands in for it
    frame, _ = _usable(*_content(data), data.model_copy(update={"label": data.text_a}))
    known = frame.select("row", key=pl.col("id").cast(pl.String))
    wanted = pl.DataFrame({"key": ids.cast(pl.String)})
    return wanted.join(known, on="key", how="left", maintain_order="left")["row"]


def write_rows(data: DataConfig, rows: pl.Series, destination: Path) -> tuple[int, int]:
    """Writes those of the 0-based `rows` that `data.train` has, in the file's order and format; in one pass.

    Delimited files and JSON lines keep their bytes: byte order mark, header, quotes, line breaks; blank lines belong to
    no row. Parquet keeps columns, types and metadata. Returns the number of rows written, and of those in the file.
    Raises DatamapError for a file that cannot be read.
    """
    path = _file(data)
    if path.suffix.lower() == ".parquet":
        return _write_parquet_rows(path, rows, destination)
    wanted = iter(rows.unique().sort().drop_nulls())
    upcoming = next(wanted, None)
    written, row = 0, -1
    try:
        with path.open("rb") as file, destination.open("wb") as output:
            head, records = _raw_records(path, file, data)
            output.write(head)
            for row, record in enumerate(records):
                if row == upcoming:
                    output.write(record)
                    written += 1
                    upcoming = next(wanted, None)
    except UnicodeDecodeError:
        raise DatamapError(f"{path}: not UTF-8 text; save the file as UTF-8") from None
    return written, row + 1


def _write_parquet_rows(path: Path, rows: pl.Series, destination: Path) -> tuple[int, int]:
    try:
        file = pl.scan_parquet(path, glob=False)
        names = file.collect_schema().names()
        height: int = file.select(pl.len()).collect().item()
        metadata = {key: value for key, value in pl.read_parquet_metadata(path).items() if key != "ARROW:schema"}
        index = next(name for name in ("row", *(f"row_{i}" for i in range(len(names)))) if name not in names)
        kept = rows.filter(rows.is_between(0, height - 1)).unique()
        selected = file.with_row_index(index).filter(pl.col(index).is_in(kept.implode())).drop(index)
        selected.sink_parquet(destination, metadata=metadata)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DatamapError(f"{path}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from None
    return len(kept), height


def _raw_records(path: Path, file: BinaryIO, data: DataConfig) -> tuple[bytes, Iterator[bytes]]:
    """What stands before the first row, and the bytes of every row that `_read` knows, bad ones among them."""
    mark = file.read(len(codecs.BOM_UTF8))
    if mark != codecs.BOM_UTF8:
        file.seek(0)
        mark = b""
    if path.suffix.lower() == ".jsonl":
        return mark, (line for line in file if line.startswith(b"{") or line.decode().strip())
    separator, quoted = _delimited(path, data)
    if quoted:
        records = _raw_quoted(path, file, separator)
    else:
        records = (line for line in file if line not in (b"\n", b"\r\n", b"\r"))
    return mark + next(records, b""), records


def _raw_quoted(path: Path, file: BinaryIO, separator: str) -> Iterator[bytes]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    lines: list[str] = []

    def remembered() -> Iterator[str]:
        for line in text:
            lines.append(line)
            yield line

    try:
        for _ in _quoted_rows(path, remembered(), separator):
            while not lines[0].strip("\r\n"):
                del lines[0]
            yield "".join(lines).encode()
            lines.clear()
    finally:
        text.detach()  # the file is not ours to close


# ------------------------------------------------------------------------------------------- examining


def _examine(table: _Table, data: DataConfig) -> tuple[pl.DataFrame, list[_Fault]]:
    """The rows as examples, labels still as text, and what is wrong with single rows."""
    columns = table.columns
    height = len(table.rows)
    nothing = pl.Series([None] * height, dtype=pl.String)
    text_b = columns.get(data.text_b, nothing) if data.text_b is not None else nothing
    if not _blank(text_b).not_().any():
        text_b = nothing
    s_label = columns.get(data.s_label, columns.get(_S_LABEL_ALIAS, nothing)).str.strip_chars()
    s_label = s_label.set(_blank(s_label), None)
    frame = pl.DataFrame(
        {
            "row": table.rows,
            "line": table.lines if table.lines is not None else [None] * height,
            "id": columns.get(data.id, nothing).str.strip_chars()
            if data.id is not None
            else table.rows.cast(pl.String),
            "text_a": columns.get(data.text_a, nothing),
            "text_b": text_b,
            "label": columns.get(data.label, nothing).str.strip_chars(),
            "s_label": s_label,
        },
        schema_overrides={"line": pl.Int64},
    )
    pairs = text_b.null_count() < height
    checks = [
        (_is_blank("id"), f"empty {data.id}"),
        (_is_blank("text_a"), f"empty {data.text_a}"),
        *([(_is_blank("text_b"), f"empty {data.text_b}")] if pairs else []),
        (_is_blank("label"), f"empty {data.label}"),
        (~pl.col("s_label").is_in(["0", "1", "2"]), f"{data.s_label}: expected 0, 1 or 2"),
    ]
    faults: dict[int, _Fault] = {}
    for fails, what in checks:
        for row, line, identity in frame.filter(fails).select("row", "line", "id").rows():
            of = f" (id {identity})" if identity else ""
            faults.setdefault(row, (row, line, f"{what}{of}"))
    is_number = frame["id"].str.contains(r"^(0|-?[1-9]\d{0,17})$").fill_null(False).all()
    frame = frame.with_columns(
        pl.col("id").cast(pl.Int64) if is_number else pl.col("id"),
        pl.col("s_label").cast(pl.Int64, strict=False),
        # all rows or none: where some have it, an s_label that is missing means plain
    )
    if frame["s_label"].null_count() < frame.height:
        frame = frame.with_columns(pl.col("s_label").fill_null(0))
    return frame, list(faults.values())


def _blank(texts: pl.Series) -> pl.Series:
    return texts.is_null() | (texts.str.strip_chars() == "")


def _is_blank(column: str) -> pl.Expr:
    return pl.col(column).is_null() | (pl.col(column).str.strip_chars() == "")


def _refuse_doubled(path: Path, ids: pl.Series) -> None:
    doubled = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
    if len(doubled):
        shown = ", ".join(str(value) for value in doubled.head(3)) + (", …" if len(doubled) > 3 else "")
        raise DatamapError(f"{path}: {_counted(len(doubled), 'id')} more than once: {shown}")


def _classes(label: pl.Series) -> tuple[pl.Series, list[str]]:
    """Class indices, and the class names in their order: integers by value, names by the alphabet."""
    names: list[str] = label.unique().to_list()
    if all(re.fullmatch(r"0|-?[1-9]\d*", name) for name in names):
        names.sort(key=int)
    else:
        names.sort()
    index = label.replace_strict(names, list(range(len(names))), return_dtype=pl.Int64)
    return index.alias("label"), names


# -------------------------------------------------------------------------------------------- messages


def _listed(faults: Sequence[_Fault]) -> str:
    """The first faults in words, and how many there are."""
    shown = [f"{f'line {line}' if line is not None else f'row {row}'}: {what}" for row, line, what in faults[:3]]
    return f"{_counted(len(faults), 'bad row')}: {'; '.join(shown)}{'; …' if len(faults) > 3 else ''}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _fields(count: int) -> str:
    return _counted(count, "field")


def _short(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[:length] + " …"
