"""The data map as a Plotly figure: the points, the histograms on its axes, the bars of its categories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from datamap_cli.config import PlotConfig
from datamap_cli.plot import hover, look
from datamap_cli.plot.categories import Selection, select

Array = npt.NDArray[Any]
Range = tuple[float, float]

SVG_POINTS = 5_000
"""Up to so many points as SVG, sharp and selectable anywhere; above, WebGL."""
LINEAR_POINTS = 500
"""Up to so many, counts stand on a linear axis, stacked; above, on a logarithmic one, line by line."""

# these run from 0 to 1 whatever the data, so that maps compare
_PROBABILITIES = ("avg_probs", "confidence", "max_label_probs", "min_label_probs", "correct_ratio")
# x axis -> from where on examples can be called ambiguous: four tenths of the largest possible value
_SPREADS = {"label_var": 0.1, "variability": 0.2}
# y axes on which the regions lie one above the other, by our name and cartography's
_CONFIDENCES = ("avg_probs", "confidence")
_ROOM = 0.028
"""Share of an axis left free at either end."""


@dataclass(frozen=True)
class DataMap:
    figure: go.Figure
    title: str
    drawn: int
    total: int


@dataclass(frozen=True)
class Histogram:
    """Counts of the drawn examples along an axis, per category."""

    axis: str
    edges: Array
    counts: Mapping[int, Array]

    @property
    def total(self) -> Array:
        return sum(self.counts.values(), np.zeros(len(self.edges) - 1, int))


def draw(
    summary: pl.DataFrame,
    settings: PlotConfig,
    *,
    title: str,
    evaluations: int | None,
    examples: pl.DataFrame | None,
    classes: Sequence[str],
) -> DataMap:
    """The map of a summary, of all its examples that pass the filters of `settings`.

    `examples`, row by row those of the summary, give the texts on hover. A summary of another tool may lack all
    but id, s_label and the axes, and `evaluations` may be unknown. Raises DatamapError for a signal
    that the summary lacks.
    """
    selection = select(summary, settings)
    points = selection.points
    axes = (settings.attr1, settings.attr2)
    ranges = {"x": _range(points["x"], settings.attr2), "y": _range(points["y"], settings.attr1)}
    figure = go.Figure()
    order = _draw_order(points)
    for category in order:
        members = points.filter(pl.col("category") == category)
        rows = members["row"]
        figure.add_trace(
            _markers(
                members,
                selection,
                category,
                drawn=points.height,
                customdata=hover.fields(summary[rows], None if examples is None else examples[rows], classes, axes),
                hovertemplate=hover.template(summary, examples, evaluations, axes),
            )
        )
    figure.add_traces(_rings(points))
    histograms = {axis: _histogram(points, axis, extent) for axis, extent in ranges.items()}
    for histogram in histograms.values():
        figure.add_traces(_marginal(histogram, order, points.height))
    figure.update_layout(_layout(selection, settings, ranges, histograms))
    heading = hover.escape(hover.cut(title, 90))
    below = hover.escape(_subtitle(selection, summary.height, evaluations))
    style = f"font-size:13px;color:{look.MUTED}"
    figure.update_layout(title={"text": f"<b>{heading}</b><br><span style='{style}'>{below}</span>"})
    if points.is_empty():
        figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False))  # else there are no axes
        figure.add_annotation(_note(selection, summary.height))
        return DataMap(figure, title, 0, summary.height)
    figure.add_trace(_bars(points, selection))
    if settings.attr1 in _CONFIDENCES and settings.attr2 in _SPREADS:
        ambiguous = bool((points["x"] >= _SPREADS[settings.attr2]).any())
        figure.update_layout(annotations=_regions(points, ranges, ambiguous=ambiguous))
    return DataMap(figure, title, points.height, summary.height)


# ------------------------------------------------------------------------------------------------ traces


def _draw_order(points: pl.DataFrame) -> list[int]:
    """Categories present, common to rare: the rare ones are drawn over the common ones."""
    counts = points["category"].value_counts().sort("count", "category", descending=[True, False])
    return counts["category"].to_list()


def _markers(
    members: pl.DataFrame, selection: Selection, category: int, *, drawn: int, **texts: Any
) -> go.Scatter | go.Scattergl:
    number = members.height
    marker = look.MARKERS[category]
    count = f"{number:,} ({number / drawn:.1%})"
    return _kind(drawn)(
        x=_coordinates(members["x"]),
        y=_coordinates(members["y"]),
        mode="markers",
        name=f"{selection.scheme.categories[category].name}   <span style='color:{look.MUTED}'>{count}</span>",
        legendgroup=_group(category),
        legendrank=1000 - category,
        marker={
            "size": look.marker_size(drawn) * look.MARKER_SCALE.get(marker, 1),
            "color": look.PALETTE[category],
            "symbol": marker,
            "opacity": look.marker_opacity(number),
            "line": {"width": 0.5 if number < 3_000 else 0, "color": "white"},
        },
        hoverlabel={"bordercolor": look.PALETTE[category]},
        **texts,
    )


def _kind(drawn: int) -> type[go.Scatter | go.Scattergl]:
    kind: type[go.Scatter | go.Scattergl] = go.Scatter if drawn <= SVG_POINTS else go.Scattergl
    return kind


def _rings(points: pl.DataFrame) -> list[go.Scatter | go.Scattergl]:
    """Rings around hard and planted dirty examples, where there are any."""
    rings: list[go.Scatter | go.Scattergl] = []
    for s_label, (name, marker, color) in look.RINGS.items():
        marked = points.filter(pl.col("s_label") == s_label)
        if marked.is_empty():
            continue
        rings.append(
            _kind(points.height)(
                x=_coordinates(marked["x"]),
                y=_coordinates(marked["y"]),
                mode="markers",
                name=f"{name}   <span style='color:{look.MUTED}'>{marked.height:,}</span>",
                legendgroup=f"s_label {s_label}",
                legendrank=1000 + s_label,
                legendgrouptitle={"text": "<br><b>s_label</b>"} if not rings else None,
                marker={
                    "size": look.marker_size(points.height) + look.ring_room(marked.height),
                    "color": color,
                    "symbol": marker,
                    "opacity": look.marker_opacity(marked.height),
                    "line": {"width": look.ring_room(marked.height) / 4},
                },
                hoverinfo="skip",
            )
        )
    return rings


def _histogram(points: pl.DataFrame, axis: str, extent: Range) -> Histogram:
    bins = 25 if points.height <= LINEAR_POINTS else 40 if points.height <= SVG_POINTS else 64
    low, high = extent
    edges = np.linspace(low + _ROOM * (high - low), high - _ROOM * (high - low), bins + 1)
    # the outermost values lie on the outermost edges, but for rounding
    values = points[axis].clip(edges[0], edges[-1])
    counts = {
        category: np.histogram(values.filter(points["category"] == category).to_numpy(), bins=edges)[0]
        for category in sorted(points["category"].unique())
    }
    return Histogram(axis, edges, counts)


def _marginal(histogram: Histogram, order: Sequence[int], drawn: int) -> list[go.Bar | go.Scatter]:
    """Counts along one axis: bars stacked by category, or where counts are logarithmic lines over all."""
    along, across = ("x", "y") if histogram.axis == "x" else ("y", "x")
    place = {"xaxis": "x2", "yaxis": "y2"} if histogram.axis == "x" else {"xaxis": "x3", "yaxis": "y3"}
    edges = histogram.edges

    def bar(counts: Array, color: str, **more: Any) -> go.Bar:
        return go.Bar(
            {along: (edges[1:] + edges[:-1]) / 2, across: counts},
            orientation="v" if histogram.axis == "x" else "h",
            width=edges[1] - edges[0],
            marker={"color": color, "line": {"width": 0}},
            showlegend=False,
            hovertemplate=f"%{{{along}:.3~f}}: %{{{across}:,}}<extra></extra>",
            **more,
            **place,
        )

    if drawn <= LINEAR_POINTS:
        return [
            bar(counts, look.PALETTE[category], legendgroup=_group(category))
            for category, counts in histogram.counts.items()
        ]
    traces: list[go.Bar | go.Scatter] = [bar(histogram.total, look.PALE)]
    for category in order:
        counts = histogram.counts[category].astype(float)
        counts[counts == 0] = np.nan  # log 0 is nowhere: the line has a gap
        traces.append(
            go.Scatter(
                {along: np.repeat(edges, 2)[1:-1], across: np.repeat(counts, 2)},
                mode="lines",
                line={"color": look.PALETTE[category], "width": 1.5, "simplify": False},
                legendgroup=_group(category),
                showlegend=False,
                hoverinfo="skip",
                **place,
            )
        )
    return traces


def _bars(points: pl.DataFrame, selection: Selection) -> go.Bar:
    counts = points["category"].value_counts().sort("category")
    present = counts["category"].to_list()
    return go.Bar(
        x=[selection.scheme.categories[category].short for category in present],
        y=counts["count"].to_list(),
        marker={"color": [look.PALETTE[category] for category in present], "line": {"width": 0}},
        width=0.78,
        showlegend=False,
        hovertemplate="%{x}: %{y:,}<extra></extra>",
        xaxis="x4",
        yaxis="y4",
    )


def _group(category: int) -> str:
    """Legend group: a click hides a category's points and its share of the histograms together."""
    return f"category {category}"


