"""How every signal looks, decided once: its axis, its categories or its scale, with order, breaks, colours and symbols.

The figure applies it, and the page's menus apply the same, which the page carries. Nothing else chooses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.plot import look
from datamap_cli.plot.words import Words
from datamap_cli.signals import find

Floats = npt.NDArray[np.float64]

ROOM = 0.028
"""Share of an axis left free at either end."""
SVG_POINTS = 5_000
"""Up to so many points as SVG, sharp and selectable anywhere; above, WebGL."""
LINEAR_POINTS = 500
"""Up to so many, counts stand on a linear axis, stacked; above, on a logarithmic one, line by line."""
FINE_POINTS = 2_000
"""Up to so many, a logarithmic axis of counts has a tick at every power of ten; above, at every second."""
BINS = ((LINEAR_POINTS, 25), (SVG_POINTS, 40), (None, 64))
"""Bins of a histogram by the number of points up to which they are so many."""
RINGS, RING_CELLS, RINGS_A_CELL = 1_000, (36, 24), 2
"""Up to RINGS marked examples each has a ring; above, so many of each kind in a cell of a grid: more hide the map."""

_SAMPLE, _TICKS = 1_000, 13
# share of the values at either end that a colour scale may pass over
_FAR = 0.001


@dataclass(frozen=True)
class Category:
    name: str
    """As in the legend."""
    short: str
    """As under its bar."""
    color: str
    marker: str


@dataclass(frozen=True)
class Scheme:
    """A way to tell examples apart: up to seven categories, hard to easy, and perhaps one of those without a value."""

    signal: str
    categories: tuple[Category, ...]
    ordered: bool = True
    valueless: int | None = None
    """Index of the category of those without a value, where there are such."""
    values: tuple[float, ...] = ()
    """The value of each of the first categories, where they stand for one each."""
    others: int | None = None
    """Index of the category of all other values, where there is one."""

    @property
    def listed(self) -> list[int]:
        """The categories from the top of a legend: easy to hard where there is an order, without a value last."""
        order = range(len(self.categories))
        return sorted(order, key=lambda i: (i == self.valueless, -i if self.ordered else i))

    def index(self, values: pl.Series) -> pl.Series:
        """The category of each value."""
        rest = pl.Series([self.others], dtype=pl.Int8)
        found = values.cast(pl.Float64).replace_strict(
            list(self.values), list(range(len(self.values))), default=None, return_dtype=pl.Int8
        )
        if self.others is not None:
            found = pl.select(pl.when(pl.lit(values).is_not_null()).then(pl.lit(found).fill_null(rest))).to_series()
        return found if self.valueless is None else found.fill_null(self.valueless)


@dataclass(frozen=True)
class Scale:
    """A continuous colour, clipped where a few values far out would take all the colours."""

    low: float
    high: float
    ticks: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Axis:
    low: float
    high: float
    tick: int | None
    """Between ticks; None: Plotly's choice."""

    @property
    def range(self) -> tuple[float, float]:
        return self.low, self.high


@dataclass(frozen=True)
class Encoding:
    """What one signal looks like on an axis and as a colour."""

    axis: Axis
    color: Scheme | Scale


def encode(name: str, values: pl.Series, words: Words, classes: Sequence[str]) -> Encoding:
    """The look of a signal with these values. `classes` names the labels."""
    known = finite(values)
    return Encoding(axis(name, known), scheme(name, values, known, words, classes) or scale(known))


def finite(values: pl.Series) -> Floats:
    """The values that there are: null, NaN and infinite are none."""
    number = values.cast(pl.Float64).fill_null(math.nan).to_numpy()
    known = np.isfinite(number)
    return number if known.all() else number[known]


# ------------------------------------------------------------------------------------------------- axis


def axis(name: str, known: Floats) -> Axis:
    """Where its axis begins and ends: its bounds, or from 0 where nothing is negative; a little room on both sides."""
    bounds = find(name).bounds
    if bounds is not None or not known.size:
        low, high = bounds or (0.0, 1.0)
    else:
        low, high = float(known.min()), float(known.max())
        low = 0.0 if 0 < low < 0.5 * high else low
        if low == high:
            low, high = sorted((0.0, 2 * low or 1.0))
    # such that the extremes lie at the share ROOM from the ends
    room = (high - low) * ROOM / (1 - 2 * ROOM)
    return Axis(low - room, high + room, _tick(known))


def _tick(known: Floats) -> int | None:
    """A tick at each number where there are a few whole ones."""
    distinct = _few_distinct(known, _TICKS)
    if distinct is None or len(distinct) < 2 or np.ptp(distinct) >= _TICKS:
        return None
    return 1 if np.array_equal(distinct, distinct.round()) else None


def _few_distinct(known: Floats, most: int) -> Floats | None:
    """The values that differ, ascending; None where there are more than `most`, which a sample says cheaply."""
    if len(np.unique(known[:_SAMPLE])) > most:
        return None
    distinct: Floats = np.unique(known)
    return distinct if len(distinct) <= most else None


# ------------------------------------------------------------------------------------------------ colour


