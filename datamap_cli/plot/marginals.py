"""Counts of all that pass the filters: the histograms along the axes, and the bars of the categories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from datamap_cli.plot import density, encoding, look
from datamap_cli.plot.categories import Groups, Selection
from datamap_cli.plot.hover import cut, escape

Array = npt.NDArray[Any]
SHORT = 8
"""Longest name under a bar, in columns."""


def histogram(points: pl.DataFrame, groups: Groups, axis: str, extent: density.Range) -> tuple[Array, Array]:
    """Edges, (bins + 1,), and counts of all passing examples, (groups, bins)."""
    bins = next(bins for most, bins in encoding.BINS if most is None or points.height <= most)
    low, high = extent
    edges = np.linspace(low + encoding.ROOM * (high - low), high - encoding.ROOM * (high - low), bins + 1)
    values = points[axis].to_numpy()
    # the outermost values lie on the outermost edges, but for rounding: cells() holds them within
    place = density.cells(values, np.zeros_like(values), ((edges[0], edges[-1]), (0, 1)), (bins, 1))
    return edges, density.counts(place, points[groups.column].to_numpy(), bins, len(groups.categories))


def marginal(
    axis: str, edges: Array, counts: Array, groups: Groups, selection: Selection
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

    stacked = selection.points.height <= encoding.LINEAR_POINTS
    if selection.color is None or not stacked:
        yield bar(counts.sum(axis=0), look.PALE)
    if selection.color is None:  # no colours to tell groups apart by
        return
    if stacked:
        yield from (bar(counts[i], groups.categories[i].color, legendgroup=groups.key(i)) for i in sorted(groups.order))
        return
    for i in groups.order:
        heights = np.where(counts[i] > 0, counts[i], np.nan)  # log 0 is nowhere: the line has a gap
        yield go.Scatter(
            {along: np.repeat(edges, 2)[1:-1], across: np.repeat(heights, 2)},
            mode="lines",
            line={"color": groups.categories[i].color, "width": 1.5, "simplify": False},
            legendgroup=groups.key(i),
            showlegend=False,
            hoverinfo="skip",
            **place,
        )


def bars(groups: Groups, *, colored: bool) -> go.Bar:
    present = sorted(groups.order)
    return go.Bar(
        x=[escape(cut(groups.categories[i].short, SHORT)) for i in present],
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
