"""Which examples the map draws, and how they are told apart: pure Polars and NumPy."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from datamap_cli import where
from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.plot import look
from datamap_cli.plot.words import Words

# whole numbers that are names: they have no order
_LABELS = ("label", "pred_label", "suggested_label")
_SAMPLE = 100_000


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


@dataclass(frozen=True)
class Selection:
    points: pl.DataFrame
    """A row per example that passes: row (in the summary), x, y, s_label, color and shape (indices into the schemes),
    value (of the signal on the colour bar, else null)."""
    color: Scheme | None
    """None: a colour bar."""
    shape: Scheme
    conditions: tuple[str, ...]
    """The filters in words, such as `forgetting_times ≥ 1`."""
    valueless: tuple[str, ...]
    """Signals for want of whose value an example that passes the filters is not drawn."""
    missing: int
    """Number of such examples."""

    @property
    def groups(self) -> tuple[str, Scheme]:
        """What a click in the legend hides, and what the bars count: the colours, or else the shapes."""
        return ("shape", self.shape) if self.color is None else ("color", self.color)


def columns(settings: PlotConfig, schema: pl.Schema) -> list[str]:
    """The columns of a summary of this schema that `draw` reads. Raises DatamapError as `check_signals` does."""
    check_signals(settings, schema)
    named = [
        *(settings.attr1, settings.attr2, settings.criterion, settings.color_by, settings.shape_by),
        *("s_label", "correct_ratio", "avg_probs"),
        *(["forgetting_times"] if settings.use_f_times >= 0 else []),
        *(["learnt_times"] if settings.use_l_times >= 0 else []),
        *([] if settings.where is None else _parse(settings.where, schema).meta.root_names()),
    ]
    return [name for name in schema if name in named]


def check_signals(settings: PlotConfig, schema: pl.Schema) -> None:
    """Raises DatamapError for a signal that no numeric column of the summary is, and for a wrong `where`."""
    known = [name for name, kind in schema.items() if name != "id" and (kind.is_numeric() or kind == pl.Boolean)]
    for key in ("attr1", "attr2", "criterion", "color_by", "shape_by"):
        name = getattr(settings, key)
        if name is not None and name not in known:
            raise DatamapError(f"plot.{key}: {name}: no such numeric signal; those of this summary: {', '.join(known)}")
    for key, signal in (("use_f_times", "forgetting_times"), ("use_l_times", "learnt_times")):
        if getattr(settings, key) >= 0 and not {signal, "correct_ratio"} <= set(known):
            raise DatamapError(f"plot.{key}: needs {signal} and correct_ratio; this summary has: {', '.join(known)}")
    if settings.where is not None:
        _parse(settings.where, schema)


def _parse(expression: str, schema: pl.Schema) -> pl.Expr:
    try:
        return where.parse(expression, schema)
    except DatamapError as error:
        raise DatamapError(f"plot.{error}") from None


def _passes(expression: str, summary: pl.DataFrame) -> pl.Series:
    try:
        return where.rows(expression, summary)
    except DatamapError as error:
        raise DatamapError(f"plot.{error}") from None


def select(
    summary: pl.DataFrame, settings: PlotConfig, *, classes: Sequence[str] = (), hard_high: Collection[str] = ()
) -> Selection:
    """The examples that pass every filter and have a value on both axes, with their categories.

    Null, NaN and infinite are no values. `classes` names the labels; `hard_high` are the signals whose high end is
    the hard one. Raises DatamapError for a signal that the summary lacks.
    """
    check_signals(settings, summary.schema)
    words = Words(settings.language)
    needed = {settings.attr1: _value(settings.attr1), settings.attr2: _value(settings.attr2)}
    passes, conditions = pl.lit(True), []
    if settings.criterion is not None:
        criterion = needed[settings.criterion] = _value(settings.criterion)
        # without a value it neither passes nor fails: counted as missing, not as filtered out
        passes &= (criterion >= settings.threshold).fill_null(True)
        conditions.append(f"{settings.criterion} ≥ {settings.threshold:g}")
    for signal, least in (("forgetting_times", settings.use_f_times), ("learnt_times", settings.use_l_times)):
        if least > 0:
            passes &= pl.col(signal) >= least
            conditions.append(f"{signal} ≥ {least}")
    if settings.where is not None:
        passes &= pl.lit(_passes(settings.where, summary))
        conditions.append(settings.where)
    # the summary's own columns may have any name: theirs begin with a mark here
    told_apart = {*(settings.color_by, settings.shape_by), *("correct_ratio", "forgetting_times", "learnt_times")}
    kept = [name for name in summary.columns if name in told_apart]
    passing = (
        summary.lazy()
        .select(
            passes.alias("passes"),
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
            needed[settings.attr2].alias("x"),
            needed[settings.attr1].alias("y"),
            pl.col("s_label").fill_null(0).cast(pl.Int8, strict=False),
            *(pl.col(name).alias(f"={name}") for name in kept),
            *(value.is_null().alias(f"lacks {signal}") for signal, value in needed.items()),
        )
        .filter("passes")
        .drop("passes")
        .collect()
    )
    lacks = [f"lacks {signal}" for signal in needed]
    valueless = tuple(signal for signal in needed if passing[f"lacks {signal}"].any())
    points = (passing.filter(~pl.any_horizontal(lacks)) if valueless else passing).drop(lacks)
    sources = {name: points[f"={name}"] for name in kept}
    usual = _scheme(settings, sources, points.height, words)
    color: Indexed | tuple[None, None] = usual
    shape, value = usual, None
    if settings.color_by is not None:
        few = _few(settings.color_by, sources[settings.color_by], words, classes, hard_high)
        if few is None:
            value = pl.select(_finite(pl.lit(sources[settings.color_by]))).to_series()
        color = few or (None, None)
    if settings.shape_by is not None:
        signal = settings.shape_by
        shape = _few(signal, sources[signal], words, classes, hard_high) or _quantiles(
            signal, sources[signal], words, hard_high
        )
    return Selection(
        points=points.select("row", "x", "y", "s_label").with_columns(
            color=pl.lit(None, dtype=pl.Int8) if color[1] is None else color[1],
            shape=shape[1],
            value=value if value is not None else pl.lit(None, dtype=pl.Float64),
        ),
        color=color[0],
        shape=shape[0],
        conditions=tuple(conditions),
        valueless=valueless,
        missing=passing.height - points.height,
    )


def _value(name: str) -> pl.Expr:
    """The column as Float64, null where it has no value."""
    return _finite(pl.col(name))


def _finite(value: pl.Expr) -> pl.Expr:
    number = value.cast(pl.Float64)
    return pl.when(number.is_finite()).then(number)


# ----------------------------------------------------------------------------------------------- schemes

Indexed = tuple[Scheme, pl.Series]


def _scheme(settings: PlotConfig, sources: dict[str, pl.Series], rows: int, words: Words) -> Indexed:
    """The tutorial's categories, as the options choose them."""
    if settings.use_f_times >= 0:
        return _forgetting(sources, words)
    if settings.use_l_times >= 0:
        return _learning(sources, words)
    if "correct_ratio" not in sources:  # the summary of another tool: nothing to tell examples apart by
        index = pl.Series("index", [0], dtype=pl.Int8).new_from_index(0, rows)
        return _named("examples", [(words("all"), words("all"))], index, words)
    names = ("0 – <0.2", "0.2 – <0.4", "0.4 – <0.6", "0.6 – <0.8", "0.8 – <1", "1")
    shorts = ("<0.2", "<0.4", "<0.6", "<0.8", "<1", "1")
    # a whole number of evaluations out of a million at most: 3/5, as a float a little less, is not below 0.6
    index = pl.select((pl.lit(sources["correct_ratio"]) * 5 + 1e-9).floor().cast(pl.Int8)).to_series()
    return _named("correct_ratio", list(zip(names, shorts, strict=True)), index, words)


