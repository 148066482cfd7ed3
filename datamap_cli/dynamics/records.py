"""Files decoded: JSON lines or Python dicts, and what stands in front of a file."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamap_cli.text import shown

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


def record_in(line: str) -> dict[str, Any]:
    """The object in a line of JSON, or the dict in a line of Python; evaluates nothing.

    Raises ValueError where it is neither, or a field stands twice.
    """
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
    raise ValueError(f"expected a JSON object or a Python dict, every field once; found {shown(line)}")


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
