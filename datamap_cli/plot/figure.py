"""The data map as a Plotly figure: the points, the histograms on its axes, the bars of its categories."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from datamap_cli.config import PlotConfig
from datamap_cli.plot import density, layout, look, regions
from datamap_cli.plot.categories import Category, Scheme, Selection, select
from datamap_cli.plot.hover import cut, escape, width
from datamap_cli.plot.words import Words

Array = npt.NDArray[Any]
Range = tuple[float, float]

SVG_POINTS = 5_000
"""Up to so many points as SVG, sharp and selectable anywhere; above, WebGL."""
LINEAR_POINTS = 500
"""Up to so many, counts stand on a linear axis, stacked; above, on a logarithmic one, line by line."""
RINGS = 1_000
"""Up to so many marked examples each has a ring; above, two of each kind in a cell of a grid: more hide the map."""
_RING_CELLS, _RINGS_A_CELL = (36, 24), 2

# these run from 0 to 1 whatever the data, so that maps compare
_PROBABILITIES = ("avg_probs", "confidence", "max_label_probs", "min_label_probs", "correct_ratio")
_ROOM = 0.028
"""Share of an axis left free at either end."""
_NAME = 28
"""Longest name in a legend, in columns."""


@dataclass(frozen=True)
class DataMap:
    figure: go.Figure
    """The traces of the points first, in the order of `points`; then rings, histograms, legend and bars."""
    title: str
    points: pl.DataFrame
    """A row per point, in the order of the traces end to end: row (in the summary), trace (in figure.data), x, y,
    category (index of the colour, hard to easy; null without a value and with a colour bar)."""
    total: int
    """Rows of the summary."""
    passing: int
    """Rows that pass the filters and have values on the axes."""
    dense: bool
    """Whether a density layer stands for the rows that are no points."""


@dataclass(frozen=True)
class _Groups:
    """What a click in the legend hides together and the bars count: the colours or, with a colour bar, the shapes."""

    column: str
    scheme: Scheme
    counts: Array
    """Of all passing rows, (categories,)."""

    @property
    def categories(self) -> tuple[Category, ...]:
        return self.scheme.categories

    @property
    def order(self) -> list[int]:
        """Those present, common to rare: the rare ones are drawn over the common ones."""
        return [int(i) for i in np.lexsort((-np.arange(len(self.counts)), -self.counts)) if self.counts[i]]


def draw(
    summary: pl.DataFrame,
    settings: PlotConfig,
    *,
    title: str,
    evaluations: int | None = None,
    classes: Sequence[str] = (),
    region: pl.Expr | None = None,
    hard_high: Collection[str] = (),
) -> DataMap:
    """The map of a summary, of all its examples that pass the filters of `settings`.

    `classes` names the labels in the legend; `region` names the region that a row of the summary lies in; `hard_high`
    are the signals whose high end is the hard one. A summary of another tool may lack all but s_label and the axes,
    and `evaluations` may be unknown. Raises DatamapError for a signal that the summary lacks.
    """
    words = Words(settings.language)
    selection = select(summary, settings, classes=classes, hard_high=hard_high)
    points = selection.points
    extent = (_range(points["x"], settings.attr2), _range(points["y"], settings.attr1))
    groups = _groups(selection)
    dense = points.height > settings.max_points
    drawn = (
        _choice(points, groups, extent, settings.max_points // 3) if dense else points.with_columns(size=pl.lit(1.0))
    )
    drawn = _in_traces(drawn, groups)
    marked = points.filter(pl.col("s_label").is_in(list(look.RINGS)))
    ringed = _ringed(marked, extent)

    apart = selection.shape.categories != groups.categories  # colour and shape each tell something of their own
    legends = [_group_legend(groups, points.height, colored=selection.color is not None, shaped=not apart)]
    if apart:
        legends.append(_shape_legend(selection))
    if selection.color is None and points["value"].has_nulls():
        legends.append(_valueless_legend(points["value"], str(settings.color_by), words))
    if marked.height:
        legends.append(_ring_legend(marked, summary, region, words))
    subtitle = [*_subtitle(selection, groups, drawn, summary.height, words, dense=dense)]
    if ringed.height < marked.height:
        subtitle.append(words("rings", shown=ringed.height, marked=marked.height))
    if evaluations is not None:
        subtitle.append(words.several(evaluations, "evaluation"))
    lines = _lines(subtitle, words("semicolon"), layout.columns(settings.width, settings.height, 13))
    frame = layout.frame(settings.width, settings.height, len(lines), [legend.extent for legend in legends])
    if not layout.fits(frame, [legend.extent for legend in legends], color_bar=selection.color is None):
        legends = [legend.short for legend in legends]

    figure = go.Figure()
    figure.add_traces(
        [*_markers(drawn, selection, groups, frame.unit), *_rings(ringed, drawn.height, groups, frame.unit)]
    )
    histograms = [_histogram(points, groups, axis, extent[i]) for i, axis in enumerate("xy")]
    for axis, histogram in zip("xy", histograms, strict=True):
        figure.add_traces([*_marginal(axis, *histogram, groups, selection)])
    for number, legend in enumerate(legends, start=1):
        figure.add_traces([*legend.traces(f"legend{number if number > 1 else ''}")])
    figure.update_layout(
        template=look.template(frame.unit),
        title=_heading(title, lines, settings),
        margin=frame.margin,
        hovermode="closest",
        dragmode="zoom",
        barmode="stack",
        bargap=0,
        **layout.axes(
            frame,
            titles=(escape(cut(settings.attr2)), escape(cut(settings.attr1))),
            ranges=extent,
            ticks=(_tick(points["x"]), _tick(points["y"])),
            highest=[
                int(counts.max(initial=0))
                for counts in (*(table.sum(axis=0) for _, table in histograms), groups.counts)
            ],
            count_title=words("count"),
            logarithmic=points.height > LINEAR_POINTS,
            fine=points.height <= 2_000,
        ),
        **layout.legends(frame, [legend.extent for legend in legends]),
    )
    if points.is_empty():
        figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False))  # else there are no axes
        figure.add_annotation(_note(selection, summary.height, words, frame.unit))
        return DataMap(figure, title, _of_map(drawn, selection), summary.height, 0, dense=False)
    figure.add_trace(_bars(groups, colored=selection.color is not None))
    if selection.color is None:
        figure.update_layout(coloraxis=_color_axis(points["value"], str(settings.color_by), frame))
    if dense:
        figure.add_layout_image(_layer(points, selection, groups, extent))
    if settings.attr1 in regions.CONFIDENCES and settings.attr2 in regions.SPREADS:
        figure.update_layout(annotations=_regions(points, groups, extent, settings, frame, words))
    return DataMap(figure, title, _of_map(drawn, selection), summary.height, points.height, dense)


# ------------------------------------------------------------------------------------------------ points


def _groups(selection: Selection) -> _Groups:
    column, scheme = selection.groups
    counts = np.bincount(selection.points[column].to_numpy(), minlength=len(scheme.categories))
    return _Groups(column, scheme, counts)


def _choice(points: pl.DataFrame, groups: _Groups, extent: tuple[Range, Range], most: int) -> pl.DataFrame:
    """The rows that are points above a density layer, with the size of each."""
    place = density.cells(points["x"].to_numpy(), points["y"].to_numpy(), extent, density.CELLS)
    rows, size = density.choose(place, points[groups.column].to_numpy(), len(groups.categories), most)
    return points[rows].with_columns(size=pl.Series(size))


def _in_traces(drawn: pl.DataFrame, groups: _Groups) -> pl.DataFrame:
    """The points in the order in which they are drawn, with the number of their trace: one per colour and shape."""
    rank = pl.col(groups.column).replace_strict(groups.order, list(range(len(groups.order))), return_dtype=pl.Int16)
    without = pl.col("value").is_null() if groups.column == "shape" else pl.lit(False)
    return (
        drawn.with_columns(trace=rank * 100 + pl.col("shape").cast(pl.Int16) * 2 + (~without).cast(pl.Int16))
        .sort("trace", maintain_order=True)
        .with_columns(trace=pl.col("trace").rle_id().cast(pl.Int32))
    )


def _of_map(drawn: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    category = pl.col("color")
    if selection.color is not None and selection.color.valueless is not None:
        category = pl.when(category != selection.color.valueless).then(category)
    return drawn.select("row", "trace", "x", "y", category.alias("category"))


def _kind(drawn: int) -> type[go.Scatter | go.Scattergl]:
    kind: type[go.Scatter | go.Scattergl] = go.Scatter if drawn <= SVG_POINTS else go.Scattergl
    return kind


def _markers(
    drawn: pl.DataFrame, selection: Selection, groups: _Groups, unit: float
) -> Iterator[go.Scatter | go.Scattergl]:
    base = look.marker_size(drawn.height) * unit
    for members in drawn.partition_by("trace", maintain_order=True):
        first = members.row(0, named=True)
        shape = selection.shape.categories[first["shape"]]
        size = base * look.MARKER_SCALE.get(shape.marker, 1)
        color: Any = look.NO_VALUE[0]
        if selection.color is not None:
            color = selection.color.categories[first["color"]].color
        elif first["value"] is not None:
            color = members["value"].cast(pl.Float32).to_numpy()
        number = int(groups.counts[first[groups.column]])
        sizes = members["size"]
        yield _kind(drawn.height)(
            x=_coordinates(members["x"]),
            y=_coordinates(members["y"]),
            mode="markers",
            name=escape(cut(groups.categories[first[groups.column]].name)),
            legendgroup=_group(first[groups.column]),
            showlegend=False,
            marker={
                "size": size if sizes.min() == 1 else (size * sizes).round(1).cast(pl.Float32).to_numpy(),
                "color": color,
                "symbol": shape.marker,
                "opacity": look.marker_opacity(min(number, members.height)),
                "line": {"width": 0.5 if members.height < 3_000 else 0, "color": "white"},
                **({} if isinstance(color, str) else {"coloraxis": "coloraxis"}),
            },
            hoverinfo="none",
        )


def _ringed(marked: pl.DataFrame, extent: tuple[Range, Range]) -> pl.DataFrame:
    """The marked examples that wear a ring: all, or where they are many the first ones of each kind in each cell."""
    if marked.height <= RINGS:
        return marked
    cell = density.cells(marked["x"].to_numpy(), marked["y"].to_numpy(), extent, _RING_CELLS)
    before = pl.int_range(pl.len()).over("cell", "s_label")
    return marked.with_columns(cell=pl.Series(cell)).filter(before < _RINGS_A_CELL)


def _rings(ringed: pl.DataFrame, drawn: int, groups: _Groups, unit: float) -> Iterator[go.Scatter | go.Scattergl]:
    """Rings around hard and planted dirty examples; a trace per group, so that they are hidden with their points."""
    for s_label, (marker, color) in look.RINGS.items():
        number = ringed.filter(pl.col("s_label") == s_label).height
        for index in groups.order:
            members = ringed.filter((pl.col("s_label") == s_label) & (pl.col(groups.column) == index))
            if members.is_empty():
                continue
            yield _kind(max(drawn, ringed.height))(
                x=_coordinates(members["x"]),
                y=_coordinates(members["y"]),
                mode="markers",
                legendgroup=_group(index),
                showlegend=False,
                meta={"s_label": s_label},
                marker={
                    "size": (look.marker_size(drawn) + look.ring_room(number)) * unit,
                    "color": color,
                    "symbol": marker,
                    "opacity": look.marker_opacity(number),
                    "line": {"width": look.ring_room(number) / 4 * unit},
                },
                hoverinfo="skip",
            )


def _layer(points: pl.DataFrame, selection: Selection, groups: _Groups, extent: tuple[Range, Range]) -> dict[str, Any]:
    """The density of all passing rows, under everything."""
    (left, right), (low, high) = extent
    place = density.cells(points["x"].to_numpy(), points["y"].to_numpy(), extent, density.PIXELS)
    size = density.PIXELS[0] * density.PIXELS[1]
    if selection.color is not None:
        table = density.counts(place, points["color"].to_numpy(), size, len(groups.categories))
        source = density.layer(table, [category.color for category in groups.categories], density.PIXELS)
    else:
        bottom, top, *_ = _scale(points["value"])
        value = points["value"].fill_null(bottom).to_numpy()
        total = np.bincount(place, minlength=size)
        mean = np.bincount(place, weights=(value - bottom) / (top - bottom), minlength=size) / np.maximum(total, 1)
        source = density.shaded(total, mean, look.CONTINUOUS, density.PIXELS)
    return {
        "source": source,
        **{"xref": "x", "yref": "y", "x": left, "y": high, "sizex": right - left, "sizey": high - low},
        **{"sizing": "stretch", "layer": "below"},
    }


# ---------------------------------------------------------------------------------------- counts of all


def _histogram(points: pl.DataFrame, groups: _Groups, axis: str, extent: Range) -> tuple[Array, Array]:
    """Edges, (bins + 1,), and counts of all passing examples, (groups, bins)."""
    bins = 25 if points.height <= LINEAR_POINTS else 40 if points.height <= SVG_POINTS else 64
    low, high = extent
    edges = np.linspace(low + _ROOM * (high - low), high - _ROOM * (high - low), bins + 1)
    values = points[axis].to_numpy()
    # the outermost values lie on the outermost edges, but for rounding: cells() holds them within
    place = density.cells(values, np.zeros_like(values), ((edges[0], edges[-1]), (0, 1)), (bins, 1))
    return edges, density.counts(place, points[groups.column].to_numpy(), bins, len(groups.categories))


def _marginal(
    axis: str, edges: Array, counts: Array, groups: _Groups, selection: Selection
) -> Iterator[go.Bar | go.Scatter]:
    """Counts along one axis: bars stacked by group, or where counts are logarithmic lines over the bars of all."""
    along, across = ("x", "y") if axis == "x" else ("y", "x")
    place = {"xaxis": "x2", "yaxis": "y2"} if axis == "x" else {"xaxis": "x3", "yaxis": "y3"}

    def bar(heights: Array, color: str, **more: Any) -> go.Bar:
        return go.Bar(
            {along: (edges[1:] + edges[:-1]) / 2, across: heights},
            orientation="v" if axis == "x" else "h",
            width=edges[1] - edges[0],
            marker={"color": color, "line": {"width": 0}},
            showlegend=False,
            hovertemplate=f"%{{{along}:.3~f}}: %{{{across}:,}}<extra></extra>",
            **more,
            **place,
        )

    stacked = selection.points.height <= LINEAR_POINTS
    if selection.color is None or not stacked:
        yield bar(counts.sum(axis=0), look.PALE)
    if selection.color is None:  # no colours to tell groups apart by
        return
    if stacked:
        yield from (bar(counts[i], groups.categories[i].color, legendgroup=_group(i)) for i in sorted(groups.order))
        return
    for i in groups.order:
        heights = np.where(counts[i] > 0, counts[i], np.nan)  # log 0 is nowhere: the line has a gap
        yield go.Scatter(
            {along: np.repeat(edges, 2)[1:-1], across: np.repeat(heights, 2)},
            mode="lines",
            line={"color": groups.categories[i].color, "width": 1.5, "simplify": False},
            legendgroup=_group(i),
            showlegend=False,
            hoverinfo="skip",
            **place,
        )


def _bars(groups: _Groups, *, colored: bool) -> go.Bar:
    present = sorted(groups.order)
    return go.Bar(
        x=[escape(cut(groups.categories[i].short, 8)) for i in present],
        y=[int(groups.counts[i]) for i in present],
        marker={
            "color": [groups.categories[i].color if colored else look.MUTED for i in present],
            "line": {"width": 0},
        },
        width=0.78,
        showlegend=False,
        hovertemplate="%{x}: %{y:,}<extra></extra>",
        xaxis="x4",
        yaxis="y4",
    )


def _group(index: int) -> str:
    """Legend group: a click hides a group's points, rings and share of the histograms together."""
    return f"category {index}"


