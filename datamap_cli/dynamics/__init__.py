"""Training dynamics that others collected: a foreign file or folder → evaluations in our form.

Every format is first read as one long table, a row per example and evaluation, then brought into evaluations of the
same examples in the same order; so each rule is checked in one place, whatever the file looked like.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

from datamap_cli.dynamics import arrays, cartography, table, tutorial
from datamap_cli.dynamics.cartography import epoch_files
from datamap_cli.dynamics.columns import ID, SCORES, STEP, present
from datamap_cli.dynamics.evaluations import Dynamics, Evaluation, dynamics
from datamap_cli.dynamics.messages import shown
from datamap_cli.dynamics.records import PARQUET, ZIP, first_line, is_json, magic, reading, record_in, separator_of
from datamap_cli.dynamics.table import refuse_summary, unrecognized
from datamap_cli.errors import DatamapError

__all__ = ["FORMATS", "Dynamics", "Evaluation", "read"]

FORMATS = ("tutorial", "cartography", "table", "arrays")


def read(source: Path, format: str | None = None, *, incomplete: Literal["error", "drop"] = "error") -> Dynamics:
    """Reads training dynamics in one of `FORMATS`, recognized by content where `format` does not name it.

    tutorial: TrustAI's output_data.json, evaluations one after the other without a step (JSON lines or Python dicts).
    cartography: a folder of dynamics_epoch_N.jsonl (Swayamdipta 2020). table: a long table in Parquet, CSV or JSON
    lines, or a folder of such, with id, step or epoch, label, and probs or logits. arrays: an .npz of probs or logits
    (T, N, C), labels (N,), optionally ids (N,), steps (T,), classes (C,), s_label (N,).

    Logits become probs by a softmax in float64; −∞ is taken, and makes a prob of 0, where another logit of the row
    is finite. Examples that are missing in some evaluations are an error, or left out if `incomplete` is drop.

    Raises DatamapError for whatever is not whole dynamics of the same examples.
    """
    if format is not None and format not in FORMATS:
        raise DatamapError(f"format {shown(format)}: expected {', '.join(FORMATS)}")
    if not source.exists():
        raise DatamapError(f"{source}: no such file or folder")
    with reading(source):
        kind = format or _recognize(source)
        match kind:
            case "arrays":
                found = arrays.read(source)
            case "cartography":
                found = cartography.read(source)
            case "tutorial":
                found = tutorial.read(source)
            case _:
                found = table.read(source)
    return dynamics(source, kind, found, drop=incomplete == "drop")


def _recognize(source: Path) -> str:
    """The format by what is in the file; raises DatamapError for a summary and for what is none of `FORMATS`."""
    if source.is_dir():
        return "cartography" if epoch_files(source) else "table"
    if magic(source) == ZIP:
        return "arrays"
    if magic(source) == PARQUET:
        return "table"
    columns = _first_columns(source)
    refuse_summary(source, columns)
    epoch = next((name for name in columns if name.startswith("logits_epoch_")), None)
    if epoch is not None:
        raise DatamapError(f"{source}: one epoch only ({shown(epoch)}); give the folder of dynamics_epoch_N.jsonl")
    if present(columns, STEP):
        return "table"
    if is_json(source) and present(columns, SCORES):
        return "tutorial"
    if present(columns, ID):
        return "table"
    raise unrecognized(source)


def _first_columns(source: Path) -> list[str]:
    """Field names of the first record, or of the header."""
    number, line = first_line(source)
    if not line:
        raise DatamapError(f"{source}: empty")
    if line.startswith("{"):
        return list(record_in(source, number, line))
    try:
        return next(csv.reader([line], delimiter=separator_of(line)), [])
    except csv.Error:
        raise unrecognized(source) from None