def scheme(name: str, values: pl.Series, known: Floats, words: Words, classes: Sequence[str]) -> Scheme | None:
    """The values of a signal that has few whole ones, or names classes, as categories; None for all others.

    `known` are the finite ones of `values`.
    """
    signal = find(name, values.dtype)
    if signal.kind == "class":
        return _labels(name, values, words, classes)
    distinct = _few_distinct(known, look.MOST)
    if distinct is None or not distinct.size or not np.array_equal(distinct, distinct.round()):
        return None
    kept = distinct.tolist()
    if signal.suspicious == "high":
        kept = kept[::-1]
    if signal.kind == "flag":
        names = [words("true" if value else "false") for value in kept]
    elif name == "s_label" and set(kept) <= {0, 1, 2}:
        names = [words(f"s_label {value:.0f}") for value in kept]
    else:
        names = [f"{value:.0f}" for value in kept]
    pairs = [(text, text) for text in names]
    return named(name, pairs, words, missing=len(known) < len(values), values=kept)


def _labels(name: str, values: pl.Series, words: Words, classes: Sequence[str]) -> Scheme:
    """Classes, of no order; where there are more than eyes tell apart, the largest ones and the others in one."""
    counts = values.rename("class").drop_nulls().value_counts().sort("count", "class", descending=[True, False])
    present = counts["class"].to_list()
    kept = sorted(present if len(present) <= look.MOST else present[: look.MOST - 1])
    names = [classes[int(label)] if 0 <= label < len(classes) else str(label) for label in kept]
    pairs = [(text, text) for text in names]
    others = len(present) - len(kept)
    if others:
        pairs.append((words("others", count=others), "…"))
    missing = values.null_count() > 0
    return named(name, pairs, words, missing=missing, ordered=False, values=kept, others=len(kept) if others else None)


def named(
    signal: str,
    names: Sequence[tuple[str, str]],
    words: Words,
    *,
    missing: bool,
    ordered: bool = True,
    values: Sequence[float] = (),
    others: int | None = None,
) -> Scheme:
    """The scheme of these names, legend's and bar's; with a further category where values are missing."""
    colors = look.colors(len(names), nominal=not ordered)
    markers = look.markers(len(names), nominal=not ordered)
    categories = [Category(*pair, *style) for pair, *style in zip(names, colors, markers, strict=True)]
    if missing:
        categories.append(Category(words("no value"), "–", *look.NO_VALUE))
    return Scheme(
        signal,
        tuple(categories),
        ordered,
        len(names) if missing else None,
        tuple(float(value) for value in values),
        others,
    )


def quantiles(name: str, values: pl.Series, words: Words) -> tuple[Scheme, pl.Series]:
    """Up to seven classes of about as many examples each, and the class of each value."""
    number = pl.select(pl.lit(values.cast(pl.Float64)).alias("v")).select(pl.when(pl.col("v").is_finite()).then("v"))[
        "v"
    ]
    known = number.drop_nulls().to_numpy()
    if not known.size:
        nothing = named(name, [], words, missing=len(values) > 0)
        return nothing, number.cast(pl.Int8).fill_null(0)
    bounds = np.unique(np.quantile(known, np.linspace(0, 1, look.MOST + 1), method="lower"))
    inner = bounds[1:-1]
    index = pl.Series(np.searchsorted(inner, number.fill_null(0).to_numpy(), side="right"), dtype=pl.Int8)
    texts = _numbers(bounds.tolist())
    highs = [f"<{high}" for high in texts[1:-1]] + [texts[-1]]
    names = [f"{low} – {high}" for low, high in zip(texts, highs, strict=False)]
    shorts = [f"<{high}" for high in texts[1:-1]] + [f"≤{texts[-1]}"]
    pairs = list(zip(names, shorts, strict=True))
    if find(name).suspicious == "high":
        pairs, index = pairs[::-1], len(inner) - index
    made = named(name, pairs, words, missing=number.has_nulls())
    index = pl.select(pl.when(number.is_not_null()).then(index)).to_series()
    return made, index if made.valueless is None else index.fill_null(made.valueless)


def _numbers(values: Sequence[float]) -> list[str]:
    """The values with as few digits as keep them apart."""
    for digits in range(2, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def scale(known: Floats) -> Scale:
    """A colour scale over the values: all of them, but for a few at an end that lie far from the others."""
    bottom, top, below, above = _clip(known)
    ticks = np.linspace(bottom, top, 5)
    decimals = 2 - math.floor(math.log10(top - bottom))
    texts = [f"{round(tick, decimals) + 0:.6g}" for tick in ticks]  # + 0: no minus before a zero
    texts[0] = f"≤ {texts[0]}" if below else texts[0]
    texts[-1] = f"≥ {texts[-1]}" if above else texts[-1]
    return Scale(bottom, top, tuple(ticks.tolist()), tuple(texts))


def _clip(known: Floats) -> tuple[float, float, bool, bool]:
    """Where the colours begin and end, and whether values lie beyond."""
    if not known.size:
        return 0.0, 1.0, False, False
    low, high = float(known.min()), float(known.max())
    inner_low, inner_high = (pl.Series(known).quantile(share, "nearest") or 0.0 for share in (_FAR, 1 - _FAR))
    bottom = inner_low if inner_low - low > 0.25 * (inner_high - inner_low) > 0 else low
    top = inner_high if high - inner_high > 0.25 * (inner_high - inner_low) > 0 else high
    return bottom, top if top > bottom else bottom + 1, bottom > low, top < high
