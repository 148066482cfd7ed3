"""`datamap review`: suspects, or others, one after another in the terminal; every verdict is kept at once."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import typer

from datamap_cli import terminal, where
from datamap_cli.analysis import audit, linear, verdicts
from datamap_cli.analysis.verdicts import Verdict
from datamap_cli.commands import audits
from datamap_cli.config import Config
from datamap_cli.errors import DatamapError
from datamap_cli.review import keyboard
from datamap_cli.review.state import Item, Review
from datamap_cli.review.view import View
from datamap_cli.run import Run
from datamap_cli.run.suspects import read_suspects
from datamap_cli.run.verdicts import appending
from datamap_cli.signals.averages import mean_probs
from datamap_cli.signals.trajectories import trajectories
from datamap_cli.text import shown

# verdicts before which nothing is said of the next
_FEW = 10


@dataclass(frozen=True)
class Chosen:
    """What is to be reviewed: ids, and what is known of them, row by row."""

    title: str
    table: pl.DataFrame
    """id, label and suggested_label (class index), rank, score (null: none), why."""
    severity: npt.NDArray[np.float64] | None = None
    """Of the suspects, the highest first; None of what has no order."""
    sample: str | None = None


def review(
    config: Config, *, source: str | None, where: str | None, top: int | None, audited: int | None, reviewer: str | None
) -> None:
    """Lets a person decide, example by example; each verdict is in RUN/verdicts.jsonl before the next is shown."""
    keyboard.refuse_no_terminal("review")
    run = Run.open(config.run_dir)
    name = reviewer or _login()
    chosen = _chosen(run, config, source, where, top, audited)
    earlier = _earlier(run, chosen)
    state = Review(
        _items(run, chosen),
        reviewer=name,
        run=run.info.run_id,
        sample=chosen.sample,
        earlier=[verdict for verdict in earlier if verdict.reviewer == name],
    )
    _decide(run, View(state, run.info.classes, chosen.title), chosen)
    _account(run, state, chosen)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise DatamapError("review: this system knows no name of yours; give one with --reviewer NAME") from None


# ------------------------------------------------------------------------------------- what is reviewed


def _chosen(
    run: Run, config: Config, source: str | None, condition: str | None, top: int | None, audited: int | None
) -> Chosen:
    if (source is not None) + (condition is not None) + (audited is not None) > 1:
        raise DatamapError("--from, --where and --audit each say what to review; give one of them")
    if audited is not None:
        sample = audits.drawn(run, audited, config.train.seed)
        nothing = [pl.lit(None, pl.Int64).alias("suggested_label"), pl.lit(None, pl.Float64).alias("score")]
        table = sample.table.select("id", "label", *nothing, rank=pl.lit(None, pl.Int64), why=pl.lit(""))
        return Chosen("Audit", table, sample=sample.name)
    if condition is None and source in (None, "suspects"):
        listed = read_suspects(run)
        table = listed.table
        score = table["score"] if listed.end == "high" else -table["score"]
        severity = score.fill_null(float("-inf")).to_numpy().astype(np.float64)
        chosen = Chosen(f"Suspects by {listed.score}", table, severity)
    else:
        ranked, _ = audits.ranking(run)
        if condition is not None:
            summary = run.scan_summary().collect(engine="streaming")
            ids = summary["id"].filter(where.rows(condition, summary))
            table = ranked.filter(pl.col("id").is_in(ids.implode()))
            title = f"where {condition}"
        else:
            assert source is not None
            wanted = _ids(Path(source), run).to_frame()
            table = wanted.join(ranked, on="id", how="left", maintain_order="left")
            title = Path(source).name
        chosen = Chosen(title, table)
    if chosen.table.is_empty():
        raise DatamapError(f"review: nothing to review: {chosen.title}")
    if top is None or top >= chosen.table.height:
        return chosen
    return replace(
        chosen,
        table=chosen.table.head(top),
        severity=None if chosen.severity is None else chosen.severity[:top],
    )


def _ids(path: Path, run: Run) -> pl.Series:
    """The ids in a file: one a line, or the column `id` of a TSV."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatamapError(
            f"--from: {path}: cannot be read: {error.strerror}; expected suspects, or a file of ids"
        ) from None
    except UnicodeDecodeError:
        raise DatamapError(f"--from: {path}: not UTF-8 text; expected an id a line") from None
    header = lines[0].split("\t") if lines else []
    column = header.index("id") if "id" in header else None
    texts = {}
    for number, line in enumerate(lines, start=1):
        if (number == 1 and column is not None) or not line.strip():
            continue
        fields = line.split("\t") if column is not None else [line]
        if column is not None and len(fields) <= column:
            raise DatamapError(f"--from: {path}, line {number}: no id")
        texts[fields[column or 0].strip()] = number
    known = {str(identity): identity for identity in run.labels(texts)}
    missing = [text for text in texts if text not in known]
    if missing:
        raise DatamapError(
            f"--from: {path}, line {texts[missing[0]]}: {shown(missing[0])}: no id of the run in {run.directory}"
        )
    return pl.Series("id", [known[text] for text in texts])


