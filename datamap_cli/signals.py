"""The signals: one registry of what is known about each example, and their computation.

Pure: frames in, a frame out. A new signal is one entry in `SIGNALS`; the summary, the axes, `datamap signals`,
the docs table and the tests all read it.

An evaluation is a frame with a row per training example and the columns `id`, `label`, `pred_label`, `correct`,
`probs`, `label_probs`, optionally `loss`, `s_label` and columns of the user's own. Every evaluation of a run holds the
same ids in the same order, so that evaluations stand beside each other as columns and a signal is one
expression across them: no grouping and no sorting, however many examples there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.errors import DatamapError

# the smallest normal float64: keeps logarithms finite where a probability underflowed to 0
TINY = float(np.finfo(np.float64).tiny)

# Average probability of the given label from which an example is easy, and up to which it is hard to learn
# (Seedat 2022, C_up and C_low)
EASY, HARD = 0.75, 0.25

REQUIRED = ("id", "label", "pred_label", "correct", "probs", "label_probs")
KNOWN = (*REQUIRED, "loss", "s_label")


@dataclass(frozen=True)
class Dynamics:
    """What the expressions of the signals are made of: an expression per evaluation, T of each."""

    label_probs: list[pl.Expr]
    """p_t, probability of the given label."""
    correct: list[pl.Expr]
    """c_t, whether the prediction was right."""
    pred_label: list[pl.Expr]
    """Predicted class."""
    probs: list[pl.Expr]
    """Probabilities of all C classes, arrays."""
    error: list[pl.Expr]
    """probs − onehot(label), arrays of C."""
    el2n_evaluations: int = 1

    @property
    def mean_probs(self) -> pl.Expr:
        return _total(self.probs) / len(self.probs)

    @property
    def mean_error(self) -> pl.Expr:
        return _total(self.error) / len(self.error)

    def changes(self, *, to: bool) -> list[pl.Expr]:
        """Whether c_t turned right (`to` True) or wrong at t = 1 … T−1."""
        pairs = zip(self.correct, self.correct[1:], strict=False)
        return [~before & after if to else before & ~after for before, after in pairs]


@dataclass(frozen=True)
class Signal:
    """One column of the summary."""

    name: str
    definition: str
    expression: Callable[[Dynamics], pl.Expr]
    range: str
    suspicious: Literal["low", "high"] | None
    """The end of the range where mislabelled examples gather; None where neither end is."""
    source: str


# -------------------------------------------------------------------------------------------- formulas


def _total(terms: Sequence[pl.Expr]) -> pl.Expr:
    """Sum over evaluations, in their order, also of arrays, which sum_horizontal does not take."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _mean(terms: Sequence[pl.Expr]) -> pl.Expr:
    return _total(terms) / len(terms)


def _variance(terms: Sequence[pl.Expr]) -> pl.Expr:
    """Variance over evaluations, ddof 0: the tutorial uses np.var."""
    mean = _mean(terms)
    return _mean([(term - mean) ** 2 for term in terms])


def _count(terms: Sequence[pl.Expr]) -> pl.Expr:
    return _total([pl.lit(0, dtype=pl.Int64), *(term.cast(pl.Int64) for term in terms)])


def _first(terms: Sequence[pl.Expr]) -> pl.Expr:
    """The first t ≥ 1 at which a change happened, 0 where there is none, as in the tutorial."""
    return pl.coalesce(
        *(pl.when(term).then(pl.lit(t, dtype=pl.Int64)) for t, term in enumerate(terms, start=1)),
        pl.lit(0, dtype=pl.Int64),
    )


def _log(probability: pl.Expr) -> pl.Expr:
    return probability.clip(TINY).log()


def _log_margin(label_prob: pl.Expr, error: pl.Expr) -> pl.Expr:
    """log p_label − log of the largest other probability.

    error holds p_label − 1 ≤ 0 at the label and p_k ≥ 0 elsewhere: its maximum is the largest other probability.
    """
    return _log(label_prob) - _log(error.arr.max())


