"""The linear opinion: what a linear model over character n-grams says of each label, held out, in seconds.

It cannot memorize an example, for it never saw it, and it has read nothing but the file: where it contradicts a label,
the file contradicts itself. Needs scikit-learn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import util
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.analysis import duplicates, ngrams

if TYPE_CHECKING:
    from scipy import sparse

FOLDS = 5
EPOCHS = (3, 10)
"""Passes of the averaged gradient: after ten its ranking is that of the exact solution, after three nearly."""
STRENGTH = 1.0
"""Inverse strength of the L2 penalty on the summed losses, scikit-learn's C."""
MISSING = "the linear opinion needs scikit-learn: pip install 'datamap-cli[check]'"

# of weights, by all passes: some seconds, then half a minute; beyond, class means stand in for the regression
_UPDATES, _MOST_UPDATES = 1e9, 1e10
_STEP = 50  # weights that could be updated while the gradient goes on to the next example
_MOST_WEIGHTS = 10_000_000  # a fold: some hundred megabytes in all
_MOST_GRAMS = 2**18
_MOST_PROBS = 50_000_000  # (N, C) that are kept
_BLOCK = 4_000_000  # scores at a time
_SAMPLE = 4_000  # examples that the temperature is fitted to
_PROJECTED = 512
_LEAST = 1e-12
# letters and their accents, not of the scripts of East Asia, which write words together
_WORD = re.compile(
    r"(?:(?![\u0e00-\u0eff\u1000-\u109f\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\w'’\u0300-\u036f])+"
)

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Span = tuple[int, int]


@dataclass(frozen=True)
class Model:
    """A linear model of one fold: scores are features · weights + bias, a row of weights a class (two classes: one)."""

    classes: Labels
    """The classes that its examples have, ascending."""
    weights: npt.NDArray[np.float32]
    bias: Floats
    projection: npt.NDArray[np.float32] | None = None
    """For class means: what the features are multiplied with before the weights, (features, P)."""

    def log_probs(self, features: sparse.csr_array) -> Floats:
        """Log-probabilities of its classes, (n, len(classes)), before the temperature."""
        if self.projection is not None:
            return _log_softmax(_unit(features @ self.projection) @ self.weights.T)
        scores: Floats = np.asarray(features @ self.weights.T.astype(np.float64)) + self.bias
        if len(self.classes) == 2:
            scores = np.hstack([-scores, scores])
        # one against the rest each: the sigmoids, made to sum to 1
        return _log_softmax(np.asarray(-np.logaddexp(0, -scores)))

    def contrast(self, towards: int, against: int, features: npt.NDArray[np.int64]) -> Floats:
        """How much a unit of each of the `features` speaks for one class against another; 0 for a class it lacks."""
        of_class = [-self.weights[0], self.weights[0]] if len(self.weights) == 1 else self.weights
        rows = {int(name): weights for name, weights in zip(self.classes, of_class, strict=True)}
        zero = np.zeros(self.weights.shape[1], np.float32)
        difference = rows.get(towards, zero) - rows.get(against, zero)
        if self.projection is not None:
            spoken: Floats = (self.projection[features] @ difference).astype(np.float64)
            return spoken
        return np.asarray(difference[features], np.float64)


@dataclass(frozen=True)
class Linear:
    """What the linear opinion says of N examples, each by the model of the fold that it was held out from."""

    label_probs: Floats
    """Probability of the given label, (N,); NaN where its class has no further example to learn it from."""
    pred_label: Labels
    """The likeliest class, (N,)."""
    pred_probs: Floats
    """Its probability, (N,)."""
    probs: npt.NDArray[np.float32] | None
    """Probabilities of all classes, (N, C); None above 50 million of them."""
    fold: Labels
    """Which fold each was held out in, (N,); examples with the same texts share one."""
    temperature: float
    """What log-probabilities were divided by: fitted to the likelihood of the given labels, held out."""
    method: str
    vocabulary: ngrams.Vocabulary
    models: list[Model | None]
    """By fold; None where the other folds have one class only."""
    pairs: bool

    @property
    def loss(self) -> Floats:
        """−log of `label_probs`, nats, (N,); NaN where there is none."""
        return np.asarray(-np.log(np.maximum(self.label_probs, _LEAST)))

    def speaking(
        self, row: int, text_a: str, text_b: str | None, towards: int, against: int, most: int = 3
    ) -> tuple[list[Span], list[Span]]:
        """The characters of the row's texts that speak most for one class against another, as spans [begin, end).

        Every n-gram's part of the score is shared out among its characters, and a word's among all of it where words
        are written apart. Spans are the runs that have at least a third of what the strongest has, `most` of both texts
        together, in the order of the text.
        """
        model = self.models[self.fold[row]]
        texts = [text_a, text_b or ""] if self.pairs else [text_a]
        if model is None:
            return [], []
        heat = _heat(texts, self.vocabulary, lambda features: model.contrast(towards, against, features))
        strongest = max((values.max(initial=0) for values in heat), default=0)
        if strongest <= 0:
            return [], []
        found = [
            (-float(values[begin:end].sum()), side, begin, end)
            for side, (text, values) in enumerate(zip(texts, heat, strict=True))
            for begin, end in _runs(text, values >= strongest / 3)
        ]
        kept = sorted((side, begin, end) for _, side, begin, end in sorted(found)[:most])
        spans = [[(begin, end) for side, begin, end in kept if side == wanted] for wanted in (0, 1)]
        return spans[0], spans[1]