def _earlier(run: Run, chosen: Chosen) -> list[Verdict]:
    """What was decided before, line by line; in an audit, of its sample alone."""
    if not run.verdicts.exists():
        return []
    loaded = verdicts.load(run.verdicts)
    for text in loaded.notes:
        terminal.note(text)
    labels = run.labels([verdict.id for verdict in loaded.verdicts])
    verdicts.refuse_strange(loaded.verdicts, labels, kind=run.id_type(), of=f"the run in {run.directory}")
    return [verdict for verdict in loaded.verdicts if chosen.sample is None or verdict.sample == chosen.sample]


def _items(run: Run, chosen: Chosen) -> list[Item]:
    ids, blind = chosen.table["id"], chosen.sample is not None
    texts = run.texts(ids)
    with run.scratch() as scratch:
        evaluations = run.evaluations(scratch)
        probs = None if blind else mean_probs(evaluations, ids)
        courses = None if blind else trajectories(evaluations.values(), ids)
    names = run.info.classes
    items = []
    for k, row in enumerate(chosen.table.iter_rows(named=True)):
        about = [f"rank {row['rank']}"] if row["rank"] is not None else []
        about += [f"score {row['score']:.4g}"] if row["score"] is not None else []
        items.append(
            Item(
                id=row["id"],
                label=names[row["label"]],
                texts=() if texts is None else tuple(text for text in texts.row(k) if text),
                suggested=None if row["suggested_label"] is None else names[row["suggested_label"]],
                probs=() if probs is None else tuple(probs[k].tolist()),
                course=() if courses is None else tuple(tuple(course[k].tolist()) for course in courses),
                about=", ".join(about),
                why=row["why"] or "",
            )
        )
    return items


# ----------------------------------------------------------------------------------------- the review


def _decide(run: Run, view: View, chosen: Chosen) -> None:
    """Until the reviewer quits, or the terminal is gone: shows an example, takes a key, keeps what it decides."""
    cut_off = verdicts.cut_off(run.verdicts) if run.verdicts.exists() else 0
    with appending(run.verdicts, cut_off=cut_off) as file, keyboard.taken() as screen:
        try:
            view.forecast = _forecast(view.review, chosen)
            while not view.quit:
                screen.show(view.draw(*screen.size()))
                decided = view.press(screen.key(), datetime.now().astimezone().isoformat(timespec="seconds"))
                if decided is not None:
                    file.append(verdicts.serialize(decided))
                    view.forecast = _forecast(view.review, chosen)
        except (EOFError, KeyboardInterrupt):
            return


def _outcomes(state: Review) -> list[bool | None]:
    """Whether each example was decided to be wrong; None where nothing was, or the reviewer was unsure."""
    return [None if (verdict := state.decided.get(item.id)) is None else verdict.wrong for item in state.items]


def _forecast(state: Review, chosen: Chosen) -> str:
    outcomes = _outcomes(state)
    if chosen.severity is None or sum(answer is not None for answer in outcomes) < _FEW:
        return ""
    ahead = audit.expectation(chosen.severity, outcomes)[:50]
    return f"next {len(ahead)}: about {ahead.sum():.0f}" if len(ahead) else ""


def _account(run: Run, state: Review, chosen: Chosen) -> None:
    """Says what was done, what to expect of the rest, and what comes next."""
    progress = state.progress()
    terminal.note(f"{progress.decided:,} of {progress.total:,} decided, {progress.wrong:,} wrong")
    if chosen.sample is not None:
        found = audits.account(run)
        if found is not None:
            terminal.print_audit(found, run.info.classes)
    elif chosen.severity is not None and progress.decided >= _FEW and linear.available():
        terminal.print_outlook(audit.outlook(chosen.severity, _outcomes(state)))
    typer.echo(f"verdicts: {run.verdicts}")
