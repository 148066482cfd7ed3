"""`datamap summarize`: signal records → summary."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import polars as pl
import typer

from datamap_cli import signals, terminal
from datamap_cli.config import Config
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run
from datamap_cli.text import counted


def summarize(config: Config, *, show: bool = True) -> None:
    """Writes the summary of the run and prints what is to be seen in it, unless another command shows more."""
    run = Run.open(config.run_dir)
    with ExitStack() as stack:
        stack.enter_context(Run.holding(config.run_dir))
        if run.info.finished is None:
            terminal.note(f"{config.run_dir}: the training was not finished; summarizing what there is")
        scratch = stack.enter_context(run.scratch())
        options: dict[str, Any] = {}
        if config.summarize.scheduler is not None:
            from datamap_cli.signals import cluster

            client = stack.enter_context(cluster.client(config.summarize.scheduler))
            options = {"blockwise": cluster.Workers(client), "block": cluster.BLOCK}
        evaluations = run.evaluations(scratch)
        _refuse_unnamed(run, evaluations)
        paths = signals.write_summary(
            run.write_summary,
            evaluations,
            scratch,
            el2n_evaluations=config.summarize.el2n_evaluations,
            incomplete=config.summarize.incomplete,
            **options,
        )
    if not show:
        return
    terminal.print_summary(run.scan_summary(), run.scan_examples(), run.info.classes)
    typer.echo()
    for path in paths:
        typer.echo(f"summary: {path}")


def _refuse_unnamed(run: Run, evaluations: Mapping[str, pl.LazyFrame]) -> None:
    """Raises DatamapError where the records have other classes than run.json names: before anything is written."""
    signals.schemas(evaluations)
    number = signals.n_classes(evaluations)
    if number is not None and number != len(run.info.classes):
        raise DatamapError(
            f"{run.directory / 'run.json'}: {counted(len(run.info.classes), 'class name')}, but the records in "
            f"{next(iter(evaluations))} have {number} probs; expected a name for each"
        )
