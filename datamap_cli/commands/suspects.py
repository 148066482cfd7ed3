"""`datamap suspects`: the examples that are probably mislabelled, the suggested labels, and how many there are."""

from __future__ import annotations

import polars as pl
import typer

from datamap_cli import signals, terminal
from datamap_cli.analysis import evidence, selection, suspects
from datamap_cli.commands import audits, ranking
from datamap_cli.config import Config
from datamap_cli.run import Run
from datamap_cli.run.reports import ErrorEstimate, SuspectsReport
from datamap_cli.run.suspects import write_suspects
from datamap_cli.signals.averages import mean_probs

# probabilities that are held at once for the estimate
_MOST = 200_000_000


def rank(config: Config, score: str | None, top: str) -> None:
    """Writes suspects.tsv and suspects.json of the run, and shows the first rows; `top` is an amount of rows."""
    run = Run.open(config.run_dir)
    with Run.holding(config.run_dir):
        _rank(run, config, score, top)


def _rank(run: Run, config: Config, score: str | None, top: str) -> None:
    score = ranking.default_score(run) if score is None else score
    suspicious = signals.find(score).suspicious
    end = suspects.end(score, run.scan_summary().collect_schema(), suspicious)
    amount = selection.amount("--top", top)
    if suspicious is None:
        terminal.note(f"neither end of {score} is known to be suspicious; the highest come first")
    summary = ranking.summary(run, score)
    if summary["suggested_label"].null_count() and score != suspects.DEFAULT_SCORE:
        terminal.note("the records have no probabilities of all classes: the last prediction is the suggested label")
    number = selection.number(amount, summary.height)
    ranked = ranking.rank(summary, score, number)
    audited = audits.account(run, [number])
    estimate = None if audited is not None else _estimate(run, summary, held_out=run.info.origin.folds is not None)
    table = _with_evidence(_named(ranked, run), ranked["id"], run)
    audit = None if audited is None else audits.report(audited, run.info.classes)
    report = SuspectsReport(score, end, table.height, summary.height, estimate, audit, run.info.run_id)
    paths = write_suspects(run, table, report, spreadsheet_safe=config.plot.spreadsheet_safe)
    terminal.print_suspects(table, score, end)
    if audited is not None:
        terminal.print_audit(audited, run.info.classes)
    if estimate is not None:
        sizes = dict(summary["label"].value_counts().iter_rows())
        given = [sizes.get(label, 0) for label in range(len(run.info.classes))]
        terminal.print_estimate(estimate, dict(zip(run.info.classes, given, strict=True)))
    typer.echo()
    for path in paths:
        typer.echo(f"suspects: {path}")


def _estimate(run: Run, summary: pl.DataFrame, *, held_out: bool) -> ErrorEstimate | None:
    """How many labels are wrong; None, with a note, where that cannot be told."""
    gathered = run.opinions()
    if gathered is not None and gathered[1].estimate is not None:
        return gathered[1].estimate
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
    found = suspects.estimate(summary["label"].to_numpy(), probs, held_out=held_out)
    by_label = dict(zip(run.info.classes, found.by_class, strict=True))
    return ErrorEstimate(found.total, None, None, by_label, found.method)


def _named(ranked: pl.DataFrame, run: Run) -> pl.DataFrame:
    """The ranking with the texts, and with names for the labels."""
    names = pl.Series(run.info.classes)
    ranked = ranked.with_columns(names.gather(ranked[column]).alias(column) for column in ("label", "suggested_label"))
    texts = run.texts(ranked["id"])
    if texts is None:
        return ranked
    given = [column for column in ("text_a", "text_b") if texts[column].null_count() < texts.height]
    return ranked.select("rank", "id", *(texts[column] for column in given), pl.exclude("rank", "id"))


def _with_evidence(table: pl.DataFrame, ids: pl.Series, run: Run) -> pl.DataFrame:
    """The ranking of the examples with these ids, with the evidence beside it where opinions were gathered."""
    gathered = run.opinions()
    if gathered is None:
        return table
    wanted = pl.LazyFrame({"id": ids})
    opinions = wanted.join(gathered[0], on="id", how="left", maintain_order="left").collect()
    others = pl.LazyFrame({"id": evidence.referenced(opinions)})
    others = others.join(run.scan_examples(), on="id", how="left", maintain_order="left")
    names = pl.Series(run.info.classes)
    found = evidence.table(opinions, others.collect(), names.gather)
    said = [
        pl.Series(f"speaks_{name[-1]}", map(evidence.speaking, table[name], opinions[f"marks_{name[-1]}"].to_list()))
        for name in ("text_a", "text_b")
        if name in table.columns
    ]
    return table.with_columns(*found, *said)
