"""The density layer and the choice of points above it, against slow references."""

from __future__ import annotations

import base64
from collections import Counter
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from PIL import Image

from datamap_cli.config import PlotConfig
from datamap_cli.plot import DataMap, density, draw
from tests.maps import legends, markers_of, rings_of, subtitle

RANGES = ((0.0, 1.0), (0.0, 1.0))


def decoded(uri: str) -> npt.NDArray[np.uint8]:
    """RGBA of a PNG, (height, width, 4)."""
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(BytesIO(png)).convert("RGBA"))


def test_cells_are_counted_from_the_lower_left() -> None:
    x, y = np.array([0.0, 0.49, 0.99, 1.0, 0.1]), np.array([0.0, 0.1, 0.1, 1.0, 0.6])
    assert [0, 1, 3, 11, 4] == density.cells(x, y, RANGES, (4, 3)).tolist()


def crowd(rows: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    """Cells and categories: a crowd of common ones, few rare ones within, some stragglers."""
    rng = np.random.default_rng(3)
    place = np.where(rng.random(rows) < 0.9, rng.integers(0, 20, rows), rng.integers(0, 2_000, rows))
    category = np.searchsorted([0.6, 0.95, 0.999], rng.random(rows))
    return place.astype(np.int32), category.astype(np.int8)


def test_small_categories_and_sparse_cells_are_whole_and_elsewhere_one_row_a_cell_and_category() -> None:
    place, category = crowd(30_000)
    rows, size = density.choose(place, category, 4, most=10_000)
    chosen = set(rows.tolist())
    in_cell, in_category = Counter(place.tolist()), Counter(category.tolist())
    in_both = Counter(zip(place.tolist(), category.tolist(), strict=True))
    small = {k for k in range(4) if in_category[k] <= min(density.SMALL, 10_000 // 8)}
    assert {3} == small
    elsewhere: Counter[tuple[int, int]] = Counter()
    for row in range(30_000):
        cell, kind = int(place[row]), int(category[row])
        if kind in small or in_cell[cell] <= density.SPARSE:
            assert row in chosen
        else:
            elsewhere[cell, kind] += row in chosen
    assert {1} == set(elsewhere.values())
    for row, area in zip(rows.tolist(), (size**2).tolist(), strict=True):
        cell, kind = int(place[row]), int(category[row])
        whole = kind in small or in_cell[cell] <= density.SPARSE
        assert area == pytest.approx(1 if whole else in_both[cell, kind] / in_cell[cell])


def test_the_choice_is_the_same_every_time_and_ascends() -> None:
    first, second = (density.choose(*crowd(20_000), 4, most=5_000)[0] for _ in range(2))
    assert first.tolist() == second.tolist()
    assert (np.diff(first) > 0).all()


@pytest.mark.parametrize("most", [10, 300, 3_000])
def test_no_more_are_chosen_than_may_be(most: int) -> None:
    place, category = crowd(20_000)
    rows, size = density.choose(place, category, 4, most=most)
    assert len(rows) == len(size) <= most
    assert len(rows) == len(set(rows.tolist()))
    small = np.flatnonzero(np.bincount(category) <= most // 8)
    assert set(np.flatnonzero(np.isin(category, small)).tolist()) <= set(rows.tolist())


def test_the_layer_shows_where_rows_are_and_each_category_by_its_share() -> None:
    grid = (60, 50)
    table = np.zeros((2, 3_000), np.int64)
    table[0, :1_500], table[1, :1_500] = 9, 1  # the lower half, nine to one
    pixels = decoded(density.layer(table, ["#ff0000", "#0000ff"], grid))
    assert (50, 60, 4) == pixels.shape
    assert 0 == pixels[:25, :, 3].max()
    lower = pixels[25:].reshape(-1, 4)
    assert 255 == lower[:, 3].min()
    red = int((lower[:, :3] == (255, 0, 0)).all(axis=1).sum())
    blue = int((lower[:, :3] == (0, 0, 255)).all(axis=1).sum())
    assert 1_500 == red + blue
    assert 110 < blue < 190


def test_more_rows_are_less_transparent() -> None:
    table = np.array([[0, 1, 10, 100, 1_000, 10_000]])
    alpha = decoded(density.layer(table, ["#000000"], (6, 1)))[0, :, 3].tolist()
    assert 0 == alpha[0]
    assert alpha == sorted(set(alpha))
    assert 255 == alpha[-1]


def test_a_shaded_layer_has_the_colours_of_the_scale() -> None:
    total, mean = np.array([5, 5, 5, 0]), np.array([0.0, 0.5, 1.0, 0.0])
    pixels = decoded(density.shaded(total, mean, ["#000000", "#808080", "#ffffff"], (4, 1)))[0]
    assert [[0, 0, 0, 255], [128, 128, 128, 255], [255, 255, 255, 255], [0, 0, 0, 0]] == pixels.tolist()


# ---------------------------------------------------------------------------------------------- the map


def dense_map(**settings: Any) -> DataMap:
    """A map of 20,000 examples of which at most 5,000 would all be points."""
    rng = np.random.default_rng(1)
    ratio = np.where(rng.random(20_000) < 0.995, 1.0, 0.0)
    probability = np.where(ratio == 1, 0.8 + 0.05 * rng.random(20_000), rng.random(20_000))
    frame = {
        "s_label": np.where(rng.random(20_000) < 0.5, 1, 0),
        "correct_ratio": ratio,
        "avg_probs": probability,
        "label_var": np.where(ratio == 1, 0.01 + 0.005 * rng.random(20_000), 0.1 * rng.random(20_000)),
    }
    return draw(pl.DataFrame(frame), PlotConfig(max_points=5_000, **settings), title="t", evaluations=5)


def test_a_map_of_many_says_truthfully_what_is_drawn() -> None:
    data_map = dense_map()
    assert (20_000, 20_000, True) == (data_map.total, data_map.passing, data_map.dense)
    points, rings = data_map.points.height, sum(len(ring.x) for ring in rings_of(data_map))
    assert points < 1_500
    assert (
        f"20,000 examples; density of all, and {points:,} of them as points, every one of 0 – <0.2;"
        f" rings around {rings:,} of 10,049 marked; 5 evaluations"
    ) == subtitle(data_map)


def test_counts_are_of_all_rows_and_not_of_the_points() -> None:
    data_map = dense_map()
    assert ["1 | 19,911 (99.6%)", "0 – <0.2 | 89 (0.4%)"] == legends(data_map)["correct_ratio"]
    for axis, across in (("x2", "y"), ("x3", "x"), ("x4", "y")):
        (bar,) = (trace for trace in data_map.figure.data if trace.type == "bar" and trace.xaxis == axis)
        assert 20_000 == sum(bar[across])


def test_the_layer_lies_under_the_points_in_the_frame_of_the_axes() -> None:
    data_map = dense_map()
    (image,) = data_map.figure.layout.images
    (left, right), (low, high) = data_map.figure.layout.xaxis.range, data_map.figure.layout.yaxis.range
    assert ("below", "stretch", "x", "y") == (image.layer, image.sizing, image.xref, image.yref)
    assert (left, high, right - left, high - low) == (image.x, image.y, image.sizex, image.sizey)
    alpha = decoded(image.source)[:, :, 3]
    assert density.PIXELS == alpha.shape[::-1]
    heights = np.nonzero(alpha)[0] / alpha.shape[0]
    assert 0.15 < np.median(heights) < 0.22  # 0.8 to 0.85 from below, with room at the ends


def test_points_above_the_layer_are_as_large_as_their_share() -> None:
    common = next(trace for trace in markers_of(dense_map()) if trace.name == "1")
    assert len(common.x) == len(common.marker.size)
    assert common.marker.size.min() < common.marker.size.max()


def test_a_scale_shades_the_layer_and_colours_the_points() -> None:
    data_map = dense_map(color_by="label_var")
    assert data_map.dense
    colors = {tuple(color) for color in decoded(data_map.figure.layout.images[0].source).reshape(-1, 4)[:, :3]}
    assert 10 < len(colors)
    assert all(trace.marker.coloraxis == "coloraxis" for trace in markers_of(data_map))


def test_up_to_max_points_every_row_is_a_point() -> None:
    frame = pl.DataFrame({"s_label": [0] * 50, "avg_probs": [0.5] * 50, "label_var": [0.1] * 50})
    assert not draw(frame, PlotConfig(max_points=50), title="").dense
    assert draw(frame, PlotConfig(max_points=49), title="").dense
