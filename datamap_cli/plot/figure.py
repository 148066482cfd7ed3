"""The data map as a Plotly figure: what is decided elsewhere, put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from datamap_cli.config import PlotConfig
from datamap_cli.plot import encoding, layers, layout, legends, look, marginals, points, regions
from datamap_cli.plot.categories import Groups, Selection, select
from datamap_cli.plot.hover import cut, escape, width
from datamap_cli.plot.layers import Scene
from datamap_cli.plot.words import Words


@dataclass(frozen=True)
class DataMap:
    figure: go.Figure
    """The traces of the points first, in the order of `points`; then layers, histograms, legend and bars."""
    title: str
    frame: layout.Frame
    points: pl.DataFrame
    """A row per point, in the order of the traces end to end: row (in the summary), trace (in figure.data), x, y,
    category (index of the colour, hard to easy; null without a value and with a colour bar)."""
    total: int
    """Rows of the summary."""
    passing: int
    """Rows that pass the filters and have values on the axes."""
    dense: bool
    """Whether a density layer stands for the rows that are no points."""


def draw(
    summary: pl.DataFrame,
    settings: PlotConfig,
    *,
    title: str,
    evaluations: int | None = None,
    classes: Sequence[str] = (),
    region: pl.Expr | None = None,
) -> DataMap:
    """The map of a summary, of all its examples that pass the filters of `settings`.

    `classes` names the labels in the legend; `region` names the region that a row of the summary lies in. A summary of
    another tool may lack all but s_label and the axes, and `evaluations` may be unknown. Raises DatamapError for a
    signal that the summary lacks.
    """
    words = Words(settings.language)
    scene = _scene(select(summary, settings, classes=classes), settings, words)
    selection, groups, passing = scene.selection, scene.groups, scene.selection.points

    def shares(rows: pl.Series) -> dict[str, str]:
        if region is None:
            return {}
        lies = summary[rows].select(region.alias("region"))["region"]
        return {name: f"{(lies == name).sum() / len(rows):.0%}" for name in regions.NAMES}

    entries = legends.legends(selection, groups, scene.marked, settings.color_by, words, shares)
    subtitle = [*_subtitle(scene, summary.height)]
    if evaluations is not None:
        subtitle.append(words.several(evaluations, "evaluation"))
    lines = _lines(subtitle, words("semicolon"), layout.columns(settings.width, settings.height, 13))
    frame = layout.frame(settings.width, settings.height, len(lines), [legend.extent for legend in entries])
    if not layout.fits(frame, [legend.extent for legend in entries], color_bar=selection.color is None):
        entries = [legend.short for legend in entries]

    figure = go.Figure([*points.markers(scene.drawn, selection, groups, frame.unit)])
    if passing.height:
        layers.add(figure, scene, frame)
    highest = _counts(figure, scene)
    for number, legend in enumerate(entries, start=1):
        figure.add_traces([*legend.traces(f"legend{number if number > 1 else ''}")])
    figure.update_layout(
        **_layout(scene, frame, highest),
        title=_heading(title, lines, settings),
        **layout.legends(frame, [legend.extent for legend in entries]),
    )
    if passing.is_empty():
        figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False))  # else there are no axes
        figure.add_annotation(_note(selection, summary.height, words, frame.unit))
    else:
        figure.add_trace(marginals.bars(groups, colored=selection.color is not None))
        if selection.color is None:
            figure.update_layout(coloraxis=_color_axis(scene, frame))
    return DataMap(figure, title, frame, _of_map(scene.drawn, selection), summary.height, passing.height, scene.dense)


def _scene(selection: Selection, settings: PlotConfig, words: Words) -> Scene:
    groups, passing = Groups.of(selection), selection.points
    dense = passing.height > settings.max_points
    extent = (selection.axes[0].range, selection.axes[1].range)
    drawn = (
        points.choice(passing, groups, extent, settings.max_points // 3)
        if dense
        else passing.with_columns(size=pl.lit(1.0))
    )
    return Scene(selection, groups, points.in_traces(drawn, groups), settings, words, dense)


def _counts(figure: go.Figure, scene: Scene) -> list[int]:
    """Adds the histograms; the highest counts of the two and of the bars."""
    highest = []
    for axis, extent in zip("xy", scene.extent, strict=True):
        edges, table = marginals.histogram(scene.selection.points, scene.groups, axis, extent)
        figure.add_traces([*marginals.marginal(axis, edges, table, scene.groups, scene.selection)])
        highest.append(int(table.sum(axis=0).max(initial=0)))
    return [*highest, int(scene.groups.counts.max(initial=0))]


def _layout(scene: Scene, frame: layout.Frame, highest: Sequence[int]) -> dict[str, Any]:
    settings, number = scene.settings, scene.selection.points.height
    x, y = scene.selection.axes
    return {
        "template": look.template(frame.unit),
        "margin": frame.margin,
        "hovermode": "closest",
        "dragmode": "zoom",
        "barmode": "stack",
        "bargap": 0,
        **layout.axes(
            frame,
            titles=(escape(cut(settings.attr2)), escape(cut(settings.attr1))),
            ranges=scene.extent,
            ticks=(x.tick, y.tick),
            highest=highest,
            count_title=scene.words("count"),
            logarithmic=number > encoding.LINEAR_POINTS,
            fine=number <= encoding.FINE_POINTS,
        ),
    }


def _color_axis(scene: Scene, frame: layout.Frame) -> dict[str, Any]:
    scale, title = scene.scale, escape(cut(str(scene.settings.color_by), legends.NAME))
    return {
        "cmin": scale.low,
        "cmax": scale.high,
        "colorscale": look.colorscale(),
        "colorbar": layout.color_bar(frame, title, scale.ticks, scale.texts),
    }


def _of_map(drawn: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    category = pl.col("color")
    if selection.color is not None and selection.color.valueless is not None:
        category = pl.when(category != selection.color.valueless).then(category)
    return drawn.select("row", "trace", "x", "y", category.alias("category"))


def _subtitle(scene: Scene, total: int) -> Iterator[str]:
    """What is drawn, of how many, under which filter."""
    selection, groups, words, dense = scene.selection, scene.groups, scene.words, scene.dense
    passing = selection.points.height
    everything = words.several(total, "example")
    if passing == total and not dense:
        who = words("all drawn", total=everything)
    elif passing == total:
        who = everything
    else:
        who = words("some drawn", passing=passing, total=everything)
    if selection.conditions:
        who = words("filtered", who=who, conditions=words.joined(selection.conditions, "and"))
    yield who
    if dense:
        carried = np.bincount(scene.drawn[groups.column].to_numpy(), minlength=len(groups.counts))
        whole = [groups.categories[i].name for i in groups.order[::-1] if carried[i] == groups.counts[i]]
        layer = words("density", points=scene.drawn.height)
        if whole:
            layer += words("comma") + words("complete", names=words.joined(whole, "comma"))
        yield layer
    if selection.missing:
        yield words("valueless", count=selection.missing, names=words.joined(selection.valueless, "or"))
    if scene.ringed.height < scene.marked.height:
        yield words("rings", shown=scene.ringed.height, marked=scene.marked.height)


def _lines(parts: Sequence[str], separator: str, columns: int) -> list[str]:
    """The parts on as few lines as hold them, each part cut where it alone is too long."""
    lines: list[str] = []
    for part in parts:
        if lines and width(lines[-1] + separator + part) <= columns:
            lines[-1] += separator + part
        else:
            lines.append(cut(part, columns))
    return lines


def _heading(title: str, lines: Sequence[str], settings: PlotConfig) -> dict[str, str]:
    heading = escape(cut(title, layout.columns(settings.width, settings.height, 22)))
    size = 13 * look.unit(settings.width, settings.height)
    below = "<br>".join(map(escape, lines))
    return {"text": f"<b>{heading}</b><br><span style='font-size:{size:.1f}px;color:{look.MUTED}'>{below}</span>"}


def _note(selection: Selection, total: int, words: Words, unit: float) -> dict[str, Any]:
    """What an empty map says."""
    wanted = [*selection.conditions, *(words("value of", signal=signal) for signal in selection.valueless)]
    text = words("none has", wanted=words.joined(wanted, "and")) if total else words("no examples")
    return {
        "text": escape(cut(text, 80)),
        "xref": "x domain",
        "yref": "y domain",
        "x": 0.5,
        "y": 0.5,
        "showarrow": False,
        "font": {"size": 16 * unit, "color": look.MUTED},
    }
