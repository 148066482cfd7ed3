"""What a format of dynamics is: how a source is told to be of it, and how it is read."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from datamap_cli.dynamics.records import PARQUET, ZIP, magic, opening, record_in, separator_of
from datamap_cli.errors import DatamapError


@dataclass(frozen=True)
class LongTable:
    """A long table as found: column names from `columns.ID`, `columns.LABEL` …, a row per example and evaluation."""

    frame: pl.DataFrame
    step: str
    """Name of the column with the step; also what messages call an evaluation."""
    notes: list[str]
    classes: list[str] | None = None


@dataclass(frozen=True)
class Glance:
    """What a source looks like before it is read."""

    path: Path
    magic: bytes
    """The first bytes; none of a folder."""
    columns: list[str]
    """Field names of the first record, or of the header; none of a folder and of what is no text."""
    is_json: bool
    """Whether the first record is a JSON object or a Python dict."""

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


class Format(NamedTuple):
    """One row of the table of formats."""

    recognizes: Callable[[Glance], bool]
    """Whether a source is of this format; raises DatamapError for one that is part of such a source."""
    read: Callable[[Path], LongTable]
    """Raises DatamapError for what is not of this format."""
    looks_like: str
    """For the message that no format recognizes a source."""


def glance(source: Path) -> Glance:
    """Looks at a source. Raises DatamapError for an empty file and a first line that is no whole record."""
    if source.is_dir():
        return Glance(source, b"", [], is_json=False)
    start = magic(source)
    if start in (ZIP, PARQUET):
        return Glance(source, start, [], is_json=False)
    number, line = opening(source)
    if not line:
        raise DatamapError(f"{source}: empty")
    if line.startswith("{"):
        try:
            return Glance(source, start, list(record_in(line)), is_json=True)
        except ValueError as error:
            raise DatamapError(f"{source}, line {number}: {error}") from error
    try:
        header = next(csv.reader([line], delimiter=separator_of(line)), [])
    except csv.Error:
        header = []
    return Glance(source, start, header, is_json=False)
