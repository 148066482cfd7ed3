"""Files written whole or not at all: beside their place first, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from datamap_cli.errors import DatamapError
from datamap_cli.text import FORMULA, NUMBER, reason


def sha256(path: Path) -> str | None:
    """Of the file's bytes; None for a folder."""
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, with the directories above it."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_table(path: Path, table: pl.DataFrame, *, spreadsheet_safe: bool) -> None:
    """Writes a TSV; with `spreadsheet_safe`, an apostrophe stands before what a spreadsheet takes for a formula."""
    if spreadsheet_safe:
        for name in table.select(pl.col(pl.String)).columns:
            formula = pl.col(name).str.contains(FORMULA) & ~pl.col(name).str.contains(NUMBER)
            table = table.with_columns(pl.when(formula).then("'" + pl.col(name)).otherwise(name).alias(name))
    write_text(path, table.write_csv(separator="\t", float_precision=6))


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside `path` to write a file or directory to, which takes its place once it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove(partial)
            yield partial
            sync(partial)
            if partial.is_dir():
                remove(path)
            partial.replace(path)
        finally:
            remove(partial)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's refusal to write into a line for the user."""
    try:
        yield
    except OSError as error:
        raise DatamapError(f"{path}: cannot be written: {reason(error)}") from error
    except pl.exceptions.ComputeError as error:
        # Polars passes on some of the system's errors in its own class
        if "IO error" not in str(error):
            raise
        raise DatamapError(f"{path}: cannot be written: {str(error).rpartition('IO error: ')[2]}") from error


def sync(path: Path) -> None:
    """Forces a file's bytes, or those of all files in a directory, to disk, lest a power cut leave them empty."""
    for part in files_in(path) if path.is_dir() else [path]:
        with part.open("rb+") as file:
            os.fsync(file.fileno())


def files_in(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
