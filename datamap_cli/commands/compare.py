"""`datamap compare`: two runs over the same examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import typer

from datamap_cli import signals, terminal
from datamap_cli.analysis import comparison
from datamap_cli.commands import pictures
from datamap_cli.config import Config
from datamap_cli.errors import DatamapError
from datamap_cli.plot.arrows import arrows
from datamap_cli.plot.plain import plain_page
from datamap_cli.run import Run, files, reports
from datamap_cli.run.output import Output
from datamap_cli.run.reports import Axes, ComparisonReport, RunReference, SignalAgreement


def compare(config: Config, directories: tuple[Path, Path], output: Path | None, number: int) -> None:
    """Writes what differs between two runs, as JSON, a table, and a map of the `number` that moved farthest."""
    runs = [Run.open(directory) for directory in directories]
    names = (str(directories[0]), str(directories[1]))
    first, second = (run.info.classes for run in runs)
    if len(first) != len(second):
        raise DatamapError(f"{names[0]} has {len(first)} classes, {names[1]} {len(second)}; they cannot be compared")
    same = sorted(first) == sorted(second)
    if not same:
        terminal.note("the classes have other names in the two runs; they are compared by their index")
    region = signals.region()
    summaries = [run.scan_summary().with_columns(region.alias("region")).collect(engine="streaming") for run in runs]
    if same:
        summaries[1] = comparison.by_name(summaries[1], second, first)
    both = comparison.pair(summaries[0], summaries[1], names)
    relabelled = both.filter(pl.col("label") != pl.col("label@b")).height
    if relabelled:
        terminal.note(f"{relabelled:,} examples have another label in {names[1]}")
    correlations = comparison.correlations(both)
    crossing = comparison.crossing(both["region"], both["region@b"], list(signals.REGIONS))
    moves = comparison.moves(both, config.plot.attr2, config.plot.attr1)
    moves = moves.join(both.select("id", "label", "region", "region@b"), on="id", how="left", maintain_order="left")
    changed = both.filter(pl.col("region") != pl.col("region@b")).height

    place = runs[0].comparison_output(directories[1]) if output is None else Output.of(output, ("json", "tsv"))
    number = min(number, moves.height)
    title = f"From {names[0]} to {names[1]}"
    figure = arrows(
        moves.with_columns(text=_texts(runs[0], moves["id"].head(number), moves.height)),
        config.plot,
        title=title,
        subtitle=f"the {number:,} of {moves.height:,} that moved farthest; {changed:,} changed region",
        regions=list(signals.REGIONS),
        number=number,
    )
    report = ComparisonReport(
        runs=[RunReference(run.info.run_id, name) for name, run in zip(names, runs, strict=True)],
        examples=both.height,
        other_label=relabelled,
        other_region=changed,
        regions=crossing,
        signals={row.pop("signal"): SignalAgreement(**row) for row in correlations.to_dicts()},
        map=Axes(x=config.plot.attr2, y=config.plot.attr1),
    )
    terminal.print_comparison(correlations, crossing, both.height)
    typer.echo()
    for format in place.wanted(["json", "tsv"]):
        path = place.path(format)
        if format not in ("json", "tsv"):
            continue
        runs[0].enter(path)
        if format == "json":
            reports.write(path, report)
        else:
            files.write_table(path, _table(moves, first, config), spreadsheet_safe=config.plot.spreadsheet_safe)
        typer.echo(f"comparison: {path}")
    pictures.write(figure, plain_page(figure, title), place, config.plot, "comparison", runs[0])


def _table(moves: pl.DataFrame, classes: Sequence[str], config: Config) -> pl.DataFrame:
    """Who moved how far, and from where to where, as it stands in the TSV."""
    return moves.select(
        "id",
        pl.Series(classes).gather(moves["label"]).alias("label"),
        "moved",
        pl.col("region").alias("region_a"),
        pl.col("region@b").alias("region_b"),
        *(
            pl.col(f"{axis}{which}").alias(f"{signal}_{letter}")
            for axis, signal in (("y", config.plot.attr1), ("x", config.plot.attr2))
            for which, letter in (("", "a"), ("@b", "b"))
        ),
    )


def _texts(run: Run, ids: pl.Series, height: int) -> pl.Series:
    """The texts of the examples with these ids on a line, then nulls up to `height`."""
    texts = run.texts(ids)
    line = (
        pl.repeat(None, len(ids), dtype=pl.String, eager=True)
        if texts is None
        else texts.select(pl.concat_str("text_a", "text_b", separator=" | ", ignore_nulls=True))[:, 0]
    )
    return line.extend_constant(None, height - len(ids))
