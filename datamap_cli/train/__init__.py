"""Fine-tuning a text classifier and collecting its opinion of every training example.

Importing this package is cheap; Paddle is loaded by `run`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from datamap_cli.config import Config
from datamap_cli.train import environment, pretrained
from datamap_cli.train.events import Evaluation, EvaluationProgress, Event, Started, Step, Trained

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Evaluation", "EvaluationProgress", "Event", "Started", "Step", "Trained", "run"]


def run(config: Config, examples: pl.DataFrame, classes: list[str]) -> Iterator[Event]:
    """Trains `config.model` on `examples` and yields what happens, the evaluations among it.

    `examples` has id, text_a, text_b (null throughout for single texts) and label (index into `classes`).
    Raises DatamapError: Paddle missing, a model that cannot be had, a device that is not there, more
    evaluations than steps, a loss that is no longer finite.
    """
    environment.require_paddle()
    pretrained.check(config.model.name)
    environment.load_paddle()
    from datamap_cli.train import loop  # only now: it imports paddle

    yield from loop.train(config, examples, classes)
