"""`datamap plot`: summary → page and pictures."""

from __future__ import annotations

import contextlib
from pathlib import Path

import polars as pl

from datamap_cli import plot as drawing
from datamap_cli import signals, terminal
from datamap_cli.analysis import evidence
from datamap_cli.commands import pictures
from datamap_cli.config import Config
from datamap_cli.data import summaries
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run
from datamap_cli.run.output import Output
from datamap_cli.text import first_line

_SUSPECTS = 10_000
"""Points, the most suspicious ones, whose evidence the page carries."""


def check(config: Config) -> None:
    """Raises DatamapError for a map that no summary of ours could give: known before hours of training, not after."""
    schema: dict[str, type[pl.DataType]] = {"id": pl.Int64, "label": pl.Int64, "s_label": pl.Int64}
    schema |= {signal.name: signal.dtype for signal in signals.SIGNALS}
    if config.data.id is not None:  # a column of ids may hold numbers or texts
        with contextlib.suppress(DatamapError):
            return drawing.check_signals(config.plot, pl.Schema(schema | {"id": pl.String}))
    return drawing.check_signals(config.plot, pl.Schema(schema))


def draw(config: Config, output: Path | None) -> None:
    """Draws the map of the run to `output`, a stem or one file, or into the run directory."""
    run = Run.open(config.run_dir)
    summary = run.scan_summary()
    data_map = drawing.draw(
        summary.select(drawing.columns(config.plot, summary.collect_schema())).collect(),
        config.plot,
        title=drawing.heading(run.title, config.plot.language),
        evaluations=len(run.info.evaluations),
        classes=run.info.classes,
        region=signals.region(),
    )
    points = _of_points(summary, data_map)
    document = drawing.page(
        data_map,
        points,
        config.plot,
        examples=run.texts(points["id"]),
        classes=run.info.classes,
        evaluations=len(run.info.evaluations),
        trajectories=_trajectories(run, points["id"]),
        evidence=_evidence(run, points),
    )
    place = run.map_output(config.plot) if output is None else Output.of(output)
    pictures.write(data_map.figure, document, place, config.plot, "map", run)


def draw_table(summary: Path, config: Config, output: Path | None) -> None:
    """Draws the map of a summary in a file of its own to `output`, a stem or one file, or beside the file."""
    table = summaries.read_summary(summary)
    labels = [name for name in table.columns if signals.is_class(name)]
    data_map = drawing.draw(
        table.drop(labels),  # class names are not known
        config.plot,
        title=drawing.heading(summary.name, config.plot.language),
        region=signals.region() if "avg_probs" in table.columns else None,
    )
    points = _of_points(table.lazy().drop(labels), data_map)
    document = drawing.page(
        data_map, points, config.plot, examples=None, classes=[], evaluations=None, trajectories=None
    )
    place = Output(summary.with_suffix("")) if output is None else Output.of(output)
    pictures.write(data_map.figure, document, place, config.plot, "map")


def _of_points(summary: pl.LazyFrame, data_map: drawing.DataMap) -> pl.DataFrame:
    """The rows of the summary that are points of the map, in the order of its points."""
    row, place = "\N{NUL}row", "\N{NUL}place"  # the summary's own columns may have any name
    wanted = data_map.points.select(pl.col("row").cast(pl.UInt32).alias(row)).with_row_index(place).lazy()
    rows = summary.with_row_index(row).join(wanted, on=row, how="inner").collect(engine="streaming")
    return rows.sort(place).drop(row, place)


def _trajectories(run: Run, ids: pl.Series) -> drawing.Trajectories | None:
    """What the page carries of the courses of these examples; None where it is nothing."""
    carried = drawing.carried_evaluations(len(ids), len(run.info.evaluations))
    if not carried:
        return None
    try:
        evaluations = list(run.evaluations().values())
        return drawing.Trajectories(carried, *signals.trajectories([evaluations[t] for t in carried], ids))
    except (DatamapError, pl.exceptions.PolarsError) as error:
        # the map is of the summary: it needs no signal files any more
        terminal.note(f"no courses of single examples on the page: {first_line(error)}")
        return None


def _evidence(run: Run, points: pl.DataFrame) -> drawing.Evidence | None:
    """Why the labels of the most suspicious of these points are suspected; None where no opinions were gathered."""
    try:
        gathered = run.opinions()
        if gathered is None:
            return None
        suspects = (
            gathered[0]
            .join(points.lazy().select("id", "label"), on="id", how="inner", maintain_order="right")
            .filter(pl.col("joined_label") != pl.col("label"))
            .sort("suspicion", descending=True, nulls_last=True, maintain_order=True)
            .head(_SUSPECTS)
            .collect()
        )
        others = pl.LazyFrame({"id": evidence.referenced(suspects)}).join(
            points.lazy().select("id"), on="id", how="anti", maintain_order="left"
        )
        others = others.join(run.scan_examples(), on="id", how="inner", maintain_order="left")
        return drawing.Evidence(suspects, others.collect())
    except (DatamapError, pl.exceptions.PolarsError) as error:
        # as with the courses: the map is of the summary alone
        terminal.note(f"no evidence of suspects on the page: {first_line(error)}")
        return None