def _coordinates(values: pl.Series) -> Array:
    """Half the bytes where single precision tells the values apart by less than a pixel."""
    exact = values.to_numpy()
    with np.errstate(over="ignore"):
        single = exact.astype(np.float32)
    return single if np.allclose(single, exact, rtol=0, atol=1e-5 * max(np.ptp(exact), 1e-30)) else exact


# ---------------------------------------------------------------------------------------------- legends


@dataclass(frozen=True)
class _Entry:
    name: str
    count: str
    marker: str
    color: str
    rank: int = 0
    group: str | None = None
    details: tuple[str, ...] = ()
    detail: str = ""
    """The details in one line, where there is no room for more."""


@dataclass(frozen=True)
class _Legend:
    title: str
    entries: tuple[_Entry, ...]
    clickable: bool

    @property
    def extent(self) -> layout.Legend:
        widths = [width(entry.name) + len(entry.count) for entry in self.entries]
        details = [width(line) - 2 for entry in self.entries for line in entry.details]
        lines = tuple(1 + len(entry.details) for entry in self.entries)
        return layout.Legend(escape(self.title), (width(self.title) - 3, *widths, *details), lines, self.clickable)

    @property
    def short(self) -> _Legend:
        """The same on fewer lines."""
        entries = (replace(entry, details=(entry.detail,) if entry.detail else ()) for entry in self.entries)
        return replace(self, entries=tuple(entries))

    def traces(self, legend: str) -> Iterator[go.Scatter]:
        """A trace without points for each entry: those of the points themselves are as faint as the map needs them."""
        for entry in self.entries:
            muted = "<br>".join([f"   {entry.count}" if entry.count else "", *map(escape, entry.details)])
            yield go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                name=f"{escape(entry.name)}<span style='color:{look.MUTED}'>{muted}</span>",
                marker={"color": entry.color, "symbol": entry.marker, "size": 10, "line": {"width": 1.5}}
                if "open" in entry.marker
                else {"color": entry.color, "symbol": entry.marker, "size": 10},
                legend=legend,
                legendgroup=entry.group,
                legendrank=entry.rank,
                showlegend=True,
                hoverinfo="skip",
            )


