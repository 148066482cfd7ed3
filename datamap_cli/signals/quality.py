"""How good a classifier is on examples it was not trained on: loss, accuracy, F1. Pure: arrays in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datamap_cli.signals.record import probabilities

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """Of a model on a dev set."""

    loss: float
    """Mean −log p(label), nats."""
    accuracy: float
    macro_f1: float
    """Mean of the classes' F1, each counting the same."""
    f1: list[float | None]
    """By class index; null for a class that the dev set has no example of."""


def quality(logits: npt.NDArray[np.float32], label: Labels) -> Quality:
    """Of the model whose output for M ≥ 1 examples is logits (M, C)."""
    predicted = logits.argmax(axis=1)
    counts = (np.bincount(of, minlength=logits.shape[1]) for of in (label[predicted == label], label, predicted))
    by_class = f1(*(count.astype(np.float64) for count in counts))
    return Quality(
        float(probabilities(logits.astype(np.float64), label)[1].mean()),
        float((predicted == label).mean()),
        float(np.nanmean(by_class)),
        [None if np.isnan(value) else float(value) for value in by_class],
    )


def f1(right: Floats, given: Floats, predicted: Floats) -> Floats:
    """F1 of each class, (…, C), from how many examples are predicted right as it, are of it, and are predicted as it.

    NaN for a class without examples, which is left out of a mean: what is wrongly taken for it counts against the
    classes that are there.
    """
    return np.where(given > 0, 2 * right / np.maximum(given + predicted, 1), np.nan)
