"""What commands draw, as files: the page, then its pictures, as far as this machine can draw them."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import typer

from datamap_cli import plot as drawing
from datamap_cli import terminal
from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run, files


def write(
    figure: go.Figure, document: str, html: Path, settings: PlotConfig, what: str, run: Run | None = None
) -> None:
    """Writes the page, and the figure in `settings.formats` beside it; a note says why one cannot be drawn.

    `what` names it in front of the paths that are printed; they are entered as parts of `run`, if they lie in it.
    """
    if run is not None:
        run.enter(html, *(html.with_suffix(f".{format}") for format in settings.formats))
    files.write_bytes(html, document.encode())
    typer.echo(f"{what}: {html}")
    if not settings.formats:
        return
    if (remedy := drawing.missing_fonts(figure)) is not None:
        terminal.note(remedy)
    try:
        for _, format, picture in drawing.images([figure], settings):
            path = html.with_suffix(f".{format}")
            files.write_bytes(path, picture)
            typer.echo(f"{what}: {path}")
    except DatamapError as error:
        terminal.note(f"no {', '.join(settings.formats).upper()}: {error}")
