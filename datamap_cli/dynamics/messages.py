"""What messages of this room have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl


def first(mask: pl.Series) -> int | None:
    """The first row where the mask is true."""
    return mask.arg_max() if mask.any() else None


def id_of(value: Any) -> str:
    return f"id {shown(value)}"


def shown(value: Any, length: int = 60) -> str:
    """A foreign value within a line: short, and nothing in it that breaks the line."""
    text = str(value)
    return short(text if text.isprintable() else repr(text), length)


def numbers_of(row: npt.NDArray[np.float64]) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in row[:3])}{', …' if len(row) > 3 else ''}]"


def first_three(values: Sequence[Any] | pl.Series | npt.NDArray[Any], show: Callable[[Any], str] = shown) -> str:
    return ", ".join(show(value) for value in values[:3]) + (", …" if len(values) > 3 else "")


def named(names: Sequence[str]) -> str:
    return short(", ".join(map(shown, names)))


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[:length] + " …"


def line_of(error: object) -> str:
    return shown((str(error).strip() or type(error).__name__).splitlines()[0], 200)