def available() -> bool:
    """Whether scikit-learn is installed."""
    return util.find_spec("sklearn") is not None


def held_out(texts_a: pl.Series, texts_b: pl.Series | None, label: Labels, n_classes: int, seed: int) -> Linear:
    """The linear opinion of N examples with the given labels (N,), two classes or more.

    Logistic regression over the TF-IDF of character n-grams, of pairs also over absolute difference and product;
    stratified folds, by averaged stochastic gradient. Where there are so many classes that it would take minutes, the
    likeness to the classes' means, after a random projection, stands in for it. The same seed gives the same numbers.
    """
    blocks = 1 if texts_b is None else 4
    weights = 1 if n_classes == 2 else n_classes
    most = int(np.clip(_MOST_WEIGHTS // (blocks * weights), 2**13, _MOST_GRAMS))
    features, vocabulary = _features(texts_a, texts_b, most)
    fold = _folds(texts_a, texts_b, label, seed)
    updates = (features.nnz + _STEP * len(label)) * weights * (FOLDS - 1)
    epochs = int(np.clip(_UPDATES // max(updates, 1), *EPOCHS)) if updates * EPOCHS[0] <= _MOST_UPDATES else 0

    def of_fold(number: int) -> Model | None:
        train = np.flatnonzero(fold != number)
        if not features.shape[1] or len(np.unique(label[train])) < 2:
            return None
        if not epochs:
            return _means(features[train], label[train], seed)
        return _regression(features[train], label[train], epochs, seed)

    with ThreadPoolExecutor(2) as pool:  # the gradient runs outside Python's lock
        models = list(pool.map(of_fold, range(FOLDS)))
    temperature = _temperature(features, label, fold, models, seed)
    return _judged(features, label, n_classes, fold, models, temperature, vocabulary, pairs=texts_b is not None)


def _judged(
    features: sparse.csr_array,
    label: Labels,
    n_classes: int,
    fold: Labels,
    models: list[Model | None],
    temperature: float,
    vocabulary: ngrams.Vocabulary,
    *,
    pairs: bool,
) -> Linear:
    """What the models say of all examples, a block of rows at a time, so that never all is in memory."""
    count = len(label)
    label_probs, pred_probs = np.full(count, np.nan), np.full(count, np.nan)
    pred_label = label.copy()
    probs = np.zeros((count, n_classes), np.float32) if count * n_classes <= _MOST_PROBS else None
    for rows, model in _blocks(fold, models, np.arange(count)):
        values = np.exp(_log_softmax(model.log_probs(features[rows]) / temperature))
        if probs is not None:
            probs[rows[:, None], model.classes] = values
        best = values.argmax(axis=1)
        pred_label[rows], pred_probs[rows] = model.classes[best], values[np.arange(len(rows)), best]
        place = np.minimum(np.searchsorted(model.classes, label[rows]), len(model.classes) - 1)
        known = model.classes[place] == label[rows]
        label_probs[rows[known]] = values[known, place[known]]
    regression = all(model is None or model.projection is None for model in models)
    method = f"{'logistic regression over' if regression else 'class means of'} character n-grams, {FOLDS} folds"
    return Linear(label_probs, pred_label, pred_probs, probs, fold, temperature, method, vocabulary, models, pairs)


def _blocks(
    fold: Labels, models: list[Model | None], rows: npt.NDArray[np.intp]
) -> Iterator[tuple[npt.NDArray[np.intp], Model]]:
    """Those of the rows that a model judges, so many at a time, and the model."""
    for number, model in enumerate(models):
        if model is None:
            continue
        own = rows[fold[rows] == number]
        size = max(1, _BLOCK // len(model.classes))
        for first in range(0, len(own), size):
            yield own[first : first + size], model


# ------------------------------------------------------------------------------------- features and folds


def _features(texts_a: pl.Series, texts_b: pl.Series | None, most: int) -> tuple[sparse.csr_array, ngrams.Vocabulary]:
    from scipy import sparse

    if texts_b is None:
        return ngrams.tfidf(texts_a, most)
    both, vocabulary = ngrams.tfidf(pl.concat([texts_a, texts_b.alias(texts_a.name)]), most)
    a, b = both[: len(texts_a)], both[len(texts_a) :]
    return sparse.hstack([a, b, abs(a - b), a.multiply(b)], format="csr"), vocabulary


def _folds(texts_a: pl.Series, texts_b: pl.Series | None, label: Labels, seed: int) -> Labels:
    """The fold of each example, (N,): as many of each class in each as can be, examples with the same texts together.

    Otherwise a wrong label that stands twice would vouch for itself.
    """
    _, first, group_of = np.unique(duplicates.groups(texts_a, texts_b), return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(label[first[order]], kind="stable")]
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % FOLDS
    return fold[group_of]


# ------------------------------------------------------------------------------------------------ models


def _regression(features: sparse.csr_array, label: Labels, epochs: int, seed: int) -> Model:
    """Logistic regression, for more than two classes one against the rest."""
    from sklearn.linear_model import SGDClassifier

    penalty = 1 / (STRENGTH * features.shape[0])
    model = SGDClassifier(
        loss="log_loss", alpha=penalty, max_iter=epochs, tol=None, average=True, random_state=seed % 2**32
    ).fit(features, label)
    return Model(model.classes_.astype(np.int64), model.coef_.astype(np.float32), model.intercept_.astype(np.float64))


def _means(features: sparse.csr_array, label: Labels, seed: int) -> Model:
    """The mean of each class after a random projection (Johnson and Lindenstrauss 1984), made of length 1."""
    from scipy import sparse

    classes, index = np.unique(label, return_inverse=True)
    projection = np.random.default_rng(seed).standard_normal((features.shape[1], _PROJECTED), np.float32)
    projection /= np.float32(np.sqrt(_PROJECTED))
    sums = sparse.csr_array((np.ones(len(index), np.float32), index, np.arange(len(index) + 1))).T @ features
    return Model(classes, _unit(sums @ projection).astype(np.float32), np.zeros(len(classes)), projection)


def _temperature(
    features: sparse.csr_array, label: Labels, fold: Labels, models: list[Model | None], seed: int
) -> float:
    """What the log-probabilities are to be divided by to make the given labels likeliest (Guo 2017)."""
    from scipy import optimize

    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(len(label), min(len(label), _SAMPLE), replace=False))
    parts = []
    for rows, model in _blocks(fold, models, sample):
        rows = rows[np.isin(label[rows], model.classes)]
        if len(rows):
            parts.append((model.log_probs(features[rows]), np.searchsorted(model.classes, label[rows])))
    if not parts:
        return 1.0

    def loss(log_temperature: float) -> float:
        return -sum(
            float(_log_softmax(values / np.exp(log_temperature))[np.arange(len(index)), index].sum())
            for values, index in parts
        )

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-5, 3), method="bounded", options={"xatol": 1e-3}).x))