def _coordinates(values: pl.Series) -> Array:
    """Half the bytes where single precision tells the values apart by less than a pixel."""
    exact = values.to_numpy()
    with np.errstate(over="ignore"):
        single = exact.astype(np.float32)
    return single if np.allclose(single, exact, rtol=0, atol=1e-5 * max(np.ptp(exact), 1e-30)) else exact


# ------------------------------------------------------------------------------------------------ layout


def _layout(
    selection: Selection,
    settings: PlotConfig,
    ranges: Mapping[str, Range],
    histograms: Mapping[str, Histogram],
) -> dict[str, Any]:
    points = selection.points
    logarithmic = points.height > LINEAR_POINTS
    highest = {axis: int(histogram.total.max()) for axis, histogram in histograms.items()}
    largest = max(points["category"].value_counts()["count"], default=0)
    # the column on the right is as wide as the legend's longest line, at the PNG's width
    names = [selection.scheme.categories[category].name for category in points["category"].unique()]
    letters = max([hover.width(name) for name in names], default=0) + len(f"{points.height:,} (00.0%)")
    inner = look.WIDTH - look.MARGIN["l"] - look.MARGIN["r"]
    column = 1 - max(5.9 * letters + 52, 200) / inner
    right, top = column - 0.115, 0.815
    count = {
        "type": "log" if logarithmic else "linear",
        "title": {"text": "count", "font": {"size": 11}},
        "tickfont": {"size": 10.5, "color": look.MUTED},
        "exponentformat": "power" if logarithmic else "none",
        "fixedrange": True,
        **({"dtick": 2 if points.height > 2_000 else 1} if logarithmic else {"nticks": 4}),
    }
    framed = {"showline": True, "mirror": True}
    bare = {"showline": True, "showticklabels": False, "ticks": ""}
    return {
        "template": look.TEMPLATE,
        "margin": look.MARGIN,
        "hovermode": "closest",
        "dragmode": "zoom",
        "barmode": "stack",
        "bargap": 0,
        "xaxis": {
            **framed,
            "domain": [0, right],
            "range": ranges["x"],
            "title": {"text": hover.escape(hover.cut(settings.attr2))},
            "dtick": _tick(points["x"]),
            "anchor": "y",
        },
        "yaxis": {
            **framed,
            "domain": [0, top],
            "range": ranges["y"],
            "title": {"text": hover.escape(hover.cut(settings.attr1))},
            "dtick": _tick(points["y"]),
            "anchor": "x",
        },
        "xaxis2": {**bare, "domain": [0, right], "matches": "x", "anchor": "y2"},
        "yaxis2": {
            **count,
            "range": _count_range(highest["x"], logarithmic),
            "domain": [top + 0.02, 1],
            "anchor": "x2",
        },
        "xaxis3": {
            **count,
            "range": _count_range(highest["y"], logarithmic),
            "domain": [right + 0.026, column - 0.01],
            "anchor": "y3",
        },
        "yaxis3": {**bare, "domain": [0, top], "matches": "y", "anchor": "x3"},
        "xaxis4": {
            "domain": [column + 0.025, 1],
            "anchor": "y4",
            "type": "category",
            "tickfont": {"size": 10.5, "color": look.MUTED},
            "showgrid": False,
            "ticks": "",
            "fixedrange": True,
            "showline": True,
            "tickangle": 0,
        },
        "yaxis4": {
            **count,
            "title": None,
            "range": _count_range(largest, logarithmic),
            "domain": [top + 0.05, 1],
            "anchor": "x4",
        },
        "legend": {
            "x": column + 0.005,
            "y": top - 0.01,
            "xanchor": "left",
            "yanchor": "top",
            "title": {"text": f"<b>{selection.scheme.signal}</b>"},
        },
    }


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
    distinct = np.unique(values.to_numpy())
    few = 2 <= len(distinct) and np.ptp(distinct) <= 12
    return 1 if few and np.array_equal(distinct, distinct.round()) else None


