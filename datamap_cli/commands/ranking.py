"""The examples of a run as suspects: what they are ranked by, for all commands that begin with the worst."""

from __future__ import annotations

import polars as pl

from datamap_cli import signals
from datamap_cli.analysis import suspects
from datamap_cli.run import Run


def default_score(run: Run) -> str:
    """What suspects are ranked by if nobody says otherwise: all opinions, if they were gathered."""
    scan = run.scan_summary()
    schema = scan.collect_schema()
    names = [name for name in (suspects.DEFAULT_SCORE, suspects.ALONE_HELD_OUT) if name in schema]
    known = scan.select(pl.col(name).is_not_null().any() for name in names).collect().row(0, named=True)
    return suspects.default_score(
        joined=known.get(suspects.DEFAULT_SCORE, False),
        held_out=run.info.origin.folds is not None,
        all_probs=known.get(suspects.ALONE_HELD_OUT, False),
    )


def summary(run: Run, score: str) -> pl.DataFrame:
    """The columns of the summary that ranking by `score` reads; what an earlier version did not write is null."""
    scan = run.scan_summary()
    schema = scan.collect_schema()
    needed = dict.fromkeys((*suspects.COLUMNS, score))
    return scan.select(
        pl.col(name) if name in schema else pl.lit(None, signals.find(name).dtype).alias(name) for name in needed
    ).collect(engine="streaming")


def rank(table: pl.DataFrame, score: str, number: int) -> pl.DataFrame:
    """The first `number` rows of that summary, the most suspicious first."""
    end = suspects.end(score, table.schema, signals.find(score).suspicious)
    hard = signals.region().eq(list(signals.REGIONS)[-1])
    return suspects.rank(table, score, end, number, hard=hard)
