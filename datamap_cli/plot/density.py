"""What stands for rows too many to be points: a picture of how dense they lie, and a choice of points above it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Range = tuple[float, float]

PIXELS = (1200, 780)
"""Of the density layer, about those of the map's frame at the default size."""
CELLS = (320, 210)
"""Of the grid for the choice of points: a cell is about as large as a marker."""
SPARSE = 6
"""Up to so many rows in a cell, each is a point."""
SMALL = 5_000
"""Up to so many rows in a category, each is a point."""
_SEED = 20_201_116
_LEVELS = 28


def cells(x: Floats, y: Floats, ranges: tuple[Range, Range], grid: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Index of the grid's cell that each point lies in, row by row from the lower left, (N,)."""
    place = np.zeros(len(x), np.int32)
    for values, (low, high), number, stride in zip((x, y), ranges, grid, (1, grid[0]), strict=True):
        with np.errstate(over="ignore"):  # a value beyond all others by far lies in the last cell
            index = (values - low) * (number / (high - low))
        np.clip(index, 0, number - 1, out=index)
        place += index.astype(np.int32) * np.int32(stride)
    return place


def counts(place: npt.NDArray[np.int32], category: npt.NDArray[np.int8], size: int, categories: int) -> Counts:
    """Rows in each cell by category, (categories, size)."""
    key = category.astype(np.int64)
    key *= size
    key += place
    return np.bincount(key, minlength=size * categories).reshape(categories, size)


def choose(
    place: npt.NDArray[np.int32], category: npt.NDArray[np.int8], categories: int, most: int
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Rows worth a point above the density layer, ascending, at most `most`, and the size of each, up to 1.

    Every row of the small categories and of sparse cells, and one row a cell and category elsewhere: its area is the
    share that its category has in the cell, so that a rare category is seen, and seen to be rare. Deterministic.
    """
    rng = np.random.default_rng(_SEED)
    size = int(place.max(initial=0)) + 1
    table = counts(place, category, size, categories)
    total = table.sum(axis=0)
    small = table.sum(axis=1) <= min(SMALL, most // (2 * categories))
    whole = small[category] | (total <= SPARSE)[place]
    order = rng.permutation(len(place))
    if whole.sum() > most:  # many sparse cells: the small categories whole, the rest by chance
        first = order[np.argsort(~small[category[order]], kind="stable")]
        rows = np.sort(first[:most])
        return rows, np.ones(most)
    key = category.astype(np.int64) * size + place
    one = np.full(size * categories, -1)
    shuffled = order[~whole[order]]
    one[key[shuffled]] = shuffled  # of those that share a cell and category the last one stays
    chosen = one[one >= 0]
    room = most - int(whole.sum())
    if len(chosen) > room:
        chosen = rng.permutation(chosen)[:room]
    rows = np.sort(np.concatenate([np.flatnonzero(whole), chosen]))
    share = np.sqrt(table[category[rows], place[rows]] / total[place[rows]])
    return rows, np.where(whole[rows], 1.0, share)


def layer(table: Counts, colors: Sequence[str], grid: tuple[int, int]) -> str:
    """The density of all rows as a PNG in a data URI. `table` (categories, pixels) counts them, from the lower left.

    The more rows in a pixel, the less transparent, by logarithm. A pixel has the colour of one category, each as often
    as it has rows there: mixed colours would look like those of other categories.
    """
    width, height = grid
    total = table.sum(axis=0)
    share = table.cumsum(axis=0) / np.maximum(total, 1)
    chance = np.random.default_rng(_SEED).random(len(total))
    category = (share <= chance).sum(axis=0).clip(0, len(colors) - 1)
    level = np.log1p(total) / np.log1p(max(int(total.max(initial=0)), 1))
    index = np.where(total > 0, 1 + category * _LEVELS + (level * (_LEVELS - 1)).round().astype(int), 0)
    palette = [(0, 0, 0, 0)]
    for color in colors:
        red, green, blue = rgb(color)
        palette += [(red, green, blue, round(255 * (0.3 + 0.7 * step / (_LEVELS - 1)))) for step in range(_LEVELS)]
    return _data_uri(index.reshape(height, width)[::-1].astype(np.uint8), palette)


def shaded(total: Counts, mean: Floats, scale: Sequence[str], grid: tuple[int, int]) -> str:
    """The same where a colour bar takes the place of categories: `mean` (pixels) runs from 0 to 1 along the scale."""
    width, height = grid
    shades, levels = 31, 8
    stops = np.array([rgb(color) for color in scale], float)
    along = np.linspace(0, len(scale) - 1, shades)
    tones = np.array([np.interp(along, np.arange(len(scale)), stops[:, channel]) for channel in range(3)]).T
    level = np.log1p(total) / np.log1p(max(int(total.max(initial=0)), 1))
    shade = (np.nan_to_num(mean).clip(0, 1) * (shades - 1)).round().astype(int)
    index = np.where(total > 0, 1 + shade * levels + (level * (levels - 1)).round().astype(int), 0)
    palette = [(0, 0, 0, 0)]
    for red, green, blue in tones.round().astype(int):
        palette += [(red, green, blue, round(255 * (0.3 + 0.7 * step / (levels - 1)))) for step in range(levels)]
    return _data_uri(index.reshape(height, width)[::-1].astype(np.uint8), palette)


def rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def _data_uri(pixels: npt.NDArray[np.uint8], palette: Sequence[tuple[int, int, int, int]]) -> str:
    """A PNG with a palette: indices (height, width), a byte a pixel."""
    image = Image.fromarray(pixels)
    image.putpalette(b"".join(map(bytes, palette)), "RGBA")
    png = BytesIO()
    image.save(png, "PNG", compress_level=9)
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
