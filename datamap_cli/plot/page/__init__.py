"""The interactive map as one HTML file: everything in it, nothing fetched, nothing sent.

page.html is the frame, page.css its look, the scripts its life; words.json has every word in both languages.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from datamap_cli.config import PlotConfig
from datamap_cli.plot import encoding, layout, look
from datamap_cli.plot.figure import DataMap
from datamap_cli.plot.hover import cut, escape, visible
from datamap_cli.plot.page.payload import Evidence, Trajectories, carried_evaluations, pack
from datamap_cli.text import FORMULA, NUMBER

__all__ = ["Evidence", "Trajectories", "carried_evaluations", "page"]

# no source at all but the page itself: a text that slipped through could still reach nothing;
# unsafe-eval: Plotly compiles its WebGL traces with Function()
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:;"
    " connect-src 'none'; base-uri 'none'; form-action 'none'"
)
_LABEL, _RUNNER_UP = look.PALETTE[-1], look.PALETTE[2]
"""Colours of the two lines of a course."""
_HERE = Path(__file__).parent
_SCRIPTS = (
    "dom.js",
    "data.js",
    "card.js",
    "table.js",
    "list.js",
    "filters.js",
    "selection.js",
    "tools.js",
    "figure.js",
    "page.js",
)
"""Each after those it imports from."""


def page(
    data_map: DataMap,
    summary: pl.DataFrame,
    settings: PlotConfig,
    *,
    examples: pl.DataFrame | None,
    classes: Sequence[str],
    evaluations: int | None,
    trajectories: Trajectories | None,
    evidence: Evidence | None = None,
) -> str:
    """A whole HTML document: the map with everything about its points, in any browser, from a file, without a network.

    `summary`, `examples` (text_a and text_b; None where there are no texts) and `trajectories` have a row per point of
    the map, in the order of its points; the suspects of `evidence` are some of them.
    """
    axes = {"x": settings.attr2, "y": settings.attr1}
    payload = pack(summary, examples, trajectories, axes, classes, settings, evidence)
    words = json.loads(_text("words.json"))[settings.language]
    about = {
        **payload.about,
        "language": settings.language,
        "words": words,
        "axes": axes,
        "traces": data_map.points["trace"].n_unique(),
        "total": data_map.total,
        "dense": data_map.dense,
        "evaluations": evaluations,
        "classes": list(classes),
        "class_titles": [escape(cut(name)) for name in classes],
        "courses_omitted": trajectories is None and evaluations is not None and evaluations > 1,
        "formulas": {"begin": FORMULA, "number": NUMBER} if settings.spreadsheet_safe else None,
        "frame": {"width": settings.width, "height": settings.height},
        "look": _look(),
        **_numbers(data_map),
    }
    values = {
        "language": "zh-CN" if settings.language == "zh" else "en",
        "policy": _POLICY,
        "title": html.escape(visible(data_map.title)),
        "font": look.FONT,
        "label": _LABEL,
        "runner_up": _RUNNER_UP,
        "css": _text("page.css"),
        "noscript": html.escape(words["noscript"]),
        "plotly": get_plotlyjs(),
        "figure": _in_script(data_map.figure.to_plotly_json()),
        "about": _in_script(about),
        "blocks": "\n".join(
            f'<script type="text/plain" id="{name}">{block}</script>' for name, block in payload.blocks.items()
        ),
        "script": _script(),
    }
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], _text("page.html"))


@cache
def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _script() -> str:
    """The modules one after another, as one: the page has nowhere to import from."""
    text = "\n".join(_text(name) for name in _SCRIPTS)
    return '(() => {\n"use strict";\n' + re.sub(r"^(import .*\n|export )", "", text, flags=re.MULTILINE) + "})();"


def _look() -> dict[str, Any]:
    return {
        **{"muted": look.MUTED, "pale": look.PALE, "grid": look.GRID, "line": look.LINE},
        **{"label": _LABEL, "runner_up": _RUNNER_UP, "no_value": look.NO_VALUE[0]},
        "scale": look.MARKER_SCALE,
        "continuous": look.colorscale(),
    }


def _numbers(data_map: DataMap) -> dict[str, Any]:
    """The numbers by which the map was drawn, for the views that the page draws."""
    unit = data_map.frame.unit
    return {
        "marks": {
            "size": look.marker_size(data_map.points.height) * unit,
            **{"opacity": look.OPACITY, "outlined": look.OUTLINED, "outline": look.OUTLINE},
            "rings": {"most": encoding.RINGS, "cells": encoding.RING_CELLS, "each": encoding.RINGS_A_CELL},
        },
        "counts": {
            **{"linear": encoding.LINEAR_POINTS, "fine": encoding.FINE_POINTS, "bins": encoding.BINS},
            **{"room": encoding.ROOM, "headroom": layout.HEADROOM, "decades": layout.DECADES},
        },
        "legend": layout.legend_heights(unit),
        "color_bar": layout.color_bar(data_map.frame, "", (), ()),
    }


def _in_script(tree: Any) -> str:
    """JSON in which HTML finds no tag and JavaScript no line end."""
    # Plotly's own to_json escapes whatever is not ASCII: twice the bytes for Chinese
    text = json.dumps(
        tree, default=PlotlyJSONEncoder().default, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
