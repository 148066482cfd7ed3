"""What a training tells its caller: the events that `run` yields, in the order they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from datamap_cli.errors import DatamapError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from datamap_cli.signals import Quality


@dataclass(frozen=True)
class Started:
    """The model is built and the texts are tokenized; comes once, first."""

    device: str
    """cpu or gpu:N."""
    processes: int
    """Number of processes that train together."""
    model: str
    """The configured name and the class behind it."""
    parameters: int
    """Number of trainable parameters."""
    step: int
    """Steps done already: those of the checkpoint that the training goes on from, else 0."""
    steps: int
    """Of all models, where there are folds."""
    steps_per_epoch: int
    """Of one model, as the evaluations."""
    evaluations: int
    evaluated: int
    """Evaluations yielded already, before that checkpoint."""
    notes: list[str]
    """Remarks worth telling, one line each: newly initialized weights, truncated texts."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What the model, as it was loaded, makes of the texts by themselves; comes before the first step."""

    vectors: Sequence[NDArray[np.float16]]
    """(N, D) of text_a, then of text_b where there are pairs; each of length 1."""


@dataclass(frozen=True)
class Step:
    """One training step is done."""

    step: int
    """Steps done, 1-based; all models'."""
    epoch: int
    """The epoch the step belongs to, 0-based."""
    loss: float
    """Mean loss of the step's examples, nats."""
    accuracy: float
    """Share of the training examples predicted right, with dropout, since the last evaluation."""
    learning_rate: float
    """The rate the step was taken with."""


@dataclass(frozen=True)
class Checkpoint:
    """All that the training needs to go on from here can be saved now; an evaluation that is due comes after."""

    step: int
    """Steps done, all models'."""
    save: Callable[[Path], None]
    """Writes it to a directory that `run` can go on from."""


@dataclass(frozen=True)
class EvaluationProgress:
    """A batch of an evaluation is done; counts examples."""

    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The model's opinion of every training example, in the order of `examples`.

    With folds, of each the opinion of the model that was not trained on it; they come with the last fold.
    """

    evaluation: int
    """0-based."""
    step: int
    """Training steps that its model had done."""
    epoch: float
    """Epochs that it had done: step / steps_per_epoch."""
    train_loss: float
    """Mean loss of the training steps since the last evaluation, nats."""
    accuracy: float
    """Over all training examples."""
    seconds: float
    """Duration of the pass; 0 where the logits are those of the training itself."""
    logits: NDArray[np.float32]
    """(N, C)."""
    dev: Dev | None = None
    """Of the dev set, where there is one."""


@dataclass(frozen=True, eq=False)
class Dev:
    """The model's opinion of every dev example; with folds, the mean of the models' probabilities."""

    logits: NDArray[np.float32]
    """(M, C); with folds, logarithms of those means."""
    quality: Quality


@dataclass(frozen=True)
class FoldTrained:
    """The model of a fold is trained."""

    fold: int
    """0-based."""
    folds: int
    held_out: int
    """Examples that it was not trained on."""
    accuracy: float
    """Over those."""


@dataclass(frozen=True)
class Stopped:
    """The training stopped because it was asked to; comes last, after a checkpoint."""

    step: int
    """Steps done, all models'."""


@dataclass(frozen=True)
class Trained:
    """The training is done; comes last."""

    save: Callable[[Path], None] | None
    """Writes weights, configuration and tokenizer to a directory that `model.name` can name; None with folds."""
    kept: int | None
    """The evaluation whose weights these are, where those best on the dev set were asked for; None: the last."""
    seconds: Mapping[str, float]
    """Duration of each phase, in the order they began."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a model that was only trained says of other examples; comes last."""

    label: NDArray[np.int64]
    """(M,), the most probable class of each."""


class Diverged(DatamapError):
    """The loss or the model's output is no longer finite."""


Event: TypeAlias = (
    Started | Embeddings | Step | Checkpoint | EvaluationProgress | Evaluation | FoldTrained | Stopped | Trained
)
