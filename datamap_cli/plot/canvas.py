"""The frame of a picture that stands by itself: one look, whatever is drawn on it."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from datamap_cli.config import PlotConfig
from datamap_cli.plot import look
from datamap_cli.plot.hover import escape


def canvas(settings: PlotConfig, *, title: str, subtitle: str, x: dict[str, Any], y: dict[str, Any]) -> go.Figure:
    """A figure without traces: fonts, margins, `title` over `subtitle`, axes as `x` and `y` say, such as their range.

    The title of an axis is a plain text; whoever draws sizes lines and markers by `look.unit`, as everything here is.
    """
    unit = look.unit(settings.width, settings.height)
    figure = go.Figure()
    figure.update_layout(
        template=look.template(unit),
        title={"text": f"{escape(title)}<br><sub>{escape(subtitle)}</sub>"},
        margin={"l": 76 * unit, "r": 24 * unit, "t": 96 * unit, "b": 62 * unit},
        xaxis={**x, "title": {"text": escape(x["title"])}},
        yaxis={**y, "title": {"text": escape(y["title"])}},
        hovermode="closest",
    )
    return figure
