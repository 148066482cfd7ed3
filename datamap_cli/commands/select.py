"""`datamap select`: rows of the user's own data file, chosen by the summary."""

from __future__ import annotations

from pathlib import Path

import typer

from datamap_cli import signals, terminal
from datamap_cli.analysis import selection
from datamap_cli.commands import data_file
from datamap_cli.config import Config
from datamap_cli.data.rows import locate, write_rows
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run, files, reports
from datamap_cli.run.output import beside
from datamap_cli.run.reports import FileReference, RunReference, SelectedFile, SelectedRows, SelectionReport

# the words of the command line for the regions of the map
_REGIONS = dict(zip(("easy", "ambiguous", "hard"), signals.REGIONS, strict=True))


def rule(
    *,
    region: str | None,
    where: str | None,
    by: str | None,
    top: str | None,
    bottom: str | None,
    balance: str | None,
    drop: bool,
) -> selection.Rule:
    """The rule in the words of the command line; raises DatamapError where they make none."""
    if region is not None and region not in _REGIONS:
        raise DatamapError(f"--region: {region}: expected {', '.join(_REGIONS)}")
    return selection.Rule(
        region=None if region is None else _REGIONS[region],
        where=where,
        by=by,
        top=None if top is None else selection.amount("--top", top),
        bottom=None if bottom is None else selection.amount("--bottom", bottom),
        balance=balance,
        drop=drop,
    )


def select(
    config: Config, rule: selection.Rule, output: Path, *, data: Path | None, force: bool, overwrite: bool
) -> None:
    """Writes the selected rows of the run's data file to `output`, and the rule and the counts beside it.

    `data` is where the file is now, if it was moved; with `force`, one that was changed since is taken as it is.
    """
    run = Run.open(config.run_dir)
    source = data_file.of_run(run, config.data, data)
    assert source.train is not None
    record = beside(output, "selection.json")
    data_file.refuse_output(source.train, output, record, overwrite=overwrite)
    scan = run.scan_summary()
    schema = scan.collect_schema()
    needed = {*selection.columns(rule, schema, signals.region()), "label"}
    summary = scan.select(name for name in schema if name in needed).collect(engine="streaming")
    selected = selection.select(summary, rule, signals.region())
    digest = files.sha256(source.train)
    ids = summary["id"].filter(selected)
    if not force:
        data_file.refuse_changed(run, source, digest, ids, remedy="--force takes them as they are")
    rows = locate(source, ids)
    wanted = len(rows)
    with files.replacing(output) as partial:
        written, in_file = write_rows(source, rows, partial)
        if written < wanted:
            raise DatamapError(
                f"{source.train}: {wanted - written:,} of the {wanted:,} selected rows are not in it; it is not the "
                f"file of the run in {config.run_dir}"
            )
    labels = selection.counts(selected, summary["label"])
    by_class = {run.info.classes[label]: count for label, count in labels.items()}
    report = SelectionReport(
        rule=rule,
        words=str(rule),
        rows=SelectedRows(wanted, summary.height, in_file, by_class),
        data=SelectedFile(str(source.train.resolve()), digest, data_file.trained_on(run)),
        run=RunReference(run.info.run_id, str(run.directory.resolve())),
        output=FileReference(str(output.resolve()), files.sha256(output)),
    )
    reports.write(record, report)
    terminal.note(f"{wanted:,} of {summary.height:,} rows: {rule}")
    if in_file > summary.height:
        terminal.note(f"left out rows of {source.train} that are not in the run: {in_file - summary.height:,}")
    if len(by_class) == 1:
        terminal.note(f"every row has the label {next(iter(by_class))}: nothing to train a classifier with")
    typer.echo(f"selection: {output}")
    typer.echo(f"rule: {record}")
