"""The signals: what is known about each example, and its computation from signal records. Pure: frames in, frames out.

A new signal is one entry in `registry.SIGNALS`; the summary, the axes, `datamap signals`, the docs table and the tests
all read it.
"""

from datamap_cli.signals.alignment import n_classes, schemas
from datamap_cli.signals.quality import Quality, quality
from datamap_cli.signals.record import FIELDS, Kept, fields, frame, loss, probabilities, records
from datamap_cli.signals.registry import (
    REGIONS,
    SIGNALS,
    Derivation,
    Signal,
    find,
    is_class,
    region,
)
from datamap_cli.signals.summary import Options, summarize, summarize_block, write_summary
from datamap_cli.signals.trajectories import trajectories

__all__ = [
    "FIELDS",
    "REGIONS",
    "SIGNALS",
    "Derivation",
    "Kept",
    "Options",
    "Quality",
    "Signal",
    "fields",
    "find",
    "frame",
    "is_class",
    "loss",
    "n_classes",
    "probabilities",
    "quality",
    "records",
    "region",
    "schemas",
    "summarize",
    "summarize_block",
    "trajectories",
    "write_summary",
]
