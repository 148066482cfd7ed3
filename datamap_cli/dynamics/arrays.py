"""An .npz with an array of probs or logits, (T, N, C)."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
import polars as pl

from datamap_cli.data import typed
from datamap_cli.dynamics.columns import S_LABEL, SCORES, present, texts_of
from datamap_cli.dynamics.formats import Glance, LongTable
from datamap_cli.dynamics.records import ZIP, magic
from datamap_cli.errors import DatamapError
from datamap_cli.text import first_line, listed, listed_all


def recognizes(source: Glance) -> bool:
    return source.magic == ZIP


def read(source: Path) -> LongTable:
    """One array a name; never unpickles."""
    if not source.is_file() or magic(source) != ZIP:
        raise DatamapError(f"{source}: not an .npz file")
    try:
        # opened here, as numpy leaves a file open that it cannot read
        with source.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if len(set(archive.files)) < len(archive.files):
                raise DatamapError(f"{source}: two arrays of one name")
            arrays = {name: archive[name] for name in archive.files if name in _ARRAYS}
            others = [name for name in archive.files if name not in _ARRAYS]
    except _NPZ_ERRORS as error:
        if "allow_pickle" in str(error):
            raise DatamapError(f"{source}: holds pickled objects, which are never loaded; save plain arrays") from error
        raise DatamapError(f"{source}: not an .npz file that can be read: {first_line(error)}") from error

    name = present(list(arrays), SCORES)
    if name is None or "labels" not in arrays:
        raise DatamapError(
            f"{source}: expected arrays probs or logits (T, N, C) and labels (N,); found: "
            f"{listed_all([*arrays, *others]) or 'none'}"
        )
    scores = arrays.pop(name)
    if not isinstance(scores, np.ndarray) or scores.ndim != 3 or scores.dtype.kind not in "iuf":
        raise DatamapError(f"{source}: {name}: expected an array of numbers (T, N, C)")
    evaluations, count, n_classes = scores.shape
    if n_classes < 2:
        raise DatamapError(f"{source}: {name}: {n_classes} in the last axis; two classes or more are needed")
    lengths = {"labels": count, "ids": count, "s_label": count, "noisy_label": count, "steps": evaluations}
    columns: dict[str, pl.Series] = {}
    for key, array in arrays.items():
        length = lengths.get(key, n_classes)
        if not isinstance(array, np.ndarray) or array.shape != (length,) or array.dtype.kind not in "iufU":
            raise DatamapError(
                f"{source}: {key}: expected an array ({length},) of numbers or texts, to go with {name} {scores.shape}"
            )
        columns[key] = typed.column(source, key, array.tolist())
    tile, repeat = np.tile(np.arange(count), evaluations), np.repeat(np.arange(evaluations), count)
    step = "step" if "steps" in columns else "evaluation"
    data = {
        "id": columns.get("ids", pl.Series(range(count), dtype=pl.Int64)).gather(tile),
        step: columns.get("steps", pl.Series(range(evaluations), dtype=pl.Int64)).gather(repeat),
        "label": columns["labels"].gather(tile),
        **{key: columns[key].gather(tile) for key in S_LABEL if key in columns},
        name: pl.Series(scores.reshape(-1, n_classes).astype(np.float64)).arr.to_list(),
    }
    notes = [f"left out arrays: {listed(others)}"] if others else []
    classes = texts_of(columns["classes"]).to_list() if "classes" in columns else None
    if classes is not None and (None in classes or len(set(classes)) < len(classes)):
        raise DatamapError(f"{source}: classes: expected {n_classes} different names")
    return LongTable(pl.DataFrame(data), step, notes, classes)


_ARRAYS = (*SCORES, "labels", "ids", "steps", "classes", *S_LABEL)
# what numpy and zipfile raise for archives that are cut off, damaged or encrypted
_NPZ_ERRORS = (
    ValueError,
    TypeError,
    OverflowError,
    OSError,
    EOFError,
    RuntimeError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
