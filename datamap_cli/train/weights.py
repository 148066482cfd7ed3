"""A local checkpoint's weights as NumPy arrays under Paddle's names, read without running what a pickle asks for."""

from __future__ import annotations

import codecs
import json
import math
import pickle
import re
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from datamap_cli.errors import DatamapError
from datamap_cli.train import pretrained

# NumPy has none: safetensors.numpy cannot read it either, unless ml_dtypes is imported
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
TORCH_STORAGES = {
    **{"DoubleStorage": np.dtype("<f8"), "FloatStorage": np.dtype("<f4"), "HalfStorage": np.dtype("<f2")},
    **{"BFloat16Storage": BFLOAT16, "LongStorage": np.dtype("<i8"), "IntStorage": np.dtype("<i4")},
    **{"ShortStorage": np.dtype("<i2"), "CharStorage": np.dtype("i1"), "ByteStorage": np.dtype("u1")},
    "BoolStorage": np.dtype("?"),
}
TORCH_LEGACY = 0x1950A86A20F9469CFC6C
"""The number that begins a file of torch.save before version 1.6."""

# a linear layer of PyTorch is (out, in), Paddle's (in, out): 2-D weights, except these, are transposed
EMBEDDING = re.compile(r"embeddings?\.weight$")
# PyTorch's name -> Paddle's, in models built as BERT is
RENAMED = (
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\bencoder\.layer\.", "encoder.layers."),
    (r"\.attention\.self\.(query|key|value)\.", lambda match: f".self_attn.{match[1][0]}_proj."),
    (r"\.attention\.output\.dense\.", ".self_attn.out_proj."),
    (r"\.attention\.output\.LayerNorm\.", ".norm1."),
    (r"\.intermediate\.dense\.", ".linear1."),
    (r"(layers\.\d+)\.output\.dense\.", r"\1.linear2."),
    (r"(layers\.\d+)\.output\.LayerNorm\.", r"\1.norm2."),
    (r"\bLayerNorm\.", "layer_norm."),
)


@dataclass(frozen=True)
class Checkpoint:
    weights: dict[str, NDArray[Any]]
    torch: bool
    """Whether PyTorch wrote them: other names, and linear layers the other way round."""


def read(directory: Path) -> Checkpoint:
    """The weights of a model's directory under the names they have there; bfloat16 as float32, whose upper half it is.

    Raises DatamapError for a file that is damaged, or a pickle that holds more than weights.
    """
    for name in pretrained.FILES:
        index = directory / f"{name}.index.json"
        try:
            if (directory / name).is_file():
                files = [directory / name]
            elif index.is_file():
                parts = json.loads(index.read_bytes())["weight_map"].values()
                # the last part of a path: a foreign index names no file elsewhere
                files = [directory / Path(part).name for part in sorted(set(parts))]
            else:
                continue
            checkpoints = [_read_file(file) for file in files]
        except _DAMAGED as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatamapError(f"model.name: {directory}: {name} cannot be read: {reason[:200]}") from error
        weights = {
            key: value.astype(np.float32) if value.dtype == BFLOAT16 else value
            for checkpoint in checkpoints
            for key, value in checkpoint.weights.items()
        }
        return Checkpoint(weights, checkpoints[0].torch)
    raise DatamapError(f"model.name: {directory}: no weights; expected {', '.join(pretrained.FILES)}")


# what is raised for files that are not what they claim
_DAMAGED = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, SafetensorError),
)


