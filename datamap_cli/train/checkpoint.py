"""The state of a training on disk: tensors as safetensors, everything else as JSON; nothing is pickled.

There is no random state and no place in an order to store: both are functions of the seed and the step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from datamap_cli.errors import DatamapError
from datamap_cli.train.plan import Progress

Tensors = dict[str, NDArray[Any]]


def save(
    directory: Path, progress: Progress, model: Any, optimizer: Any, scaler: Any, further: Mapping[str, Tensors]
) -> None:
    """Writes the state to `directory`; of `further` tensors each entry that has any gets a file of its name."""
    tensors, plain = _split(optimizer.state_dict())
    save_file(_split(model.state_dict())[0], directory / "model.safetensors")
    save_file(tensors, directory / "optimizer.safetensors")
    for name, entry in further.items():
        if entry:
            save_file(entry, directory / f"{name}.safetensors")
    state = {"progress": asdict(progress), "optimizer": plain, "scaler": _split(scaler.state_dict())[1]}
    (directory / "state.json").write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")


def load(
    directory: Path, steps: int, model: Any, optimizer: Any, scaler: Any, further: Mapping[str, Tensors]
) -> tuple[Progress, dict[str, Tensors]]:
    """Brings model, optimizer and scaler to the state in `directory`; returns the progress and the further tensors.

    `further` are those of a training that begins: what was not saved is as it was then.

    Raises DatamapError for a checkpoint of another training: of other weights, or another number of steps.
    """
    state = json.loads((directory / "state.json").read_bytes())
    progress = Progress(**state["progress"])
    if progress.steps != steps:
        raise DatamapError(
            f"{directory}: a checkpoint of a training of {progress.steps:,} steps, but with this number of processes "
            f"there are {steps:,}; go on with as many as it was started with"
        )
    weights = load_file(directory / "model.safetensors")
    named = model.state_dict()
    if {name: tuple(tensor.shape) for name, tensor in named.items()} != {n: w.shape for n, w in weights.items()}:
        raise DatamapError(f"{directory}: a checkpoint of another model; train again with --overwrite")
    put(model, weights)
    tensors = {name: paddle.to_tensor(value) for name, value in load_file(directory / "optimizer.safetensors").items()}
    for name, tensor in tensors.items():
        tensor.name = name
    optimizer.set_state_dict({**tensors, **state["optimizer"]})
    if state["scaler"]:
        scaler.load_state_dict({**state["scaler"], "scale": np.array([state["scaler"]["scale"]], np.float32)})
    files = {name: directory / f"{name}.safetensors" for name in further}
    return progress, {name: load_file(files[name]) if files[name].is_file() else further[name] for name in further}


def arrays(model: Any) -> Tensors:
    """A copy of the model's weights."""
    return {name: array.copy() for name, array in _split(model.state_dict())[0].items()}


def put(model: Any, weights: Tensors) -> None:
    """Gives the model these weights, all of its names."""
    for name, tensor in model.state_dict().items():
        tensor.set_value(weights[name])


def _split(state: dict[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """The tensors of a state and what is plain in it, numbers in an array of one among that."""
    tensors = {name: value.numpy() for name, value in state.items() if isinstance(value, paddle.Tensor)}
    plain = {
        name: value.item() if isinstance(value, np.ndarray) else value
        for name, value in state.items()
        if name not in tensors
    }
    return tensors, plain
