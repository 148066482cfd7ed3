"""Training dynamics that others collected: a foreign file or folder → evaluations in our form.

Every format is first read as one long table, a row per example and evaluation, then brought into evaluations of the
same examples in the same order; so each rule is checked in one place, whatever the file looked like.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from datamap_cli.data.tables import reading
from datamap_cli.dynamics import arrays, cartography, table, tutorial
from datamap_cli.dynamics.evaluations import Dynamics, Evaluation, in_order
from datamap_cli.dynamics.formats import Format, glance
from datamap_cli.errors import DatamapError
from datamap_cli.text import shown

__all__ = ["FORMATS", "Dynamics", "Evaluation", "read"]

# A new format is a module beside these and a row here. The first row that recognizes a source counts.
FORMATS = {
    "tutorial": Format(
        tutorial.recognizes,
        tutorial.read,
        "records of the tutorial (id, label, probs; JSON or Python dicts, one a line)",
    ),
    "cartography": Format(cartography.recognizes, cartography.read, "a folder of dynamics_epoch_N.jsonl"),
    "table": Format(
        table.recognizes,
        table.read,
        "a table with id, step or epoch, label, and probs or logits (Parquet, CSV, JSON lines)",
    ),
    "arrays": Format(arrays.recognizes, arrays.read, "an .npz with probs or logits and labels"),
}


def read(source: Path, format: str | None = None, *, incomplete: Literal["error", "drop"] = "error") -> Dynamics:
    """Reads training dynamics in one of `FORMATS`, recognized by content where `format` does not name it.

    Logits become probs by a softmax in float64; −∞ is taken, and makes a prob of 0, where another logit of the row
    is finite. Examples that are missing in some evaluations are an error, or left out if `incomplete` is drop.

    Raises DatamapError for whatever is not whole dynamics of the same examples.
    """
    if format is not None and format not in FORMATS:
        raise DatamapError(f"format {shown(format)}: expected {', '.join(FORMATS)}")
    if not source.exists():
        raise DatamapError(f"{source}: no such file or folder")
    with reading(source):
        name = format or _recognize(source)
        found = FORMATS[name].read(source)
    return in_order(source, name, found, drop=incomplete == "drop")


def _recognize(source: Path) -> str:
    """The name of the format; raises DatamapError for a summary and for what is none of `FORMATS`."""
    seen = glance(source)
    for name, format in FORMATS.items():
        if format.recognizes(seen):
            return name
    *others, last = (format.looks_like for format in FORMATS.values())
    raise DatamapError(f"{source}: not recognized; looked for {', '.join(others)}, and {last}")
