"""Summaries and maps made for tests of the plotting room."""

from __future__ import annotations

import html
import math
import re
from itertools import pairwise
from typing import Any

import polars as pl

from datamap_cli.config import PlotConfig
from datamap_cli.plot import DataMap, draw

Curve = list[bool]

CURVES = [
    [False, False, False, False, False],
    [True, False, False, False, False],
    [False, False, True, True, False],
    [False, True, True, True, False],
    [False, True, True, True, True],
    [True, True, True, True, True],
]


def summarized(curves: list[Curve], **columns: list[Any]) -> pl.DataFrame:
    """A summary of curves of right and wrong, all of one length, with p = 0.9 where right and 0.2 where wrong."""
    rows = []
    for number, curve in enumerate(curves):
        steps = list(pairwise(curve))
        probabilities = [0.9 if right else 0.2 for right in curve]
        mean = math.fsum(probabilities) / len(curve)
        rows.append(
            {
                "id": number,
                "label": 0,
                "s_label": 0,
                "correct_times": sum(curve),
                "correct_ratio": sum(curve) / len(curve),
                "avg_probs": mean,
                "label_var": math.fsum((p - mean) ** 2 for p in probabilities) / len(curve),
                "forgetting_times": sum(before and not after for before, after in steps),
                "learnt_times": sum(after and not before for before, after in steps),
                "never_learnt": not any(curve),
                "pred_label": 0 if curve[-1] else 1,
                "suggested_label": 0 if mean > 0.5 else 1,
            }
        )
    return pl.DataFrame(rows).with_columns(**{name: pl.Series(values) for name, values in columns.items()})


def drawn(summary: pl.DataFrame, *, classes: tuple[str, ...] = ("no", "yes"), **settings: Any) -> DataMap:
    return draw(summary, PlotConfig(**settings), title="a run", evaluations=5, classes=classes)


def subtitle(data_map: DataMap) -> str:
    """What stands below the title, without the markup."""
    text: str = data_map.figure.layout.title.text.partition("<br>")[2]
    return re.sub("<br>", " / ", re.sub("</?span[^>]*>", "", text)).replace("&gt;", ">").replace("&lt;", "<")


def legends(data_map: DataMap) -> dict[str, list[str]]:
    """Entries of each legend by its title, from the top, without the markup."""
    layout = data_map.figure.layout.to_plotly_json()
    found: dict[str, list[str]] = {}
    for trace in sorted(data_map.figure.data, key=lambda trace: trace.legendrank or 0):
        if trace.showlegend:
            title = re.sub("</?b>", "", layout[trace.legend]["title"]["text"])
            text = re.sub(r"<span [^>]*> *(.*)</span>", r" | \1", trace.name)
            found.setdefault(title, []).append(html.unescape(text.replace("<br>", " / ")))
    return found


def markers_of(data_map: DataMap) -> list[Any]:
    """The traces of the points, in the order in which they are drawn."""
    return list(data_map.figure.data[: data_map.points["trace"].n_unique()])


def rings_of(data_map: DataMap) -> list[Any]:
    return [trace for trace in data_map.figure.data if trace.meta is not None]
