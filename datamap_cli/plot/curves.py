"""Precision-recall curves of how signals find what was planted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from datamap_cli.config import PlotConfig
from datamap_cli.plot import look
from datamap_cli.plot.canvas import canvas
from datamap_cli.plot.hover import escape

NAMED = 5
"""Curves with a colour of their own, beside the one that counts."""
_POINTS = 2_000
"""Of a curve; more would not be seen."""

_AND = ", "

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """One ranking, cut at each of K places."""

    name: str
    average_precision: float
    taken: npt.NDArray[np.int64]
    """Rows down to each place, (K,)."""
    recall: Floats
    precision: Floats


def precision_recall(
    curves: Sequence[Curve], settings: PlotConfig, *, default: str, share: float, title: str, subtitle: str
) -> go.Figure:
    """The curve named `default` in front, the best others in colours, the rest in grey, best first in the legend.

    Curves that are the same are one. `share` is the precision of rows in any order; `subtitle` is the line below the
    title.
    """
    unit = look.unit(settings.width, settings.height)
    ranked = _distinct(sorted(curves, key=lambda curve: (-curve.average_precision, curve.name != default)))
    counts = next(curve for curve in ranked if default in curve.name.split(_AND))
    named = [curve for curve in ranked if curve is not counts][:NAMED]
    rest = [curve for curve in ranked if curve is not counts and curve not in named]
    figure = canvas(
        settings,
        title=title,
        subtitle=subtitle,
        x={"title": "recall: of the flipped labels, the share found", "range": [0, 1.005]},
        y={"title": "precision: of the labels listed, the share flipped", "range": [0, 1.02]},
    )
    for curve in rest:
        figure.add_trace(
            _line(
                curve,
                {"color": look.LINE, "width": 1 * unit},
                name=f"{len(rest)} other signals",
                legendgroup="rest",
                showlegend=curve is rest[0],
                legendrank=len(ranked) + 1,
                opacity=0.55,
            )
        )
    for curve, color in zip(named, look.NOMINAL, strict=False):
        figure.add_trace(
            _line(curve, {"color": color, "width": 1.8 * unit}, name=_named(curve), legendrank=ranked.index(curve))
        )
    line = {"color": look.PALETTE[0], "width": 3.6 * unit}
    name = f"<b>{_named(counts)}</b>, the default score"
    figure.add_trace(_line(counts, line, name=name, legendrank=ranked.index(counts)))
    figure.add_trace(_in_any_order(share, unit, rank=len(ranked) + 2))
    figure.update_layout(
        legend={
            "title": {"text": "average precision"},
            "x": 1,
            "xanchor": "right",
            "y": 1,
            "yanchor": "top",
            "bgcolor": "rgba(255,255,255,0.85)",
            "traceorder": "normal",
        },
    )
    return figure


def _in_any_order(share: float, unit: float, *, rank: int) -> go.Scatter:
    return go.Scatter(
        x=[0, 1],
        y=[share, share],
        mode="lines",
        line={"color": look.MUTED, "width": 1.2 * unit, "dash": "dash"},
        name=f"in any order: {share:.3f}",
        hoverinfo="skip",
        legendrank=rank,
    )


def _distinct(curves: Sequence[Curve]) -> list[Curve]:
    """Each curve once, with the names of all that are the same."""
    alike: dict[bytes, list[Curve]] = {}
    for curve in curves:
        alike.setdefault(curve.recall.tobytes() + curve.precision.tobytes(), []).append(curve)
    return [replace(same[0], name=_AND.join(curve.name for curve in same)) for same in alike.values()]


def _line(curve: Curve, line: dict[str, object], **more: object) -> go.Scatter:
    places = np.unique(np.linspace(0, len(curve.taken) - 1, min(len(curve.taken), _POINTS)).astype(int))
    from_the_first = np.append(places[0], places)  # up to its recall, the precision is that of the first place
    return go.Scatter(
        x=np.append(0, curve.recall[places]),
        y=curve.precision[from_the_first],
        customdata=curve.taken[from_the_first],
        mode="lines",
        line={**line, "shape": "vh"},  # the area below is then the average precision, also where many are tied
        hovertemplate=(
            f"<b>{escape(curve.name)}</b><br>the first %{{customdata:,}} rows:<br>"
            "%{y:.1%} of them flipped<br>%{x:.1%} of the flipped found<extra></extra>"
        ),
        **more,
    )


def _named(curve: Curve) -> str:
    return f"{escape(curve.name)} {curve.average_precision:.3f}"
