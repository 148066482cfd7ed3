"""How many labels are wrong, from the joined opinion, and how little of that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datamap_cli.analysis.opinions import Joined, softmax

METHOD = "confident joint (Northcutt 2021) of the joined opinion, calibrated to the number of labels of each class"
CAVEAT = "errors that follow a pattern in the texts count as right: nothing here can tell them"

_HALVINGS = 30

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """How many of the labels are wrong, and between which numbers that lies as far as the opinions tell."""

    total: int
    low: int
    """What is left if all that the trained model learnt was knowledge, or if only those labels are wrong in whose place
    it and the held-out opinions prefer the same other class; the lesser."""
    high: int
    """What there is if all of that was memorized, and every label that the held-out opinions contradict is wrong."""
    by_class: list[int]
    """Wrong labels among the examples that are given each class, by class index; they add up to `total`."""
    method: str = METHOD


def estimate(label: Labels, joined: Joined) -> Estimate:
    """How many of the labels (N,) are wrong, by what the opinions say together.

    A model that was trained on the labels is surer of them than it has reason to be. What the dynamics add is therefore
    held down towards believing the given labels no more than the held-out opinions do, as far as those know anything:
    by Cohen's kappa against the commonest class.
    """
    held_out = joined.held_out
    rows = np.arange(len(label))
    alone = confident_joint_errors(label, held_out)
    contradicted = float((held_out.argmax(axis=1) != label).sum())
    by_class, least = alone, alone.sum()
    if joined.evidence is not None:
        logs = np.log(held_out + 1e-300)
        commonest = float(np.bincount(label).max()) / len(label)
        known = max(0.0, 1 - contradicted / len(label) - commonest) / max(1 - commonest, 1e-9)
        share = 1 - known * (1 - _believable(joined.evidence, label, float(held_out[rows, label].mean())))
        by_class = confident_joint_errors(label, softmax(logs + share * joined.evidence))
        together = softmax(logs + joined.evidence)
        least = min(
            float(confident_joint_errors(label, together).sum()), float((together.argmax(axis=1) != label).sum())
        )
    total = round(float(by_class.sum()))
    low = min(total, round(float(least)))
    high = max(total, round(max(float(alone.sum()), contradicted)))
    return Estimate(total, low, high, _apportioned(by_class, total))


def confident_joint_errors(label: Labels, probs: Floats) -> Floats:
    """How many of the examples given each class are of another, (C,), by probabilities (N, C).

    An example counts as of the likeliest of those classes whose probability is at least as high as it is on average for
    the examples given that class; the counts of each given class are scaled to its number of examples. Northcutt 2021,
    eq. 1 to 3.
    """
    n_classes = probs.shape[1]
    number = np.bincount(label, minlength=n_classes)
    own = probs[np.arange(len(label)), label]
    threshold = np.bincount(label, own, minlength=n_classes) / np.maximum(number, 1)
    threshold[number == 0] = np.inf
    confident = np.where(probs >= threshold - 1e-9, probs, -1.0)
    taken = confident.argmax(axis=1)
    counted = confident.max(axis=1) >= 0
    wrong = np.bincount(label[counted & (taken != label)], minlength=n_classes)
    sure = np.bincount(label[counted], minlength=n_classes)
    return np.asarray(wrong / np.maximum(sure, 1) * number)


def _believable(evidence: Floats, label: Labels, confidence: float) -> float:
    """What evidence (N, C) is to be multiplied by, at most 1, to believe the given labels by that much on average."""
    rows = np.arange(len(label))
    low, high = 0.0, 1.0
    if softmax(evidence)[rows, label].mean() <= confidence:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if softmax(middle * evidence)[rows, label].mean() <= confidence:
            low = middle
        else:
            high = middle
    return low


def _apportioned(shares: Floats, total: int) -> list[int]:
    """Whole numbers that add up to `total`, in proportion to shares (C,): the largest remainders are rounded up."""
    exact = shares * (total / max(float(shares.sum()), 1e-300))
    whole = np.floor(exact).astype(np.int64)
    for place in np.argsort(-(exact - whole), kind="stable")[: total - int(whole.sum())]:
        whole[place] += 1
    numbers: list[int] = whole.tolist()
    return numbers
