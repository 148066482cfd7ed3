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
    f1 = f1_by_class(confusion(label, predicted, logits.shape[1]))
    return Quality(
        float(probabilities(logits.astype(np.float64), label)[1].mean()),
        float((predicted == label).mean()),
        float(np.nanmean(f1)),
        [None if np.isnan(value) else float(value) for value in f1],
    )


def confusion(label: Labels, predicted: Labels, classes: int, weight: Floats | None = None) -> Floats:
    """How many examples of each class (rows) are predicted as which (columns), (C, C)."""
    counts = np.bincount(label * classes + predicted, weight, classes * classes)
    return counts.reshape(classes, classes).astype(np.float64)


def f1_by_class(counts: Floats) -> Floats:
    """2·tp / (2·tp + fp + fn) of each class, (…, C), from confusions (…, C, C); NaN for a class without examples.

    Such a class is left out of the mean: what is wrongly taken for it counts against the classes that are there.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    given, said = counts.sum(axis=-1), counts.sum(axis=-2)
    f1: Floats = np.where(given > 0, 2 * right / np.maximum(given + said, 1), np.nan)
    return f1