def _group_legend(groups: _Groups, passing: int, *, colored: bool, shaped: bool) -> _Legend:
    entries: list[_Entry] = []
    for i in _listed(groups.scheme, groups.counts):
        category, number = groups.categories[i], int(groups.counts[i])
        entries.append(
            _Entry(
                cut(category.name, _NAME),
                f"{number:,} ({number / passing:.1%})",
                category.marker if shaped else "circle",
                category.color if colored else look.MUTED,
                rank=len(entries),
                group=_group(i),
            )
        )
    return _Legend(cut(groups.scheme.signal, _NAME), tuple(entries), clickable=True)


def _listed(scheme: Scheme, counts: Array) -> list[int]:
    """The categories present from the top of a legend: easy to hard where there is an order, without a value last."""
    present = [i for i in range(len(counts)) if counts[i]]
    return sorted(present, key=lambda i: (i == scheme.valueless, -i if scheme.ordered else i))


def _shape_legend(selection: Selection) -> _Legend:
    scheme = selection.shape
    counts = np.bincount(selection.points["shape"].to_numpy(), minlength=len(scheme.categories))
    entries = [
        _Entry(
            cut(scheme.categories[i].name, _NAME),
            f"{counts[i]:,} ({counts[i] / selection.points.height:.1%})",
            scheme.categories[i].marker,
            look.MUTED,
            rank=rank,
        )
        for rank, i in enumerate(_listed(scheme, counts))
    ]
    return _Legend(cut(scheme.signal, _NAME), tuple(entries), clickable=False)


