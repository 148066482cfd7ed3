"""Two summaries of the same examples: how alike their signals rank them, and who moved on the map."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from datamap_cli import signals
from datamap_cli.errors import DatamapError


def pair(first: pl.DataFrame, second: pl.DataFrame, names: tuple[str, str]) -> pl.DataFrame:
    """Both summaries side by side, the rows of `first` with the columns of `second` as `name@b`.

    `names` are what messages call them. Raises DatamapError where they are not of the same ids.
    """
    if first["id"].dtype != second["id"].dtype:
        raise DatamapError(f"{names[0]} has ids such as {first['id'][0]!r}, {names[1]} such as {second['id'][0]!r}")
    lacking = [
        (one, other, mine["id"].filter(~mine["id"].is_in(theirs["id"].implode())))
        for one, other, mine, theirs in ((*names, first, second), (*names[::-1], second, first))
    ]
    faults = [f"{len(ids):,} of {one} are not in {other} (id {ids[0]})" for one, other, ids in lacking if len(ids)]
    if faults:
        raise DatamapError(f"not the same examples: {', '.join(faults)}; runs over the same ids can be compared")
    renamed = second.rename(lambda column: column if column == "id" else f"{column}@b")
    return first.join(renamed, on="id", how="left", maintain_order="left")


def by_name(summary: pl.DataFrame, classes: Sequence[str], order: Sequence[str]) -> pl.DataFrame:
    """The summary with class indices that are places in `order`, which has the same names as its own `classes`."""
    places = pl.Series([order.index(name) for name in classes], dtype=pl.Int64)
    indices = [name for name in summary.columns if signals.is_class(name)]
    return summary.with_columns(places.gather(summary[name]).alias(name) for name in indices)


def correlations(both: pl.DataFrame) -> pl.DataFrame:
    """Spearman's rank correlation of every signal that both have: signal, spearman, agreement, examples.

    Ties have their average rank; examples without a value in one of the two are left out, and `examples` says of how
    many it is. Null where one of the two is the same throughout. Of class indices the share that agrees, instead.
    """
    rows = []
    for name in both.columns:
        if f"{name}@b" not in both.columns or name in ("id", "label", "s_label"):
            continue
        dtypes = both.schema[name], both.schema[f"{name}@b"]
        if not all(dtype.is_numeric() or dtype == pl.Boolean for dtype in dtypes):
            continue
        values = both.select(a=pl.col(name).cast(pl.Float64), b=pl.col(f"{name}@b").cast(pl.Float64))
        values = values.fill_nan(None).drop_nulls()
        spearman, agreement = None, None
        if signals.is_class(name):  # whether they agree can be said, not how alike they rank
            agreement = values.select((pl.col("a") == pl.col("b")).mean()).item()
        elif all(values[column].n_unique() > 1 for column in "ab"):
            spearman = values.select(pl.corr(pl.col("a").rank("average"), pl.col("b").rank("average"))).item()
        rows.append((name, spearman, agreement, values.height))
    schema = {"signal": pl.String, "spearman": pl.Float64, "agreement": pl.Float64, "examples": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def crossing(first: pl.Series, second: pl.Series, regions: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many examples are in each region first, and of these in each region then, in the order of `regions`."""
    counts = {
        (before, after): count
        for before, after, count in pl.DataFrame({"a": first, "b": second}).group_by("a", "b").len().iter_rows()
    }
    return {before: {after: counts.get((before, after), 0) for after in regions} for before in regions}


def moves(both: pl.DataFrame, x: str, y: str) -> pl.DataFrame:
    """How far every example moved on the map of `x` and `y`: id, x, y, x@b, y@b, moved; the farthest first.

    `moved` is the length of the arrow where each axis has the length 1 from the least to the greatest value in both.
    Examples without a value are left out. Ties are broken by id. Raises DatamapError where a summary lacks an axis.
    """
    for name in (x, y):
        if name not in both.columns or f"{name}@b" not in both.columns:
            raise DatamapError(f"{name}: not a signal of both runs")
    placed = both.select(
        "id",
        *(
            pl.col(f"{signal}{which}").cast(pl.Float64).fill_nan(None).alias(f"{axis}{which}")
            for which in ("", "@b")
            for axis, signal in (("x", x), ("y", y))
        ),
    ).drop_nulls()
    if placed.is_empty():
        raise DatamapError(f"{y}, {x}: no example has a value of both in both runs")

    def share(axis: str) -> pl.Expr:
        low = pl.min_horizontal(pl.col(axis).min(), pl.col(f"{axis}@b").min())
        extent = pl.max_horizontal(pl.col(axis).max(), pl.col(f"{axis}@b").max()) - low
        return pl.when(extent > 0).then((pl.col(f"{axis}@b") - pl.col(axis)) / extent).otherwise(0)

    moved = (share("x") ** 2 + share("y") ** 2).sqrt()
    return placed.with_columns(moved=moved).sort("moved", "id", descending=[True, False])
