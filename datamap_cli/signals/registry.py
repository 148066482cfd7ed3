"""The registry, the one place that knows a signal: what it means, how it is computed, ranked, bounded and derived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from datamap_cli.signals.side_by_side import SideBySide, entropy, largest_other, log, norm, total

# Average probability of the given label from which an example is easy, and up to which it is hard to learn
# (Seedat 2022, C_up and C_low)
EASY, HARD = 0.75, 0.25


Kind = Literal["number", "count", "flag", "class"]
"""What the values are: numbers on a scale, whole numbers, yes or no, or class indices, which have no order."""
_DTYPES: dict[Kind, type[pl.DataType]] = {
    "number": pl.Float64,
    "count": pl.Int64,
    "flag": pl.Boolean,
    "class": pl.Int64,
}


@dataclass(frozen=True)
class Derivation:
    """How a signal follows from other columns: a sum of products, to a power. Data, so that any language applies it."""

    terms: tuple[tuple[float, tuple[str, ...]], ...]
    """Of the sum: a factor, and the columns it is multiplied by."""
    power: float = 1

    @property
    def columns(self) -> set[str]:
        return {name for _, names in self.terms for name in names}

    def expression(self) -> pl.Expr:
        """The signal, of a frame that has `columns`."""
        products = []
        for factor, names in self.terms:
            product = pl.lit(float(factor))
            for name in names:
                product = product * pl.col(name)
            products.append(product)
        return total(products) ** self.power


@dataclass(frozen=True)
class Signal:
    """One column of the summary."""

    name: str
    definition: str
    expression: Callable[[SideBySide], pl.Expr] | None
    """Computes it from the evaluations; None for what comes from elsewhere, and is null where nothing came."""
    range: str
    suspicious: Literal["low", "high"] | None
    """The end of the range where mislabelled examples gather; None where neither end is."""
    source: str
    kind: Kind = "number"
    bounds: tuple[float, float] | None = None
    """Where its axis begins and ends whatever the data, so that maps compare; None: by the data."""
    worst: Callable[[], pl.Expr] | None = None
    """The rows, beside those that lie at the suspicious end, that a ranking puts before all others, such as those where
    null means that it never happened. All other nulls mean that nothing is known, and come last."""
    derivation: Derivation | None = None
    all_probs: bool = False
    """Whether it needs all probabilities; null where records have only the label's and the runner-up's."""

    @property
    def dtype(self) -> type[pl.DataType]:
        return _DTYPES[self.kind]


def _count(terms: Sequence[pl.Expr]) -> pl.Expr:
    """How many of the terms are true; null counts as false."""
    return pl.sum_horizontal(pl.lit(0, dtype=pl.Int64), *(term.cast(pl.Int64) for term in terms))


def _changes(d: SideBySide, *, to: bool) -> list[pl.Expr]:
    """Whether c_t turned right (`to` True) or wrong, at t = 1 … T−1."""
    return [~before & after if to else before & ~after for before, after in d.successive(d.correct)]


def _first(terms: Sequence[pl.Expr]) -> pl.Expr:
    """The first t ≥ 1 at which a change happened, 0 where there is none, as in the tutorial."""
    return pl.coalesce(
        *(pl.when(term).then(pl.lit(t, dtype=pl.Int64)) for t, term in enumerate(terms, start=1)),
        pl.lit(0, dtype=pl.Int64),
    )


def _learnt_for_good(d: SideBySide) -> pl.Expr:
    """One after the last wrong evaluation; 0 if none was wrong, null if the last one was."""
    after_wrong = [
        pl.when(~right).then(pl.lit(t + 1, dtype=pl.Int64)) for t, right in reversed(list(enumerate(d.correct)))
    ]
    return pl.when(d.last(d.correct)).then(pl.coalesce(*after_wrong, pl.lit(0, dtype=pl.Int64)))


_TUTORIAL = "TrustAI data map"

SIGNALS: tuple[Signal, ...] = (
    # the tutorial's, in its order
    Signal(
        "correct_times",
        "number of evaluations at which the prediction was right, Σ c_t",
        lambda d: _count(d.correct),
        "0 … T",
        "low",
        _TUTORIAL,
        kind="count",
    ),
    Signal(
        "correct_ratio",
        "correct_times / T",
        lambda d: _count(d.correct) / d.times,
        "0 … 1",
        "low",
        _TUTORIAL,
        bounds=(0, 1),
    ),
    Signal("avg_probs", "mean of p_t", lambda d: d.avg_probs, "0 … 1", "low", _TUTORIAL, bounds=(0, 1)),
    Signal(
        "label_var",
        "variance of p_t, ddof 0",
        lambda d: d.label_var,
        "0 … 0.25",
        None,
        _TUTORIAL,
    ),
    Signal(
        "max_label_probs",
        "largest p_t",
        lambda d: pl.max_horizontal(d.label_probs),
        "0 … 1",
        "low",
        _TUTORIAL,
        bounds=(0, 1),
    ),
    Signal(
        "min_label_probs",
        "smallest p_t",
        lambda d: pl.min_horizontal(d.label_probs),
        "0 … 1",
        "low",
        _TUTORIAL,
        bounds=(0, 1),
    ),
    Signal(
        "forgetting_times",
        "number of t ≥ 1 with c_{t−1} right and c_t wrong",
        lambda d: _count(_changes(d, to=False)),
        "0 … T/2",
        "high",
        "Toneva 2019; " + _TUTORIAL,
        kind="count",
        worst=lambda: pl.col("never_learnt"),
    ),
    Signal(
        "learnt_times",
        "number of t ≥ 1 with c_{t−1} wrong and c_t right",
        lambda d: _count(_changes(d, to=True)),
        "0 … T/2",
        "high",
        "Toneva 2019; " + _TUTORIAL,
        kind="count",
    ),
    Signal(
        "first_forget",
        "first t ≥ 1 with c_{t−1} right and c_t wrong; 0 where there is none",
        lambda d: _first(_changes(d, to=False)),
        "0 … T−1",
        None,
        _TUTORIAL,
        kind="count",
    ),
    Signal(
        "first_learn",
        "first t ≥ 1 with c_{t−1} wrong and c_t right; 0 where there is none",
        lambda d: _first(_changes(d, to=True)),
        "0 … T−1",
        None,
        _TUTORIAL,
        kind="count",
    ),
    # further
    Signal(
        "never_learnt",
        "no c_t right",
        lambda d: _count(d.correct) == 0,
        "false, true",
        "high",
        "Toneva 2019",
        kind="flag",
    ),
    Signal(
        "variability",
        "standard deviation of p_t, ddof 0",
        lambda d: d.label_var.sqrt(),
        "0 … 0.5",
        None,
        "Swayamdipta 2020",
        derivation=Derivation(((1, ("label_var",)),), power=0.5),
    ),
    Signal(
        "threshold_closeness",
        "avg_probs · (1 − avg_probs)",
        lambda d: d.avg_probs * (1 - d.avg_probs),
        "0 … 0.25",
        None,
        "Chang 2017",
        derivation=Derivation(((1, ("avg_probs",)), (-1, ("avg_probs", "avg_probs")))),
    ),
    Signal(
        "aleatoric",
        "mean of p_t (1 − p_t)",
        lambda d: d.mean([p * (1 - p) for p in d.label_probs]),
        "0 … 0.25",
        None,
        "Seedat 2022 (Data-IQ)",
        derivation=Derivation(((1, ("avg_probs",)), (-1, ("avg_probs", "avg_probs")), (-1, ("label_var",)))),
    ),
    Signal(
        "aum",
        "mean of log p_label − largest other log p_k, nats; equals the mean logit margin",
        lambda d: d.mean([p - q for p, q in zip(d.log_label_probs, d.log_other_probs, strict=True)]),
        "−∞ … ∞",
        "low",
        "Pleiss 2020",
    ),
    Signal(
        "margin",
        "log of mean p_label − largest other log of mean p_k, nats",
        lambda d: log(d.avg_probs) - log(largest_other(d.mean_probs, d.one_hot)),
        "−∞ … ∞",
        "low",
        "datamap",
        all_probs=True,
    ),
    Signal(
        "el2n",
        "mean over the first k evaluations of the Euclidean norm of probs − onehot(label); "
        "k is summarize.el2n_evaluations, 1 by default",
        lambda d: d.first_mean([norm(probs - d.one_hot) for probs in d.probs], d.el2n_evaluations),
        "0 … √2",
        "high",
        "Paul 2021",
        all_probs=True,
    ),
    Signal(
        "avg_loss",
        "mean of −log p_t, nats",
        lambda d: -d.mean(d.log_label_probs),
        "0 … ∞",
        "high",
        "cross-entropy",
    ),
    Signal(
        "last_loss",
        "−log p_t at the last evaluation, nats",
        lambda d: -d.last(d.log_label_probs),
        "0 … ∞",
        "high",
        "cross-entropy",
    ),
    Signal(
        "entropy",
        "mean entropy of probs, nats",
        lambda d: d.avg_entropy,
        "0 … log C",
        None,
        "Shannon 1948",
        all_probs=True,
    ),
    Signal(
        "mutual_information",
        "entropy of the mean probs − mean entropy of probs, nats",
        lambda d: entropy(d.mean_probs) - d.avg_entropy,
        "0 … log C",
        None,
        "Houlsby 2011 (BALD)",
        all_probs=True,
    ),
    Signal(
        "learnt_for_good",
        "first t from which c_t stays right to the end; empty where it does not",
        lambda d: _learnt_for_good(d),
        "0 … T−1",
        "high",
        "Toneva 2019",
        kind="count",
        worst=lambda: pl.col("learnt_for_good").is_null(),
    ),
    Signal(
        "pred_label",
        "predicted class at the last evaluation",
        lambda d: d.last(d.pred_label).cast(pl.Int64),
        "0 … C−1",
        None,
        "arg-max",
        kind="class",
    ),
    Signal(
        "pred_flips",
        "number of t ≥ 1 at which the predicted class changed",
        lambda d: _count([a != b for a, b in d.successive(d.pred_label)]),
        "0 … T−1",
        "high",
        "datamap",
        kind="count",
    ),
    Signal(
        "suggested_label",
        "class with the largest mean probability",
        lambda d: d.mean_probs.arr.arg_max().cast(pl.Int64),
        "0 … C−1",
        None,
        "arg-max",
        kind="class",
        all_probs=True,
    ),
    # not from the evaluations: what others say of the label, who have not seen it
    Signal(
        "linear_label_probs",
        "probability of the label by a linear model over character n-grams, held out",
        None,
        "0 … 1",
        "low",
        "datamap",
        bounds=(0, 1),
    ),
    Signal("linear_loss", "−log linear_label_probs, nats", None, "0 … ∞", "high", "cross-entropy"),
    Signal("linear_pred_label", "class that model predicts", None, "0 … C−1", None, "arg-max", kind="class"),
    Signal(
        "embedding_label_probs",
        "probability of the label by a linear model over vectors of the texts by the model as it was loaded, held out",
        None,
        "0 … 1",
        "low",
        "datamap",
        bounds=(0, 1),
    ),
    Signal("embedding_loss", "−log embedding_label_probs, nats", None, "0 … ∞", "high", "cross-entropy"),
    Signal("embedding_pred_label", "class that model predicts", None, "0 … C−1", None, "arg-max", kind="class"),
    Signal(
        "neighbour_disagreement",
        "share of the 20 nearest other examples, by those vectors or without any by n-grams, that have another label",
        None,
        "0 … 1",
        "high",
        "Cover & Hart 1967",
        bounds=(0, 1),
    ),
    Signal(
        "suspicion",
        "log-odds of another label than the given one by all opinions joined, nats; what suspects are ranked by",
        None,
        "−∞ … ∞",
        "high",
        "datamap",
    ),
    Signal("joined_label", "class by all opinions joined", None, "0 … C−1", None, "arg-max", kind="class"),
)

# Columns that are no signals of ours, with what is to be known of them: a data set's, and cartography's
OTHERS: tuple[Signal, ...] = (
    Signal("label", "class index of the given label", None, "0 … C−1", None, "the data set", kind="class"),
    Signal("s_label", "0 plain, 1 hard, 2 planted dirty", None, "0 … 2", None, "the data set", kind="count"),
    Signal("confidence", "avg_probs", None, "0 … 1", "low", "Swayamdipta 2020", bounds=(0, 1)),
    Signal("correctness", "correct_times", None, "0 … T", "low", "Swayamdipta 2020", kind="count"),
)

_KNOWN = {signal.name: signal for signal in (*SIGNALS, *OTHERS)}


def find(name: str, dtype: pl.DataType | None = None) -> Signal:
    """What is known of the column; of one of a user's own, what its type tells."""
    kind: Kind = "number"
    if dtype is not None and not dtype.is_float():
        kind = "flag" if dtype == pl.Boolean else "count"
    return _KNOWN.get(name) or Signal(name, "a column of your own", None, "−∞ … ∞", None, "yours", kind=kind)


def is_class(name: str) -> bool:
    """Whether the column holds class indices."""
    return find(name).kind == "class"


# The regions of the map by avg_probs, easiest first: name -> bounds
REGIONS = {"easy-to-learn": f"≥ {EASY}", "ambiguous": "between", "hard-to-learn": f"≤ {HARD}"}


def region() -> pl.Expr:
    """The region of the map an example lies in, by its avg_probs. Seedat 2022 (Data-IQ), C_up and C_low."""
    easy, ambiguous, hard = REGIONS
    return (
        pl.when(pl.col("avg_probs") >= EASY)
        .then(pl.lit(easy))
        .when(pl.col("avg_probs") <= HARD)
        .then(pl.lit(hard))
        .otherwise(pl.lit(ambiguous))
        .alias("region")
    )
