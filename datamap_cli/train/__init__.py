"""Fine-tuning a text classifier and collecting its opinion of every training example.

Importing this package is cheap; Paddle is loaded by `run`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from datamap_cli.config import Config
from datamap_cli.train import environment, pretrained
from datamap_cli.train.events import (
    Checkpoint,
    Dev,
    Diverged,
    Embeddings,
    Evaluation,
    EvaluationProgress,
    Event,
    FoldTrained,
    Predicted,
    Started,
    Step,
    Stopped,
    Trained,
)

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "Checkpoint",
    "Dev",
    "Diverged",
    "Embeddings",
    "Evaluation",
    "EvaluationProgress",
    "Event",
    "FoldTrained",
    "Predicted",
    "Started",
    "Step",
    "Stopped",
    "Trained",
    "is_main_process",
    "predict",
    "run",
]


def is_main_process() -> bool:
    """Whether this process is the one that stores and talks, of those that Paddle's launcher started, if it did."""
    return os.environ.get("PADDLE_TRAINER_ID", "0") == "0"


def run(
    config: Config,
    examples: pl.DataFrame,
    classes: list[str],
    *,
    dev: pl.DataFrame | None = None,
    checkpoint: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Trains `config.model` on `examples` and yields what happens, the evaluations among it.

    `examples` has id, text_a, text_b (null throughout for single texts) and label (index into `classes`); `dev` the
    same of examples that are never trained on. `checkpoint` is a directory that a `Checkpoint` was saved to: the
    training goes on from there, and yields what it would have yielded without a break. When `stop()` turns true, it
    ends after the step with a checkpoint. Where several processes train together, each runs this, and only the main
    one is to store. Raises DatamapError: Paddle missing, a model that cannot be had, a device that is not there, more
    evaluations than steps; Diverged where the loss is no longer finite.
    """
    environment.require_paddle()
    pretrained.check(config.model.name)
    started = time.perf_counter()
    environment.load_paddle()
    from datamap_cli.train import loop  # only now: it imports paddle

    yield from loop.train(config, examples, classes, dev, checkpoint, stop, loading=time.perf_counter() - started)


def predict(
    config: Config, examples: pl.DataFrame, classes: list[str], others: pl.DataFrame
) -> Iterator[Step | EvaluationProgress | Predicted]:
    """Trains on `examples` as `run` does and asks the last weights about `others`; collects and keeps nothing else.

    Raises DatamapError as `run` does.
    """
    environment.require_paddle()
    pretrained.check(config.model.name)
    environment.load_paddle()
    from datamap_cli.train import loop  # only now: it imports paddle

    yield from loop.predict(config, examples, classes, others)
