"""Several opinions on every label, and what they say together. Pure; scikit-learn is imported where it is used.

An opinion is the probabilities of all classes (N, C) that somebody who did not see an example's label gives it. The
dynamics have seen it; they are the one opinion that is not held out.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datamap_cli.analysis.neighbours import NEIGHBOURS

FOLDS = 5
STRENGTHS = (1.0, 10.0)
"""scikit-learn's C; the one that predicts better is taken: few noisy classes want the first, many the second."""
ITERATIONS = 200
METHOD = (
    "log-odds of the best other label against the given one: the sum of what each opinion says, "
    "held-out ones weighted by how well they predict the given labels"
)
"""What the default score is, in a sentence."""

HELD_OUT, PRIOR = ("linear", "embedding", "neighbours"), "prior"
# the least probability: an opinion that is surer than that is not believed
_LEAST, _LEAST_SEEN = 1e-4, 1e-6
# examples that weights are fitted to; the largest weight, where an opinion is never wrong
_FITTED, _HEAVIEST = 20_000, 10.0

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


# ------------------------------------------------------------------------------------ the embedding opinion


def embedding_probs(
    a: Vectors, b: Vectors | None, label: Labels, n_classes: int, seed: int, *, group: Labels | None = None
) -> Floats:
    """Probabilities (N, C) by logistic regression over the vectors of the texts, held out.

    `a` and `b` are the vectors (N, D) of the first and the second texts, of length 1, by a model that has not seen the
    labels. Examples of one `group` (N,), such as those that are `sharing` a text, are held out together.
    """
    return held_out_probs(_features(a, b), label, n_classes, stratified_folds(label, FOLDS, seed, group))


def held_out_probs(features: Vectors, label: Labels, n_classes: int, fold: Labels) -> Floats:
    """Probabilities (N, C) by logistic regression over features (N, D), each example's by the other folds' model.

    How strongly the weights are held down is chosen by the likelihood of the given labels of the first fold. A class
    that the other folds lack has probability 0.
    """
    first = fold == fold.min()
    inside = np.flatnonzero(first)
    tried = {strength: _predicted(features, label, n_classes, first, strength) for strength in STRENGTHS}

    def likelihood(strength: float) -> float:
        return float(np.log(np.maximum(tried[strength][np.arange(len(inside)), label[inside]], _LEAST)).sum())

    strength = max(STRENGTHS, key=likelihood)
    probs = np.zeros((len(label), n_classes))
    probs[first] = tried[strength]
    for number in np.unique(fold[~first]):
        probs[fold == number] = _predicted(features, label, n_classes, fold == number, strength)
    return probs


