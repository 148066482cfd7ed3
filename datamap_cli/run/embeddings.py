"""Vectors of the texts by a model that has seen no label, as they lie in a file: half precision, nothing pickled."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamap_cli.errors import DatamapError
from datamap_cli.run import files

Vectors = NDArray[np.float16]

_NAMES = ("text_a", "text_b")


def write(path: Path, vectors: Sequence[Vectors]) -> None:
    """Writes the vectors of text_a, and of text_b where there are pairs, each (N, D)."""
    with files.replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **dict(zip(_NAMES, vectors, strict=False)))


def read(path: Path, count: int) -> list[Vectors]:
    """What `write` wrote, of `count` examples; nothing where there is no file. Raises DatamapError for another file."""
    if not path.is_file():
        return []
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            vectors = [archive[name] for name in _NAMES if name in archive.files]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DatamapError(f"{path}: damaged; remove it to go on without embeddings") from error
    if not vectors or any(array.shape != (count, vectors[0].shape[-1]) for array in vectors):
        raise DatamapError(f"{path}: not of the {count:,} examples of the run; remove it to go on without embeddings")
    return [array.astype(np.float16, copy=False) for array in vectors]
