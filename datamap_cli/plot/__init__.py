"""The data map: summary → figure; figure → page, pictures. Pure: no files, no printing."""

from datamap_cli.plot.categories import check_signals, columns
from datamap_cli.plot.figure import DataMap, draw
from datamap_cli.plot.image import images, missing_fonts
from datamap_cli.plot.page import Evidence, Trajectories, carried_evaluations, page
from datamap_cli.plot.words import heading

__all__ = [
    "DataMap",
    "Evidence",
    "Trajectories",
    "carried_evaluations",
    "check_signals",
    "columns",
    "draw",
    "heading",
    "images",
    "missing_fonts",
    "page",
]