def _valueless_legend(values: pl.Series, signal: str, words: Words) -> _Legend:
    """What the colour bar has no place for."""
    number = values.null_count()
    entry = _Entry(words("no value"), f"{number:,} ({number / len(values):.1%})", "circle", look.NO_VALUE[0])
    return _Legend(cut(signal, _NAME), (entry,), clickable=False)


def _ring_legend(marked: pl.DataFrame, summary: pl.DataFrame, region: pl.Expr | None, words: Words) -> _Legend:
    """Hard and planted dirty examples: how many, and what share of them lies in each region."""
    entries = []
    for s_label, (marker, color) in look.RINGS.items():
        rows = marked.filter(pl.col("s_label") == s_label)["row"]
        if rows.is_empty():
            continue
        shares: dict[str, str] = {}
        if region is not None:
            lies = summary[rows].select(region.alias("region"))["region"]
            shares = {name: f"{(lies == name).sum() / len(rows):.0%}" for name in regions.NAMES}
        entries.append(
            _Entry(
                words(f"s_label {s_label}"),
                f"{len(rows):,}",
                marker,
                color,
                rank=s_label,
                details=tuple(f"{words(name)} {share}" for name, share in shares.items()),
                detail=words("comma").join(f"{words(f'{name}, short')} {share}" for name, share in shares.items()),
            )
        )
    return _Legend("s_label", tuple(entries), clickable=False)


