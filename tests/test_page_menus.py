"""What the page's menus draw, beside what Python draws of the same: one look, decided once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from datamap_cli.config import PlotConfig
from datamap_cli.plot import draw, page
from tests.test_page import CLASSES, Opened, browser, open_page, pytestmark, texts_of  # noqa: F401

POINTS = 900
SIGNALS = [
    *("never_learnt", "forgetting_times", "learnt_for_good", "pred_label", "s_label", "correct_ratio"),
    *("aum", "avg_loss", "min_label_probs", "own_class"),
]


def summary() -> pl.DataFrame:
    rng = np.random.default_rng(11)
    right = rng.integers(0, 5, POINTS)
    mean = (right / 4 * 0.8 + rng.uniform(0, 0.2, POINTS)).clip(0.01, 0.99)
    far = np.where(np.arange(POINTS) < 1, -4_000.0, rng.normal(size=POINTS))
    return pl.DataFrame(
        {
            "id": np.arange(POINTS),
            "label": rng.integers(0, 2, POINTS),
            "s_label": rng.choice([0, 0, 0, 1, 2], POINTS),
            "correct_times": right,
            "correct_ratio": right / 4,
            "avg_probs": mean,
            "label_var": mean * (1 - mean) * rng.uniform(0, 1, POINTS),
            "forgetting_times": rng.integers(0, 3, POINTS),
            "never_learnt": right == 0,
            "learnt_for_good": pl.Series(np.where(right == 4, rng.integers(0, 4, POINTS), -1)).replace(-1, None),
            "pred_label": rng.integers(0, 2, POINTS),
            "min_label_probs": mean * rng.uniform(0.3, 0.6, POINTS),
            "aum": far,
            "avg_loss": pl.Series(-np.log(mean)).set(pl.Series(np.arange(POINTS) % 50 == 0), None),
            "own_class": rng.integers(0, 11, POINTS),
        }
    )


@pytest.fixture(scope="module")
def opened(open_page: Callable[..., Opened]) -> Opened:  # noqa: F811
    settings = PlotConfig()
    table = summary()
    data_map = draw(table, settings, title="a run", evaluations=4, classes=CLASSES)
    rows = data_map.points["row"]
    text = page(
        *(data_map, table[rows], settings),
        examples=texts_of(POINTS)[rows],
        classes=CLASSES,
        evaluations=4,
        trajectories=None,
    )
    return open_page(text, table[rows])


SHOWN = """() => {
    const { data, layout } = document.getElementById("map");
    const list = (values) => (typeof values === "string" || typeof values === "number" ? values : Array.from(values));
    const points = data.filter((t) => t.hoverinfo === "none" && t.x.length);
    const { coloraxis: axis, xaxis, yaxis, xaxis4 } = layout;
    const bars = data.find((t) => t.xaxis === "x4");
    return {
        points: points.map((t) => ({
            number: t.x.length, symbol: t.marker.symbol, size: t.marker.size, opacity: t.marker.opacity,
            line: t.marker.line.width, color: typeof t.marker.color === "string" ? t.marker.color : "scale",
        })),
        rings: data.filter((t) => t.meta?.s_label && t.x.length).map((t) => [t.meta.s_label, t.x.length]),
        legend: data
            .filter((t) => t.legend === "legend")
            .sort((a, b) => a.legendrank - b.legendrank)
            .map((t) => [t.name, t.marker.color, t.marker.symbol]),
        title: layout.legend.title.text,
        scale: axis?.colorbar && [
            axis.cmin, axis.cmax, list(axis.colorscale.flat()), axis.colorbar.title.text,
            list(axis.colorbar.tickvals), list(axis.colorbar.ticktext), axis.colorbar.y, axis.colorbar.len,
        ],
        bars: bars && [xaxis4.ticktext ?? list(bars.x), list(bars.y), list(bars.marker.color)],
        ranges: [list(xaxis.range), list(yaxis.range), xaxis.dtick ?? null, yaxis.dtick ?? null],
        titles: [xaxis.title.text, yaxis.title.text],
    };
}"""


def by_python(**settings: Any) -> dict[str, Any]:
    """The same of the figure that Python draws."""
    data_map = draw(summary(), PlotConfig(**settings), title="a run", evaluations=4, classes=CLASSES)
    figure = data_map.figure
    traces, layout = figure.data, figure.layout
    points = traces[: data_map.points["trace"].n_unique()]
    axis = layout.coloraxis
    bars = next(trace for trace in traces if trace.xaxis == "x4")
    return {
        "points": [
            {
                "number": len(trace.x),
                "symbol": trace.marker.symbol,
                "size": trace.marker.size,
                "opacity": trace.marker.opacity,
                "line": trace.marker.line.width,
                "color": trace.marker.color if isinstance(trace.marker.color, str) else "scale",
            }
            for trace in points
        ],
        "rings": [[trace.meta["s_label"], len(trace.x)] for trace in traces if (trace.meta or {}).get("s_label")],
        "legend": [
            [trace.name, trace.marker.color, trace.marker.symbol]
            for trace in sorted(traces, key=lambda trace: trace.legendrank or 0)
            if trace.legend == "legend"
        ],
        "title": layout.legend.title.text,
        "scale": axis.colorbar.title.text
        and [
            *(axis.cmin, axis.cmax, [part for step in axis.colorscale for part in step], axis.colorbar.title.text),
            *(list(axis.colorbar.tickvals), list(axis.colorbar.ticktext), axis.colorbar.y, axis.colorbar.len),
        ],
        "bars": [list(bars.x), list(bars.y), list(bars.marker.color)],
        "ranges": [list(layout.xaxis.range), list(layout.yaxis.range), layout.xaxis.dtick, layout.yaxis.dtick],
        "titles": [layout.xaxis.title.text, layout.yaxis.title.text],
    }


@pytest.mark.parametrize("name", SIGNALS)
def test_the_menu_colours_as_python_does(opened: Opened, name: str) -> None:
    opened.page.select_option("#colour", name)
    title = f"<b>{name}</b>"
    opened.page.wait_for_function(
        "(title) => document.querySelector('#map').layout.legend.title.text === title", arg=title
    )
    shown = opened.page.evaluate(SHOWN)
    scaled = shown["scale"] is not None
    # on the page the symbols go with the colours: that is --shape-by the same; along a scale they tell nothing
    expected = by_python(color_by=name, **({} if scaled else {"shape_by": name}))
    if scaled:
        for view in (shown, expected):
            for key in ("points", "legend", "title", "bars", "rings"):
                view[f"of {key}"] = view.pop(key)
        keys = ["scale", "ranges", "titles"]
        valueless = {"avg_loss": 18, "learnt_for_good": 0}.get(name, 0)
        grey = [trace["number"] for trace in shown["of points"] if trace["color"] == "#9aa5b1"]
        assert (valueless, POINTS) == (sum(grey), sum(trace["number"] for trace in shown["of points"]))
    else:
        keys = list(expected)
    assert {key: expected[key] for key in keys} == {key: shown[key] for key in keys}


@pytest.mark.parametrize("name", SIGNALS)
def test_the_menu_lays_an_axis_as_python_does(opened: Opened, name: str) -> None:
    opened.page.select_option("#colour", "")
    opened.page.select_option("#y", name)
    opened.page.wait_for_function(
        "(name) => document.querySelector('#map')._fullLayout.yaxis.title.text === name", arg=name
    )
    shown, expected = opened.page.evaluate(SHOWN), by_python(attr1=name)
    # the page keeps the entries of categories that no longer have points, to show them again
    shown["legend"] = [entry for entry in shown["legend"] if "   0 (" not in entry[0]]
    shown["bars"] = [
        list(part) for part in zip(*(bar for bar in zip(*shown["bars"], strict=True) if bar[1]), strict=True)
    ]
    for view in (shown, expected):  # what is drawn under the menu keeps the size it had
        view["points"] = [(trace["number"], trace["symbol"], trace["color"]) for trace in view["points"]]
        view["legend"] = [[re.sub(r"<span.*", "", entry[0]), *entry[1:]] for entry in view["legend"]]
    keys = ["ranges", "titles", "points", "legend", "title", "bars"]
    assert {key: expected[key] for key in keys} == {key: shown[key] for key in keys}
