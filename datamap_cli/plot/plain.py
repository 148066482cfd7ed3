"""A page for a figure that needs nothing but Plotly."""

from __future__ import annotations

import plotly.graph_objects as go

from datamap_cli.plot.hover import escape


def plain_page(figure: go.Figure, title: str) -> str:
    """One HTML file that shows the figure without a network."""
    page: str = figure.to_html(
        include_plotlyjs=True,
        full_html=True,
        default_height="100vh",
        config={"showSendToCloud": False, "displaylogo": False, "responsive": True},
    )
    page = page.replace("<body>", '<body style="margin: 0">', 1)  # else there is something to scroll
    return page.replace("<head>", f"<head><title>{escape(title)}</title>", 1)