def _unit(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = matrix / np.where(length > 0, length, 1)
    return unit


def _log_softmax(scores: Floats | npt.NDArray[np.float32]) -> Floats:
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    normal: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normal


# ---------------------------------------------------------------------------------------------- evidence


def _heat(
    texts: list[str], vocabulary: ngrams.Vocabulary, contrast: Callable[[npt.NDArray[np.int64]], Floats]
) -> list[Floats]:
    """How much each character of a text, or of the two of a pair, says: its share of the n-grams it stands in."""
    found = [ngrams.locate(text, vocabulary) for text in texts]
    column = np.unique(np.concatenate([places.column for places in found]))
    values = [ngrams.values(column, places.column, vocabulary) for places in found]
    size = len(vocabulary.keys)
    said = [value * contrast(column + side * size) for side, value in enumerate(values)]
    if len(values) == 2:
        a, b = values
        both = abs(a - b) * contrast(column + 2 * size) + a * b * contrast(column + 3 * size)
        said = [
            part + (value > 0) * both / np.maximum((a > 0).astype(int) + (b > 0), 1)
            for part, value in zip(said, values, strict=True)
        ]
    return [
        _shared(text, places, np.searchsorted(column, places.column), part)
        for text, places, part in zip(texts, found, said, strict=True)
    ]


def _shared(text: str, places: ngrams.Places, index: npt.NDArray[np.intp], part: Floats) -> Floats:
    """The part of each n-gram, `index` into `part` (K,), shared out among the characters of a text, (characters,)."""
    times = np.bincount(index, minlength=len(part))
    share = part[index] / (times[index] * places.length)
    change = np.zeros(len(text) + 1)
    np.add.at(change, places.begin, share)
    np.add.at(change, places.begin + places.length, -share)
    heat: Floats = change.cumsum()[:-1]
    for word in _WORD.finditer(text):
        heat[word.start() : word.end()] = heat[word.start() : word.end()].mean()
    return heat


def _runs(text: str, marked: npt.NDArray[np.bool_]) -> list[Span]:
    """Where runs of marked characters begin and end, without the blanks at their ends."""
    edges = np.flatnonzero(np.diff(marked.astype(np.int8), prepend=0, append=0))
    runs = []
    for begin, end in edges.reshape(-1, 2).tolist():
        part = text[begin:end]
        if part.strip():
            runs.append((begin + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())))
    return runs
