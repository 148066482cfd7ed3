"""The colours, measured: apart for every kind of sight, and a scale of even steps."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import atan2, cos, degrees, exp, hypot, radians, sin, sqrt

import numpy as np
import pytest

from datamap_cli.plot import look

Lab = tuple[float, float, float]

# Machado 2009, severity 1, on linear RGB
SIGHTS = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def lab(color: str, sight: str) -> Lab:
    """CIELAB (D65) of an sRGB colour as this sight sees it."""
    channels = np.array([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHTS[sight]) @ linear, 0, 1)
    xyz = np.array(TO_XYZ) @ seen / np.array([0.95047, 1, 1.08883])
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return float(116 * y - 16), float(500 * (x - y)), float(200 * (y - z))


def ciede2000(one: Lab, other: Lab) -> float:
    """Difference of two colours. Sharma 2005."""
    lightness, chroma, hue = [], [], []
    mean = (hypot(*one[1:]) + hypot(*other[1:])) / 2
    stretch = 1.5 - 0.5 * sqrt(mean**7 / (mean**7 + 25**7))
    for light, a, b in (one, other):
        lightness.append(light)
        chroma.append(hypot(a * stretch, b))
        hue.append(degrees(atan2(b, a * stretch)) % 360)
    turn = (hue[1] - hue[0] + 180) % 360 - 180 if chroma[0] * chroma[1] else 0.0
    light, colour = sum(lightness) / 2, sum(chroma) / 2
    angle = (hue[0] + turn / 2) % 360 if chroma[0] * chroma[1] else sum(hue)
    weight = (1 - 0.17 * cos(radians(angle - 30)) + 0.24 * cos(radians(2 * angle))) + (
        0.32 * cos(radians(3 * angle + 6)) - 0.2 * cos(radians(4 * angle - 63))
    )
    by_light = (lightness[1] - lightness[0]) / (1 + 0.015 * (light - 50) ** 2 / sqrt(20 + (light - 50) ** 2))
    by_chroma = (chroma[1] - chroma[0]) / (1 + 0.045 * colour)
    by_hue = 2 * sqrt(chroma[0] * chroma[1]) * sin(radians(turn / 2)) / (1 + 0.015 * colour * weight)
    rotation = 2 * sqrt(colour**7 / (colour**7 + 25**7)) * sin(radians(60 * exp(-(((angle - 275) / 25) ** 2))))
    return sqrt(by_light**2 + by_chroma**2 + by_hue**2 - rotation * by_chroma * by_hue)


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_measure_gives_the_published_values(one: Lab, other: Lab, difference: float) -> None:
    assert difference == pytest.approx(ciede2000(one, other), abs=1e-4)


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("categories", range(2, 8))
def test_ordered_colours_are_apart_for_every_sight(categories: int, sight: str) -> None:
    seen = [lab(color, sight) for color in look.colors(categories)]
    assert categories == len(seen)
    assert min(ciede2000(one, other) for one, other in combinations(seen, 2)) > 17.5


def test_six_colours_leave_out_the_second() -> None:
    expected = ("#600223", "#E16D5F", "#F1BC29", "#8ACBC0", "#4486C2", "#253494")
    assert expected == look.colors(6)
    assert ("#600223", "#A6414C", *expected[1:]) == look.colors(7)
    assert (expected[0], expected[-1]) == look.colors(2)


def test_every_category_has_a_marker_of_its_own() -> None:
    assert ("x", "cross", "diamond", "square", "triangle-up", "circle") == look.markers(6)
    assert ("x", "cross", "diamond", "square", "triangle-up", "triangle-down", "circle") == look.markers(7)
    for categories in range(1, 8):
        assert categories == len(set(look.markers(categories))) == len(set(look.markers(categories, nominal=True)))
        assert categories == len(set(look.colors(categories, nominal=True)))


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_scale_grows_lighter_in_even_steps_for_every_sight(sight: str) -> None:
    seen = [lab(color, sight) for color in look.CONTINUOUS]
    steps = [ciede2000(one, other) for one, other in pairwise(seen)]
    assert max(steps) < 2 * min(steps)
    assert [light for light, *_ in seen] == sorted(light for light, *_ in seen)
    assert seen[-1][0] < 85  # on white
