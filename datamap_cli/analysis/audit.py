"""How many labels are wrong, told by a sample that people looked at; and what verdicts so far tell of those to come.

The sample is stratified by the rank of a score, dense where errors are likely. Sampling, not a model, makes the
estimate unbiased: it holds for any score, a useless one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Shares of the ranking, and of the sample. Of designs with 1 to 5 strata, over simulated data sets of 500 and 5,000
# examples with 1 to 35 % wrong and a score from useless to good, the one whose intervals were the narrowest where few
# are wrong and the score is good, and at most as wide as those of a plain sample where it is not
_STRATA = ((0.05, 0.20), (0.15, 0.25), (0.80, 0.55))
_LEVEL = 0.95
_ENOUGH = 10


@dataclass(frozen=True)
class Stratum:
    """Neighbours in the ranking, some of whom are drawn."""

    first: int
    """Rank, from 1."""
    last: int
    drawn: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def over(self, size: float) -> Interval:
        """As a share of `size`."""
        return Interval(self.value / size, self.low / size, self.high / size)


# ------------------------------------------------------------------------------------------ the sample


def stratify(total: int, number: int) -> list[Stratum]:
    """The strata of a ranking of `total` examples, and how many of `number` are drawn in each: one at least."""
    edges = [0, *(round(total * share) for share in np.cumsum([share for share, _ in _STRATA]))]
    edges[-1] = total
    kept = [(a, b, share) for (a, b), (_, share) in zip(pairwise(edges), _STRATA, strict=True) if b > a]
    sizes = np.array([b - a for a, b, _ in kept])
    shares = np.array([share for *_, share in kept])
    drawn = np.minimum(sizes, np.maximum(1, np.round(number * shares / shares.sum()).astype(int)))
    while (missing := min(number, total) - drawn.sum()) != 0:
        # what a stratum has not, or rounding left over, the deepest of the others give or take
        room = np.flatnonzero(drawn < sizes if missing > 0 else drawn > 1)
        if not len(room):
            break
        drawn[room[-1]] += min(missing, sizes[room[-1]] - drawn[room[-1]]) if missing > 0 else -1
    return [Stratum(a + 1, b, int(count)) for (a, b, _), count in zip(kept, drawn, strict=True)]


def draw(strata: Sequence[Stratum], seed: int) -> Ints:
    """The ranks of the sample in random order, which tells nothing of where they stand."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(stratum.size, stratum.drawn, replace=False) + stratum.first for stratum in strata]
    return rng.permutation(np.concatenate(drawn).astype(np.int64))


# ---------------------------------------------------------------------------------------- the estimate


@dataclass(frozen=True)
class Audit:
    """What a sample tells. Counts are of the whole data set."""

    drawn: int
    decided: int
    """Of those drawn, the ones a reviewer was sure of; the estimate takes the others to be like them."""
    unsure: int
    total: int
    """Examples in the data set."""
    found: int
    """Wrong labels in the sample."""
    wrong: Interval | None
    """Wrong labels in all; None before a verdict in every stratum."""
    by_class: dict[int, Interval]
    """The same of the examples given each class, by class index, where ten or more of them were decided."""
    precision: dict[int, Interval]
    """By depth: the share of wrong labels among the first so many of the ranking."""


def evaluate(
    strata: Sequence[Stratum],
    ranks: Ints,
    labels: Ints,
    wrong: Sequence[bool | None],
    given: Sequence[int],
    depths: Sequence[int] = (),
) -> Audit:
    """What is told by the part of a sample that was decided: ranks, labels (class indices) and `wrong`, (n,) each.

    `wrong` is None where the reviewer was unsure; `given` has the number of examples of each class. Precision is told
    at the end of each stratum and at the `depths`, as far as something was decided there. Decided in the order of
    `draw`, any part of a sample is a sample.
    """
    sure = np.array([answer is not None for answer in wrong], dtype=bool)
    bad = np.array([bool(answer) for answer in wrong], dtype=bool)[sure]
    ranks, labels = ranks[sure], labels[sure]
    total = strata[-1].last
    sizes, of = _sizes(strata, total), _stratum(strata, ranks)
    decided = np.bincount(of, minlength=len(strata))

    def overall(hits: Bools, size: int, held: Bools) -> Interval | None:
        counts = np.bincount(of[hits], minlength=len(strata))
        return _total(sizes, decided, counts, seen=(int(hits.sum()), int((held & ~hits).sum())), size=size)

    everywhere = overall(bad, total, np.ones(len(bad), dtype=bool))
    by_class, precision = {}, {}
    if everywhere is not None:
        for k in np.flatnonzero(np.bincount(labels, minlength=len(given)) >= _ENOUGH).tolist():
            part = overall(bad & (labels == k), given[k], labels == k)
            assert part is not None
            by_class[k] = part
        for depth in sorted({stratum.last for stratum in strata} | {d for d in depths if 0 < d <= total}):
            within = ranks <= depth
            trials, hits = (np.bincount(of[part], minlength=len(strata)) for part in (within, within & bad))
            seen = (int((within & bad).sum()), int((within & ~bad).sum()))
            count = _total(_sizes(strata, depth), trials, hits, seen=seen, size=depth)
            if count is not None:
                precision[depth] = count.over(depth)
    drawn = sum(stratum.drawn for stratum in strata)
    unsure = len(sure) - int(sure.sum())
    return Audit(drawn, int(sure.sum()), unsure, total, int(bad.sum()), everywhere, by_class, precision)


