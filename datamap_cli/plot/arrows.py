"""The map of what moved between two runs: an arrow from where an example was to where it is."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from datamap_cli.config import PlotConfig
from datamap_cli.plot import look
from datamap_cli.plot.canvas import canvas
from datamap_cli.plot.hover import cut, escape

_ROOM = 0.04
"""Share of an axis left free at either end."""
_SVG_POINTS = 5_000
_TEXT = 60
"""Columns of a text on hover."""


def arrows(
    moves: pl.DataFrame, settings: PlotConfig, *, title: str, subtitle: str, regions: Sequence[str], number: int
) -> go.Figure:
    """The examples at their place in the second run, and arrows to it for the `number` that moved farthest.

    `moves` has x, y, x@b, y@b, region@b and text, the farthest first; the arrows have the colour of the region they
    point into. `subtitle` is the line below the title.
    """
    unit = look.unit(settings.width, settings.height)
    figure = canvas(
        settings,
        title=title,
        subtitle=subtitle,
        x={"title": cut(settings.attr2), "range": _range(moves["x"], moves["x@b"])},
        y={"title": cut(settings.attr1), "range": _range(moves["y"], moves["y@b"])},
    )
    every = -(-moves.height // settings.max_points)
    crowd = moves.gather_every(every)
    scatter = go.Scatter if crowd.height <= _SVG_POINTS else go.Scattergl
    figure.add_trace(
        scatter(
            x=crowd["x@b"].to_numpy(),
            y=crowd["y@b"].to_numpy(),
            mode="markers",
            marker={"size": look.marker_size(crowd.height) * 0.8 * unit, "color": look.LINE, "opacity": 0.45},
            name="all examples",
            hoverinfo="skip",
        )
    )
    farthest = moves.head(number)
    for region in regions:
        heads = farthest.filter(pl.col("region@b") == region)
        figure.add_trace(
            go.Scatter(
                x=heads["x@b"].to_list(),
                y=heads["y@b"].to_list(),
                mode="markers",
                marker={"size": 6 * unit, "color": look.REGION_COLORS[region]},
                name=f"now {region} ({heads.height:,})",
                text=[_hover(row, settings) for row in heads.iter_rows(named=True)],
                hoverinfo="text",
            )
        )
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"},
        annotations=[_arrow(row, unit) for row in farthest.iter_rows(named=True)],
    )
    return figure


def _arrow(row: dict[str, float], unit: float) -> dict[str, object]:
    return {
        "x": row["x@b"],
        "y": row["y@b"],
        "ax": row["x"],
        "ay": row["y"],
        "xref": "x",
        "yref": "y",
        "axref": "x",
        "ayref": "y",
        "text": "",
        "showarrow": True,
        "arrowhead": 2,
        "arrowsize": 1.1,
        "arrowwidth": 1.4 * unit,
        "arrowcolor": look.REGION_COLORS[str(row["region@b"])],
        "opacity": 0.8,
    }


def _hover(row: dict[str, object], settings: PlotConfig) -> str:
    lines = [
        f"<b>{escape(str(row['id']))}</b>",
        *([escape(cut(str(row["text"]), _TEXT))] if row["text"] else []),
        f"{escape(settings.attr1)}: {row['y']:.4g} → {row['y@b']:.4g}",
        f"{escape(settings.attr2)}: {row['x']:.4g} → {row['x@b']:.4g}",
    ]
    return "<br>".join(lines)


def _range(first: pl.Series, second: pl.Series) -> list[float]:
    both = pl.concat([first, second.alias(first.name)])
    low, high = float(both.min() or 0), float(both.max() or 0)  # type: ignore[arg-type]
    room = (high - low) * _ROOM or 0.5
    return [low - room, high + room]
