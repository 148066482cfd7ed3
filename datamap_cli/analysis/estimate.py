"""How many labels are wrong, from the joined opinion, and how little of that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datamap_cli.analysis.opinions import Joined, softmax

METHOD = (
    "confident joint (Northcutt 2021) of the joined opinion, at least what the held-out opinions clearly contradict"
)
METHOD_HELD_OUT = (
    "geometric mean of what the held-out opinions clearly contradict and their confident joint (Northcutt 2021)"
)
CAVEAT = "errors that follow a pattern in the texts count as right: nothing here can tell them"

_HALVINGS = 12

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """How many of the labels are wrong, and between which numbers that lies as far as the opinions tell."""

    total: int
    low: int
    """As if only what held-out opinions clearly contradict were wrong, or all that the model learnt were knowledge, or
    only that were wrong where it and the held-out opinions prefer the same other class: the least."""
    high: int
    """As if all that the model learnt were memorized, and all that the held-out opinions contradict were wrong."""
    by_class: list[int]
    """Wrong labels among the examples that are given each class, by class index; they add up to `total`."""
    method: str


def estimate(label: Labels, joined: Joined) -> Estimate:
    """How many of the labels (N,) are wrong, by what the opinions say together.

    A model that was trained on the labels is surer of them than it has reason to be. What the dynamics add is therefore
    held down towards believing the given labels no more than the held-out opinions do, as far as those know anything.
    Without dynamics nothing tells a wrong label from a hard text: the number lies between the two that held-out
    opinions give.
    """
    held_out = joined.held_out
    contradicted = held_out.argmax(axis=1) != label
    clearly, confident = _clear_errors(label, held_out), confident_joint_errors(label, held_out)
    ends = [float(each.sum()) for each in (clearly, confident)]
    if joined.evidence is None:
        by_class, method = clearly + confident, METHOD_HELD_OUT
        total = (ends[0] * ends[1]) ** 0.5
    else:
        logs = np.log(held_out + 1e-300)
        share = _believable_share(joined.evidence, label, held_out)
        together = confident_joint_errors(label, softmax(logs + share * joined.evidence))
        by_class, method = (clearly if clearly.sum() > together.sum() else together), METHOD
        total = float(by_class.sum())
        ends.append(float(confident_joint_errors(label, softmax(logs + joined.evidence)).sum()))
        ends.append(float((contradicted & (held_out.argmax(axis=1) == joined.evidence.argmax(axis=1))).sum()))
    low, high = _with_chance(min(total, *ends), max(total, *ends, float(contradicted.sum())), len(label))
    return Estimate(round(total), low, high, _apportioned(by_class, round(total)), method)


def _clear_errors(label: Labels, probs: Floats) -> Floats:
    """Of the examples given each class those whose label is contradicted, each counted by the margin, (C,)."""
    margin = probs.max(axis=1) - probs[np.arange(len(label)), label]
    return np.asarray(np.bincount(label, margin, minlength=probs.shape[1]), np.float64)


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


def _believable_share(evidence: Floats, label: Labels, held_out: Floats) -> float:
    """What the evidence (N, C) of the dynamics is multiplied by, 0 to 1.

    The factor by which it would believe the given labels as much as the held-out opinions do on average is gone towards
    as far as those are better than naming the commonest class.
    """
    rows = np.arange(len(label))
    commonest = float(np.bincount(label).max()) / len(label)
    right = float((held_out.argmax(axis=1) == label).mean())
    known = max(0.0, right - commonest) / max(1 - commonest, 1e-9)
    confidence = float(held_out[rows, label].mean())
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if softmax(middle * evidence)[rows, label].mean() <= confidence:
            low = middle
        else:
            high = middle
    return 1 - known * (1 - high)


def _with_chance(low: float, high: float, most: int) -> tuple[int, int]:
    """Both ends, two standard deviations of a count farther apart: so much is chance."""
    return max(0, round(low - 2 * low**0.5)), min(most, round(high + 2 * high**0.5))


def _apportioned(shares: Floats, total: int) -> list[int]:
    """Whole numbers that add up to `total`, in proportion to shares (C,): the largest remainders are rounded up."""
    exact = shares * (total / max(float(shares.sum()), 1e-300))
    whole = np.floor(exact).astype(np.int64)
    for place in np.argsort(-(exact - whole), kind="stable")[: total - int(whole.sum())]:
        whole[place] += 1
    numbers: list[int] = whole.tolist()
    return numbers