def _sizes(strata: Sequence[Stratum], depth: int) -> Ints:
    """How many of the first `depth` ranks lie in each stratum."""
    return np.array([max(0, min(depth, stratum.last) - stratum.first + 1) for stratum in strata], dtype=np.int64)


def _stratum(strata: Sequence[Stratum], ranks: Ints) -> Ints:
    return np.searchsorted([stratum.last for stratum in strata], ranks).astype(np.int64)


def _total(sizes: Ints, trials: Ints, hits: Ints, *, seen: tuple[int, int], size: int) -> Interval | None:
    """How many hits there are in all, from strata of these sizes; None where one of them was not looked at.

    `seen` are the hits and misses that are known for certain, of the `size` that there are. Each stratum's limits,
    lower Clopper-Pearson, upper Jeffreys, shrunk by the finite population, are joined by MOVER (Zou, Huang and Zhang
    2009).
    """
    from scipy.stats import beta

    there = sizes > 0
    sizes, trials, hits = sizes[there], trials[there], hits[there]
    if (trials == 0).any():
        return None
    tail = (1 - _LEVEL) / 2
    share = hits / trials
    # Jeffreys' lower limit fails where one error found in a stratum sampled thinly stands for many
    low = np.where(hits > 0, beta.ppf(tail, np.maximum(hits, 1), trials - hits + 1), 0)
    high = np.where(hits < trials, beta.ppf(1 - tail, hits + 0.5, np.maximum(trials - hits, 0) + 0.5), 1)
    spread = sizes * np.sqrt((sizes - trials) / np.maximum(sizes - 1, 1))
    value = float(sizes @ share)
    below = float(np.sqrt(((spread * (share - low)) ** 2).sum()))
    above = float(np.sqrt(((spread * (high - share)) ** 2).sum()))
    least, most = seen[0], size - seen[1]
    return Interval(value, min(max(value - below, least), most), max(min(value + above, most), least))


# ----------------------------------------------------------------------------------------- the outlook


@dataclass(frozen=True)
class Outlook:
    """What the verdicts on the first suspects lead to expect of those behind them."""

    decided: int
    wrong: int
    upcoming: int
    """The next so many."""
    expected: Interval
    """Wrong labels among them."""
    rest: int
    """The others on the list."""
    expected_rest: Interval


def outlook(
    severity: Floats, wrong: Sequence[bool | None], *, upcoming: int = 50, seed: int = 0, draws: int = 100
) -> Outlook:
    """How many wrong labels are to be expected among the suspects that were not decided.

    `severity` (N,) is the score of every suspect on the list, the highest first; `wrong` says what was decided of each,
    None where nothing was. A logistic regression of the verdicts on the score (scikit-learn), or their share where the
    score tells nothing of them. The intervals are of a bootstrap over the verdicts, and of chance in those to come.
    """
    known = np.array([answer is not None for answer in wrong], dtype=bool)
    bad = np.array([bool(answer) for answer in wrong], dtype=bool)[known]
    score = _standardized(severity)
    ahead = score[~known]
    rng = np.random.default_rng(seed)
    sums = np.empty((draws, 2))
    for k in range(draws):
        again = rng.integers(0, len(bad), len(bad)) if len(bad) else np.zeros(0, dtype=np.int64)
        probs = calibrated(score[known][again], bad[again], ahead, rng)
        chance = rng.random(len(ahead)) < probs
        sums[k] = chance[:upcoming].sum(), chance[upcoming:].sum()
    expected = expectation(severity, wrong)
    values = expected[:upcoming].sum(), expected[upcoming:].sum()
    low, high = np.quantile(sums, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    near, far = (Interval(float(values[k]), float(low[k]), float(high[k])) for k in (0, 1))
    number = min(upcoming, len(ahead))
    return Outlook(len(bad), int(bad.sum()), number, near, len(ahead) - number, far)


def expectation(severity: Floats, wrong: Sequence[bool | None]) -> Floats:
    """The probability that the label is wrong of every suspect that was not decided, in order; as in `outlook`."""
    known = np.array([answer is not None for answer in wrong], dtype=bool)
    score = _standardized(severity)
    return calibrated(score[known], np.array([bool(answer) for answer in wrong], dtype=bool)[known], score[~known])


def calibrated(score: Floats, wrong: Bools, ahead: Floats, rng: np.random.Generator | None = None) -> Floats:
    """The probability of a wrong label at each score `ahead`, by the scores that were decided.

    Where these are all alike, or a higher score goes with fewer errors, it is one share for all: that of the verdicts
    (Jeffreys), or with `rng` one drawn from what they leave open.
    """
    from sklearn.linear_model import LogisticRegression

    if 0 < wrong.sum() < len(wrong) and np.ptp(score) > 0:
        # next to no penalty: it would draw what lies far from the verdicts to their share
        model = LogisticRegression(C=100, solver="newton-cholesky").fit(score[:, None], wrong)
        if model.coef_[0, 0] > 0 and len(ahead):
            probs: Floats = model.predict_proba(ahead[:, None])[:, 1]
            return probs
    hits, misses = wrong.sum() + 0.5, len(wrong) - wrong.sum() + 0.5
    return np.full(len(ahead), hits / (hits + misses) if rng is None else rng.beta(hits, misses))


def _standardized(severity: Floats) -> Floats:
    """With mean 0 and deviation 1; what is infinite stands at the end of what is not."""
    finite = severity[np.isfinite(severity)]
    if not len(finite) or np.ptp(finite) == 0:
        return np.zeros(len(severity))
    clipped = np.clip(severity, finite.min(), finite.max())
    scaled: Floats = (clipped - clipped.mean()) / clipped.std()
    return scaled
