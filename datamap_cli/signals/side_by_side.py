"""Evaluations side by side: each one's records are a set of columns of one wide frame, `name@t`.

What several signals share is a column of that frame as well, so that it is computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import polars as pl

# the smallest normal float64: keeps logarithms finite where a probability underflowed to 0
TINY = float(np.finfo(np.float64).tiny)


def log(probability: pl.Expr) -> pl.Expr:
    return probability.clip(TINY).log()


def entropy(probs: pl.Expr) -> pl.Expr:
    """Entropy of arrays of probabilities, nats; 0 · log 0 = 0."""
    return -probs.arr.eval(pl.element() * log(pl.element())).arr.sum()


def norm(array: pl.Expr) -> pl.Expr:
    """Euclidean norm of arrays."""
    return (array * array).arr.sum().sqrt()


def largest_other(probs: pl.Expr, one_hot: pl.Expr) -> pl.Expr:
    """The largest probability but the label's.

    probs − one_hot holds p_label − 1 ≤ 0 at the label and p_k ≥ 0 elsewhere.
    """
    return (probs - one_hot).arr.max()


def total(terms: Iterable[pl.Expr]) -> pl.Expr:
    """Sum over evaluations, in their order.

    sum_horizontal adds in an order that depends on the blocks the rows come in, and results would too.
    """
    return reduce(add, terms)


def _times(terms: Sequence[pl.Expr]) -> pl.Expr:
    """How many of the terms there are, row by row.

    Counted, even where it is the same number in every row: by a number Polars divides as by its reciprocal, except in
    blocks of one row, and results would depend on the blocks the rows come in (and 3 / 5 be 0.6000000000000001).
    """
    return total(term.is_not_null().cast(pl.Float64) for term in terms)


@dataclass(frozen=True)
class SideBySide:
    """What the expressions of the signals are made of: lists have an expression per evaluation, T of them.

    Where an example is missing in some evaluations, their values are null and only those that are there count.
    """

    label_probs: list[pl.Expr]
    """p_t, probability of the given label."""
    log_label_probs: list[pl.Expr]
    log_other_probs: list[pl.Expr]
    """log of the largest probability of another class, the runner-up's."""
    correct: list[pl.Expr]
    """c_t, whether the prediction was right."""
    pred_label: list[pl.Expr]
    """Predicted class."""
    times: pl.Expr
    """T, or the number of evaluations an example is in."""
    avg_probs: pl.Expr
    label_var: pl.Expr
    probs: list[pl.Expr]
    """Probabilities of all C classes, arrays; this and the next three only where records have them."""
    one_hot: pl.Expr
    """1 at the label, 0 elsewhere, arrays of C."""
    mean_probs: pl.Expr
    """Mean of probs over the evaluations, arrays of C."""
    avg_entropy: pl.Expr
    complete: bool
    """Whether every example is in every evaluation."""
    el2n_evaluations: int

    def mean(self, terms: Sequence[pl.Expr]) -> pl.Expr:
        """Mean over all evaluations."""
        return total(terms if self.complete else [term.fill_null(0) for term in terms]) / self.times

    def first_mean(self, terms: Sequence[pl.Expr], k: int) -> pl.Expr:
        """Mean over the first k evaluations; null where none of them is there."""
        first = terms[:k]
        times = _times(first)
        return pl.when(times > 0).then(total(term.fill_null(0) for term in first) / times)

    def last(self, terms: Sequence[pl.Expr]) -> pl.Expr:
        return terms[-1] if self.complete else pl.coalesce(*reversed(terms))

    def successive(self, terms: Sequence[pl.Expr]) -> list[tuple[pl.Expr, pl.Expr]]:
        """The terms at t and at the evaluation before it, in pairs (before, at t), for t = 1 … T−1."""
        if self.complete:
            return list(pairwise(terms))
        return [(pl.coalesce(*reversed(terms[:t])), terms[t]) for t in range(1, len(terms))]


def side_by_side(
    evaluations: Sequence[pl.LazyFrame], n_classes: int | None, *, complete: bool, el2n_evaluations: int
) -> tuple[pl.LazyFrame, SideBySide]:
    """One wide frame of T evaluations of the same rows, and the expressions over it.

    `n_classes` is None where the records do not have the probabilities of all classes, but of the runner-up.
    """
    each = range(len(evaluations))

    def at_each(name: str) -> list[pl.Expr]:
        return [pl.col(f"{name}@{t}") for t in each]

    # a column of the records, whatever its name, ends in @t here: what is computed has none, and cannot clash with it
    def computed(name: str) -> list[pl.Expr]:
        return [pl.col(f"{name} {t}") for t in each]

    wide = pl.concat(
        [evaluation.rename(lambda name, t=t: f"{name}@{t}") for t, evaluation in enumerate(evaluations)],  # type: ignore[misc]
        how="horizontal",
    )
    wide = wide.with_columns(times=_times(at_each("label_probs")))
    others = at_each("runner_up_probs")
    of_all_probs: dict[str, pl.Expr] = {}
    if n_classes is not None:
        label = pl.col("label@0") if complete else pl.coalesce(*at_each("label"))
        nothing = pl.lit(pl.Series([[0.0] * n_classes], dtype=pl.Array(pl.Float64, n_classes))).first()
        wide = wide.with_columns(one_hot=pl.concat_arr([(label == k).cast(pl.Float64) for k in range(n_classes)]))
        others = [largest_other(probs, pl.col("one_hot")) for probs in at_each("probs")]
        of_all_probs = {f"entropy {t}": entropy(probs) for t, probs in enumerate(at_each("probs"))}
        of_all_probs["mean_probs"] = total(
            probs if complete else probs.fill_null(nothing) for probs in at_each("probs")
        ) / pl.col("times")
    wide = wide.with_columns(
        *(log(p).alias(f"log_label_probs {t}") for t, p in enumerate(at_each("label_probs"))),
        *(log(p).alias(f"log_other_probs {t}") for t, p in enumerate(others)),
        avg_probs=total(p if complete else p.fill_null(0) for p in at_each("label_probs")) / pl.col("times"),
        **of_all_probs,
    )
    dynamics = SideBySide(
        label_probs=at_each("label_probs"),
        log_label_probs=computed("log_label_probs"),
        log_other_probs=computed("log_other_probs"),
        correct=at_each("correct"),
        pred_label=at_each("pred_label"),
        times=pl.col("times"),
        avg_probs=pl.col("avg_probs"),
        label_var=pl.col("label_var"),
        probs=at_each("probs"),
        one_hot=pl.col("one_hot"),
        mean_probs=pl.col("mean_probs"),
        avg_entropy=pl.col("avg_entropy"),
        complete=complete,
        el2n_evaluations=el2n_evaluations,
    )
    return wide.with_columns(
        # ddof 0: the tutorial uses np.var
        label_var=dynamics.mean([(p - pl.col("avg_probs")) ** 2 for p in dynamics.label_probs]),
        **({"avg_entropy": dynamics.mean(computed("entropy"))} if n_classes is not None else {}),
    ), dynamics
