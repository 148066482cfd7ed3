"""`datamap apply`: verdicts → the user's own file, with only the decided cells changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import typer

from datamap_cli import terminal
from datamap_cli.analysis import changes, verdicts
from datamap_cli.analysis.changes import Change
from datamap_cli.analysis.verdicts import Merged, OnConflict, Verdict
from datamap_cli.commands import data_file, exchange
from datamap_cli.config import Config, DataConfig
from datamap_cli.data.cells import Edit, write_edited
from datamap_cli.data.rows import locate
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run, files, reports
from datamap_cli.run.output import beside
from datamap_cli.run.reports import BeforeAfter, ChangesReport, FileReference, RunReference
from datamap_cli.run.suspects import read_suspects
from datamap_cli.text import counted


@dataclass(frozen=True)
class Options:
    """How verdicts are taken."""

    on_conflict: OnConflict = "error"
    drop_unsure: bool = False
    accept_suggestions: int = 0
    """So many suggestions that no person saw are taken too."""
    allow_new_classes: bool = False


def on_conflict(word: str) -> OnConflict:
    """The word of the command line; raises DatamapError where it is none."""
    known = {choice: choice for choice in verdicts.ON_CONFLICT}
    if word not in known:
        raise DatamapError(f"--on-conflict: {word}: expected {', '.join(known)}")
    return verdicts.ON_CONFLICT[list(known).index(word)]


def apply(
    config: Config, paths: Sequence[Path], output: Path, options: Options, *, data: Path | None, overwrite: bool
) -> None:
    """Writes the run's data file to `output` with the verdicts in `paths` applied, and the log of changes beside it."""
    if not paths and not options.accept_suggestions:
        raise DatamapError("no verdicts: give files of them, such as RUN_DIR/verdicts.jsonl")
    run = Run.open(config.run_dir)
    source = data_file.of_run(run, config.data, data)
    assert source.train is not None
    logs = [beside(output, f"changes.{kind}") for kind in ("tsv", "json")]
    data_file.refuse_output(source.train, output, *logs, overwrite=overwrite)
    said = [_loaded(path) for path in paths]
    everything = [verdict for file in said for verdict in file]
    labels = run.labels([verdict.id for verdict in everything])
    verdicts.refuse_strange(everything, labels, kind=run.id_type(), of=f"the run in {run.directory}")
    if not options.allow_new_classes:
        verdicts.refuse_new_classes(everything, run.info.classes)
    counting = verdicts.current(said)
    merged = verdicts.merge(counting, options.on_conflict)
    _tell_reviewers(run, counting, merged, options.on_conflict)
    changed = changes.changes(merged.decisions, drop_unsure=options.drop_unsure)
    if options.accept_suggestions:
        known = _loaded(run.verdicts) if run.verdicts.exists() else []
        seen = {verdict.id for verdict in (*everything, *known)}
        table = read_suspects(run).table
        changed += changes.unseen(table, run.info.classes, seen, options.accept_suggestions)

    digest = files.sha256(source.train)
    if changed:
        ids = pl.Series([change.id for change in changed])
        data_file.refuse_changed(run, source, digest, ids, remedy="give the file as it was with --data FILE")
    rows = _rows(source, changed)
    edits = {rows[change.id]: Edit(change.label, change.new_label) for change in changed}
    changed.sort(key=lambda change: rows[change.id])
    with files.replacing(output) as partial, files.replacing(logs[0]) as log, files.replacing(logs[1]) as account:
        lines = write_edited(source, edits, partial)
        table = changes.table(changed, {change.id: lines[rows[change.id]] for change in changed})
        files.write_table(log, table, spreadsheet_safe=config.plot.spreadsheet_safe)
        before = _sizes(run)
        words = Counter(decision.verdict for decision in merged.decisions)
        dropped = sum(change.new_label is None for change in changed)
        report = ChangesReport(
            relabelled=len(changed) - dropped,
            dropped=dropped,
            kept=words["keep"],
            unsure=words["unsure"],
            accepted_unseen=sum(not change.reviewers for change in changed),
            conflicts=len(merged.conflicts),
            examples=BeforeAfter(sum(before.values()), sum(before.values()) - dropped),
            by_class={name: BeforeAfter(**count) for name, count in changes.by_class(before, changed).items()},
            data=FileReference(str(source.train.resolve()), digest),
            output=FileReference(str(output.resolve()), files.sha256(partial)),
            verdicts=[FileReference(str(path.resolve()), files.sha256(path)) for path in paths],
            on_conflict=options.on_conflict,
            run=RunReference(run.info.run_id, str(run.directory.resolve())),
        )
        reports.write(account, report)
    _tell(report, output, logs)


def _loaded(path: Path) -> list[Verdict]:
    loaded = exchange.load(path)
    for text in loaded.notes:
        terminal.note(text)
    return loaded.verdicts


def _tell_reviewers(run: Run, counting: Sequence[Verdict], merged: Merged, on_conflict: OnConflict) -> None:
    """Says whose verdicts they are, how far they agree, and where they do not."""
    others = Counter(verdict.run for verdict in counting if verdict.run not in (None, run.info.run_id))
    if others:
        named = ", ".join(f"{name} ({count:,})" for name, count in others.most_common(3))
        terminal.note(f"{counted(sum(others.values()), 'verdict')} of other runs, over the same labels: {named}")
    agreement = verdicts.agreement(counting)
    if agreement is not None:
        kappa = "" if agreement.kappa is None else f", Cohen's kappa {agreement.kappa:.2f}"
        of = f"{agreement.reviewers} reviewers agree on {agreement.share:.0%}"
        terminal.note(f"{of} of the {counted(agreement.examples, 'example')} that two or more decided{kappa}")
    if merged.conflicts:
        told = verdicts.told(merged.conflicts)
        terminal.note(f"{told}; settled by --on-conflict {on_conflict}")


def _rows(source: DataConfig, changed: Sequence[Change]) -> dict[Any, int]:
    """The 0-based row of every example that changes; raises DatamapError for one that is not in the file."""
    if not changed:
        return {}
    ids = [change.id for change in changed]
    rows = dict(zip(ids, locate(source, pl.Series(ids)), strict=True))
    missing = [identity for identity, row in rows.items() if row is None]
    if missing:
        raise DatamapError(f"{source.train}: no row with the id {missing[0]}, of {counted(len(missing), 'such id')}")
    return rows


def _sizes(run: Run) -> dict[str, int]:
    """How many examples each class of the run has."""
    sizes = run.scan_examples().group_by("label").len().collect()
    return {run.info.classes[label]: count for label, count in sorted(sizes.iter_rows())}


def _tell(report: ChangesReport, output: Path, logs: Sequence[Path]) -> None:
    unseen = f", {report.accepted_unseen:,} of them by suggestions that no person saw" if report.accepted_unseen else ""
    unsure = f", {report.unsure:,} unsure" if report.unsure else ""
    changed = f"{report.relabelled:,} relabelled{unseen}, {report.dropped:,} dropped"
    terminal.note(f"{changed}, {report.kept:,} kept{unsure}, of {counted(report.examples.before, 'example')}")
    gone = [name for name, count in report.by_class.items() if count.before and not count.after]
    if gone:
        terminal.note(f"no example is left of: {', '.join(gone)}")
    typer.echo(f"applied: {output}")
    for path in logs:
        typer.echo(f"changes: {path}")
