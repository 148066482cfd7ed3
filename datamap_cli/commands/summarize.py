"""`datamap summarize`: signal records → summary."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import typer

from datamap_cli import signals, terminal
from datamap_cli.config import Config
from datamap_cli.run import Run


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
        paths = signals.write_summary(
            run.write_summary,
            run.evaluations(scratch),
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