def _forgetting(sources: dict[str, pl.Series], words: Words) -> Indexed:
    names = [
        (words("never right", count=0), "−"),
        ("≥ 3", "≥3"),
        ("2", "2"),
        ("1", "1"),
        (words("kept", count=0), "−+"),
        (words("always right", count=0), "0"),
    ]
    index = _by_count("forgetting_times", sources, never=0, partly=4, always=5, one=3, two=2, more=1)
    return _named("forgetting_times", names, index, words)


def _learning(sources: dict[str, pl.Series], words: Words) -> Indexed:
    names = [
        (words("never right", count=0), "−"),
        (words("lost", count=0), "+−"),
        ("≥ 3", "≥3"),
        ("2", "2"),
        ("1", "1"),
        (words("always right", count=0), "0"),
    ]
    index = _by_count("learnt_times", sources, never=0, partly=1, always=5, one=4, two=3, more=2)
    return _named("learnt_times", names, index, words)


def _by_count(signal: str, sources: dict[str, pl.Series], **index: int) -> pl.Series:
    count, right = pl.col(signal), pl.col("correct_ratio")
    return (
        pl.DataFrame({name: sources[name] for name in (signal, "correct_ratio")})
        .select(
            pl.when(count >= 3)
            .then(index["more"])
            .when(count == 2)
            .then(index["two"])
            .when(count == 1)
            .then(index["one"])
            .when(right == 0)
            .then(index["never"])
            .when(right == 1)
            .then(index["always"])
            .when(right.is_not_null())
            .then(index["partly"])
            .cast(pl.Int8)
        )
        .to_series()
    )


