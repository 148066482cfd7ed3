"""Where everything stands on the map: axes, legends and colour bar, computed in pixels for the size of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datamap_cli.plot import look

Range = tuple[float, float]

HEADROOM, DECADES = 1.08, 0.15
"""Up to where an axis of counts goes, as a multiple of the highest; and how much further, in powers of ten."""

_LINE, _TITLE = 16.3, 20
"""Heights of a line and of a title in a legend, pixels at unit 1."""
_BETWEEN = 14
_BAR = 0.36
"""Share of the height that the colour bar takes."""
_SIDE = 104
"""Width of the histogram on the right."""
_TOP = 0.815
"""Share of the height that the map itself takes."""


@dataclass(frozen=True)
class Legend:
    """One of the legends in the column on the right."""

    title: str
    widths: tuple[int, ...]
    """Of its entries, in columns."""
    lines: tuple[int, ...]
    """Of its entries."""
    clickable: bool

    def height(self, unit: float) -> float:
        """In pixels."""
        return _TITLE * unit + sum(_entry(unit, lines) for lines in self.lines)


def _entry(unit: float, lines: int = 1) -> float:
    # never lower than its marker's 16 pixels
    return max(_LINE * unit * lines, 16) + 3


def legend_heights(unit: float) -> dict[str, float]:
    """Of the parts of a legend whose entries have a line each, and of the gap below it, pixels."""
    return {"title": _TITLE * unit, "entry": _entry(unit), "gap": _BETWEEN * unit}


@dataclass(frozen=True)
class Frame:
    """The picture, divided: shares of the room within the margins, and pixels."""

    width: int
    height: int
    lines: int
    """Of the subtitle."""
    legend: float
    """Pixels that the legends take."""

    @property
    def unit(self) -> float:
        return look.unit(self.width, self.height)

    @property
    def margin(self) -> dict[str, float]:
        margin = {"l": 66, "r": 18, "t": 62 + 18 * self.lines, "b": 58}
        return {side: round(self.unit * pixels) for side, pixels in margin.items()}

    @property
    def inner(self) -> tuple[float, float]:
        margin = self.margin
        return self.width - margin["l"] - margin["r"], self.height - margin["t"] - margin["b"]

    @property
    def column(self) -> float:
        """Where the column of the legends begins."""
        return 1 - self.legend / self.inner[0]

    @property
    def right(self) -> float:
        """Where the map ends."""
        return self.column - (_SIDE + 29) * self.unit / self.inner[0]

    @property
    def map(self) -> tuple[float, float]:
        """Width and height of the map itself, pixels."""
        return self.right * self.inner[0], _TOP * self.inner[1]


def frame(width: int, height: int, lines: int, legends: Sequence[Legend]) -> Frame:
    unit = look.unit(width, height)
    columns = max((columns for legend in legends for columns in legend.widths), default=0)
    return Frame(width, height, lines, min(max(5.9 * columns + 52, 200) * unit, 0.4 * width))


def columns(width: int, height: int, size: float) -> int:
    """How many columns of text of this size, pixels at unit 1, stand beside each other."""
    return int((width - 40) / (0.5 * size * look.unit(width, height)))


def axes(
    frame: Frame,
    titles: tuple[str, str],
    ranges: tuple[Range, Range],
    ticks: tuple[int | None, int | None],
    highest: Sequence[int],
    count_title: str,
    *,
    logarithmic: bool,
    fine: bool,
) -> dict[str, Any]:
    """The four pairs of axes: the map, the histogram above, the one on the right, the bars.

    `highest` are the largest counts of the three.
    """
    unit, right, column = frame.unit, frame.right, frame.column
    count = {
        "type": "log" if logarithmic else "linear",
        "title": {"text": count_title, "font": {"size": 11 * unit}, "standoff": 4},
        "tickfont": {"size": 10.5 * unit, "color": look.MUTED},
        "exponentformat": "power" if logarithmic else "none",
        "fixedrange": True,
        **({"dtick": 1 if fine else 2} if logarithmic else {"nticks": 4}),
    }
    bare = {"showline": True, "showticklabels": False, "ticks": ""}
    inner = frame.inner[0]
    return {
        **_map_axes(right, titles, ranges, ticks),
        "xaxis2": {**bare, "domain": [0, right], "matches": "x", "anchor": "y2"},
        "yaxis2": {**count, "range": _up_to(highest[0], logarithmic), "domain": [_TOP + 0.02, 1], "anchor": "x2"},
        "xaxis3": {
            **count,
            "range": _up_to(highest[1], logarithmic),
            "domain": [right + 17 * unit / inner, column - 12 * unit / inner],
            "anchor": "y3",
        },
        "yaxis3": {**bare, "domain": [0, _TOP], "matches": "y", "anchor": "x3"},
        "xaxis4": {
            "domain": [column + 29 * unit / inner, 1],
            "anchor": "y4",
            "type": "category",
            "tickfont": {"size": 10.5 * unit, "color": look.MUTED},
            "showgrid": False,
            "ticks": "",
            "fixedrange": True,
            "showline": True,
            "tickangle": 0,
        },
        "yaxis4": {
            **count,
            "title": None,
            "range": _up_to(highest[2], logarithmic),
            "domain": [_TOP + 36 * unit / frame.inner[1], 1],
            "anchor": "x4",
        },
    }


def _map_axes(
    right: float, titles: tuple[str, str], ranges: tuple[Range, Range], ticks: tuple[int | None, int | None]
) -> dict[str, Any]:
    domains, anchors = ([0, right], [0, _TOP]), ("y", "x")
    return {
        f"{axis}axis": {
            "showline": True,
            "mirror": True,
            "domain": domains[i],
            "range": ranges[i],
            "title": {"text": titles[i]},
            "dtick": ticks[i],
            "anchor": anchors[i],
        }
        for i, axis in enumerate("xy")
    }


def _up_to(highest: int, logarithmic: bool) -> Range:
    most = max(highest, 1)
    return (-DECADES, math.log10(most) + DECADES) if logarithmic else (0, HEADROOM * most)


def fits(frame: Frame, entries: Sequence[Legend], *, color_bar: bool) -> bool:
    """Whether there is room for the legends one below the other."""
    room = (_TOP - (_BAR if color_bar else 0)) * frame.inner[1]
    return sum(legend.height(frame.unit) + _BETWEEN * frame.unit for legend in entries) <= room


def legends(frame: Frame, entries: Sequence[Legend]) -> dict[str, Any]:
    """The legends below each other in the column on the right: legend, legend2, …"""
    placed, below = {}, 6.0 * frame.unit
    for number, legend in enumerate(entries, start=1):
        placed[f"legend{number if number > 1 else ''}"] = {
            "x": frame.column + 5 / frame.inner[0],
            "y": _TOP - below / frame.inner[1],
            "xanchor": "left",
            "yanchor": "top",
            "title": {"text": f"<b>{legend.title}</b>", "font": {"size": 13 * frame.unit}},
            **({} if legend.clickable else {"itemclick": False, "itemdoubleclick": False}),
        }
        below += legend.height(frame.unit) + _BETWEEN * frame.unit
    return placed


def color_bar(frame: Frame, title: str, ticks: Sequence[float], texts: Sequence[str]) -> dict[str, Any]:
    """The colour bar, at the foot of the column on the right."""
    return {
        "title": {"text": f"<b>{title}</b>", "font": {"size": 13 * frame.unit}, "side": "top"},
        "x": frame.column + 14 / frame.inner[0],
        "xanchor": "left",
        "y": 0,
        "yanchor": "bottom",
        "len": _BAR,
        "lenmode": "fraction",
        "thickness": 14 * frame.unit,
        "outlinewidth": 0,
        "tickvals": list(ticks),
        "ticktext": list(texts),
        "tickfont": {"size": 11.5 * frame.unit},
        "ticks": "outside",
        "tickcolor": look.LINE,
        "ticklen": 4,
    }