def _predicted(features: Vectors, label: Labels, n_classes: int, inside: Bools, strength: float) -> Floats:
    """Probabilities of the examples `inside` by a model of all others; of one class only, that class is certain."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    probs = np.zeros((int(inside.sum()), n_classes))
    classes = np.unique(label[~inside])
    if len(classes) < 2:
        probs[:, classes] = 1
        return probs
    model = LogisticRegression(C=strength, max_iter=ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        # stopped early its ranking is the same
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[~inside], label[~inside])
    probs[:, model.classes_] = model.predict_proba(features[inside])
    return probs


def stratified_folds(label: Labels, folds: int, seed: int, group: Labels | None = None) -> Labels:
    """The fold of each example, (N,): a class is dealt out one by one, going on where the last class ended.

    A `group` (N,) is dealt out as its first example, and stays together.
    """
    own = np.arange(len(label)) if group is None else group
    _, first, member = np.unique(own, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(label[first[order]], kind="stable")]
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % folds
    return fold[member]


def sharing(text_a: Labels, text_b: Labels | None) -> Labels:
    """Groups (N,) of examples that share a text, on either side, directly or by way of others; texts are numbers (N,).

    What is held out should not be vouched for by the same sentence in another pair. Where the groups so made would be
    larger than half a fold, only examples with the same texts on both sides share one.
    """
    from scipy import sparse
    from scipy.sparse import csgraph

    n = len(text_a)
    if text_b is None:
        return np.unique(text_a, return_inverse=True)[1]
    text = np.unique(np.concatenate([text_a, text_b]), return_inverse=True)[1]
    edges = (np.ones(2 * n, np.int8), (np.tile(np.arange(n), 2), n + text))
    size = n + int(text.max(initial=-1)) + 1
    group = csgraph.connected_components(sparse.coo_array(edges, shape=(size, size)), directed=False)[1][:n]
    if np.bincount(group).max(initial=0) <= n / FOLDS / 2:
        return np.asarray(group, np.int64)
    member = np.unique(np.stack([text_a, text_b], axis=1), axis=0, return_inverse=True)[1]
    return np.asarray(member, np.int64).reshape(-1)


def _features(a: Vectors, b: Vectors | None) -> Vectors:
    return a if b is None else np.hstack([a, b, np.abs(a - b), a * b])


# ------------------------------------------------------------------------------------ together


@dataclass(frozen=True)
class Joined:
    """What K opinions say together of N labels."""

    score: Floats
    """How strongly they contradict the given label, (N,): log-odds of the best other class against it, nats."""
    opinions: tuple[str, ...]
    """Those of HELD_OUT that there are, `dynamics` where there are any, and last `prior`: how common classes are."""
    parts: Floats
    """What each opinion adds to the score, (N, K): positive where it contradicts the label. They sum to the score."""
    weights: Floats
    """What each opinion's log-probabilities are multiplied by, (K,); the prior's may be negative."""
    best_other: Labels
    """The class that the score is the log-odds of, (N,); the given one where there is only one class."""
    suggested: Labels
    """The class that the joined opinion prefers, (N,); the given one where it agrees."""
    held_out: Floats
    """Probabilities of all classes by the held-out opinions and the prior, calibrated to the given labels, (N, C)."""
    evidence: Floats | None
    """What the dynamics add to the logarithms of those, (N, C), up to a constant a row; None without dynamics."""


def joined(
    label: Labels,
    n_classes: int,
    *,
    linear: Floats | None = None,
    embedding: Floats | None = None,
    neighbours: Floats | None = None,
    mean_probs: Floats | None = None,
    avg_loss: Floats | None = None,
) -> Joined:
    """The default score of suspects, from the opinions that there are.

    `linear`, `embedding` and `neighbours` (shares of the labels of the neighbours) are held-out probabilities (N, C).
    They are weighted so that together they predict the given labels best (a logarithmic pool: Genest and Zidek 1986),
    the frequencies of the classes among them, which would count as often as there are opinions otherwise.

    Of the dynamics `mean_probs` are the probabilities of all classes averaged over the evaluations; where there are
    none, `avg_loss` (N,) speaks of the label alone. They have seen the labels, so no likelihood tells their weight:
    they count once, by how much they raise a class above its own mean.

    No truth enters. Raises ValueError where there is no opinion, or one of another shape.
    """
    given = {"linear": linear, "embedding": embedding, "neighbours": neighbours}
    names = [name for name in HELD_OUT if given[name] is not None]
    dynamics = _dynamics(label, n_classes, mean_probs, avg_loss)
    if not names and dynamics is None:
        raise ValueError("no opinion to join")
    for name, probs in (*given.items(), ("mean_probs", mean_probs)):
        if probs is not None and probs.shape != (len(label), n_classes):
            raise ValueError(f"{name}: {probs.shape}; expected {(len(label), n_classes)}")
    prior = (np.bincount(label, minlength=n_classes) + 1) / (len(label) + n_classes)
    logs = [np.log(_smoothed(np.asarray(given[name]), prior, name)) for name in names]
    logs.append(np.broadcast_to(np.log(prior), (len(label), n_classes)))
    weights = _weights(logs, label)
    pooled = np.zeros((len(label), n_classes))
    for weight, log in zip(weights, logs, strict=True):
        pooled += weight * log
    total = pooled.copy()
    if dynamics is not None:
        names.append("dynamics")
        logs.insert(-1, dynamics)
        weights = np.insert(weights, -1, 1.0)
        total += dynamics
    rows = np.arange(len(label))
    total[rows, label] = -np.inf
    best = total.argmax(axis=1) if n_classes > 1 else label
    parts = np.stack([log[rows, best] - log[rows, label] for log in logs], axis=1) * weights
    score = parts.sum(axis=1)
    suggested = np.where(score > 0, best, label)
    return Joined(score, (*names, PRIOR), parts, weights, best, suggested, softmax(pooled), dynamics)


def _smoothed(probs: Floats, prior: Floats, name: str) -> Floats:
    """Probabilities none of which is 0; shares of neighbours as if one more had been drawn by the prior."""
    if name == "neighbours":
        return np.asarray((NEIGHBOURS * probs + prior) / (NEIGHBOURS * probs.sum(axis=1, keepdims=True) + 1))
    kept = np.maximum(np.nan_to_num(probs), _LEAST)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def _dynamics(label: Labels, n_classes: int, mean_probs: Floats | None, avg_loss: Floats | None) -> Floats | None:
    """By how much the dynamics raise each class above its mean, (N, C) nats; None where there are none.

    A model that has learnt little says the same of every example: that is no evidence against rare classes.
    """
    if mean_probs is None and avg_loss is None:
        return None
    if mean_probs is None:
        own = np.exp(-np.asarray(avg_loss))
        mean_probs = np.repeat((1 - own)[:, None] / max(n_classes - 1, 1), n_classes, axis=1)
        mean_probs[np.arange(len(label)), label] = own
    raised = np.log(np.maximum(mean_probs, _LEAST_SEEN)) - np.log(np.maximum(mean_probs.mean(axis=0), _LEAST_SEEN))
    return np.asarray(raised)


def _weights(logs: list[Floats], label: Labels) -> Floats:
    """Weights (K,) with which log-probabilities, (N, C) each, predict the given labels best; all but the last ≥ 0."""
    from scipy.optimize import minimize

    step = max(1, len(label) // _FITTED)
    stacked = np.stack([log[::step] for log in logs], axis=-1)
    rows, label = np.arange(len(stacked)), label[::step]
    own = stacked[rows, label]

    def loss(weights: Floats) -> tuple[float, Floats]:
        probs = softmax(stacked @ weights)
        value = -np.log(np.maximum(probs[rows, label], 1e-300)).mean()
        return float(value), np.asarray((np.einsum("nc,nck->nk", probs, stacked) - own).mean(axis=0))

    k = len(logs)
    # opinions that know the same take the prior in as often as they are many, at most
    bounds = [(0.0, _HEAVIEST)] * (k - 1) + [(-float(k), 1.0)]
    return np.asarray(minimize(loss, np.full(k, 1 / k), jac=True, bounds=bounds, method="L-BFGS-B").x)


def softmax(logits: Floats) -> Floats:
    """Probabilities (N, C) of logarithms that may be off by a constant a row."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
