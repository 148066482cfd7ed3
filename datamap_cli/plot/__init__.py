"""The data map: summary → figure; figure → page, image. Pure: no files, no printing."""

from datamap_cli.plot.categories import check_signals
from datamap_cli.plot.figure import DataMap, draw
from datamap_cli.plot.image import image, missing_fonts
from datamap_cli.plot.page import page

__all__ = ["DataMap", "check_signals", "draw", "image", "missing_fonts", "page"]
