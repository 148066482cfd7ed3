"""Which examples the map draws, and in which category: pure Polars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError


@dataclass(frozen=True)
class Category:
    name: str
    """As in the legend."""
    short: str
    """As under its bar."""


@dataclass(frozen=True)
class Scheme:
    """A way to tell examples apart: six categories, hard to easy, and the expression of their index."""

    signal: str
    categories: tuple[Category, ...]
    index: pl.Expr


@dataclass(frozen=True)
class Selection:
    points: pl.DataFrame
    """A row per drawn example: row (in the summary), x, y, category (index, hard to easy), s_label."""
    scheme: Scheme
    conditions: tuple[str, ...]
    """The filters in words, such as `forgetting_times ≥ 1`."""
    valueless: tuple[str, ...]
    """Signals for want of whose value an example that passes the filters is not drawn."""
    missing: int
    """Number of such examples."""


def select(summary: pl.DataFrame, settings: PlotConfig) -> Selection:
    """The examples that pass every filter and have a value on both axes, with their categories.

    Null, NaN and infinite are no values. Raises DatamapError for a signal that the summary lacks.
    """
    numeric = [name for name, kind in summary.schema.items() if kind.is_numeric() or kind == pl.Boolean]
    check_signals(settings, [name for name in numeric if name != "id"])
    y = _signal(settings.attr1)
    x = _signal(settings.attr2)
    passes, conditions = pl.lit(True), []
    needed = {settings.attr1: y, settings.attr2: x}
    if settings.criterion is not None:
        criterion = _signal(settings.criterion)
        needed[settings.criterion] = criterion
        # without a value it neither passes nor fails: counted as missing, not as filtered out
        passes &= (criterion >= settings.threshold).fill_null(True)
        conditions.append(f"{settings.criterion} ≥ {settings.threshold:g}")
    for signal, least in (
        ("forgetting_times", settings.use_f_times),
        ("learnt_times", settings.use_l_times),
    ):
        if least > 0:
            passes &= pl.col(signal) >= least
            conditions.append(f"{signal} ≥ {least}")
    scheme = _scheme(settings, summary.columns)
    passing = (
        summary.with_row_index("row")
        .filter(passes)
        .select("row", "s_label", x.alias("x"), y.alias("y"), scheme.index.alias("category"), *_lacks(needed))
    )
    lacks = [f"lacks {signal}" for signal in needed]
    points = passing.filter(~pl.any_horizontal(lacks))
    return Selection(
        points=points.drop(lacks),
        scheme=scheme,
        conditions=tuple(conditions),
        valueless=tuple(signal for signal in needed if passing[f"lacks {signal}"].any()),
        missing=passing.height - points.height,
    )


def check_signals(settings: PlotConfig, known: Sequence[str]) -> None:
    """Raises DatamapError for an axis or criterion that is none of the `known` numeric signals."""
    for key in ("attr1", "attr2", "criterion"):
        name = getattr(settings, key)
        if name is not None and name not in known:
            raise DatamapError(f"plot.{key}: {name}: no such numeric signal; those of this summary: {', '.join(known)}")
    for key, signal in (("use_f_times", "forgetting_times"), ("use_l_times", "learnt_times")):
        if getattr(settings, key) >= 0 and not {signal, "correct_ratio"} <= set(known):
            raise DatamapError(f"plot.{key}: needs {signal} and correct_ratio; this summary has: {', '.join(known)}")


def _signal(name: str) -> pl.Expr:
    """The column as Float64, null where it has no value."""
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)


def _lacks(needed: dict[str, pl.Expr]) -> list[pl.Expr]:
    return [value.is_null().alias(f"lacks {signal}") for signal, value in needed.items()]


def _scheme(settings: PlotConfig, columns: Sequence[str]) -> Scheme:
    if settings.use_f_times >= 0:
        return _forgetting()
    if settings.use_l_times >= 0:
        return _learning()
    if "correct_ratio" not in columns:  # the summary of another tool: nothing to tell examples apart by
        names = ("", "", "", "", "", "all")
        return Scheme("examples", _categories(names, names), pl.lit(5, dtype=pl.Int8))
    names = ("0 – <0.2", "0.2 – <0.4", "0.4 – <0.6", "0.6 – <0.8", "0.8 – <1", "1")
    shorts = ("<0.2", "<0.4", "<0.6", "<0.8", "<1", "1")
    # a whole number of evaluations out of a million at most: 3/5, as a float a little less, is not below 0.6
    index = (pl.col("correct_ratio") * 5 + 1e-9).floor()
    return Scheme("correct_ratio", _categories(names, shorts), index.cast(pl.Int8))


def _forgetting() -> Scheme:
    names = ("0: never right (−)", "≥ 3", "2", "1", "0: learnt, kept (−+)", "0: always right")
    return Scheme(
        "forgetting_times",
        _categories(names, ("−", "≥3", "2", "1", "−+", "0")),
        _by_count("forgetting_times", never=0, partly=4, always=5, one=3, two=2, more=1),
    )


def _learning() -> Scheme:
    names = ("0: never right (−)", "0: forgotten, not relearnt (+−)", "≥ 3", "2", "1", "0: always right")
    return Scheme(
        "learnt_times",
        _categories(names, ("−", "+−", "≥3", "2", "1", "0")),
        _by_count("learnt_times", never=0, partly=1, always=5, one=4, two=3, more=2),
    )


def _by_count(signal: str, *, never: int, partly: int, always: int, one: int, two: int, more: int) -> pl.Expr:
    count, right = pl.col(signal), pl.col("correct_ratio")
    return (
        pl.when(count >= 3)
        .then(more)
        .when(count == 2)
        .then(two)
        .when(count == 1)
        .then(one)
        .when(right == 0)
        .then(never)
        .when(right == 1)
        .then(always)
        .otherwise(partly)
        .cast(pl.Int8)
    )


def _categories(names: tuple[str, ...], shorts: tuple[str, ...]) -> tuple[Category, ...]:
    return tuple(Category(name, short) for name, short in zip(names, shorts, strict=True))
