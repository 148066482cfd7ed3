"""The look of the map, in one place: colours, markers, fonts, sizes, the template."""

from __future__ import annotations

import math

import plotly.graph_objects as go

INK, MUTED, GRID, LINE, PALE = "#1f2933", "#616e7c", "#e9edf1", "#9aa5b1", "#dde3e9"
FONT = (
    "'Noto Sans', 'Noto Sans CJK SC', 'Source Han Sans SC', 'PingFang SC', 'Microsoft YaHei',"
    " 'Hiragino Sans GB', Arial, sans-serif"
)

MOST = 7
"""Categories that eyes tell apart; more are merged."""

# hard to easy; the closest two are 17.6 apart (CIEDE2000) under normal, protan-, deutan- and tritanopic sight, and
# each has a marker of its own besides
PALETTE = ("#600223", "#A6414C", "#E16D5F", "#F1BC29", "#8ACBC0", "#4486C2", "#253494")
MARKERS = ("x", "cross", "diamond", "square", "triangle-up", "triangle-down", "circle")
# categories without an order. Okabe and Ito 2008; black last, the yellow that fades on white left out
NOMINAL = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
NO_VALUE = ("#9aa5b1", "star-triangle-up")

# number of categories -> which of the seven
_COLORS_OF = {1: (6,), 2: (0, 6), 3: (0, 3, 6), 4: (0, 2, 4, 6), 5: (0, 2, 3, 5, 6), 6: (0, 2, 3, 4, 5, 6)}
_MARKERS_OF = {1: (6,), 2: (0, 6), 3: (0, 2, 6), 4: (0, 1, 2, 6), 5: (0, 1, 2, 3, 6), 6: (0, 1, 2, 3, 4, 6)}

# low to high: even steps for every sight. Cividis (Nuñez 2018) without its lightest tenth, which fades on white
CONTINUOUS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55")

# to look as large as a circle
MARKER_SCALE = {"x": 1.15, "cross": 1.2, "diamond": 1.25, "square": 1.05, "triangle-up": 1.25, "triangle-down": 1.25}

# s_label: neither colour is in the palette, and the shape tells them apart in grey
RINGS = {1: ("circle-open", "#B5179E"), 2: ("square-open", "#000000")}

REGION_COLORS = {"easy-to-learn": PALETTE[6], "ambiguous": "#8a6d00", "hard-to-learn": PALETTE[0]}


def colors(categories: int, *, nominal: bool = False) -> tuple[str, ...]:
    """A colour for each of up to MOST categories, hard to easy."""
    if nominal:
        return NOMINAL[:categories]
    return tuple(PALETTE[i] for i in _COLORS_OF.get(categories, range(MOST)))[:categories]


def markers(categories: int, *, nominal: bool = False) -> tuple[str, ...]:
    """A marker for each of up to MOST categories, hard to easy."""
    if nominal:
        return MARKERS[::-1][:categories]
    return tuple(MARKERS[i] for i in _MARKERS_OF.get(categories, range(MOST)))[:categories]


def unit(width: int, height: int) -> float:
    """Lengths and letters for a picture of this size, in terms of those at 1240 × 860.

    A larger picture has more room and somewhat larger letters.
    """
    return min(max(math.pow(min(width / 1240, height / 860), 0.55), 0.75), 1.6)


def template(unit: float) -> go.layout.Template:
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": LINE,
        "ticks": "outside",
        "tickcolor": LINE,
        "ticklen": 4,
        "title": {"standoff": 8 * unit, "font": {"size": 15 * unit}},
        "automargin": False,
    }
    legend = {
        "itemsizing": "constant",
        "tracegroupgap": 0,
        "bgcolor": "rgba(255,255,255,0)",
        "font": {"size": 12.5 * unit},
        "title": {"font": {"size": 13 * unit}},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13 * unit, "color": INK},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "title": {
                "x": 0.012,
                "xanchor": "left",
                "y": 1,
                "yanchor": "top",
                "pad": {"t": 34 * unit},
                "font": {"size": 20 * unit},
            },
            "xaxis": axis,
            "yaxis": axis,
            "legend": legend,
            "hoverlabel": {
                "font": {"family": FONT, "size": 13 * unit, "color": INK},
                "bgcolor": "white",
                "align": "left",
            },
            "modebar": {"orientation": "h", "bgcolor": "rgba(255,255,255,0.7)"},
        }
    )


def marker_size(points: int) -> float:
    """Diameter in pixels: smaller as the map fills."""
    return min(max(13 - 1.95 * math.log10(points + 1), 3.2), 9.0)


OPACITY = (1.25, 0.16, 0.3, 0.9)
"""Of a trace of one point, what it loses at ten times as many, the least and the most."""
OUTLINED = 3_000
"""Traces of fewer points have a white line of OUTLINE pixels around each."""
OUTLINE = 0.5


def marker_opacity(points: int) -> float:
    """Opacity for a category of so many points: the crowded ones let the others show through."""
    one, loss, least, most = OPACITY
    return min(max(one - loss * math.log10(points), least), most)


def colorscale() -> list[tuple[float, str]]:
    return [(step / (len(CONTINUOUS) - 1), color) for step, color in enumerate(CONTINUOUS)]


def ring_room(marked: int) -> float:
    """Pixels by which a ring is wider than its marker: less where many rings would hide the map."""
    return min(max(8 - 1.3 * math.log10(marked), 2.4), 5.5)