def _count_range(highest: int, logarithmic: bool) -> Range:
    return (-0.15, math.log10(max(highest, 1)) + 0.15) if logarithmic else (0, 1.08 * max(highest, 1))


def _subtitle(selection: Selection, total: int, evaluations: int | None) -> str:
    drawn = selection.points.height
    who = f"{_several(total, 'example')}, all drawn"
    if drawn < total:
        who = f"{drawn:,} of {_several(total, 'example')}"
    if selection.conditions:
        who += f": {' and '.join(selection.conditions)}"
    if selection.missing:
        who += f"; {selection.missing:,} without a value of {' or '.join(selection.valueless)} not drawn"
    if evaluations is not None:
        who += f"; {_several(evaluations, 'evaluation')}"
    return hover.cut(who, 150)


def _several(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _note(selection: Selection, total: int) -> dict[str, Any]:
    """What an empty map says."""
    wanted = [*selection.conditions, *(f"a value of {signal}" for signal in selection.valueless)]
    text = f"no example has {' and '.join(wanted)}" if total else "there are no examples"
    return {
        "text": hover.escape(text),
        "xref": "x domain",
        "yref": "y domain",
        "x": 0.5,
        "y": 0.5,
        "showarrow": False,
        "font": {"size": 16, "color": look.MUTED},
    }


# ----------------------------------------------------------------------------------------------- regions

# region -> width of its label, where its middle may lie and would best lie, in fractions of the axes
_REGIONS = {
    "easy-to-learn": (0.16, (0.09, 0.45, 0.66, 0.95), (0.15, 0.86)),
    "ambiguous": (0.14, (0.66, 0.92, 0.34, 0.66), (0.88, 0.50)),
    "hard-to-learn": (0.16, (0.09, 0.45, 0.05, 0.32), (0.17, 0.12)),
}
_LABEL_HEIGHT = 0.08


def _regions(points: pl.DataFrame, ranges: Mapping[str, Range], *, ambiguous: bool) -> list[dict[str, Any]]:
    """Names of the regions of Swayamdipta 2020, each where its label hides the least, rare points above all."""
    grid = 120
    share = {axis: (points[axis].to_numpy() - low) / (high - low) for axis, (low, high) in ranges.items()}
    size = points.select(pl.len().over("category"))["len"].to_numpy()
    weights = np.minimum(1.0, 300 / size)
    density = np.histogram2d(share["x"], share["y"], bins=grid, range=((0, 1), (0, 1)), weights=weights)[0]
    below = np.zeros((grid + 1, grid + 1))
    below[1:, 1:] = density.cumsum(0).cumsum(1)

    def hidden(x: float, y: float, width: float) -> float:
        left, right = (round(grid * min(max(edge, 0), 1)) for edge in (x - width / 2, x + width / 2))
        low, high = (round(grid * min(max(edge, 0), 1)) for edge in (y - _LABEL_HEIGHT / 2, y + _LABEL_HEIGHT / 2))
        return float(below[right, high] - below[left, high] - below[right, low] + below[left, low])

    labels = []
    for name, (width, (left, right, low, high), (best_x, best_y)) in _REGIONS.items():
        if name == "ambiguous" and not ambiguous:
            continue
        _, x, y = min(
            (hidden(x, y, width) + 3 * math.hypot(x - best_x, y - best_y), x, y)
            for x in np.linspace(left, right, 25)
            for y in np.linspace(low, high, 25)
        )
        color = look.REGION_COLORS[name]
        labels.append(
            {
                "text": f"<b>{name}</b>",
                # in data coordinates: the name stays with its region when the map is zoomed
                "xref": "x",
                "yref": "y",
                "x": ranges["x"][0] + x * (ranges["x"][1] - ranges["x"][0]),
                "y": ranges["y"][0] + y * (ranges["y"][1] - ranges["y"][0]),
                "showarrow": False,
                "font": {"size": 13.5, "color": color},
                "bgcolor": "rgba(255,255,255,0.85)",
                "bordercolor": color,
                "borderwidth": 1.2,
                "borderpad": 4,
            }
        )
    return labels
