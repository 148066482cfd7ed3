"""The names of the map's regions (Swayamdipta 2020), and where on the map they hide the least."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from datamap_cli.plot import density, look
from datamap_cli.plot.hover import width
from datamap_cli.plot.words import Words

# x axis -> from where on examples can be called ambiguous: four tenths of the largest possible value
SPREADS = {"label_var": 0.1, "variability": 0.2}
# y axes on which the regions lie one above the other, by our name and cartography's
CONFIDENCES = ("avg_probs", "confidence")

# region -> left, right, lower and upper bound of the middle of its name, and where that would best lie, as shares
_PLACES = {
    "easy-to-learn": ((0.02, 0.45, 0.66, 0.97), (0.15, 0.86)),
    "ambiguous": ((0.60, 0.98, 0.34, 0.66), (0.88, 0.50)),
    "hard-to-learn": ((0.02, 0.45, 0.03, 0.32), (0.17, 0.12)),
}
NAMES = tuple(_PLACES)
_GRID = (120, 120)

Floats = npt.NDArray[np.float64]


def names(
    x: Floats,
    y: Floats,
    category: npt.NDArray[np.int8],
    categories: int,
    ranges: tuple[density.Range, density.Range],
    *,
    frame: tuple[float, float],
    unit: float,
    words: Words,
    ambiguous: bool,
) -> list[dict[str, Any]]:
    """An annotation for each region, where it hides the least of the points, rare categories above all.

    `frame` is the size of the map in pixels.
    """
    table = density.counts(density.cells(x, y, ranges, _GRID), category, _GRID[0] * _GRID[1], categories)
    weight = np.minimum(1.0, 300 / np.maximum(table.sum(axis=1), 1))
    below = np.zeros((_GRID[1] + 1, _GRID[0] + 1))
    below[1:, 1:] = (weight @ table).reshape(_GRID[::-1]).cumsum(0).cumsum(1)
    labels = []
    for region, ((left, right, low, high), (best_x, best_y)) in _PLACES.items():
        if region == "ambiguous" and not ambiguous:
            continue
        text = words(region)
        # the frame around the name, and half a marker beyond it
        half = ((7.8 * width(text) + 21) * unit / frame[0] / 2, 36 * unit / frame[1] / 2)

        def hidden(x: float, y: float, half: tuple[float, float] = half) -> float:
            a, b = (round(_GRID[0] * min(max(edge, 0), 1)) for edge in (x - half[0], x + half[0]))
            c, d = (round(_GRID[1] * min(max(edge, 0), 1)) for edge in (y - half[1], y + half[1]))
            return float(below[d, b] - below[d, a] - below[c, b] + below[c, a])

        _, x_share, y_share = min(
            (hidden(x_share, y_share) + 3 * math.hypot(x_share - best_x, y_share - best_y), x_share, y_share)
            for x_share in np.linspace(max(left, half[0] + 0.01), min(right, 0.99 - half[0]), 25)
            for y_share in np.linspace(max(low, half[1] + 0.01), min(high, 0.99 - half[1]), 25)
        )
        color = look.REGION_COLORS[region]
        labels.append(
            {
                "text": f"<b>{text}</b>",
                # in data coordinates: the name stays with its region when the map is zoomed
                "xref": "x",
                "yref": "y",
                "x": ranges[0][0] + x_share * (ranges[0][1] - ranges[0][0]),
                "y": ranges[1][0] + y_share * (ranges[1][1] - ranges[1][0]),
                "showarrow": False,
                "font": {"size": 13.5 * unit, "color": color},
                "bgcolor": "rgba(255,255,255,0.85)",
                "bordercolor": color,
                "borderwidth": 1.2,
                "borderpad": 4 * unit,
            }
        )
    return labels
