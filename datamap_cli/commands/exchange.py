"""Suspects out to other labelling tools, and what was decided there back in."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import typer

from datamap_cli.analysis import exchange, verdicts
from datamap_cli.analysis.exchange import Task
from datamap_cli.analysis.verdicts import Loaded
from datamap_cli.config import Config
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run, files
from datamap_cli.run.suspects import read_suspects
from datamap_cli.signals.averages import mean_probs


def refuse(kind: str | None, output: Path | None) -> None:
    """Raises DatamapError where suspects cannot be written so."""
    if (kind is None) != (output is None):
        raise DatamapError("--to says for which tool, --output into which file; give both")
    if kind is not None and kind not in exchange.TOOLS:
        raise DatamapError(f"--to: {kind}: expected {', '.join(exchange.TOOLS)}")
    if output is not None and output.exists():
        raise DatamapError(f"--output: {output}: there already; give another name")


def write(config: Config, kind: str, output: Path) -> None:
    """Writes the suspects of the run as tasks of a labelling tool to `output`."""
    run = Run.open(config.run_dir)
    table = read_suspects(run).table
    names, ids = run.info.classes, table["id"]
    texts = run.texts(ids)
    if texts is None:
        raise DatamapError(f"{run.directory}: the run has no texts to show to anyone")
    with run.scratch() as scratch:
        probs = mean_probs(run.evaluations(scratch), ids)
    tasks = [
        Task(
            id=row["id"],
            texts=tuple(text for text in texts.row(k) if text),
            label=names[row["label"]],
            suggested=names[row["suggested_label"]],
            probability=None if probs is None else round(float(probs[k, row["suggested_label"]]), 6),
            rank=row["rank"],
            why=row["why"] or "",
        )
        for k, row in enumerate(table.iter_rows(named=True))
    ]
    for suffix, content in exchange.write(kind, tasks, names, run.info.run_id).items():
        path = output.with_name(output.name + suffix)
        files.write_text(path, content)
        typer.echo(f"{kind}: {path}")


def load(path: Path) -> Loaded:
    """Verdicts in a file of them, or in what another tool exports; raises DatamapError as `verdicts.load` does.

    Where an export names no reviewer it is the file's name, where it has no time that of the file.
    """
    if path.is_file():
        at = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).isoformat(timespec="seconds")
        found = exchange.read(path.read_bytes(), str(path), reviewer=path.stem, at=at)
        if found is not None:
            return Loaded(found, [])
    return verdicts.load(path)
