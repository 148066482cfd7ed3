"""`datamap suspects`: the examples that are probably mislabelled, the suggested labels, and how many there are."""

from __future__ import annotations

import json

import polars as pl
import typer

from datamap_cli import signals, terminal
from datamap_cli.analysis import selection, suspects
from datamap_cli.config import Config
from datamap_cli.run import Run, files
from datamap_cli.signals.averages import mean_probs

# probabilities that are held at once for the estimate
_MOST = 200_000_000


def rank(config: Config, score: str | None, top: str) -> None:
    """Writes suspects.tsv and suspects.json of the run, and shows the first rows; `top` is an amount of rows."""
    run = Run.open(config.run_dir)
    with Run.holding(config.run_dir):
        _rank(run, config, score, top)


def _rank(run: Run, config: Config, score: str | None, top: str) -> None:
    scan = run.scan_summary()
    held_out = run.info.origin.folds is not None
    if score is None:
        all_probs = scan.select(pl.col("margin").is_not_null().any()).collect().item()
        score = suspects.default_score(held_out=held_out, all_probs=all_probs)
    schema = scan.collect_schema()
    end = suspects.end(score, schema, signals.find(score).suspicious)
    amount = selection.amount("--top", top)
    if signals.find(score).suspicious is None:
        terminal.note(f"neither end of {score} is known to be suspicious; the highest come first")
    needed = list(dict.fromkeys((*suspects.COLUMNS, score)))
    summary = scan.select(needed).collect(engine="streaming")
    if summary["suggested_label"].null_count():
        terminal.note("the records have no probabilities of all classes: the last prediction is the suggested label")
    number = selection.number(amount, summary.height)
    hard = signals.region().eq(list(signals.REGIONS)[-1])
    ranked = suspects.rank(summary, score, end, number, hard=hard)
    estimate = _estimate(run, summary, held_out=held_out)
    table = _named(ranked, run)
    account = {
        "score": score,
        "suspicious end": end,
        "rows": table.height,
        "examples": summary.height,
        "estimate": None
        if estimate is None
        else {
            "label errors": estimate.total,
            "method": estimate.method,
            "by given label": dict(zip(run.info.classes, estimate.by_class, strict=False)),
        },
        "run": run.info.run_id,
    }
    paths = [run.directory / "suspects.tsv", run.directory / "suspects.json"]
    run.enter(*paths)
    files.write_table(paths[0], table, spreadsheet_safe=config.plot.spreadsheet_safe)
    files.write_bytes(paths[1], (json.dumps(account, ensure_ascii=False, indent=1) + "\n").encode())
    terminal.print_suspects(table, score, end)
    if estimate is not None:
        sizes = dict(summary["label"].value_counts().iter_rows())
        given = [sizes.get(label, 0) for label in range(len(run.info.classes))]
        terminal.print_estimate(estimate.by_class, given, run.info.classes, estimate.method)
    typer.echo()
    for path in paths:
        typer.echo(f"suspects: {path}")


def _estimate(run: Run, summary: pl.DataFrame, *, held_out: bool) -> suspects.Estimate | None:
    """How many labels are wrong; None, with a note, where that cannot be told."""
    if summary.height * len(run.info.classes) > _MOST:
        terminal.note(f"no estimate of how many labels are wrong: more than {_MOST:,} probabilities")
        return None
    if not suspects.can_estimate():
        terminal.note(suspects.MISSING)
        return None
    with run.scratch() as scratch:
        probs = mean_probs(run.evaluations(scratch), summary["id"])
    if probs is None:
        terminal.note("no estimate of how many labels are wrong: the records have no probabilities of all classes")
        return None
    return suspects.estimate(summary["label"].to_numpy(), probs, held_out=held_out)


def _named(ranked: pl.DataFrame, run: Run) -> pl.DataFrame:
    """The ranking with the texts, and with names for the labels."""
    names = pl.Series(run.info.classes)
    ranked = ranked.with_columns(names.gather(ranked[column]).alias(column) for column in ("label", "suggested_label"))
    texts = run.texts(ranked["id"])
    if texts is None:
        return ranked
    given = [column for column in ("text_a", "text_b") if texts[column].null_count() < texts.height]
    return ranked.select("rank", "id", *(texts[column] for column in given), pl.exclude("rank", "id"))
