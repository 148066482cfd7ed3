"""How well signals find labels that are known to be wrong: planting them, and measuring a ranking against them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datamap_cli.analysis import selection
from datamap_cli.errors import DatamapError

RESAMPLES = 1_000
LEVEL = 0.95
"""Of the intervals."""

# weights that are held at once while resampling
_BLOCK = 4_000_000
# resamples are fewer for very many examples: there the intervals are narrow anyway
_DRAWN, _FEWEST = 100_000_000, 100

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def flip(
    label: Labels, n_classes: int, amount: int | float, seed: int, *, among: Bools, towards: Labels | None = None
) -> tuple[Labels, Bools]:
    """Labels (N,) of which an `amount` (a number, or as a float a share) is turned to another class, and which.

    Chosen at random of those `among` which one may choose; the new class is drawn from all others, or is the one that
    `towards` (C,) gives for the old one. Raises DatamapError where there is nothing to flip or nothing left.
    """
    candidates = np.flatnonzero(among)
    number = selection.number(amount, len(candidates))
    if n_classes < 2:
        raise DatamapError("a label can only be flipped where there are two classes or more")
    if not 0 < number < len(candidates):
        raise DatamapError(
            f"--flip: {amount:g}: {number:,} of {len(candidates):,} labels; expected at least one, and not all"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.choice(candidates, number, replace=False)
    old = label[chosen]
    new = (old + rng.integers(1, n_classes, number)) % n_classes if towards is None else towards[old]
    flipped = np.zeros(len(label), np.bool_)
    flipped[chosen] = True
    labels = label.copy()
    labels[chosen] = new
    return labels, flipped


def most_confused(label: Labels, probs: Floats) -> Labels:
    """For each class the other one that its examples are taken for most, (C,), by probs (N, C)."""
    n_classes = probs.shape[1]
    confusion = np.zeros((n_classes, n_classes))
    np.add.at(confusion, label, probs)
    np.fill_diagonal(confusion, -1)
    most: Labels = confusion.argmax(axis=1)
    return most


# ---------------------------------------------------------------------------------------------- measures


@dataclass(frozen=True)
class Measure:
    """A measure of all examples, and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Detection:
    """How well a ranking finds what was flipped."""

    auroc: Measure
    """Probability that a flipped example ranks above one that is not; ties count half."""
    average_precision: Measure
    """Precision averaged over the flipped examples, tied ones taken together."""
    precision: Measure
    """Share of flipped ones among as many of the first as were flipped; of ties the mean over their orders."""


def detection(severity: Floats, flipped: Bools, seed: int, resamples: int = RESAMPLES) -> Detection:
    """Measures the ranking by `severity` (N,), the highest first, against what was `flipped` (N,).

    Intervals are percentiles of the bootstrap: flipped examples and others are drawn again, each with replacement, as
    many as they are. At least one of each must be there.
    """
    order = np.argsort(-severity, kind="stable")
    positive = flipped[order]
    ends = _ends(severity[order])
    value = _measures(np.ones((1, len(order))), positive, ends)[:, 0]
    rng = np.random.default_rng(seed)
    counts = int(np.clip(_DRAWN // len(order), _FEWEST, resamples))
    block = max(1, _BLOCK // len(order))
    drawn = np.concatenate(
        [
            _measures(_weights(rng, positive, min(block, counts - first)), positive, ends)
            for first in range(0, counts, block)
        ],
        axis=1,
    )
    low, high = np.percentile(drawn, [50 - 50 * LEVEL, 50 + 50 * LEVEL], axis=1)
    return Detection(*(Measure(*map(float, measure)) for measure in zip(value, low, high, strict=True)))


def precision_recall(severity: Floats, flipped: Bools) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Of taking all examples down to each of the K severities there are: how many, recall and precision, (K,) each."""
    order = np.argsort(-severity, kind="stable")
    ends = _ends(severity[order])
    found = flipped[order].cumsum()[ends]
    return ends + 1, found / flipped.sum(), found / (ends + 1)


def _ends(ranked: Floats) -> npt.NDArray[np.intp]:
    """Where a run of equal values ends."""
    return np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def _weights(rng: np.random.Generator, positive: Bools, count: int) -> Floats:
    """How often each example is drawn, (count, N)."""
    weights = np.empty((count, len(positive)))
    for kind in (positive, ~positive):
        size = int(kind.sum())
        drawn = rng.integers(0, size, (count, size)) + size * np.arange(count)[:, None]
        weights[:, kind] = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)
    return weights


def _measures(weights: Floats, positive: Bools, ends: npt.NDArray[np.intp]) -> Floats:
    """auroc, average_precision and precision, (3, B), of examples ranked, weighted by (B, N); ties end at `ends`."""
    found = np.where(positive, weights, 0).cumsum(axis=1)[:, ends]
    taken = weights.cumsum(axis=1)[:, ends]
    total = found[:, -1:]
    others = taken - found
    gained = np.diff(found, axis=1, prepend=0)
    below = others[:, -1:] - others + np.diff(others, axis=1, prepend=0) / 2
    auroc = (gained * below).sum(axis=1) / (total * others[:, -1:])[:, 0]
    average_precision = (gained * found / np.maximum(taken, 1)).sum(axis=1) / total[:, 0]
    number = positive.sum()
    within = [np.interp(number, np.append(0, t), np.append(0, f)) / number for t, f in zip(taken, found, strict=True)]
    return np.stack([auroc, average_precision, np.array(within)])
