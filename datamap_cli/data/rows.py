"""Rows of the user's own file, chosen and written with their bytes untouched."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import polars as pl

from datamap_cli.config import DataConfig
from datamap_cli.data.dataset import usable
from datamap_cli.data.tables import content_of, delimited, quoted_rows, source
from datamap_cli.errors import DatamapError
from datamap_cli.text import first_line

_BLANK = (b"\n", b"\r\n", b"\r")


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
    frame, _ = usable(*content_of(data), data.model_copy(update={"label": data.text_a}))
    known = frame.select("row", key=pl.col("id").cast(pl.String))
    wanted = pl.DataFrame({"key": ids.cast(pl.String)})
    return wanted.join(known, on="key", how="left", maintain_order="left")["row"]


def write_rows(data: DataConfig, rows: pl.Series, destination: Path) -> tuple[int, int]:
    """Writes those of the 0-based `rows` that `data.train` has, in the file's order and format; in one pass.

    Delimited files and JSON lines keep their bytes: byte order mark, header, quotes, line breaks; blank lines belong to
    no row. Parquet keeps columns, types and metadata. Returns the number of rows written, and of those in the file.
    Raises DatamapError for a file that cannot be read.
    """
    path = source(data)
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
    except UnicodeDecodeError as error:
        raise DatamapError(f"{path}: not UTF-8 text; save the file as UTF-8") from error
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
        raise DatamapError(f"{path}: not a Parquet file that can be read: {first_line(error)}") from error
    return len(kept), height


class Piece(NamedTuple):
    """A record of a file, or a blank line between two."""

    content: bytes
    is_record: bool
    line: int
    """The number of its first line, from 1."""


def pieces(path: Path, file: BinaryIO, data: DataConfig) -> tuple[bytes, Iterator[Piece]]:
    """The byte order mark, if there is one, and piece by piece all that follows: joined, they are the file.

    The records are the header of a delimited file, and every row that `read` knows, bad ones among them.
    """
    mark = file.read(len(codecs.BOM_UTF8))
    if mark != codecs.BOM_UTF8:
        file.seek(0)
        mark = b""
    numbered = enumerate(file, start=1)
    if path.suffix.lower() == ".jsonl":
        return mark, (Piece(line, line.startswith(b"{") or line.decode().strip() != "", n) for n, line in numbered)
    separator, quoted = delimited(path, data)
    if quoted:
        return mark, _quoted_pieces(path, file, separator)
    return mark, (Piece(line, line not in _BLANK, n) for n, line in numbered)


def _raw_records(path: Path, file: BinaryIO, data: DataConfig) -> tuple[bytes, Iterator[bytes]]:
    """What stands before the first row, and the bytes of every row."""
    mark, parts = pieces(path, file, data)
    records = (piece.content for piece in parts if piece.is_record)
    return mark if path.suffix.lower() == ".jsonl" else mark + next(records, b""), records


def _quoted_pieces(path: Path, file: BinaryIO, separator: str) -> Iterator[Piece]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    lines: list[str] = []
    number = 1

    def remembered() -> Iterator[str]:
        for line in text:
            lines.append(line)
            yield line

    try:
        for _ in quoted_rows(path, remembered(), separator):
            blank = next(k for k, line in enumerate(lines) if line.strip("\r\n"))
            for k in range(blank):
                yield Piece(lines[k].encode(), False, number + k)
            yield Piece("".join(lines[blank:]).encode(), True, number + blank)
            number += len(lines)
            lines.clear()
        for line in lines:
            yield Piece(line.encode(), False, number)
            number += 1
    finally:
        if not file.closed:  # as it is where an error ends the reading
            text.detach()  # the file is not ours to close