# --------------------------------------------------------------------------------------- axes and scale


def _range(values: pl.Series, signal: str) -> Range:
    """Where the axis begins and ends: from 0 where nothing is negative, and a little room on both sides."""
    if signal in _PROBABILITIES or values.is_empty():
        low, high = 0.0, 1.0
    else:
        low, high = float(values.to_numpy().min()), float(values.to_numpy().max())
        low = 0.0 if 0 < low < 0.5 * high else low
        if low == high:
            low, high = sorted((0.0, 2 * low or 1.0))
    # such that the extremes lie at the share _ROOM from the ends
    room = (high - low) * _ROOM / (1 - 2 * _ROOM)
    return low - room, high + room


def _tick(values: pl.Series) -> int | None:
    """A tick at each number where there are a few whole ones, else Plotly's choice."""
    if values.head(1_000).n_unique() > 13:
        return None
    distinct = values.unique().to_numpy()
    few = 2 <= len(distinct) and np.ptp(distinct) <= 12
    return 1 if few and np.array_equal(distinct, distinct.round()) else None


def _scale(values: pl.Series) -> tuple[float, float, bool, bool]:
    """Where the colour bar begins and ends, and whether values lie beyond: a few far out would take all the colours."""
    known = values.drop_nulls()
    if known.is_empty():
        return 0.0, 1.0, False, False
    low, high = (float(known.quantile(share, "nearest") or 0) for share in (0, 1))
    inner_low, inner_high = (float(known.quantile(share, "nearest") or 0) for share in (0.001, 0.999))
    bottom = inner_low if inner_low - low > 0.25 * (inner_high - inner_low) > 0 else low
    top = inner_high if high - inner_high > 0.25 * (inner_high - inner_low) > 0 else high
    return bottom, top if top > bottom else bottom + 1, bottom > low, top < high