def _entropy(probs: pl.Expr) -> pl.Expr:
    """Entropy of arrays of probabilities, nats; 0 · log 0 = 0."""
    return -probs.arr.eval(pl.element() * _log(pl.element())).arr.sum()


def _norm(array: pl.Expr) -> pl.Expr:
    return (array * array).arr.sum().sqrt()


def _learnt_for_good(correct: Sequence[pl.Expr]) -> pl.Expr:
    """One after the last wrong evaluation; 0 if none was wrong, null if the last one was."""
    after_wrong = [
        pl.when(~right).then(pl.lit(t + 1, dtype=pl.Int64)) for t, right in reversed(list(enumerate(correct)))
    ]
    return pl.when(correct[-1]).then(pl.coalesce(*after_wrong, pl.lit(0, dtype=pl.Int64)))


# -------------------------------------------------------------------------------------------- registry

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
    ),
    Signal(
        "correct_ratio",
        "correct_times / T",
        lambda d: _count(d.correct) / len(d.correct),
        "0 … 1",
        "low",
        _TUTORIAL,
    ),
    Signal("avg_probs", "mean of p_t", lambda d: _mean(d.label_probs), "0 … 1", "low", _TUTORIAL),
    Signal(
        "label_var",
        "variance of p_t, ddof 0",
        lambda d: _variance(d.label_probs),
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
    ),
    Signal(
        "min_label_probs",
        "smallest p_t",
        lambda d: pl.min_horizontal(d.label_probs),
        "0 … 1",
        "low",
        _TUTORIAL,
    ),
    Signal(
        "forgetting_times",
        "number of t ≥ 1 with c_{t−1} right and c_t wrong",
        lambda d: _count(d.changes(to=False)),
        "0 … T/2",
        "high",
        "Toneva 2019; " + _TUTORIAL,
    ),
    Signal(
        "learnt_times",
        "number of t ≥ 1 with c_{t−1} wrong and c_t right",
        lambda d: _count(d.changes(to=True)),
        "0 … T/2",
        "high",
        "Toneva 2019; " + _TUTORIAL,
    ),
    Signal(
        "first_forget",
        "first t ≥ 1 with c_{t−1} right and c_t wrong; 0 where there is none",
        lambda d: _first(d.changes(to=False)),
        "0 … T−1",
        None,
        _TUTORIAL,
    ),
    Signal(
        "first_learn",
        "first t ≥ 1 with c_{t−1} wrong and c_t right; 0 where there is none",
        lambda d: _first(d.changes(to=True)),
        "0 … T−1",
        None,
        _TUTORIAL,
    ),
    # further
    Signal(
        "never_learnt",
        "no c_t right",
        lambda d: ~pl.any_horizontal(d.correct),
        "false, true",
        "high",
        "Toneva 2019",
    ),
    Signal(
        "variability",
        "standard deviation of p_t, ddof 0",
        lambda d: _variance(d.label_probs).sqrt(),
        "0 … 0.5",
        None,
        "Swayamdipta 2020",
    ),
    Signal(
        "threshold_closeness",
        "avg_probs · (1 − avg_probs)",
        lambda d: _mean(d.label_probs) * (1 - _mean(d.label_probs)),
        "0 … 0.25",
        None,
        "Chang 2017",
    ),
    Signal(
        "aleatoric",
        "mean of p_t (1 − p_t)",
        lambda d: _mean([p * (1 - p) for p in d.label_probs]),
        "0 … 0.25",
        None,
        "Seedat 2022 (Data-IQ)",
    ),
    Signal(
        "aum",
        "mean of log p_label − largest other log p_k, nats; equals the mean logit margin",
        lambda d: _mean([_log_margin(p, e) for p, e in zip(d.label_probs, d.error, strict=True)]),
        "−∞ … ∞",
        "low",
        "Pleiss 2020",
    ),
    Signal(
        "margin",
        "log of mean p_label − largest other log of mean p_k, nats",
        lambda d: _log_margin(_mean(d.label_probs), d.mean_error),
        "−∞ … ∞",
        "low",
        "datamap",
    ),
    Signal(
        "el2n",
        "mean over the first k evaluations of the Euclidean norm of probs − onehot(label); "
        "k is summarize.el2n_evaluations, 1 by default",
        lambda d: _mean([_norm(e) for e in d.error[: d.el2n_evaluations]]),
        "0 … √2",
        "high",
        "Paul 2021",
    ),
    Signal(
        "avg_loss",
        "mean of −log p_t, nats",
        lambda d: _mean([-_log(p) for p in d.label_probs]),
        "0 … ∞",
        "high",
        "cross-entropy",
    ),
    Signal(
        "last_loss",
        "−log p_t at the last evaluation, nats",
        lambda d: -_log(d.label_probs[-1]),
        "0 … ∞",
        "high",
        "cross-entropy",
    ),
    Signal(
        "entropy",
        "mean entropy of probs, nats",
        lambda d: _mean([_entropy(probs) for probs in d.probs]),
        "0 … log C",
        None,
        "Shannon 1948",
    ),
    Signal(
        "mutual_information",
        "entropy of the mean probs − mean entropy of probs, nats",
        lambda d: _entropy(d.mean_probs) - _mean([_entropy(probs) for probs in d.probs]),
        "0 … log C",
        None,
        "Houlsby 2011 (BALD)",
    ),
    Signal(
        "learnt_for_good",
        "first t from which c_t stays right to the end; empty where it does not",
        lambda d: _learnt_for_good(d.correct),
        "0 … T−1",
        "high",
        "Toneva 2019",
    ),
    Signal(
        "pred_label",
        "predicted class at the last evaluation",
        lambda d: d.pred_label[-1].cast(pl.Int64),
        "0 … C−1",
        None,
        "arg-max",
    ),
    Signal(
        "pred_flips",
        "number of t ≥ 1 at which the predicted class changed",
        lambda d: _count([a != b for a, b in zip(d.pred_label, d.pred_label[1:], strict=False)]),
        "0 … T−1",
        "high",
        "datamap",
    ),
    Signal(
        "suggested_label",
        "class with the largest mean probability",
        lambda d: d.mean_probs.arr.arg_max().cast(pl.Int64),
        "0 … C−1",
        None,
        "arg-max",
    ),
)


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


