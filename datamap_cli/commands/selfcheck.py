"""`datamap selfcheck`: plants label errors, trains, and measures how well each signal finds them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import typer

from datamap_cli import signals, terminal
from datamap_cli.analysis import selection, selfcheck, suspects
from datamap_cli.commands import pictures, summarize, train
from datamap_cli.config import Config
from datamap_cli.data import dataset
from datamap_cli.errors import DatamapError
from datamap_cli.plot.curves import Curve, precision_recall
from datamap_cli.plot.plain import plain_page
from datamap_cli.run import Run
from datamap_cli.run.reports import Flipped, IntervalMethod, Measured, SelfcheckReport, SignalDetection
from datamap_cli.signals.averages import mean_probs
from datamap_cli.train import is_main_process

# s_label of what was planted
_DIRTY = 2


@dataclass(frozen=True, eq=False)
class _Planted:
    """The data set with flips, and where they are."""

    data: dataset.Dataset
    flipped: pl.Series
    """(N,) Boolean, as `known`."""
    known: pl.Series
    """Rows that the data set itself marks as dirty: neither flipped nor measured."""


def measure(config: Config, flip: str, *, confusion: bool, overwrite: bool, resume: bool) -> None:
    """Trains on the data set with labels flipped, in RUN_DIR/selfcheck, and writes there what the signals find.

    `flip` is an amount of rows. With `confusion` labels are flipped to the class that theirs is taken for most, by the
    run in RUN_DIR, which is trained first if there is none.
    """
    amount = selection.amount("--flip", flip)
    # a check asks about signals, not about the model
    no_dev = {
        "data": config.data.model_copy(update={"dev": None}),
        "train": config.train.model_copy(update={"keep": "last"}),
    }
    own = config.model_copy(update={"run_dir": Run.selfcheck_in(config.run_dir), **no_dev})
    if not resume:
        Run.refuse_existing(own.run_dir, overwrite=overwrite)
    data = dataset.load(config.data)
    planted = _plant(data, amount, config.train.seed, _most_confused(config, data) if confusion else None)
    if resume and Run.holds_run(own.run_dir):
        _refuse_other_flips(own, planted.data)
    number, of = int(planted.flipped.sum()), planted.flipped.len() - int(planted.known.sum())
    towards = "the class that each is confused with most" if confusion else "any other class"
    terminal.note(
        f"{number:,} of {of:,} labels flipped to {towards}, seed {config.train.seed}; the file stays as it is"
    )
    if planted.known.any():
        terminal.note(f"{planted.known.sum():,} rows are marked as dirty in the data: neither flipped nor measured")
    train.train(own, planted.data, kind="selfcheck", overwrite=overwrite, resume=resume)
    if not is_main_process():
        return
    summarize.summarize(own, show=False)
    _evaluate(Run.open(own.run_dir), config, planted, Flipped(number, of, towards, config.train.seed))


def _evaluate(run: Run, config: Config, planted: _Planted, flips: Flipped) -> None:
    """Measures the signals of `run` against what was flipped: writes the report and the curves, shows the outcome."""
    default = suspects.default_score(
        joined=run.opinions() is not None,
        held_out=config.train.folds is not None,
        all_probs=config.signals.probs == "all",
    )
    severities, flipped = _severities(run, planted, default)
    total, positive = len(flipped), int(flipped.sum())
    if not 0 < positive < total:
        raise DatamapError(f"{run.directory}: the summary has {positive} flipped of {total:,} examples")
    found = {name: selfcheck.detection(value, flipped, config.train.seed) for name, value in severities.items()}
    found = dict(sorted(found.items(), key=lambda item: -item[1].average_precision.value))
    report = SelfcheckReport(
        flipped=flips,
        left_out=int(planted.known.sum()),
        measured=Measured(total, positive),
        interval=IntervalMethod(selfcheck.LEVEL, "percentiles of the bootstrap"),
        default_score=default,
        signals={name: SignalDetection(**vars(one), suspicious_end=_end(name)) for name, one in found.items()},
        folds=config.train.folds,
        run=run.info.run_id,
    )
    run.write_report(run.selfcheck_report, report)
    terminal.print_detections(found, default, positive, total)
    typer.echo()
    typer.echo(f"selfcheck: {run.selfcheck_report}")
    title = f"Finding flipped labels: {run.title}"
    figure = precision_recall(
        [
            Curve(name, found[name].average_precision.value, *selfcheck.precision_recall(value, flipped))
            for name, value in severities.items()
        ],
        config.plot,
        default=default,
        share=positive / total,
        title=title,
        subtitle=f"{positive:,} of {total:,} labels flipped to {flips.towards}"
        + (f"; {config.train.folds} folds" if config.train.folds else ""),
    )
    pictures.write(figure, plain_page(figure, title), run.curves_output(), config.plot, "selfcheck", run)


def _plant(data: dataset.Dataset, amount: int | float, seed: int, towards: Any) -> _Planted:
    known = data.examples["s_label"].fill_null(0) == _DIRTY
    labels, flipped = selfcheck.flip(
        data.examples["label"].to_numpy(), len(data.classes), amount, seed, among=~known.to_numpy(), towards=towards
    )
    marked = pl.when(pl.lit(pl.Series(flipped))).then(_DIRTY).otherwise(pl.col("s_label").fill_null(0))
    examples = data.examples.with_columns(label=pl.Series(labels), s_label=marked.cast(pl.Int64))
    return _Planted(replace(data, examples=examples), pl.Series(flipped), known)


def _most_confused(config: Config, data: dataset.Dataset) -> Any:
    """For each class the one it is taken for most by the run in RUN_DIR, (C,); it is trained if there is none."""
    if not Run.holds_run(config.run_dir):
        terminal.note(f"{config.run_dir}: no run yet; training one first, to see which classes are confused")
        train.train(config, data)
    run = Run.open(config.run_dir)
    if run.info.origin.sha256 != data.sha256 or run.info.classes != data.classes:
        raise DatamapError(
            f"{config.run_dir}: the run there is of other data than {data.path}; --confusion needs one of the same"
        )
    with run.scratch() as scratch:
        probs = mean_probs(run.evaluations(scratch), data.examples["id"])
    if probs is None:
        raise DatamapError(f"{config.run_dir}: --confusion needs a run with signals.probs: all")
    return selfcheck.most_confused(data.examples["label"].to_numpy(), probs)


def _refuse_other_flips(config: Config, data: dataset.Dataset) -> None:
    begun_with = Run.open(config.run_dir).scan_examples().select("id", "label").collect()
    if not begun_with.equals(data.examples.select("id", "label")):
        raise DatamapError(
            f"{config.run_dir}: the check there has other flips; go on with the data, train.seed, --flip and "
            "--confusion that it was begun with, or replace it with --overwrite"
        )


def _severities(run: Run, planted: _Planted, default: str) -> tuple[dict[str, Any], Any]:
    """What each signal ranks the measured examples by, (M,) each, and whether each of them was flipped."""
    marks = pl.LazyFrame({"id": planted.data.examples["id"], "flipped": planted.flipped, "known": planted.known})
    rows = run.scan_summary().join(marks, on="id", how="left", maintain_order="left").filter(~pl.col("known"))
    table = rows.collect(engine="streaming")
    names = [signal.name for signal in signals.SIGNALS if signal.kind != "class"]  # nothing ranks by a class
    ranked = table.select(suspects.severity(name, _end(name)).alias(name) for name in names)
    # what is the same for all rows ranks nothing, such as what needs probabilities that were not kept
    varying = [name for name in names if ranked[name].n_unique() > 1 or name == default]
    return {name: ranked[name].to_numpy() for name in varying}, table["flipped"].to_numpy().astype(np.bool_)


def _end(name: str) -> suspects.End:
    """The end of a signal that is suspicious; the high one where neither is, as `datamap suspects` takes it."""
    return signals.find(name).suspicious or "high"