def _color_axis(values: pl.Series, signal: str, frame: layout.Frame) -> dict[str, Any]:
    bottom, top, below, above = _scale(values)
    ticks = np.linspace(bottom, top, 5)
    decimals = 2 - math.floor(math.log10(top - bottom))
    texts = [f"{round(tick, decimals) + 0:.6g}" for tick in ticks]  # + 0: no minus before a zero
    texts[0] = f"≤ {texts[0]}" if below else texts[0]
    texts[-1] = f"≥ {texts[-1]}" if above else texts[-1]
    return {
        "cmin": bottom,
        "cmax": top,
        "colorscale": [[i / (len(look.CONTINUOUS) - 1), color] for i, color in enumerate(look.CONTINUOUS)],
        "colorbar": layout.color_bar(frame, escape(cut(signal, _NAME)), ticks.tolist(), texts),
    }


# ----------------------------------------------------------------------------------------------- texts


def _subtitle(
    selection: Selection, groups: _Groups, drawn: pl.DataFrame, total: int, words: Words, *, dense: bool
) -> Iterator[str]:
    """What is drawn, of how many, under which filter."""
    passing = selection.points.height
    everything = words.several(total, "example")
    if passing == total and not dense:
        who = words("all drawn", total=everything)
    elif passing == total:
        who = everything
    else:
        who = words("some drawn", passing=passing, total=everything)
    if selection.conditions:
        who = words("filtered", who=who, conditions=words.joined(selection.conditions, "and"))
    yield who
    if dense:
        points = np.bincount(drawn[groups.column].to_numpy(), minlength=len(groups.counts))
        whole = [groups.categories[i].name for i in groups.order[::-1] if points[i] == groups.counts[i]]
        layer = words("density", points=drawn.height)
        if whole:
            layer += words("comma") + words("complete", names=words.joined(whole, "comma"))
        yield layer
    if selection.missing:
        yield words("valueless", count=selection.missing, names=words.joined(selection.valueless, "or"))


