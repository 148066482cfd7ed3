"""The audit sample of a run: drawn once, kept in audit.json, and what its verdicts tell so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from datamap_cli import terminal
from datamap_cli.analysis import audit, linear, verdicts
from datamap_cli.analysis.audit import Audit, Stratum
from datamap_cli.commands.ranking import default_score, rank, summary
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run, reports
from datamap_cli.run.reports import AuditedExample, AuditReport, AuditSample


@dataclass(frozen=True)
class Sample:
    """Examples drawn from a ranking, in the random order in which they are shown."""

    name: str
    score: str
    """What the ranking is by."""
    strata: list[Stratum]
    table: pl.DataFrame
    """id, label (class index), rank; a row an example."""


def ranking(run: Run) -> tuple[pl.DataFrame, str]:
    """All examples of the run as suspects, the worst first, and what they are ranked by."""
    score = default_score(run)
    table = summary(run, score)
    table = rank(table, score, table.height)
    return table.select("rank", "id", "label", "suggested_label", "score", "why"), score


def drawn(run: Run, number: int, seed: int) -> Sample:
    """The audit sample of the run, drawn now if there is none; raises DatamapError for one of another size."""
    sample = read(run)
    if sample is None:
        ranked, score = ranking(run)
        strata = audit.stratify(ranked.height, number)
        ranks = audit.draw(strata, seed)
        table = ranked[(ranks - 1).tolist()].select("id", "label", pl.col("rank").cast(pl.Int64))
        sample = Sample(f"audit-{number}-{seed}", score, strata, table)
        examples = [AuditedExample(**row) for row in table.to_dicts()]
        run.write_report(run.audit, AuditSample(sample.name, score, strata, examples, run.info.run_id))
    elif sample.name.split("-")[1] != str(number):
        raise DatamapError(
            f"--audit: {number}: the run has a sample of {sample.table.height:,} already; go on with it by "
            f"--audit {sample.name.split('-')[1]}, or remove {run.audit}"
        )
    return sample


def read(run: Run) -> Sample | None:
    """The audit sample of the run, None where none was drawn."""
    path = run.audit
    try:
        kept = reports.read(path, AuditSample)
        if kept.run != run.info.run_id:
            return None
        schema = {"id": pl.Int64 if run.id_type() is int else pl.String, "label": pl.Int64, "rank": pl.Int64}
        table = pl.DataFrame([asdict(example) for example in kept.examples], schema=schema)
        return Sample(kept.sample, kept.score, kept.strata, table)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, pl.exceptions.PolarsError):
        raise DatamapError(
            f"{path}: damaged; remove it, and draw another sample with datamap review --audit N"
        ) from None


def account(run: Run, depths: Sequence[int] = ()) -> Audit | None:
    """What the audit of the run tells of its labels; None where there is no sample, or too few verdicts of it."""
    sample = read(run)
    if sample is None or not run.verdicts.exists():
        return None
    if not linear.available():
        terminal.note("what the audit tells needs scikit-learn: pip install 'datamap-cli[check]'")
        return None
    said = [verdict for verdict in verdicts.load(run.verdicts).verdicts if verdict.sample == sample.name]
    merged = verdicts.merge(verdicts.current([said]), "latest")
    wrong = {decision.id: {"keep": False, "unsure": None}.get(decision.verdict, True) for decision in merged.decisions}
    decided = sample.table.filter(pl.col("id").is_in(pl.Series(list(wrong), dtype=sample.table["id"].dtype).implode()))
    sizes = dict(run.scan_examples().group_by("label").len().collect().iter_rows())
    found = audit.evaluate(
        sample.strata,
        decided["rank"].to_numpy(),
        decided["label"].to_numpy().astype(np.int64),
        [wrong[identity] for identity in decided["id"]],
        [sizes.get(label, 0) for label in range(len(run.info.classes))],
        depths,
    )
    return None if found.wrong is None else found


def report(found: Audit, classes: Sequence[str]) -> AuditReport:
    """What an audit tells, as it stands in suspects.json; counts of wrong labels with 95 % intervals."""
    assert found.wrong is not None
    return AuditReport(
        drawn=found.drawn,
        decided=found.decided,
        unsure=found.unsure,
        found=found.found,
        label_errors=found.wrong,
        by_given_label={classes[k]: part for k, part in found.by_class.items()},
        precision=found.precision,
    )
