"""A folder of dynamics_epoch_N.jsonl (Swayamdipta 2020)."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import polars as pl

from datamap_cli.data.typed import read_records
from datamap_cli.dynamics.formats import Glance, LongTable
from datamap_cli.dynamics.records import record_in
from datamap_cli.errors import DatamapError
from datamap_cli.text import listed, shown

_EPOCH_FILE = re.compile(r"dynamics_epoch_(\d{1,18})\.jsonl?")


def recognizes(source: Glance) -> bool:
    """Whether it is a folder with dynamics; raises DatamapError for a single file of such a folder."""
    epoch = next((name for name in source.columns if name.startswith("logits_epoch_")), None)
    if epoch is not None:
        raise DatamapError(f"{source.path}: one epoch only ({shown(epoch)}); give the folder of dynamics_epoch_N.jsonl")
    return source.is_folder and bool(_epoch_files(source.path))


def read(source: Path) -> LongTable:
    """The records of every epoch, with guid, logits_epoch_N and gold."""
    files = _epoch_files(source) if source.is_dir() else {}
    if not files:
        raise DatamapError(f"{source}: no folder of dynamics_epoch_N.jsonl")
    frames = []
    for path, epoch in files.items():
        logits = f"logits_epoch_{epoch}"
        frame = read_records(path, record_in)
        missing = [name for name in ("guid", logits, "gold") if name not in frame.columns]
        if missing:
            raise DatamapError(f"{path}: no field {', '.join(missing)}; every record needs guid, {logits}, gold")
        own = [name for name in frame.columns if name not in ("guid", logits, "gold", "logits", "epoch")]
        epochs = pl.lit(epoch, dtype=pl.Int64).alias("epoch")
        frames.append(frame.select("guid", "gold", pl.col(logits).alias("logits"), epochs, *own))
    gaps = [f"{a} and {b}" for a, b in pairwise(files.values()) if b - a > 1]
    notes = [f"no file for the epochs between {listed(gaps)}"] if gaps else []
    others = sorted(path.name for path in next(iter(files)).parent.iterdir() if path not in files)
    notes += [f"left out, as it is no dynamics_epoch_N.jsonl: {listed(others)}"] if others else []
    return LongTable(pl.concat(frames, how="diagonal_relaxed"), "epoch", notes)


def _epoch_files(folder: Path) -> dict[Path, int]:
    """The files of dynamics in order of their epochs; in the model's folder they lie one folder deeper."""
    inner = folder / "training_dynamics"
    found = {
        path: int(match[1])
        for path in (inner if inner.is_dir() else folder).iterdir()
        if (match := _EPOCH_FILE.fullmatch(path.name)) and path.is_file()
    }
    return dict(sorted(found.items(), key=lambda item: item[1]))
