"""Files decoded: JSON lines or Python dicts, and what stands in front of a file."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from datamap_cli.dynamics.messages import line_of, shown
from datamap_cli.errors import DatamapError

ZIP, PARQUET = b"PK\x03\x04", b"PAR1"


def magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def is_json(source: Path) -> bool:
    return opening(source)[1].startswith("{")


def opening(source: Path) -> tuple[int, str]:
    """Number and text of the first line that is not blank."""
    with source.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(2**24), b""), start=1):
            text = line.decode("utf-8-sig", "replace").strip()
            if text:
                return number, text
    return 1, ""


def separator_of(header: str) -> str:
    return "\t" if "\t" in header else ","


@contextmanager
def reading(source: Path) -> Iterator[None]:
    """Turns what the system, Polars and decoders say of a file into a line for the user."""
    try:
        yield
    except UnicodeDecodeError:
        raise DatamapError(f"{source}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise DatamapError(f"{error.filename or source}: cannot be read: {error.strerror or line_of(error)}") from None
    except pl.exceptions.PolarsError as error:
        raise DatamapError(f"{source}: cannot be read: {line_of(error)}") from None


def read_json_lines(path: Path) -> pl.DataFrame:
    """JSON objects or Python dicts, one a line; a field that a record lacks is null."""
    columns: dict[str, list[Any]] = {}
    count = 0
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            record = record_in(path, number, line)
            if record.keys() != columns.keys():
                for name in record:
                    columns.setdefault(name, [None] * count)
                record = {name: record.get(name) for name in columns}
            for name, value in record.items():
                columns[name].append(value)
            count += 1
    return pl.DataFrame([series(path, name, values) for name, values in columns.items()])


def record_in(path: Path, number: int, line: str) -> dict[str, Any]:
    """The object in a line of JSON, or the dict in a line of Python; evaluates nothing."""
    line = line.strip()
    if '"' in line or "\\" in line:
        readers: tuple[Callable[[str], Any], ...] = (_DECODER.decode, _python_literal)
    else:
        # without double quotes and escapes every string is between two single quotes: JSON but for the quotes
        readers = (lambda text: _DECODER.decode(text.replace("'", '"')), _plain_dict, _python_literal)
    for reader in readers:
        try:
            record = reader(line)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(record, dict):
            return record
        break
    raise DatamapError(
        f"{path}, line {number}: expected a JSON object or a Python dict, every field once; found {shown(line)}"
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a field stands twice")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
_JSON_WORDS = {"True": "true", "False": "false", "None": "null", "nan": "NaN", "inf": "Infinity"}


def _plain_dict(line: str) -> Any:
    """A Python dict without double quotes and escapes, by way of JSON; far faster than Python's parser."""
    parts = line.split("'")
    # the even parts lie outside of strings
    parts[::2] = [re.sub(r"\b(True|False|None|nan|inf)\b", lambda m: _JSON_WORDS[m[0]], part) for part in parts[::2]]
    return _DECODER.decode('"'.join(parts))


def _python_literal(line: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that Python has deprecated
        tree = ast.parse(line, mode="eval")
    record = ast.literal_eval(tree)
    if isinstance(tree.body, ast.Dict) and (len(record) < len(tree.body.keys) or set(map(type, record)) != {str}):
        raise ValueError("a field stands twice, or its name is no text")
    return record


def series(path: Path, name: str, values: Sequence[Any]) -> pl.Series:
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
    except ValueError:
        raise DatamapError(f"{path}: {shown(name)}: a value that is no valid text or number") from None


def _lists(name: str, values: Sequence[Sequence[float | None] | None]) -> pl.Series:
    """Lists of numbers as a column."""
    widths = {len(value) if value else 0 for value in values}
    if len(widths) == 1 and 0 not in widths:
        # through numpy, many times as fast; of None it makes NaN
        flat = np.array(list(chain.from_iterable(value for value in values if value)), dtype=np.float64)
        return pl.Series(name, flat.reshape(len(values), -1)).arr.to_list()
    floats = [None if value is None else [None if v is None else float(v) for v in value] for value in values]
    return pl.Series(name, floats, dtype=pl.List(pl.Float64))
