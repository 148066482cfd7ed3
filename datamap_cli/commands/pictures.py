"""What commands draw, as files: the page, then its pictures, as far as this machine can draw them."""

from __future__ import annotations

import plotly.graph_objects as go
import typer

from datamap_cli import plot as drawing
from datamap_cli import terminal
from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run, files
from datamap_cli.run.output import DRAWN, Output


def write(
    figure: go.Figure, document: str, output: Output, settings: PlotConfig, what: str, run: Run | None = None
) -> None:
    """Writes the page, and the figure in `settings.formats` beside it; or the one format that `output` asks for.

    `what` names it in front of the paths that are printed; they are entered as parts of `run`, if they lie in it. A
    note says why a picture cannot be drawn; raises DatamapError where nothing else was asked for.
    """
    formats = output.wanted(["html", *settings.formats])
    paths = {format: output.path(format) for format in formats if format in DRAWN}
    if run is not None:
        run.enter(*paths.values())
    if "html" in paths:
        files.write_bytes(paths.pop("html"), document.encode())
        typer.echo(f"{what}: {output.path('html')}")
    if not paths:
        return
    if (remedy := drawing.missing_fonts(figure)) is not None:
        terminal.note(remedy)
    try:
        pictures = settings.model_copy(update={"formats": [*paths]})
        for _, format, picture in drawing.images([figure], pictures):
            files.write_bytes(paths[format], picture)
            typer.echo(f"{what}: {paths[format]}")
    except DatamapError as error:
        if output.only is not None:
            raise DatamapError(f"{output.path(output.only)}: cannot be drawn: {error}") from error
        terminal.note(f"no {', '.join(paths).upper()}: {error}")
