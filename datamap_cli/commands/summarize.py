"""`datamap summarize`: signal records → summary, and what other opinions say of the labels."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import typer

from datamap_cli import signals, terminal
from datamap_cli.analysis import linear
from datamap_cli.analysis.judgement import SCHEMA, Dynamics, Judgement, judge
from datamap_cli.analysis.opinions import METHOD
from datamap_cli.config import Config
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run
from datamap_cli.run.reports import ErrorEstimate, OpinionsReport
from datamap_cli.signals.averages import mean_probs
from datamap_cli.text import counted

# examples up to which opinions are gathered, and probabilities that are held at once: a minute or so
_MOST, _MOST_PROBS = 300_000, 200_000_000


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
        # second, since what cannot be summarized cannot be judged either, and the summary says so best
        judgement = _judge(run, config, scratch)
        if judgement is not None:
            run.write_opinions(judgement.frame, _report(judgement, run))
            paths = run.write_summary(_with_opinions(run.scan_summary(), judgement.frame))
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


def _judge(run: Run, config: Config, scratch: Path) -> Judgement | None:
    """The opinions on the labels of the summary; None, with a note where a user would miss them, if there are none."""
    summary = run.scan_summary().select("id", "label", "avg_loss").collect()
    texts = run.texts(summary["id"])
    if config.summarize.opinions == "none" or texts is None or summary["label"].n_unique() < 2:
        return None
    if not linear.available():
        terminal.note(f"ranked by the training alone: {linear.MISSING}")
        return None
    if summary.height > _MOST:
        terminal.note(f"ranked by the training alone: opinions are gathered of {_MOST:,} examples at most")
        return None
    classes = len(run.info.classes)
    probs = mean_probs(run.evaluations(scratch), summary["id"]) if summary.height * classes <= _MOST_PROBS else None
    dynamics = Dynamics(summary["avg_loss"].to_numpy(), probs)
    place = run.scan_examples().select("id").with_row_index("row").collect()
    rows = summary.select("id").join(place, on="id", how="left", maintain_order="left")["row"].to_numpy()
    vectors = [array[rows] for array in run.embeddings()]
    # one seed for all runs: the held-out opinions are the same whatever was trained
    judgement = judge(summary.with_columns(texts), classes, vectors, dynamics, seed=0)
    for note in judgement.notes:
        terminal.note(note)
    return judgement


def _report(judgement: Judgement, run: Run) -> OpinionsReport:
    found = judgement.estimate
    estimate = None
    if found is not None:
        by_label = dict(zip(run.info.classes, found.by_class, strict=True))
        estimate = ErrorEstimate(found.total, found.low, found.high, by_label, found.method)
    weights = dict(zip(judgement.opinions, judgement.weights, strict=True))
    return OpinionsReport(weights, METHOD, estimate, run.info.run_id)


def _with_opinions(summary: pl.LazyFrame, opinions: pl.DataFrame) -> pl.LazyFrame:
    """The summary with those of its columns filled that come from opinions."""
    names = summary.collect_schema().names()
    filled = [name for name in SCHEMA if name in names]
    joined = summary.drop(filled).join(
        opinions.lazy().select("id", *filled), on="id", how="left", maintain_order="left"
    )
    return joined.select(names)
