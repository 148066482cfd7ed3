"""TrustAI's output_data.json: evaluations one after the other without a step, JSON lines or Python dicts."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from datamap_cli.data.typed import read_records
from datamap_cli.dynamics.columns import SCORES, STEP, ids_of, present
from datamap_cli.dynamics.formats import Glance, LongTable
from datamap_cli.dynamics.records import is_json, record_in
from datamap_cli.errors import DatamapError


def recognizes(source: Glance) -> bool:
    return source.is_json and present(source.columns, SCORES) is not None and present(source.columns, STEP) is None


def read(source: Path) -> LongTable:
    """Records without a step: the k-th one of an id is of evaluation k."""
    if not source.is_file() or not is_json(source):
        raise DatamapError(f"{source}: the tutorial's records are a file of JSON objects or Python dicts, one a line")
    frame = read_records(source, record_in)
    ids = ids_of(source, frame)
    frame = frame.with_columns(evaluation=pl.int_range(pl.len(), dtype=pl.Int64).over(ids))
    return LongTable(frame, "evaluation", ["no steps: the k-th record of an id is taken as evaluation k"])
