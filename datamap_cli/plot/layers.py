"""What lies on the map besides its points. A layer is a function here and an entry of `LAYERS`: the page knows none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from datamap_cli.config import PlotConfig
from datamap_cli.plot import density, encoding, layout, look, points, regions
from datamap_cli.plot.categories import Groups, Selection
from datamap_cli.plot.words import Words


@dataclass(frozen=True)
class Scene:
    """What the map shows, before anything of it is drawn."""

    selection: Selection
    groups: Groups
    drawn: pl.DataFrame
    """The rows of the selection that are points, in the order in which they are drawn."""
    settings: PlotConfig
    words: Words
    dense: bool

    @property
    def extent(self) -> tuple[density.Range, density.Range]:
        x, y = self.selection.axes
        return x.range, y.range

    @cached_property
    def scale(self) -> encoding.Scale:
        """Of the colour bar."""
        return encoding.scale(encoding.finite(self.selection.points["value"]))

    @cached_property
    def marked(self) -> pl.DataFrame:
        """The hard and planted dirty examples."""
        return self.selection.points.filter(pl.col("s_label").is_in(list(look.RINGS)))

    @cached_property
    def ringed(self) -> pl.DataFrame:
        """Those that wear a ring: all, or where they are many the first ones of each kind in each cell."""
        marked = self.marked
        if marked.height <= encoding.RINGS:
            return marked
        cell = density.cells(marked["x"].to_numpy(), marked["y"].to_numpy(), self.extent, encoding.RING_CELLS)
        before = pl.int_range(pl.len()).over("cell", "s_label")
        return marked.with_columns(cell=pl.Series(cell)).filter(before < encoding.RINGS_A_CELL)


@dataclass(frozen=True)
class Added:
    """What a layer adds to the figure, in the coordinates of the data; traces lie above the points, images below.

    On the page they stay as long as the axes are those of the map; images, only while nothing is changed.
    """

    traces: list[Any] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)


Layer = Callable[[Scene, layout.Frame], Added]


def rings(scene: Scene, frame: layout.Frame) -> Added:
    """Rings around hard and planted dirty examples; a trace per group, so that they are hidden with their points."""
    drawn, groups, unit = scene.drawn.height, scene.groups, frame.unit
    traces = []
    for s_label, (marker, color) in look.RINGS.items():
        of_kind = scene.ringed.filter(pl.col("s_label") == s_label)
        room = look.ring_room(of_kind.height) if of_kind.height else 0
        for index in groups.order:
            members = of_kind.filter(pl.col(groups.column) == index)
            if members.is_empty():
                continue
            traces.append(
                points.kind(max(drawn, scene.ringed.height))(
                    x=points.coordinates(members["x"]),
                    y=points.coordinates(members["y"]),
                    mode="markers",
                    legendgroup=groups.key(index),
                    showlegend=False,
                    meta={"s_label": s_label},  # by which the page puts them around the points that it shows
                    marker={
                        "size": (look.marker_size(drawn) + room) * unit,
                        "color": color,
                        "symbol": marker,
                        "opacity": look.marker_opacity(of_kind.height),
                        "line": {"width": room / 4 * unit},
                    },
                    hoverinfo="skip",
                )
            )
    return Added(traces=traces)


def dense(scene: Scene, _: layout.Frame) -> Added:
    """The density of all passing rows, under everything, where they are too many to be points."""
    if not scene.dense:
        return Added()
    passing, groups, ((left, right), (low, high)) = scene.selection.points, scene.groups, scene.extent
    place = density.cells(passing["x"].to_numpy(), passing["y"].to_numpy(), scene.extent, density.PIXELS)
    size = density.PIXELS[0] * density.PIXELS[1]
    if scene.selection.color is not None:
        table = density.counts(place, passing["color"].to_numpy(), size, len(groups.categories))
        source = density.layer(table, [category.color for category in groups.categories], density.PIXELS)
    else:
        bottom, top = scene.scale.low, scene.scale.high
        value = passing["value"].fill_null(bottom).to_numpy()
        total = np.bincount(place, minlength=size)
        mean = np.bincount(place, weights=(value - bottom) / (top - bottom), minlength=size) / np.maximum(total, 1)
        source = density.shaded(total, mean, look.CONTINUOUS, density.PIXELS)
    image = {
        "source": source,
        **{"xref": "x", "yref": "y", "x": left, "y": high, "sizex": right - left, "sizey": high - low},
        **{"sizing": "stretch", "layer": "below"},
    }
    return Added(images=[image])


def region_names(scene: Scene, frame: layout.Frame) -> Added:
    """The names of the regions, on axes that have them."""
    settings, passing = scene.settings, scene.selection.points
    if settings.attr1 not in regions.CONFIDENCES or settings.attr2 not in regions.SPREADS:
        return Added()
    names = regions.names(
        passing["x"].to_numpy(),
        passing["y"].to_numpy(),
        passing[scene.groups.column].to_numpy(),
        len(scene.groups.categories),
        scene.extent,
        frame=frame.map,
        unit=frame.unit,
        words=scene.words,
        ambiguous=bool((passing["x"] >= regions.SPREADS[settings.attr2]).any()),
    )
    return Added(annotations=names)


LAYERS: tuple[Layer, ...] = (rings, dense, region_names)
"""From below to above."""


def add(figure: go.Figure, scene: Scene, frame: layout.Frame) -> None:
    """Puts every layer on the figure."""
    for layer in LAYERS:
        added = layer(scene, frame)
        for trace in added.traces:
            trace.meta = {"layer": layer.__name__, **(trace.meta or {})}
        figure.add_traces(added.traces)
        for annotation in added.annotations:
            figure.add_annotation(annotation)
        for image in added.images:
            figure.add_layout_image(image)
