"""The look of the map, in one place: colours, markers, fonts, the template."""

from __future__ import annotations

import math

import plotly.graph_objects as go

INK, MUTED, GRID, LINE, PALE = "#1f2933", "#616e7c", "#e9edf1", "#9aa5b1", "#dde3e9"
FONT = (
    "'Noto Sans', 'Noto Sans CJK SC', 'Source Han Sans SC', 'PingFang SC', 'Microsoft YaHei',"
    " 'Hiragino Sans GB', Arial, sans-serif"
)

# hard to easy; the closest two stay apart under protan-, deutan- and tritanopia (CIEDE2000 > 17), and each
# has a marker of its own besides
PALETTE = ("#600223", "#E16D5F", "#F1BC29", "#8ACBC0", "#4486C2", "#253494")
MARKERS = ("x", "cross", "diamond", "square", "triangle-up", "circle")

# to look as large as a circle
MARKER_SCALE = {"x": 1.15, "cross": 1.2, "diamond": 1.25, "square": 1.05, "triangle-up": 1.25}

# s_label: neither colour is in the palette, and the shape tells them apart in grey
RINGS = {1: ("hard", "circle-open", "#B5179E"), 2: ("planted dirty", "square-open", "#000000")}

REGION_COLORS = {"easy-to-learn": PALETTE[5], "ambiguous": "#8a6d00", "hard-to-learn": PALETTE[0]}

# PNG, CSS pixels
WIDTH, HEIGHT, SCALE = 1240, 860, 2
MARGIN = {"l": 66, "r": 18, "t": 80, "b": 58}

_AXIS = {
    "gridcolor": GRID,
    "zeroline": False,
    "linecolor": LINE,
    "ticks": "outside",
    "tickcolor": LINE,
    "ticklen": 4,
    "title": {"standoff": 8},
    "automargin": False,
}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "title": {
            "x": 0.012,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 34},
            "font": {"size": 20},
        },
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {
            "itemsizing": "constant",
            "tracegroupgap": 0,
            "bgcolor": "rgba(255,255,255,0)",
            "font": {"size": 12.5},
            "title": {"font": {"size": 13}},
        },
        "hoverlabel": {
            "font": {"family": FONT, "size": 13, "color": INK},
            "bgcolor": "white",
            "align": "left",
        },
        "modebar": {"orientation": "h", "bgcolor": "rgba(255,255,255,0.7)"},
    }
)


def marker_size(points: int) -> float:
    """Diameter in pixels: smaller as the map fills."""
    return min(max(13 - 1.95 * math.log10(points + 1), 3.2), 9.0)


def marker_opacity(points: int) -> float:
    """Opacity for a category of so many points: the crowded ones let the others show through."""
    return min(max(1.25 - 0.16 * math.log10(points), 0.3), 0.9)


def ring_room(marked: int) -> float:
    """Pixels by which a ring is wider than its marker: less where many rings would hide the map."""
    return min(max(8 - 1.3 * math.log10(marked), 2.4), 5.5)
