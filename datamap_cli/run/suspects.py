"""The list of suspects as it lies in a run directory, written, and read again by those who act on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from datamap_cli.errors import DatamapError
from datamap_cli.run import files, reports
from datamap_cli.run.directory import Run
from datamap_cli.run.reports import SuspectsReport


@dataclass(frozen=True)
class Suspects:
    """What `datamap suspects` wrote."""

    table: pl.DataFrame
    """rank, id, label and suggested_label (class index), score (Float64, null: none), why; the worst first."""
    score: str
    """What it is ranked by."""
    end: str
    """The suspicious end of the score, low or high."""


def write_suspects(run: Run, table: pl.DataFrame, report: SuspectsReport, *, spreadsheet_safe: bool) -> list[Path]:
    """Keeps the list of suspects, labels by name, and how it came to be; returns the paths."""
    paths = _paths(run)
    run.enter(*paths)
    files.write_table(paths[0], table, spreadsheet_safe=spreadsheet_safe)
    reports.write(paths[1], report)
    return paths


def read_suspects(run: Run) -> Suspects:
    """The suspects of `run`; raises DatamapError where there are none, or they are of another run."""
    path, account = _paths(run)
    try:
        report = reports.read(account, SuspectsReport)
        table = pl.read_csv(path, separator="\t", infer_schema=False)
        table = table.select("rank", "id", "label", "suggested_label", "score", "why")
    except FileNotFoundError as error:
        raise DatamapError(f"{error.filename or path}: no such file; run `datamap suspects` first") from None
    except (ValueError, pl.exceptions.PolarsError):
        raise DatamapError(f"{path}: damaged; run `datamap suspects` again") from None
    if report.run != run.info.run_id:
        raise DatamapError(f"{path}: of another run, {report.run}; run `datamap suspects` again")
    ids = run.scan_examples().select("id").collect()["id"]
    names = {name: k for k, name in enumerate(run.info.classes)}
    classes = {_quoted(name): k for name, k in names.items()} | names
    known = {_quoted(str(identity)): identity for identity in ids} | {str(identity): identity for identity in ids}
    try:
        typed = table.with_columns(
            pl.col("rank").cast(pl.Int64),
            pl.col("id").replace_strict(known, return_dtype=ids.dtype),
            pl.col("label", "suggested_label").replace_strict(classes, return_dtype=pl.Int64),
            pl.col("score").cast(pl.Float64),
        )
    except pl.exceptions.PolarsError:
        raise DatamapError(f"{path}: not the list of this run; run `datamap suspects` again") from None
    return Suspects(typed, report.score, report.suspicious_end)


def _quoted(text: str) -> str:
    """A text as it stands in a file that is safe for spreadsheets."""
    return f"'{text}"


def _paths(run: Run) -> list[Path]:
    """The list, and how it came to be."""
    return [run.directory / "suspects.tsv", run.directory / "suspects.json"]
