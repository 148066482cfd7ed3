"""What a training will do: which examples each step takes, and what is due after which. Pure, without Paddle."""

from __future__ import annotations

import bisect
import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamap_cli.config import Config, SignalsConfig
from datamap_cli.errors import DatamapError


@dataclass
class Progress:
    """How far a training is, and what it has counted."""

    steps: int
    """Steps of each model in all."""
    losses: list[float]
    """Sum of the steps' losses before each evaluation, since the one before; and after the last one."""
    seconds: list[float]
    """Duration of each evaluation."""
    fold: int = 0
    """The fold whose model is being trained."""
    step: int = 0
    """Steps done with it."""
    right: int = 0
    """Examples predicted right while training since the last evaluation."""
    seen: int = 0
    """Examples trained on since then."""
    best: float | None = None
    """The best macro-F1 on the dev set so far, where the weights it was reached with are to be kept."""
    best_evaluation: int | None = None
    """The evaluation that reached it, 0-based."""

    def better(self, evaluation: int, macro_f1: float) -> bool:
        """Enters the macro-F1 of an evaluation; whether it is the best so far: of equal ones the first stays."""
        if self.best is not None and macro_f1 <= self.best:
            return False
        self.best, self.best_evaluation = macro_f1, evaluation
        return True

    @classmethod
    def of(cls, steps: int, evaluations: int) -> Progress:
        """That of the beginning."""
        return cls(steps, [0.0] * (evaluations + 1), [0.0] * evaluations)


@dataclass(frozen=True)
class Fold:
    """Indices of the examples a model is trained on, and of those it is asked about."""

    trained: NDArray[np.int64]
    evaluated: NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """Which examples each step takes, and after which steps something is due; a pure function of the configuration."""

    folds: list[Fold]
    """A model is trained for each; one fold of all examples where nothing is held out."""
    batch_size: int
    """Examples of a step, over all processes and batches accumulated."""
    seed: int
    steps: int
    steps_per_epoch: int
    evaluate_after: list[int]
    """Numbers of done steps, ascending."""
    checkpoint_every: int
    """Steps; 0: never."""

    @classmethod
    def of(cls, config: Config, labels: NDArray[np.int64], processes: int) -> Plan:
        """For examples with these labels (class indices). Raises DatamapError where folds or evaluations do not fit."""
        batch_size = config.train.batch_size * config.train.gradient_accumulation * processes
        folds = hold_out(labels, config.train.folds, config.train.seed)
        # the same for all folds, though some hold out one example more: their evaluations belong together
        steps_per_epoch = -(-len(folds[0].trained) // batch_size)
        steps = min(steps_per_epoch * config.train.epochs, config.train.max_steps or 10**18)
        every = config.train.checkpoint_steps
        return cls(
            folds,
            batch_size,
            config.train.seed,
            steps,
            steps_per_epoch,
            evaluation_steps(config.signals, steps_per_epoch, steps),
            steps_per_epoch if every is None else every,
        )

    def batch(self, step: int, fold: int = 0) -> tuple[int, NDArray[np.int64]]:
        """The epoch and the examples of the step after `step` done ones of this fold's model."""
        epoch, place = divmod(step, self.steps_per_epoch)
        trained = self.folds[fold].trained
        order = _order(len(trained), self.seed, epoch, fold)[: len(self.folds[0].trained)]
        return epoch, trained[order[place * self.batch_size : (place + 1) * self.batch_size]]

    def steps_of_all(self, progress: Progress) -> int:
        """Steps done, those of the folds before among them."""
        return progress.fold * self.steps + progress.step

    @property
    def holds_out(self) -> bool:
        return len(self.folds) > 1

    def evaluated(self, progress: Progress) -> int:
        """Evaluations that are complete: with folds all become so while the last is trained."""
        last = progress.fold == len(self.folds) - 1
        return bisect.bisect_left(self.evaluate_after, progress.step) if last else 0

    def steps_before(self, evaluation: int) -> int:
        """Steps since the evaluation before, of all folds."""
        first = self.evaluate_after[evaluation - 1] if evaluation else 0
        return (self.evaluate_after[evaluation] - first) * len(self.folds)

    def checkpoint_due(self, step: int) -> bool:
        return self.checkpoint_every > 0 and (step % self.checkpoint_every == 0 or step == self.steps)


def evaluation_steps(signals: SignalsConfig, steps_per_epoch: int, steps: int) -> list[int]:
    """Numbers of done steps after which all examples are evaluated, ascending.

    The last step is among them, but for online signals where it does not end an epoch. Raises DatamapError where an
    epoch has fewer steps than evaluations, and where no epoch is finished.
    """
    if signals.mode == "online":
        if steps < steps_per_epoch:
            raise DatamapError(
                f"train.max_steps: {steps}: an epoch has {steps_per_epoch} steps, and signals.mode: online "
                "collects whole epochs; expected no less, or signals.mode: evaluate"
            )
        return [*range(steps_per_epoch, steps + 1, steps_per_epoch)]
    if signals.every_steps is not None:
        return [*range(signals.every_steps, steps, signals.every_steps), steps]
    if signals.per_epoch > steps_per_epoch:
        raise DatamapError(
            f"signals.per_epoch: {signals.per_epoch}: an epoch has only {steps_per_epoch} steps of "
            "train.batch_size examples; expected no more evaluations than steps"
        )
    ends = (
        epoch * steps_per_epoch + part * steps_per_epoch // signals.per_epoch
        for epoch in range(-(-steps // steps_per_epoch))
        for part in range(1, signals.per_epoch + 1)
    )
    return [*(end for end in ends if end < steps), steps]


def hold_out(labels: NDArray[np.int64], count: int | None, seed: int) -> list[Fold]:
    """`count` folds that hold out every example once, those of each label in equal parts; None: one, of all in both.

    The first holds out the most; the sizes differ by one at most. Raises DatamapError for more folds than examples.
    """
    everything = np.arange(len(labels))
    if count is None:
        return [Fold(everything, everything)]
    if count > len(labels):
        raise DatamapError(f"train.folds: {count}: there are only {len(labels)} examples; expected no more")
    mixed = np.random.default_rng([seed, count]).permutation(len(labels))
    by_label = mixed[np.argsort(labels[mixed], kind="stable")]
    fold_of = np.empty(len(labels), np.int64)
    fold_of[by_label] = everything % count
    return [Fold(everything[fold_of != fold], everything[fold_of == fold]) for fold in range(count)]


@functools.lru_cache(maxsize=1)
def _order(count: int, seed: int, epoch: int, fold: int) -> NDArray[np.int64]:
    """The examples in the order of an epoch: a pure function, so that no checkpoint needs to hold it."""
    return np.random.default_rng([seed, epoch, fold]).permutation(count)
