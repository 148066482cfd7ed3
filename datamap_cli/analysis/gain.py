"""Whether one data file trains a better model than another, or it was chance. Pure: predictions in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.signals.quality import f1

LEVEL = 0.95
"""Of the intervals."""
POWER = 0.8
"""The probability with which a difference called detectable is told apart from chance."""
RESAMPLES = 2_000
MEASURES = ("accuracy", "macro_f1")

# drawn examples that are held at once
_BLOCK = 2_000_000

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


# ---------------------------------------------------------------------------------------------- measures


@dataclass(frozen=True, eq=False)
class Scores:
    """Accuracy and macro-F1 of S trainings on one file, by measure."""

    values: Mapping[str, Floats]
    """(S,), on the dev set as it is."""
    resampled: Mapping[str, Floats]
    """(B, S), on B samples of its examples, the same for all trainings."""


@dataclass(frozen=True)
class Spread:
    """A measure over the trainings on one file."""

    mean: float
    sd: float | None
    """Standard deviation over the seeds, ddof 1; null for one."""
    low: float
    """With `high` the interval of the mean."""
    high: float
    values: list[float]
    """By seed."""


@dataclass(frozen=True)
class Difference:
    """Of two files' means, paired: the same seeds, the same dev examples."""

    value: float
    low: float
    high: float
    detectable: float
    """The least true difference that would have been told apart from chance with a probability of 80 %."""

    @property
    def told(self) -> bool:
        """Whether it can be told from chance: the interval does not span zero."""
        return self.low > 0 or self.high < 0


def scores(label: Labels, predicted: Labels, classes: int, seed: int, resamples: int = RESAMPLES) -> Scores:
    """Of S trainings that predicted (S, M) of M dev examples with these labels (M,)."""
    whole = _measures(label, predicted, classes, np.arange(len(label))[None])
    rng = np.random.default_rng([seed, 0])  # from the same beginning for every file: so they are paired
    block = max(1, _BLOCK // len(label))
    parts = [
        _measures(label, predicted, classes, rng.integers(0, len(label), (min(block, resamples - first), len(label))))
        for first in range(0, resamples, block)
    ]
    return Scores(
        {name: whole[name][0] for name in MEASURES},
        {name: np.concatenate([part[name] for part in parts]) for name in MEASURES},
    )


def spread(of: Scores, measure: str, seed: int) -> Spread:
    """The mean of a measure, with its interval."""
    values = of.values[measure]
    low, high, _ = _interval(values, of.resampled[measure], seed)
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(float(values.mean()), sd, low, high, [float(value) for value in values])


def difference(of: Scores, against: Scores, measure: str, seed: int) -> Difference:
    """By how much the mean of `of` is above that of `against`, with the interval of the paired bootstrap.

    Dev examples and seeds are drawn again, both with replacement, the same for the two: the pigeonhole bootstrap, which
    errs on the wide side (Owen 2007).
    """
    values = of.values[measure] - against.values[measure]
    return Difference(
        float(values.mean()), *_interval(values, of.resampled[measure] - against.resampled[measure], seed)
    )


def _measures(label: Labels, predicted: Labels, classes: int, drawn: Labels) -> dict[str, Floats]:
    """Each measure of the S trainings on B samples of examples, drawn (B, M): (B, S)."""
    given = _counts(label[drawn], classes)
    accuracy, macro_f1 = [], []
    for said in predicted:
        said_drawn = said[drawn]
        right = _counts(np.where(said_drawn == label[drawn], said_drawn, classes), classes + 1)[:, :-1]
        accuracy.append(right.sum(axis=1) / drawn.shape[1])
        macro_f1.append(np.nanmean(f1(right, given, _counts(said_drawn, classes)), axis=1))
    return {"accuracy": np.stack(accuracy, axis=1), "macro_f1": np.stack(macro_f1, axis=1)}


def _counts(values: Labels, classes: int) -> Floats:
    """How often each class is in each row of (B, M): (B, C)."""
    rows = np.arange(len(values))[:, None] * classes
    return np.bincount((values + rows).ravel(), minlength=len(values) * classes).reshape(-1, classes).astype(float)


def _interval(values: Floats, resampled: Floats, seed: int) -> tuple[float, float, float]:
    """The interval of the mean of values (S,), from (B, S) on samples of examples, and what is detectable.

    As many standard errors of the bootstrap to both sides as Student's t asks for, since few seeds tell little of how
    far seeds vary; with the degrees of freedom of Welch and Satterthwaite: S − 1 where all the variance is the seeds'.
    """
    from scipy.stats import t as student

    samples, seeds = resampled.shape
    # S − 1 of S, else the variance of their mean comes out too small by that much
    drawn = np.random.default_rng([seed, 1]).integers(0, seeds, (samples, max(1, seeds - 1)))
    value, error = float(values.mean()), float(np.take_along_axis(resampled, drawn, axis=1).mean(axis=1).std(ddof=1))
    of_seeds = float(values.var(ddof=1)) / seeds if seeds > 1 else 0.0
    freedom = (seeds - 1) * max(1.0, error**2 / of_seeds) ** 2 if of_seeds > 0 else np.inf
    two_sided, power = (float(student.ppf(level, freedom)) for level in (0.5 + LEVEL / 2, POWER))
    return value - two_sided * error, value + two_sided * error, (two_sided + power) * error


# --------------------------------------------------------------------------------------------- the twins


@dataclass(frozen=True, eq=False)
class Changes:
    """What was done to a file's rows to make another of it."""

    dropped: Labels
    """Rows of the first file that the other lacks."""
    relabelled: Labels
    """Rows of the first file that have another label in the other."""
    added: int
    """Rows of the other that the first has not."""


def changes(examples: pl.DataFrame, other: pl.DataFrame) -> Changes:
    """What makes `other` of `examples`: rows are the same by text_a and text_b, whatever their order and their ids.

    Of a text that stands more than once, rows with the same label are matched first.
    """
    texts = ["text_a", "text_b"]
    left, right = (_numbered(frame.select(*texts, "label"), [*texts, "label"]) for frame in (examples, other))
    keys = [*texts, "label", "number"]
    ours, theirs = (
        _numbered(one.join(two, on=keys, how="anti", nulls_equal=True, maintain_order="left").drop("number"), texts)
        for one, two in ((left, right), (right, left))
    )
    matched = ours.join(theirs, on=[*texts, "number"], how="left", nulls_equal=True, maintain_order="left")
    rows, is_matched = matched["row"].cast(pl.Int64).to_numpy(), matched["label_right"].is_not_null().to_numpy()
    return Changes(rows[~is_matched], rows[is_matched], theirs.height - int(is_matched.sum()))


def _numbered(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """With the row, and as `number` which of the rows that are alike in these columns it is."""
    with_row = frame if "row" in frame.columns else frame.with_row_index("row")
    return with_row.with_columns(number=pl.int_range(pl.len()).over(columns))


def twin(label: Labels, done: Changes, classes: int, seed: int) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Labels (N,) and which rows stay (N,), where as much was done at random as `done` did on purpose.

    As many rows of each class are dropped, and as many turned to another class, each as likely.
    """
    rng = np.random.default_rng([seed, 2])
    labels, stays = label.copy(), np.ones(len(label), np.bool_)
    for k in range(classes):
        drop, turn = (int((label[rows] == k).sum()) for rows in (done.dropped, done.relabelled))
        chosen = rng.permutation(np.flatnonzero(label == k))[: drop + turn]
        stays[chosen[:drop]] = False
        labels[chosen[drop:]] = (k + rng.integers(1, classes, turn)) % classes
    return labels, stays
