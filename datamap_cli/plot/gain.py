"""What files trained to: a point per training, the mean of each file, and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from datamap_cli.config import PlotConfig
from datamap_cli.plot import look
from datamap_cli.plot.canvas import canvas
from datamap_cli.plot.hover import escape


@dataclass(frozen=True)
class Trained:
    """The trainings on one file, or on its control."""

    name: str
    values: Sequence[float]
    """Macro-F1 by seed."""
    seeds: Sequence[int]
    mean: float
    low: float
    high: float
    control: bool


def gains(sets: Sequence[Trained], settings: PlotConfig, *, title: str, subtitle: str) -> go.Figure:
    """A row per set, the first on top; controls in grey. The interval is of the mean."""
    unit = look.unit(settings.width, settings.height)
    ends = [value for each in sets for value in (*each.values, each.low, each.high)]
    room = 0.06 * (max(ends) - min(ends)) or 0.01
    names = [escape(each.name) for each in sets]
    figure = canvas(
        settings,
        title=title,
        subtitle=subtitle,
        x={"title": "macro-F1 on the dev set", "range": [min(ends) - room, max(ends) + room]},
        y={
            "title": "",
            "range": [len(sets) - 0.5, -0.5],
            "tickvals": [*range(len(sets))],
            "ticktext": names,
            "automargin": True,
        },
    )
    for place, each in enumerate(sets):
        color = look.LINE if each.control else look.PALETTE[-1]
        figure.add_trace(
            go.Scatter(
                x=list(each.values),
                y=[place + 0.12] * len(each.values),
                customdata=list(each.seeds),
                mode="markers",
                marker={"color": color, "size": 8 * unit, "opacity": 0.55},
                name="a training",
                showlegend=place == 0,
                hovertemplate=f"{names[place]}<br>seed %{{customdata}}: %{{x:.4f}}<extra></extra>",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=[each.mean],
                y=[place - 0.08],
                mode="markers",
                marker={"color": color, "size": 13 * unit, "symbol": "diamond"},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [each.high - each.mean],
                    "arrayminus": [each.mean - each.low],
                    "color": color,
                    "thickness": 2 * unit,
                    "width": 6 * unit,
                },
                name="mean, 95 % interval",
                showlegend=place == 0,
                hovertemplate=f"{names[place]}<br>mean %{{x:.4f}}, {each.low:.4f} to {each.high:.4f}<extra></extra>",
            )
        )
    figure.update_layout(legend={"x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom", "orientation": "h"})
    return figure
