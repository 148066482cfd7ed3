"""The signals: what is known about each example, and its computation from signal records. Pure: frames in, frames out.

A new signal is one entry in `registry.SIGNALS`; the summary, the axes, `datamap signals`, the docs table and the tests
all read it.
"""

from datamap_cli.signals.record import FIELDS, loss, probabilities, records
from datamap_cli.signals.registry import REGIONS, SIGNALS, Signal, region
from datamap_cli.signals.summary import Options, summarize, summarize_block, write_summary

__all__ = [
    "FIELDS",
    "REGIONS",
    "SIGNALS",
    "Options",
    "Signal",
    "loss",
    "probabilities",
    "records",
    "region",
    "summarize",
    "summarize_block",
    "write_summary",
]
