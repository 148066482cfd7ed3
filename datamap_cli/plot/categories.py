"""Which examples the map draws, and which category each is in: pure Polars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli import where
from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.plot import encoding
from datamap_cli.plot.encoding import Axis, Category, Scheme
from datamap_cli.plot.words import Words


@dataclass(frozen=True)
class Selection:
    points: pl.DataFrame
    """A row per example that passes: row (in the summary), x, y, s_label, color and shape (indices into the schemes),
    value (of the signal on the colour bar, else null)."""
    color: Scheme | None
    """None: a colour bar."""
    shape: Scheme
    axes: tuple[Axis, Axis]
    """Of x and y, by all that pass the filters."""
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


@dataclass(frozen=True)
class Groups:
    """What a click in the legend hides together and the bars count: the colours or, with a colour bar, the shapes."""

    column: str
    scheme: Scheme
    counts: npt.NDArray[np.int64]
    """Of all passing rows, (categories,)."""

    @property
    def categories(self) -> tuple[Category, ...]:
        return self.scheme.categories

    @property
    def order(self) -> list[int]:
        """Those present, common to rare: the rare ones are drawn over the common ones."""
        return [int(i) for i in np.lexsort((-np.arange(len(self.counts)), -self.counts)) if self.counts[i]]

    @classmethod
    def of(cls, selection: Selection) -> Groups:
        column, scheme = selection.groups
        counts = np.bincount(selection.points[column].to_numpy(), minlength=len(scheme.categories))
        return cls(column, scheme, counts)

    def key(self, index: int) -> str:
        """Name of a group in Plotly's legend: a click hides its points, rings and share of the histograms together."""
        return f"category {index}"


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


def select(summary: pl.DataFrame, settings: PlotConfig, *, classes: Sequence[str] = ()) -> Selection:
    """The examples that pass every filter and have a value on both axes, with their categories.

    Null, NaN and infinite are no values. `classes` names the labels. Raises DatamapError for a signal that the summary
    lacks.
    """
    check_signals(settings, summary.schema)
    words = Words(settings.language)
    needed, passes, conditions = _filters(summary, settings)
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
            *(value.is_null().alias(f"lacks {name}") for name, value in needed.items()),
        )
        .filter("passes")
        .drop("passes")
        .collect()
    )
    lacks = [f"lacks {name}" for name in needed]
    valueless = tuple(name for name in needed if passing[f"lacks {name}"].any())
    points = (passing.filter(~pl.any_horizontal(lacks)) if valueless else passing).drop(lacks)
    sources = {name: points[f"={name}"] for name in kept}
    usual = _scheme(settings, sources, points.height, words)
    color: Indexed | tuple[None, None] = usual
    shape, value = usual, None
    if (signal := settings.color_by) is not None:
        few = encoding.scheme(signal, sources[signal], encoding.finite(sources[signal]), words, classes)
        if few is None:
            value = pl.select(_finite(pl.lit(sources[signal]))).to_series()
        color = (None, None) if few is None else (few, few.index(sources[signal]))
    if (signal := settings.shape_by) is not None:
        few = encoding.scheme(signal, sources[signal], encoding.finite(sources[signal]), words, classes)
        shape = encoding.quantiles(signal, sources[signal], words) if few is None else (few, few.index(sources[signal]))
    return Selection(
        points=points.select("row", "x", "y", "s_label").with_columns(
            color=pl.lit(None, dtype=pl.Int8) if color[1] is None else color[1],
            shape=shape[1],
            value=value if value is not None else pl.lit(None, dtype=pl.Float64),
        ),
        color=color[0],
        shape=shape[0],
        axes=(
            encoding.axis(settings.attr2, encoding.finite(passing["x"])),
            encoding.axis(settings.attr1, encoding.finite(passing["y"])),
        ),
        conditions=tuple(conditions),
        valueless=valueless,
        missing=passing.height - points.height,
    )


def _filters(summary: pl.DataFrame, settings: PlotConfig) -> tuple[dict[str, pl.Expr], pl.Expr, list[str]]:
    """Values that an example must have, by their signal; which rows pass; the filters in words."""
    needed = {settings.attr1: _value(settings.attr1), settings.attr2: _value(settings.attr2)}
    passes, conditions = pl.lit(True), list[str]()
    if settings.criterion is not None:
        criterion = needed[settings.criterion] = _value(settings.criterion)
        # without a value it neither passes nor fails: counted as missing, not as filtered out
        passes &= (criterion >= settings.threshold).fill_null(True)
        conditions.append(f"{settings.criterion} ≥ {settings.threshold:g}")
    for counted, least in (("forgetting_times", settings.use_f_times), ("learnt_times", settings.use_l_times)):
        if least > 0:
            passes &= pl.col(counted) >= least
            conditions.append(f"{counted} ≥ {least}")
    if settings.where is not None:
        passes &= pl.lit(_passes(settings.where, summary))
        conditions.append(settings.where)
    return needed, passes, conditions


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
        return _usual("examples", [(words("all"), words("all"))], index, words)
    names = ("0 – <0.2", "0.2 – <0.4", "0.4 – <0.6", "0.6 – <0.8", "0.8 – <1", "1")
    shorts = ("<0.2", "<0.4", "<0.6", "<0.8", "<1", "1")
    # a whole number of evaluations out of a million at most: 3/5, as a float a little less, is not below 0.6
    index = pl.select((pl.lit(sources["correct_ratio"]) * 5 + 1e-9).floor().cast(pl.Int8)).to_series()
    return _usual("correct_ratio", list(zip(names, shorts, strict=True)), index, words)


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
    return _usual("forgetting_times", names, index, words)


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
    return _usual("learnt_times", names, index, words)


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


def _usual(signal: str, names: Sequence[tuple[str, str]], index: pl.Series, words: Words) -> Indexed:
    scheme = encoding.named(signal, names, words, missing=index.has_nulls())
    return scheme, index if scheme.valueless is None else index.fill_null(scheme.valueless)
