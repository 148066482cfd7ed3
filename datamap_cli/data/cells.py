"""Single cells of the user's own file: labels replaced and rows dropped, every other byte as it was."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from datamap_cli.config import DataConfig
from datamap_cli.data.rows import pieces
from datamap_cli.data.tables import as_text, as_texts, delimited, source
from datamap_cli.errors import DatamapError
from datamap_cli.text import counted

_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Edit:
    """What is to become of a row."""

    label: str
    """What its label is now; the file is refused where it is another."""
    new_label: str | None
    """What it becomes; None drops the row."""


class _UnfitError(Exception):
    """Why a cell cannot be edited; the caller knows where it stands."""


def write_edited(data: DataConfig, edits: Mapping[int, Edit], destination: Path) -> dict[int, int | None]:
    """Writes `data.train` with the `edits`, by 0-based row, made; in one pass.

    Of delimited files and JSON lines only the label cells of edited rows change: byte order mark, quotes, line breaks,
    blank lines and white space about the label stay. Parquet keeps columns, types and metadata. Returns the line in
    which each edited row begins, None in Parquet. Raises DatamapError for a file that cannot be read, for a row that it
    has not or whose label is another one, and for a label that its format cannot hold.
    """
    path = source(data)
    if not edits:
        shutil.copyfile(path, destination)
        return {}
    if path.suffix.lower() == ".parquet":
        return _write_parquet(path, data.label, edits, destination)
    try:
        return _write_text(path, data, edits, destination)
    except UnicodeDecodeError:
        raise DatamapError(f"{path}: not UTF-8 text; save the file as UTF-8") from None


def _write_text(path: Path, data: DataConfig, edits: Mapping[int, Edit], destination: Path) -> dict[int, int | None]:
    separator, quoted = ("", False) if path.suffix.lower() == ".jsonl" else delimited(path, data)
    lines: dict[int, int | None] = {}
    row, position = -1, -1
    with path.open("rb") as file, destination.open("wb") as output:
        mark, parts = pieces(path, file, data)
        output.write(mark)
        for content, is_record, line in parts:
            if is_record and separator and position < 0:
                position = _position(path, content.decode(), separator, data.label, quoted=quoted)
            elif is_record:
                row += 1
                if (edit := edits.get(row)) is not None:
                    lines[row] = line
                    try:
                        content = _edited(content, edit, data.label, separator, position, quoted=quoted)
                    except _UnfitError as error:
                        raise DatamapError(f"{path}, line {line}: {error}") from None
            output.write(content)
    _refuse_missing(path, edits, row + 1)
    return lines


def _edited(content: bytes, edit: Edit, name: str, separator: str, position: int, *, quoted: bool) -> bytes:
    """A record with its label replaced; nothing of one that is dropped."""
    record = content.decode()
    if not separator:
        start, end, value = _json_value(record, name)
        text = as_text(value) or ""
    else:
        start, end = _spans(record, separator, quoted=quoted)[position]
        value = record[start:end]
        if quoted and value.startswith('"'):
            value = value[1:-1].replace('""', '"')
        text = value
    before, found, after = text.partition(edit.label)
    if not found or before.strip() or after.strip():
        raise _UnfitError(f"the label is {text.strip()!r} here, not {edit.label!r}: the verdict is of other labels")
    if edit.new_label is None:
        return b""
    if not separator:
        cell = _json_cell(value, before + edit.new_label + after, ascii_only=record.isascii())
    else:
        cell = _field(before + edit.new_label + after, separator, quoted=quoted, was_quoted=record[start] == '"')
    return (record[:start] + cell + record[end:]).encode()


def _refuse_missing(path: Path, edits: Mapping[int, Edit], height: int) -> None:
    missing = sorted(row for row in edits if not 0 <= row < height)
    if missing:
        raise DatamapError(f"{path}: no row {missing[0]:,}; it has {counted(height, 'row')}")


# ------------------------------------------------------------------------------------------ delimited


def _spans(record: str, separator: str, *, quoted: bool) -> list[tuple[int, int]]:
    """Where each field of a record begins and ends, quotes included."""
    spans, start = [], 0
    # a quote within a field that does not begin with one is text, as for Python's csv
    field = re.compile(rf'"[^"]*(?:""[^"]*)*"|[^{separator}\r\n]*' if quoted else rf"[^{separator}]*")
    body = len(record.removesuffix("\n").removesuffix("\r"))
    while (match := field.match(record, start, body)) is not None:
        spans.append(match.span())
        if record[match.end() : match.end() + 1] != separator:
            break
        start = match.end() + 1
    return spans


def _position(path: Path, header: str, separator: str, name: str, *, quoted: bool) -> int:
    """Which field is the label's."""
    names = [header[start:end] for start, end in _spans(header, separator, quoted=quoted)]
    if quoted:
        names = [field[1:-1].replace('""', '"') if field.startswith('"') else field for field in names]
    names = [field.strip() for field in names]
    if name not in names:
        raise DatamapError(f"{path}: data.label: no column {name}; columns in the file: {', '.join(names)}")
    return names.index(name)


