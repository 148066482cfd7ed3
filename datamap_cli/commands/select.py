"""`datamap select`: rows of the user's own data file, chosen by the summary."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import polars as pl
import typer

from datamap_cli import signals, terminal
from datamap_cli.analysis import selection
from datamap_cli.config import Config, DataConfig
from datamap_cli.data import dataset
from datamap_cli.data.rows import locate, write_rows
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run, files

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
    source = _source(run, config.data, data)
    assert source.train is not None
    record = output.with_name(f"{output.name}.selection.json")
    _refuse_output(source.train, output, record, overwrite=overwrite)
    scan = run.scan_summary()
    schema = scan.collect_schema()
    needed = {*selection.columns(rule, schema, signals.region()), "label"}
    summary = scan.select(name for name in schema if name in needed).collect(engine="streaming")
    selected = selection.select(summary, rule, signals.region())
    digest = files.sha256(source.train)
    ids = summary["id"].filter(selected)
    if not force:
        _refuse_changed(run, source, digest, ids)
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
    account = {
        "rule": {**asdict(rule), "words": str(rule)},
        "rows": {"selected": wanted, "in the run": summary.height, "in the file": in_file, "by label": by_class},
        "data": {"file": str(source.train.resolve()), "sha256": digest, "sha256 in the run": _trained_on(run)},
        "run": {"id": run.info.run_id, "directory": str(run.directory.resolve())},
        "output": {"file": str(output.resolve()), "sha256": files.sha256(output)},
    }
    files.write_bytes(record, (json.dumps(account, ensure_ascii=False, indent=1) + "\n").encode())
    terminal.note(f"{wanted:,} of {summary.height:,} rows: {rule}")
    if in_file > summary.height:
        terminal.note(f"left out rows of {source.train} that are not in the run: {in_file - summary.height:,}")
    if len(by_class) == 1:
        terminal.note(f"every row has the label {next(iter(by_class))}: nothing to train a classifier with")
    typer.echo(f"selection: {output}")
    typer.echo(f"rule: {record}")


def _source(run: Run, settings: DataConfig, data: Path | None) -> DataConfig:
    """The settings of the run's data set, with the file that was trained on, or where the user says it is now."""
    if data is None:
        if run.info.origin.kind in ("train", "dev") and run.info.origin.data is not None:
            data = Path(run.info.origin.data)
        elif settings.train is not None:
            data = settings.train
        else:
            raise DatamapError(f"{run.directory}: the run names no data file; give it with --data FILE")
    if not data.is_file():
        raise DatamapError(f"{data}: no such file; if it was moved, say where it is with --data FILE")
    return settings.model_copy(update={"train": data})


def _refuse_output(source: Path, output: Path, record: Path, *, overwrite: bool) -> None:
    if output.exists() and output.samefile(source):
        raise DatamapError(f"--output: {output}: that is the data file itself; give another name")
    if output.suffix.lower() != source.suffix.lower():
        raise DatamapError(f"--output: {output}: expected a name ending in {source.suffix}, the format of {source}")
    for path in (output, record):
        if path.exists() and not overwrite:
            raise DatamapError(f"--output: {path}: there already; give another name, or --overwrite to replace it")


def _refuse_changed(run: Run, source: DataConfig, digest: str | None, ids: pl.Series) -> None:
    """Raises DatamapError where the data file is not the one of the run.

    Told by its sha256, or where the run does not know that, by the texts of the examples with these ids.
    """
    if _trained_on(run) is not None:
        if digest != _trained_on(run):
            raise DatamapError(
                f"{source.train}: changed since the run in {run.directory} was trained on it: its rows may be others; "
                "--force takes them as they are"
            )
        return
    texts = run.texts(ids)
    if texts is None:
        terminal.note(f"the run knows neither its data file nor texts: rows of {source.train} are found by id alone")
        return
    found = dataset.load_texts(source).select("text_a", key=pl.col("id").cast(pl.String))
    both = pl.DataFrame({"key": ids.cast(pl.String), "text": texts["text_a"]}).join(found, on="key", how="left")
    other = both.filter(pl.col("text").str.strip_chars().ne_missing(pl.col("text_a").str.strip_chars()))
    if other.height:
        raise DatamapError(
            f"{source.train}: {other.height:,} of {both.height:,} selected examples have another text there than in "
            f"the run (id {other['key'][0]}): is it the file, and `data.id` its column of ids? --force takes the rows "
            "as they are"
        )


def _trained_on(run: Run) -> str | None:
    """The sha256 of the data file the run was trained on; None where the run does not know it."""
    return run.info.origin.sha256 if run.info.origin.kind in ("train", "dev") else None