# --------------------------------------------------------------------------------------------- records


def records(examples: pl.DataFrame, probs: npt.NDArray[np.float64], loss: npt.NDArray[np.float64]) -> pl.DataFrame:
    """The signal records of one evaluation: N examples, probs (N, C), loss (N,) in nats, in the same order."""
    label = examples["label"].to_numpy()
    predicted = probs.argmax(axis=1)
    frame = examples.select("id", "label").with_columns(
        pred_label=pl.Series(predicted, dtype=pl.Int64),
        correct=pl.Series(predicted == label),
        loss=pl.Series(loss, dtype=pl.Float64),
        probs=pl.Series(probs, dtype=pl.Array(pl.Float64, probs.shape[1])),
        label_probs=pl.Series(probs[np.arange(len(label)), label], dtype=pl.Float64),
    )
    has_s_label = examples["s_label"].null_count() < examples.height
    return frame.with_columns(examples["s_label"]) if has_s_label else frame


# ------------------------------------------------------------------------------------------- summarize


def summarize(evaluations: Mapping[str, pl.LazyFrame], *, el2n_evaluations: int = 1) -> pl.DataFrame:
    """A row per example, a column per signal, from T evaluations of the same N examples, in their order.

    `evaluations` are lazy frames by the name that messages call them. Columns of the result: id, label, s_label
    (0 where there is none), the signals of `SIGNALS`; then of the user's own columns the numeric ones as `avg_…`
    and `last_…`, the others as they are, with their last value.

    Raises DatamapError where the evaluations are not whole records of the same examples in the same order.
    """
    schemas = _schemas(evaluations)
    n_classes = _n_classes(evaluations)
    own = [name for name in schemas[0] if name not in KNOWN and all(name in schema for schema in schemas)]
    columns = [*REQUIRED, *(["s_label"] if "s_label" in schemas[0] else []), *own]

    # each evaluation is one set of columns of one wide frame
    wide = pl.concat(
        [
            evaluation.with_columns(_arrays(schema, n_classes))
            .select(name for name in columns if name in schema)
            .rename(lambda name, t=t: f"{name}@{t}")  # type: ignore[misc]
            for t, (evaluation, schema) in enumerate(zip(evaluations.values(), schemas, strict=True))
        ],
        how="horizontal",
    )
    one_hot = pl.concat_arr([(pl.col("label@0") == k).cast(pl.Float64) for k in range(n_classes)])
    each = range(len(schemas))
    wide = wide.with_columns(one_hot.alias("one_hot")).with_columns(
        (pl.col(f"probs@{t}") - pl.col("one_hot")).alias(f"error@{t}") for t in each
    )

    def at_each(name: str) -> list[pl.Expr]:
        return [pl.col(f"{name}@{t}") for t in each]

    dynamics = Dynamics(
        label_probs=at_each("label_probs"),
        correct=at_each("correct"),
        pred_label=at_each("pred_label"),
        probs=at_each("probs"),
        error=at_each("error"),
        el2n_evaluations=el2n_evaluations,
    )
    s_label = pl.col("s_label@0").fill_null(0) if "s_label" in columns else pl.lit(0)
    query = wide.select(
        pl.col("id@0").alias("id"),
        pl.col("label@0").cast(pl.Int64).alias("label"),
        s_label.cast(pl.Int64).alias("s_label"),
        *(signal.expression(dynamics).alias(signal.name) for signal in SIGNALS),
        *(expression for name in own for expression in _own(name, schemas[0][name], at_each(name))),
        pl.all_horizontal(*(_is_whole(t, n_classes) for t in each)).alias("whole"),
    )
    try:
        summary = query.collect(engine="streaming")
    except pl.exceptions.PolarsError:
        _diagnose(evaluations, n_classes)
        raise
    if not summary["whole"].all():
        _diagnose(evaluations, n_classes)
        raise AssertionError("records that are not whole, and no reason found")
    return summary.drop("whole")