def _field(text: str, separator: str, *, quoted: bool, was_quoted: bool) -> str:
    """A field with this text, quoted where it was or has to be; raises _UnfitError where quotes are text."""
    special = [character for character in (separator, "\n", "\r") if character in text]
    if not quoted:
        if special:
            raise _UnfitError(f"the label {text!r} cannot stand in a file without quotes; see data.quoting")
        return text
    if was_quoted or special or text.startswith('"'):
        return '"' + text.replace('"', '""') + '"'
    return text


# ----------------------------------------------------------------------------------------- JSON lines


def _json_value(record: str, name: str) -> tuple[int, int, Any]:
    """Where the value of a key of the object begins and ends, and the value; of a key that is there twice the last."""
    decoder = json.JSONDecoder()
    found: tuple[int, int, Any] | None = None
    place = _skip(record, _skip(record, 0) + 1)
    while record[place] != "}":
        key, place = decoder.raw_decode(record, place)
        start = _skip(record, _skip(record, place) + 1)
        value, place = decoder.raw_decode(record, start)
        if key == name:
            found = (start, place, value)
        place = _skip(record, place)
        if record[place] == ",":
            place = _skip(record, place + 1)
    if found is None:
        raise _UnfitError(f"no {name} here")
    return found


def _skip(record: str, place: int) -> int:
    match = _SPACE.match(record, place)
    assert match is not None
    return match.end()


def _json_cell(old: Any, text: str, *, ascii_only: bool) -> str:
    """The new label as JSON: a number or truth value where the old one was and it is one, else a string."""
    if not isinstance(old, str):
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if isinstance(value, (int, float)) and as_text(value) == text:
            return json.dumps(value)
    return json.dumps(text, ensure_ascii=ascii_only)


# -------------------------------------------------------------------------------------------- Parquet


def _write_parquet(path: Path, name: str, edits: Mapping[int, Edit], destination: Path) -> dict[int, int | None]:
    try:
        file = pl.scan_parquet(path, glob=False)
        names = file.collect_schema().names()
        labels = file.select(name).collect()[name]
        _refuse_missing(path, edits, len(labels))
        now = as_texts(labels).str.strip_chars().gather(list(edits))
        for (row, edit), label in zip(edits.items(), now, strict=True):
            if label != edit.label:
                other = f"the label is {label!r} here, not {edit.label!r}"
                raise DatamapError(f"{path}, row {row}: {other}: the verdict is of other labels")
        index = next(other for other in ("row", *(f"row_{i}" for i in range(len(names)))) if other not in names)
        relabelled = {row: edit.new_label for row, edit in edits.items() if edit.new_label is not None}
        dropped = pl.Series([row for row, edit in edits.items() if edit.new_label is None], dtype=pl.UInt32)
        labels = _relabelled(path, labels, relabelled)
        edited = pl.concat([file.drop(name), labels.to_frame().lazy().with_row_index(index)], how="horizontal")
        metadata = {key: value for key, value in pl.read_parquet_metadata(path).items() if key != "ARROW:schema"}
        kept = edited.filter(~pl.col(index).is_in(dropped.implode())).select(names)
        kept.sink_parquet(destination, metadata=metadata)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DatamapError(f"{path}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from None
    return dict.fromkeys(edits)


def _relabelled(path: Path, labels: pl.Series, new: Mapping[int, str]) -> pl.Series:
    """The column with some of its values replaced, of the same type."""
    texts = pl.Series(list(new.values()), dtype=pl.String)
    rows = pl.Series(list(new), dtype=pl.UInt32)
    try:
        if isinstance(labels.dtype, pl.Categorical | pl.Enum):
            return labels.cast(pl.String).scatter(rows, texts).cast(labels.dtype)
        if labels.dtype == pl.Boolean:
            texts = texts.replace_strict({"true": "1", "false": "0"}).cast(pl.Int8)
        return labels.clone().scatter(rows, texts.cast(labels.dtype))
    except pl.exceptions.PolarsError:
        shown = ", ".join(dict.fromkeys(new.values()))
        raise DatamapError(
            f"{path}: column {labels.name} is {labels.dtype} and cannot hold every new label: {shown}"
        ) from None