def _few(
    signal: str, values: pl.Series, words: Words, classes: Sequence[str], hard_high: Collection[str]
) -> Indexed | None:
    """The values of a signal that has few of them as categories; None where it has many."""
    if signal in _LABELS:
        return _labels(signal, values, words, classes)
    number = values.cast(pl.Float64)
    # a sample says cheaply that there are many
    if any(part.drop_nulls().n_unique() > look.MOST for part in (number.head(_SAMPLE), number)):
        return None
    distinct = [value for value in number.drop_nulls().unique().sort().to_list() if math.isfinite(value)]
    if not distinct or any(value != round(value) for value in distinct):
        return None
    if values.dtype == pl.Boolean:
        names = [words("true" if value else "false") for value in distinct]
    elif signal == "s_label" and set(distinct) <= {0, 1, 2}:
        names = [words(f"s_label {value:.0f}") for value in distinct]
    else:
        names = [f"{value:.0f}" for value in distinct]
    if signal in hard_high:
        names, distinct = names[::-1], distinct[::-1]
    return _named(signal, list(zip(names, names, strict=True)), _index(number, distinct), words)


def _labels(signal: str, values: pl.Series, words: Words, classes: Sequence[str]) -> Indexed:
    """Classes, of no order; where there are more than eyes tell apart, the largest ones and the others in one."""
    counts = values.rename("class").drop_nulls().value_counts().sort("count", "class", descending=[True, False])
    present = counts["class"].to_list()
    kept = sorted(present if len(present) <= look.MOST else present[: look.MOST - 1])
    names = [classes[label] if 0 <= label < len(classes) else str(label) for label in kept]
    pairs = list(zip(names, names, strict=True))
    index = _index(values.cast(pl.Float64), kept)
    if len(kept) < len(present):
        others = words("others", count=len(present) - len(kept))
        index = pl.select(pl.when(pl.lit(values).is_not_null()).then(pl.lit(index).fill_null(len(kept)))).to_series()
        pairs.append((others, "…"))
    return _named(signal, pairs, index, words, ordered=False)


def _index(values: pl.Series, kept: Sequence[float]) -> pl.Series:
    """Where each value stands in `kept`, null where it does not."""
    return values.replace_strict(
        [float(value) for value in kept], list(range(len(kept))), default=None, return_dtype=pl.Int8
    )


def _quantiles(signal: str, values: pl.Series, words: Words, hard_high: Collection[str]) -> Indexed:
    """Up to seven classes of about as many examples each."""
    number = pl.select(_finite(pl.lit(values))).to_series()
    known = number.drop_nulls().to_numpy()
    if not known.size:
        return _named(signal, [], number.cast(pl.Int8), words)
    bounds = np.unique(np.quantile(known, np.linspace(0, 1, look.MOST + 1), method="lower"))
    inner = bounds[1:-1]
    index = pl.Series(np.searchsorted(inner, number.fill_null(0).to_numpy(), side="right"), dtype=pl.Int8)
    texts = _numbers(bounds)
    highs = [f"<{high}" for high in texts[1:-1]] + [texts[-1]]
    names = [f"{low} – {high}" for low, high in zip(texts, highs, strict=False)]
    shorts = [f"<{high}" for high in texts[1:-1]] + [f"≤{texts[-1]}"]
    pairs = list(zip(names, shorts, strict=True))
    if signal in hard_high:
        pairs, index = pairs[::-1], len(inner) - index
    return _named(signal, pairs, pl.select(pl.when(number.is_not_null()).then(index)).to_series(), words)


def _numbers(values: Sequence[float]) -> list[str]:
    """The values with as few digits as keep them apart."""
    for digits in range(2, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def _named(
    signal: str, names: Sequence[tuple[str, str]], index: pl.Series, words: Words, *, ordered: bool = True
) -> Indexed:
    """The scheme of these names, legend's and bar's, with a further category for rows without an index."""
    colors = look.colors(len(names), nominal=not ordered)
    markers = look.markers(len(names), nominal=not ordered)
    categories = [Category(*pair, *style) for pair, *style in zip(names, colors, markers, strict=True)]
    if index.has_nulls():
        nothing = words("no value")
        return (
            Scheme(signal, (*categories, Category(nothing, "–", *look.NO_VALUE)), ordered, len(categories)),
            index.fill_null(len(categories)),
        )
    return Scheme(signal, tuple(categories), ordered), index