def _schemas(evaluations: Mapping[str, pl.LazyFrame]) -> list[pl.Schema]:
    """The columns of every evaluation; raises where one lacks a required column or has it in another type."""
    schemas = []
    for name, evaluation in evaluations.items():
        try:
            schema = evaluation.collect_schema()
        except pl.exceptions.PolarsError as error:
            raise DatamapError(f"{name}: cannot be read as signal records: {_first_line(error)}") from None
        missing = [column for column in REQUIRED if column not in schema]
        if missing:
            raise DatamapError(f"{name}: no field {', '.join(missing)}; every record needs {', '.join(REQUIRED)}")
        schemas.append(schema)
        if schema["id"] != schemas[0]["id"]:
            raise DatamapError(f"{name}: ids of type {schema['id']}, but {schemas[0]['id']} in the first evaluation")
    return schemas


def _n_classes(evaluations: Mapping[str, pl.LazyFrame]) -> int:
    name, first = next(iter(evaluations.items()))
    try:
        head = first.select("probs").head(1).collect()
    except pl.exceptions.PolarsError as error:
        raise DatamapError(f"{name}: cannot be read as signal records: {_first_line(error)}") from None
    probs = head["probs"].to_list()
    if not probs or probs[0] is None or len(probs[0]) < 2:
        raise DatamapError(f"{name}: the first record has no probs of two classes or more")
    return len(probs[0])