def _lines(parts: Sequence[str], separator: str, columns: int) -> list[str]:
    """The parts on as few lines as hold them, each part cut where it alone is too long."""
    lines: list[str] = []
    for part in parts:
        if lines and width(lines[-1] + separator + part) <= columns:
            lines[-1] += separator + part
        else:
            lines.append(cut(part, columns))
    return lines


def _heading(title: str, lines: Sequence[str], settings: PlotConfig) -> dict[str, str]:
    heading = escape(cut(title, layout.columns(settings.width, settings.height, 22)))
    size = 13 * look.unit(settings.width, settings.height)
    below = "<br>".join(map(escape, lines))
    return {"text": f"<b>{heading}</b><br><span style='font-size:{size:.1f}px;color:{look.MUTED}'>{below}</span>"}


def _note(selection: Selection, total: int, words: Words, unit: float) -> dict[str, Any]:
    """What an empty map says."""
    wanted = [*selection.conditions, *(words("value of", signal=signal) for signal in selection.valueless)]
    text = words("none has", wanted=words.joined(wanted, "and")) if total else words("no examples")
    return {
        "text": escape(cut(text, 80)),
        "xref": "x domain",
        "yref": "y domain",
        "x": 0.5,
        "y": 0.5,
        "showarrow": False,
        "font": {"size": 16 * unit, "color": look.MUTED},
    }


def _regions(
    points: pl.DataFrame,
    groups: _Groups,
    extent: tuple[Range, Range],
    settings: PlotConfig,
    frame: layout.Frame,
    words: Words,
) -> list[dict[str, Any]]:
    return regions.names(
        points["x"].to_numpy(),
        points["y"].to_numpy(),
        points[groups.column].to_numpy(),
        len(groups.categories),
        extent,
        frame=frame.map,
        unit=frame.unit,
        words=words,
        ambiguous=bool((points["x"] >= regions.SPREADS[settings.attr2]).any()),
    )
