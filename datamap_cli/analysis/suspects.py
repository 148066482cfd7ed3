"""Which examples are probably mislabelled: ranked by a signal, why, and how many label errors there are."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata, util
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli import signals
from datamap_cli.errors import DatamapError

End = Literal["low", "high"]

# All opinions joined find real errors better than any of them (docs/acting.md). Of the training alone: a model that was
# trained on a wrong label comes to agree with it, which the losses of early evaluations outlast; of models that were
# not, the mean of their opinions is the best
DEFAULT_SCORE, ALONE, ALONE_HELD_OUT = "suspicion", "avg_loss", "margin"

_SIGNALS = (
    *("avg_probs", "margin", "avg_loss", "correct_ratio", "never_learnt", "learnt_for_good", "forgetting_times"),
    *("linear_label_probs", "embedding_label_probs", "neighbour_disagreement"),
)
_LABELS = ("label", "pred_label", "suggested_label", "joined_label")
COLUMNS = ("id", *_LABELS, *_SIGNALS)
"""The columns of the summary that are read besides the score; null where an older summary lacks one."""


def default_score(*, joined: bool, held_out: bool, all_probs: bool) -> str:
    """What suspects are ranked by: `joined` says whether opinions were joined; else it is a signal of the training.

    `held_out` says whether that is of models not trained on the example, `all_probs` whether the signals are there that
    need the probabilities of all classes.
    """
    if joined:
        return DEFAULT_SCORE
    return ALONE_HELD_OUT if held_out and all_probs else ALONE


def end(score: str, schema: pl.Schema, known: End | None) -> End:
    """The end of the column `score` that is suspicious: the one that is `known`, or else the high one.

    Raises DatamapError for a column that is missing or no number.
    """
    numeric = [name for name, dtype in schema.items() if name != "id" and (dtype.is_numeric() or dtype == pl.Boolean)]
    if score not in numeric:
        raise DatamapError(f"--score: {score}: expected a signal of the summary: {', '.join(numeric)}")
    return known or "high"


def severity(score: str, end: End) -> pl.Expr:
    """What suspects are ranked by, the highest first: `score` from its suspicious `end` on.

    First come the rows that the registry says are worst, such as by forgetting those that were never learnt; rows
    without a score come last.
    """
    worst = signals.find(score).worst
    first = pl.lit(False) if worst is None else worst()
    value = pl.col(score).cast(pl.Float64)
    return pl.when(first).then(float("inf")).otherwise(value if end == "high" else -value).fill_null(float("-inf"))


def rank(summary: pl.DataFrame, score: str, end: End, number: int, *, hard: pl.Expr) -> pl.DataFrame:
    """The `number` rows of `summary` with the highest severity, the highest first, with rank, score and why.

    Ties are broken by avg_probs, then by id. `hard` says whether an example is hard to learn. `suggested_label` is that
    of the joined opinion where it is the score, else of the training; pred_label where there is none.
    """
    suggestions = ["suggested_label", "pred_label"]
    if score == DEFAULT_SCORE:
        suggestions.insert(0, "joined_label")
    ranked = summary.with_columns(score=pl.col(score).cast(pl.Float64), severity=severity(score, end))
    ranked = ranked.sort("severity", "avg_probs", "id", descending=[True, False, False], nulls_last=True)
    ranked = ranked.with_row_index("rank", offset=1)
    return ranked.head(number).select(
        "rank",
        "id",
        "label",
        pl.coalesce(suggestions).alias("suggested_label"),
        "score",
        _why(score, end, summary.height, hard).alias("why"),
        *_SIGNALS,
    )


def _why(score: str, end: End, total: int, hard: pl.Expr) -> pl.Expr:
    """The reasons to suspect a row, in words; where there is no other, its place in the ranking."""
    right = _percent("correct_ratio")
    never = pl.col("never_learnt")
    reasons = [
        (never, pl.lit("never learnt")),
        (~never & (pl.col("correct_ratio") < 0.5), pl.format("right {} % of the time", right)),
        (~never & pl.col("learnt_for_good").is_null(), pl.lit("wrong at the end")),
        (hard, pl.format("low avg_probs {}", pl.col("avg_probs").round(2))),
        (pl.col("margin") < 0, pl.format("negative margin {}", pl.col("margin").round(2))),
        (pl.col("forgetting_times") > 1, pl.format("forgotten {} times", "forgetting_times")),
        *(
            (
                pl.col(f"{name}_label_probs") < 1 / 3,
                pl.format(f"{name} gives it {{}} %", _percent(f"{name}_label_probs")),
            )
            for name in ("linear", "embedding")
        ),
        (
            pl.col("neighbour_disagreement") > 1 / 2,
            pl.format("{} % of its neighbours have another label", _percent("neighbour_disagreement")),
        ),
    ]
    words = pl.concat_str([pl.when(holds).then(said) for holds, said in reasons], separator=", ", ignore_nulls=True)
    share = (pl.col("rank") / total * 100).ceil().cast(pl.Int64)
    place = pl.format(f"among the {{}} % with the {end}est {score}", share)
    return pl.when(words == "").then(place).otherwise(words)


def _percent(share: str) -> pl.Expr:
    return (pl.col(share) * 100).round().cast(pl.Int64)


# ------------------------------------------------------------------------------------------- how many


@dataclass(frozen=True)
class Estimate:
    """How many labels are wrong, by confident learning."""

    by_class: list[int]
    """Wrong labels among the examples that are given each class, by class index."""
    method: str

    @property
    def total(self) -> int:
        return sum(self.by_class)


MISSING = "no estimate of how many labels are wrong: that needs cleanlab: pip install 'datamap-cli[clean]'"


def can_estimate() -> bool:
    """Whether cleanlab is installed."""
    return util.find_spec("cleanlab") is not None


def estimate(label: npt.NDArray[np.int64], probs: npt.NDArray[np.float64], *, held_out: bool = False) -> Estimate:
    """How many of the labels (N,) are wrong, from probabilities (N, C) averaged over the evaluations.

    The confident joint counts, for each given class and each other, the examples whose probability of the other is at
    least as high as it is on average for those given it; calibrated to the number of examples of each given class.
    `held_out` says whether the probabilities are of models that were not trained on the example. Northcutt 2021,
    eq. 1 to 3; computed by cleanlab, which must be installed.
    """
    from cleanlab.count import compute_confident_joint

    # a class that no example is given has no threshold
    present, index = np.unique(label, return_inverse=True)
    wrong = np.zeros(probs.shape[1], dtype=np.int64)
    if len(present) > 1:
        joint = compute_confident_joint(index, probs[:, present], calibrate=True)
        wrong[present] = joint.sum(axis=1) - joint.diagonal()
    method = f"cleanlab {metadata.version('cleanlab')}: confident joint, calibrated, of the averaged probabilities" + (
        "" if held_out else "; too few where the model has memorized wrong labels it was trained on"
    )
    return Estimate(wrong.tolist(), method)