def _arrays(schema: pl.Schema, n_classes: int) -> list[pl.Expr]:
    """probs as arrays of one width, whose arithmetic runs over flat values."""
    return [pl.col("probs").list.to_array(n_classes)] if isinstance(schema["probs"], pl.List) else []


def _is_whole(t: int, n_classes: int) -> pl.Expr:
    """Whether a row's record of evaluation t is complete and of the same example as that of evaluation 0."""
    return pl.all_horizontal(
        pl.col(f"id@{t}").eq_missing(pl.col("id@0")),
        pl.col(f"label@{t}").eq_missing(pl.col("label@0")),
        *(pl.col(f"{name}@{t}").is_not_null() for name in REQUIRED),
        pl.col(f"label_probs@{t}").is_between(0, 1),
        pl.col(f"label@{t}").is_between(0, n_classes - 1),
    ).fill_null(False)


def _own(name: str, dtype: pl.DataType, values: list[pl.Expr]) -> list[pl.Expr]:
    if dtype.is_numeric():
        return [_mean(values).alias(f"avg_{name}"), values[-1].alias(f"last_{name}")]
    return [values[-1].alias(name)]


# ------------------------------------------------------------------------------------------- diagnosis


def _diagnose(evaluations: Mapping[str, pl.LazyFrame], n_classes: int) -> None:
    """Raises DatamapError with the first thing that keeps evaluations from standing beside each other."""
    first: pl.DataFrame | None = None
    for name, evaluation in evaluations.items():
        try:
            frame = evaluation.select(*REQUIRED).collect()
        except pl.exceptions.PolarsError as error:
            raise DatamapError(f"{name}: cannot be read as signal records: {_first_line(error)}") from None
        width = frame["probs"].list.len() if isinstance(frame.schema["probs"], pl.List) else None
        faults = {
            "without a value": pl.any_horizontal(pl.col(column).is_null() for column in REQUIRED),
            "with label_probs outside 0 to 1": ~pl.col("label_probs").is_between(0, 1),
            f"with a label outside 0 to {n_classes - 1}": ~pl.col("label").is_between(0, n_classes - 1),
        }
        if width is not None:
            faults[f"without {n_classes} probs"] = pl.lit(width) != n_classes
        for fault, where in faults.items():
            faulty = frame.filter(where)["id"]
            if len(faulty):
                raise DatamapError(f"{name}: {_records(len(faulty))} {fault}: {_ids(faulty)}")
        doubled = frame["id"].filter(frame["id"].is_duplicated()).unique(maintain_order=True)
        if len(doubled):
            raise DatamapError(f"{name}: ids that stand more than once: {_ids(doubled)}")
        if first is None:
            first, first_name = frame, name
            continue
        for has, lacks, ids in (
            (first_name, name, _without(first["id"], frame["id"])),
            (name, first_name, _without(frame["id"], first["id"])),
        ):
            if len(ids):
                raise DatamapError(f"{lacks}: no record of {_examples(len(ids))} that {has} has: {_ids(ids)}")
        if not frame["id"].equals(first["id"]):
            raise DatamapError(f"{name}: the ids stand in another order than in {first_name}")
        relabelled = frame["id"].filter(frame["label"] != first["label"])
        if len(relabelled):
            raise DatamapError(f"{name}: another label than in {first_name} for: {_ids(relabelled)}")


def _without(ids: pl.Series, others: pl.Series) -> pl.Series:
    return ids.filter(~ids.is_in(others.implode()))


def _ids(ids: pl.Series) -> str:
    shown = ", ".join(f"id {value}" for value in ids.head(3))
    return shown if len(ids) <= 3 else f"{shown}, …"


def _records(count: int) -> str:
    return "a record" if count == 1 else f"{count:,} records"


def _examples(count: int) -> str:
    return "an example" if count == 1 else f"{count:,} examples"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
