"""The points of the map, a trace per colour and shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from datamap_cli.plot import density, encoding, look
from datamap_cli.plot.categories import Groups, Selection
from datamap_cli.plot.hover import cut, escape

Array = npt.NDArray[Any]


def choice(
    points: pl.DataFrame, groups: Groups, extent: tuple[density.Range, density.Range], most: int
) -> pl.DataFrame:
    """The rows that are points above a density layer, with the size of each."""
    place = density.cells(points["x"].to_numpy(), points["y"].to_numpy(), extent, density.CELLS)
    rows, size = density.choose(place, points[groups.column].to_numpy(), len(groups.categories), most)
    return points[rows].with_columns(size=pl.Series(size))


def in_traces(drawn: pl.DataFrame, groups: Groups) -> pl.DataFrame:
    """The points in the order in which they are drawn, with the number of their trace: one per colour and shape."""
    rank = pl.col(groups.column).replace_strict(groups.order, list(range(len(groups.order))), return_dtype=pl.Int16)
    without = pl.col("value").is_null() if groups.column == "shape" else pl.lit(False)
    return (
        drawn.with_columns(trace=rank * 100 + pl.col("shape").cast(pl.Int16) * 2 + (~without).cast(pl.Int16))
        .sort("trace", maintain_order=True)
        .with_columns(trace=pl.col("trace").rle_id().cast(pl.Int32))
    )


def kind(drawn: int) -> type[go.Scatter | go.Scattergl]:
    kind: type[go.Scatter | go.Scattergl] = go.Scatter if drawn <= encoding.SVG_POINTS else go.Scattergl
    return kind


def markers(
    drawn: pl.DataFrame, selection: Selection, groups: Groups, unit: float
) -> Iterator[go.Scatter | go.Scattergl]:
    base = look.marker_size(drawn.height) * unit
    for members in drawn.partition_by("trace", maintain_order=True):
        first = members.row(0, named=True)
        shape = selection.shape.categories[first["shape"]]
        size = base * look.MARKER_SCALE.get(shape.marker, 1)
        color: Any = look.NO_VALUE[0]
        if selection.color is not None:
            color = selection.color.categories[first["color"]].color
        elif first["value"] is not None:
            color = members["value"].cast(pl.Float32).to_numpy()
        number = int(groups.counts[first[groups.column]])
        sizes = members["size"]
        yield kind(drawn.height)(
            x=coordinates(members["x"]),
            y=coordinates(members["y"]),
            mode="markers",
            name=escape(cut(groups.categories[first[groups.column]].name)),
            legendgroup=groups.key(first[groups.column]),
            showlegend=False,
            marker={
                "size": size if sizes.min() == 1 else (size * sizes).round(1).cast(pl.Float32).to_numpy(),
                "color": color,
                "symbol": shape.marker,
                "opacity": look.marker_opacity(min(number, members.height)),
                "line": {"width": look.OUTLINE if members.height < look.OUTLINED else 0, "color": "white"},
                **({} if isinstance(color, str) else {"coloraxis": "coloraxis"}),
            },
            hoverinfo="none",
        )


def coordinates(values: pl.Series) -> Array:
    """Half the bytes where single precision tells the values apart by less than a pixel."""
    exact = values.to_numpy()
    with np.errstate(over="ignore"):
        single = exact.astype(np.float32)
    return single if np.allclose(single, exact, rtol=0, atol=1e-5 * max(np.ptp(exact), 1e-30)) else exact