def to_paddle(weights: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """PyTorch's weights of a BERT, ERNIE or RoBERTa as Paddle names and lays them out."""
    renamed: dict[str, NDArray[Any]] = {}
    for name, weight in weights.items():
        transposed = weight.ndim == 2 and name.endswith(".weight") and not EMBEDDING.search(name)
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = weight.T if transposed else weight
    return renamed


def _read_file(file: Path) -> Checkpoint:
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    if file.suffix == ".pdparams":
        with file.open("rb") as stream:
            return Checkpoint(_named_arrays(_Restricted(stream, encoding="latin1").load()), torch=False)
    load = _load_torch if zipfile.is_zipfile(file) else _load_legacy_torch
    return Checkpoint(_named_arrays(load(file)), torch=True)


def _read_safetensors(file: Path) -> Checkpoint:
    with safe_open(file, framework="numpy") as tensors:
        weights = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118  it is no dict
        torch = (tensors.metadata() or {}).get("format") == "pt"
    for name, weight in weights.items():
        # ml_dtypes has eight and four bits too, which mean nothing without the scales that stand beside them
        if weight.dtype.isbuiltin != 1 and weight.dtype != BFLOAT16:
            raise ValueError(f"{name} is {weight.dtype}; expected weights that are not quantized")
    return Checkpoint(weights, torch)


def _named_arrays(loaded: object) -> dict[str, NDArray[Any]]:
    """The weights in what a pickle held: name -> array, or Paddle's (name of the parameter, array)."""
    if not isinstance(loaded, dict):
        raise ValueError("expected names and weights")
    named = {name: value[1] if isinstance(value, tuple) else value for name, value in loaded.items()}
    named.pop("StructuredToParameterName@@", None)  # Paddle's table of parameters' names
    wrong = [str(name) for name, value in named.items() if not isinstance(value, np.ndarray) or value.dtype.hasobject]
    if wrong:
        raise ValueError(f"expected weights only, not {wrong[0]}")
    return named


class _Restricted(pickle.Unpickler):
    """Unpickles NumPy's and PyTorch's arrays, in plain containers, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in TORCH_STORAGES:
            return TORCH_STORAGES[name]
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(
            f"it holds more than weights ({module}.{name}), and unpickling that could run anything; expected "
            "model.safetensors, to which its owner can convert it"
        )


def _rebuild(storage: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Any:
    """The tensor of that size and stride, in numbers, that begins at `offset` of the storage."""
    if storage.ndim != 1 or not storage.flags.c_contiguous:  # a tensor that repeats its numbers is longer than they are
        raise ValueError("a tensor of a tensor")
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError("a tensor of impossible shape")
    if math.prod(size) and offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) >= len(storage):
        raise ValueError("a tensor larger than its numbers")
    return as_strided(storage[offset:], size, [step * storage.itemsize for step in stride])


def _same(tensor: Any, *_: object) -> Any:
    return tensor


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "tuple"): tuple,
    ("__builtin__", "tuple"): tuple,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): codecs.encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy._core.multiarray", "_reconstruct"): np.core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _same,
}


def _load_torch(file: Path) -> object:
    """What torch.save wrote since version 1.6: a zip of a pickle, and a file for the numbers of each storage."""
    with zipfile.ZipFile(file) as archive:
        pickled = [name for name in archive.namelist() if name.endswith("/data.pkl")][0]  # noqa: RUF015  IndexError is told
        storages: dict[str, NDArray[Any]] = {}

        def storage(identity: tuple[Any, ...]) -> NDArray[Any]:
            _, kind, key, *_ = identity
            if key not in storages:
                content = np.frombuffer(archive.read(f"{pickled.removesuffix('data.pkl')}data/{key}"), np.uint8)
                storages[key] = content.view(kind)
            return storages[key]

        with archive.open(pickled) as stream:
            return _unpickle(stream, storage)


def _load_legacy_torch(file: Path) -> object:
    """What torch.save wrote before version 1.6: pickles in a row, then the numbers of each storage."""
    storages: dict[str, NDArray[Any]] = {}
    room = file.stat().st_size

    def storage(identity: tuple[Any, ...]) -> NDArray[Any]:
        _, kind, key, _, count, view = identity
        if view is not None or not 0 <= count * kind.itemsize <= room:
            raise ValueError("a storage of impossible size")
        return storages.setdefault(key, np.empty(count, kind))

    with file.open("rb") as stream:
        if _unpickle(stream, storage) != TORCH_LEGACY:
            raise ValueError("not a file of torch.save")
        for _ in ("version", "byte order and sizes"):
            _unpickle(stream, storage)
        loaded = _unpickle(stream, storage)
        for key in _unpickle(stream, storage):
            stream.read(8)  # how many numbers
            if stream.readinto(storages[key].view("u1").data) != storages[key].nbytes:
                raise EOFError("it ends too early")
    return loaded


def _unpickle(stream: IO[bytes], storage: Callable[[tuple[Any, ...]], NDArray[Any]]) -> Any:
    unpickler = _Restricted(stream, encoding="utf-8")
    unpickler.persistent_load = storage  # type: ignore[method-assign]
    return unpickler.load()
