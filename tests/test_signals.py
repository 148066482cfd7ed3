"""Every signal against a slow, obvious reference, and what keeps evaluations from standing beside each other."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamap_cli import signals
from datamap_cli.errors import DatamapError
from datamap_cli.signals import alignment
from datamap_cli.signals.alignment import Incomplete
from datamap_cli.signals.side_by_side import TINY
from datamap_cli.signals.summary import NotWholeError
from tests.support import evaluation_frames, examples_frame, random_probs, summarize


def log(p: float) -> float:
    return math.log(max(p, TINY))


def entropy(probs: list[float]) -> float:
    return -sum(p * log(p) for p in probs)


def reference(label: int, history: list[list[float]], k: int = 1) -> dict[str, Any]:
    """All signals of one example from its probs at every evaluation: loops, one definition after the other."""
    T = len(history)
    predicted = [max(range(len(probs)), key=lambda c: probs[c]) for probs in history]
    p = [probs[label] for probs in history]
    c = [prediction == label for prediction in predicted]
    others = [max(q for i, q in enumerate(probs) if i != label) for probs in history]
    mean_probs = [sum(probs[i] for probs in history) / T for i in range(len(history[0]))]
    mean = sum(p) / T
    variance = sum((x - mean) ** 2 for x in p) / T
    forgotten = [t for t in range(1, T) if c[t - 1] and not c[t]]
    learnt = [t for t in range(1, T) if not c[t - 1] and c[t]]
    good = [t for t in range(T) if all(c[t:])]
    norms = [math.sqrt(sum((q - (i == label)) ** 2 for i, q in enumerate(probs))) for probs in history]
    return {
        "correct_times": sum(c),
        "correct_ratio": sum(c) / T,
        "avg_probs": mean,
        "label_var": variance,
        "max_label_probs": max(p),
        "min_label_probs": min(p),
        "forgetting_times": len(forgotten),
        "learnt_times": len(learnt),
        "first_forget": forgotten[0] if forgotten else 0,
        "first_learn": learnt[0] if learnt else 0,
        "never_learnt": not any(c),
        "variability": math.sqrt(variance),
        "threshold_closeness": mean * (1 - mean),
        "aleatoric": sum(x * (1 - x) for x in p) / T,
        "aum": sum(log(x) - log(other) for x, other in zip(p, others, strict=True)) / T,
        "margin": log(mean_probs[label]) - log(max(q for i, q in enumerate(mean_probs) if i != label)),
        "el2n": sum(norms[:k]) / len(norms[:k]),
        "avg_loss": sum(-log(x) for x in p) / T,
        "last_loss": -log(p[-1]),
        "entropy": sum(entropy(probs) for probs in history) / T,
        "mutual_information": entropy(mean_probs) - sum(entropy(probs) for probs in history) / T,
        "learnt_for_good": good[0] if good else None,
        "pred_label": predicted[-1],
        "pred_flips": sum(predicted[t] != predicted[t - 1] for t in range(1, T)),
        "suggested_label": max(range(len(mean_probs)), key=lambda i: mean_probs[i]),
    }


def close(expected: Any, actual: Any) -> bool:
    if expected is None or isinstance(expected, (bool, int)):
        return bool(expected == actual)
    return math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-12)


@st.composite
def dynamics(draw: st.DrawFn, *, ties: bool = False) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Labels (N,) and probs (T, N, C); sharp logits, so that probabilities of exactly 0 and 1 occur; with `ties`,
    classes are often equally probable."""
    evaluations, count, n_classes = draw(st.integers(1, 7)), draw(st.integers(1, 6)), draw(st.integers(2, 5))
    seed, scale = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.1, 1.0, 10.0, 300.0]))
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(evaluations, count, n_classes)) * scale
    logits = logits.round() if ties else logits
    exponentials = np.exp(logits - logits.max(axis=2, keepdims=True))
    return rng.integers(0, n_classes, count), exponentials / exponentials.sum(axis=2, keepdims=True)


@settings(max_examples=60)
@given(dynamics(), st.integers(1, 3))
def test_every_signal_equals_its_definition(
    drawn: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]], k: int
) -> None:
    labels, probs = drawn
    examples = examples_frame(len(labels), 2).with_columns(label=pl.Series(labels, dtype=pl.Int64))
    summary = summarize(
        {f"evaluation {t}": signals.records(examples, p, np.zeros(len(labels))).lazy() for t, p in enumerate(probs)},
        el2n_evaluations=k,
    )
    for i, row in enumerate(summary.iter_rows(named=True)):
        expected = reference(int(labels[i]), probs[:, i].tolist(), k)
        assert set(expected) == {signal.name for signal in signals.SIGNALS if signal.expression is not None}
        wrong = {name: (value, row[name]) for name, value in expected.items() if not close(value, row[name])}
        assert {} == wrong


def test_a_signal_that_does_not_come_from_evaluations_is_null_in_their_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    opinion = signals.Signal("opinion", "", None, "0 … 1", "low", "elsewhere", bounds=(0, 1))
    monkeypatch.setattr("datamap_cli.signals.summary.SIGNALS", (*signals.SIGNALS, opinion))
    summary = summarize(evaluation_frames(examples_frame(4, 3), random_probs(4, 3, 2)))
    assert summary.schema["opinion"] == pl.Float64
    assert 4 == summary["opinion"].null_count()


@given(dynamics())
def test_what_follows_from_other_signals_equals_its_own_expression(
    drawn: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]],
) -> None:
    labels, probs = drawn
    examples = examples_frame(len(labels), 2).with_columns(label=pl.Series(labels, dtype=pl.Int64))
    summary = summarize(evaluation_frames(examples, probs))
    derived = {signal.name: signal.derivation for signal in signals.SIGNALS if signal.derivation is not None}
    assert {"variability", "threshold_closeness", "aleatoric"} <= set(derived)
    for name, derivation in derived.items():
        found = summary.select(name, derived=derivation.expression())
        assert found[name].to_numpy() == pytest.approx(found["derived"].to_numpy(), abs=1e-7)


@pytest.mark.parametrize(
    ("kind", "name", "dtype"),
    [
        ("class", "label", pl.Int64()),
        ("class", "pred_label", pl.Int64()),
        ("class", "suggested_label", None),
        ("flag", "never_learnt", None),
        ("count", "forgetting_times", None),
        ("number", "aum", pl.Float64()),
        ("flag", "of_my_own", pl.Boolean()),
        ("count", "of_my_own", pl.UInt8()),
        ("number", "of_my_own", pl.Float32()),
        ("number", "of_my_own", None),
    ],
)
def test_the_kind_of_a_column_is_the_registrys_or_that_of_its_type(
    kind: str, name: str, dtype: pl.DataType | None
) -> None:
    assert kind == signals.find(name, dtype).kind
    assert (kind == "class") == signals.is_class(name)


@pytest.mark.parametrize("name", ["correct_ratio", "avg_probs", "max_label_probs", "min_label_probs", "confidence"])
def test_the_axis_of_a_probability_is_bounded(name: str) -> None:
    assert (0, 1) == signals.find(name).bounds


NEED_ALL_PROBS = ["margin", "el2n", "entropy", "mutual_information", "suggested_label"]


def without_all_probs(summary: pl.DataFrame) -> pl.DataFrame:
    """What is left of a summary where the records have the label's and the runner-up's probability only."""
    return summary.with_columns(pl.lit(None, dtype=summary.schema[name]).alias(name) for name in NEED_ALL_PROBS)


def label_frames(examples: pl.DataFrame, probs: npt.NDArray[np.float64]) -> dict[str, pl.LazyFrame]:
    label = examples["label"].to_numpy()
    return {
        f"evaluation {t}": signals.records(examples, p, signals.loss(p, label), "label").lazy()
        for t, p in enumerate(probs)
    }


def test_the_registry_says_what_needs_all_probabilities_and_the_types() -> None:
    assert NEED_ALL_PROBS == [signal.name for signal in signals.SIGNALS if signal.all_probs]
    schema = summarize(evaluation_frames(examples_frame(4, 3), random_probs(4, 3, 2))).schema
    assert {signal.name: signal.dtype for signal in signals.SIGNALS} == {
        signal.name: schema[signal.name] for signal in signals.SIGNALS
    }


@settings(max_examples=60)
@given(dynamics(ties=True))
def test_label_and_runner_up_make_the_other_signals_bit_for_bit(
    drawn: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]],
) -> None:
    labels, probs = drawn
    examples = examples_frame(len(labels), 2).with_columns(label=pl.Series(labels, dtype=pl.Int64))
    found = summarize(label_frames(examples, probs))
    full = summarize(evaluation_frames(examples, probs))
    assert full.schema == found.schema
    assert without_all_probs(full).equals(found)
    for i, row in enumerate(found.iter_rows(named=True)):
        expected = reference(int(labels[i]), probs[:, i].tolist())
        wrong = {
            name: (value, row[name])
            for name, value in expected.items()
            if name not in NEED_ALL_PROBS and not close(value, row[name])
        }
        assert {} == wrong


@settings(max_examples=60)
@given(dynamics(ties=True))
def test_the_runner_up_is_the_most_probable_class_besides_the_label_the_lowest_of_equals(
    drawn: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]],
) -> None:
    labels, probs = drawn
    examples = examples_frame(len(labels), 2).with_columns(label=pl.Series(labels, dtype=pl.Int64))
    for p in probs:
        kept = signals.records(examples, p, signals.loss(p, labels), "label")
        assert "probs" not in kept.columns
        for row in kept.iter_rows(named=True):
            of_row = p[row["id"]].tolist()
            others = [k for k in range(len(of_row)) if k != row["label"]]
            runner_up = max(others, key=lambda k: of_row[k])
            assert (runner_up, of_row[runner_up]) == (row["runner_up"], row["runner_up_probs"])
            predicted = max(range(len(of_row)), key=lambda k: of_row[k])
            assert (predicted, predicted == row["label"]) == (row["pred_label"], row["correct"])


@pytest.mark.parametrize("incomplete", ["drop", "keep"])
@pytest.mark.parametrize("block", [None, 3])
def test_without_all_probabilities_order_gaps_and_blocks_are_dealt_with_alike(
    incomplete: Incomplete, block: int | None
) -> None:
    examples, probs = examples_frame(20, 4), random_probs(20, 4, 4)
    rng = np.random.default_rng(5)
    present = rng.random((4, 20)) < 0.8
    orders = [rng.permutation(20) for _ in range(4)]

    def disturbed(frames: dict[str, pl.LazyFrame]) -> dict[str, pl.LazyFrame]:
        return {
            name: frame.collect().filter(pl.Series(present[t])).lazy()
            if t < 2
            else frame.collect()[orders[t].tolist()].filter(pl.Series(present[t][orders[t]])).lazy()
            for t, (name, frame) in enumerate(frames.items())
        }

    full = summarize(disturbed(evaluation_frames(examples, probs)), incomplete=incomplete)
    found = summarize(disturbed(label_frames(examples, probs)), incomplete=incomplete, block=block)
    assert 0 < full.height
    assert without_all_probs(full).equals(found)


@pytest.mark.parametrize(
    ("mixed", "message"),
    [
        (1, "evaluation 1: records with no probs, but with probs in the first evaluation; `signals.probs` must be"),
        (0, "evaluation 1: records with probs, but with no probs in the first evaluation; `signals.probs` must be"),
    ],
)
def test_evaluations_with_and_without_all_probabilities_are_refused(mixed: int, message: str) -> None:
    examples, probs = examples_frame(5, 3), random_probs(5, 3, 3)
    frames = evaluation_frames(examples, probs)
    frames[f"evaluation {mixed}"] = label_frames(examples, probs)[f"evaluation {mixed}"]
    with pytest.raises(DatamapError) as error:
        summarize(frames)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (pl.lit(None, pl.Float64).alias("runner_up_probs"), "5 records without a value: id 0, id 1, id 2, …"),
        (pl.lit(1.5).alias("runner_up_probs"), "5 records with runner_up_probs outside 0 to 1: id 0"),
        (pl.lit(float("nan")).alias("runner_up_probs"), "5 records with runner_up_probs outside 0 to 1: id 0"),
        (pl.lit(-1, pl.Int64).alias("label"), "5 records with a label below 0: id 0"),
    ],
)
def test_damaged_records_without_all_probabilities_are_refused(damage: pl.Expr, message: str) -> None:
    frames = label_frames(examples_frame(5, 3), random_probs(5, 3, 3))
    frames["evaluation 1"] = frames["evaluation 1"].with_columns(damage)
    with pytest.raises(DatamapError) as error:
        summarize(frames)
    assert f"evaluation 1: {message}" in str(error.value)


def test_the_tutorials_columns_come_first_in_its_order() -> None:
    examples = examples_frame(6, 3)
    summary = summarize(evaluation_frames(examples, random_probs(6, 3, 4)))
    assert [
        "id", "label", "s_label", "correct_times", "correct_ratio", "avg_probs", "label_var", "max_label_probs",
        "min_label_probs", "forgetting_times", "learnt_times", "first_forget", "first_learn", "never_learnt",
    ] == summary.columns[:14]  # fmt: skip


def test_a_history_worked_out_by_hand() -> None:
    """Wrong, right, wrong, right, right: learnt twice, forgotten once, for good from evaluation 3."""
    label_probs = [0.25, 0.75, 0.5 - 2**-10, 0.875, 1.0]
    probs = np.array([[[p, 1 - p]] for p in label_probs])
    examples = examples_frame(1, 1)
    row = summarize(evaluation_frames(examples, probs)).row(0, named=True)
    expected = {
        "s_label": 0, "correct_times": 3, "correct_ratio": 0.6, "max_label_probs": 1.0, "min_label_probs": 0.25,
        "forgetting_times": 1, "learnt_times": 2, "first_forget": 2, "first_learn": 1, "never_learnt": False,
        "learnt_for_good": 3, "pred_flips": 3, "pred_label": 0, "suggested_label": 0, "last_loss": 0.0,
    }  # fmt: skip
    assert expected == {name: row[name] for name in expected}


def test_aum_equals_the_mean_logit_margin() -> None:
    logits = np.random.default_rng(3).normal(size=(4, 5, 3)) * 4
    exponentials = np.exp(logits)
    probs = exponentials / exponentials.sum(axis=2, keepdims=True)
    examples = examples_frame(5, 3)
    label = examples["label"].to_numpy()
    margins = [logits[:, i, k] - np.delete(logits[:, i], k, axis=1).max(axis=1) for i, k in enumerate(label)]
    aum = summarize(evaluation_frames(examples, probs))["aum"].to_numpy()
    np.testing.assert_allclose([margin.mean() for margin in margins], aum, rtol=1e-9)


def test_s_label_and_the_users_own_columns_come_through() -> None:
    examples = examples_frame(4, 2).with_columns(s_label=pl.Series([0, 1, 2, 0]))
    frames = {
        name: frame.with_columns(gradient_norm=pl.lit(float(t)), source=pl.lit("网"))
        for t, (name, frame) in enumerate(evaluation_frames(examples, random_probs(4, 2, 3)).items())
    }
    summary = summarize(frames)
    assert [0, 1, 2, 0] == summary["s_label"].to_list()
    assert [1.0] * 4 == summary["avg_gradient_norm"].to_list()
    assert [2.0] * 4 == summary["last_gradient_norm"].to_list()
    assert ["网"] * 4 == summary["source"].to_list()


def test_a_text_column_with_the_name_of_a_signal_is_refused() -> None:
    frames = evaluation_frames(examples_frame(3, 2), random_probs(3, 2, 2))
    named = {name: frame.with_columns(entropy=pl.lit("x")) for name, frame in frames.items()}
    with pytest.raises(DatamapError, match="evaluation 0: the column entropy has the name of a signal; rename it"):
        summarize(named)


def test_string_ids_stay_strings() -> None:
    examples = examples_frame(3, 2).with_columns(id=pl.Series(["a", "b\tc", "7"]))
    summary = summarize(evaluation_frames(examples, random_probs(3, 2, 2)))
    assert ["a", "b\tc", "7"] == summary["id"].to_list()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: f.filter(pl.col("id") != 2),
            "evaluation 1: no record of 1 example that other evaluations have: id 2; `summarize.incomplete: drop`",
        ),
        (
            lambda f: f.with_columns(pl.col("id") + 10),
            "evaluation 0 and 2 more evaluations: no record of 5 examples that other evaluations have: id 10",
        ),
        (lambda f: f.with_columns(id=pl.lit(3, pl.Int64)), "evaluation 1: ids that stand more than once: id 3"),
        (
            lambda f: f.with_columns(label=1 - pl.col("label")),
            "evaluation 1: another label than in the evaluations before for: id 0, id 1, id 2, …",
        ),
        (lambda f: f.with_columns(label=pl.lit(7, pl.Int64)), "5 records with a label outside 0 to 1"),
        (lambda f: f.drop("probs"), "evaluation 1: no field probs"),
        (
            lambda f: f.with_columns(label_probs=pl.when(pl.col("id") == 3).then(pl.lit(float("nan"))).otherwise(0.5)),
            "evaluation 1: 1 record with label_probs outside 0 to 1: id 3",
        ),
        (
            lambda f: f.with_columns(correct=pl.when(pl.col("id") > 0).then("correct")),
            "evaluation 1: 1 record without a value: id 0",
        ),
        (
            lambda f: f.with_columns(
                pl.when(pl.col("id") == 4)
                .then(pl.lit([0.2, 0.3, 0.5]))
                .otherwise(pl.col("probs").arr.to_list())
                .alias("probs")
            ),
            "evaluation 1: 1 record without 2 probs: id 4",
        ),
        (lambda f: f.with_columns(pl.col("id").cast(pl.String)), "evaluation 1: ids of type String, but Int64"),
        (lambda f: f.head(0), "evaluation 1: no record of 5 examples that other evaluations have: id 0, id 1, id 2, …"),
    ],
)
def test_evaluations_that_do_not_belong_together_are_refused(damage: Any, message: str) -> None:
    examples = examples_frame(5, 2)
    frames = evaluation_frames(examples, random_probs(5, 2, 3))
    frames["evaluation 1"] = damage(frames["evaluation 1"].collect()).lazy()
    with pytest.raises(DatamapError) as error:
        summarize(frames)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_evaluations_of_no_common_example_are_refused_as_such() -> None:
    frames = evaluation_frames(examples_frame(6, 2), random_probs(6, 2, 3))
    parts = {name: frame.slice(2 * t, 2) for t, (name, frame) in enumerate(frames.items())}
    for incomplete in ("error", "drop"):
        with pytest.raises(
            DatamapError, match=r"no id stands in two evaluations|no example stands in every evaluation"
        ):
            summarize(parts, incomplete=incomplete)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 7, 100]))
def test_examples_in_another_order_are_put_in_that_of_the_first_evaluation(seed: int, block: int) -> None:
    examples = examples_frame(7, 3)
    frames = evaluation_frames(examples, random_probs(7, 3, 4, seed=seed))
    shuffled = {
        name: frame.collect().sample(fraction=1, shuffle=True, seed=seed + t if t else 0).lazy()
        for t, (name, frame) in enumerate(frames.items())
    }
    expected = summarize(frames)
    first = next(iter(shuffled.values())).collect()["id"]
    with TemporaryDirectory() as scratch:
        aligned = alignment.align(shuffled, Path(scratch), block=block)
        summary = signals.summarize(aligned).collect(engine="streaming")
    assert first.to_list() == summary["id"].to_list()
    assert expected.equals(summary.sort("id"))
    assert expected.equals(summarize(shuffled).sort("id"))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_incomplete_examples_are_dropped_or_counted_by_what_is_there(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    examples, probs = examples_frame(5, 3), random_probs(5, 3, 4, seed=seed)
    present = rng.random((4, 5)) < 0.7
    present[:, 0] = True
    frames = {
        name: frame.filter(pl.Series(present[t]))
        for t, (name, frame) in enumerate(evaluation_frames(examples, probs).items())
    }
    dropped = summarize(frames, incomplete="drop", el2n_evaluations=k)
    assert np.flatnonzero(present.all(axis=0)).tolist() == dropped["id"].sort().to_list()
    kept = summarize(frames, incomplete="keep", el2n_evaluations=k)
    assert np.flatnonzero(present.any(axis=0)).tolist() == kept["id"].sort().to_list()
    for row in kept.iter_rows(named=True):
        i = row["id"]
        there = np.flatnonzero(present[:, i])
        expected = reference(examples["label"][i], probs[there, i].tolist(), k)
        # the times of events are those of the run, not of the example
        for name in ("first_forget", "first_learn", "learnt_for_good"):
            if expected[name]:
                expected[name] = there[expected[name] - 1] + 1 if name == "learnt_for_good" else there[expected[name]]
        norms = [np.linalg.norm(probs[t, i] - np.eye(3)[examples["label"][i]]) for t in there if t < k]
        expected["el2n"] = float(np.mean(norms)) if norms else None
        wrong = {name: (value, row[name]) for name, value in expected.items() if not close(value, row[name])}
        assert {} == wrong


@pytest.mark.parametrize("block", [1, 3, 50])
def test_blocks_of_rows_give_the_same_bit_for_bit(block: int) -> None:
    frames = evaluation_frames(examples_frame(20, 3), random_probs(20, 3, 4))
    assert summarize(frames).equals(summarize(frames, block=block))
    frames["evaluation 2"] = frames["evaluation 2"].reverse()
    assert summarize(frames).equals(summarize(frames, block=block))


def test_a_single_evaluation_is_enough() -> None:
    summary = summarize(evaluation_frames(examples_frame(3, 2), random_probs(3, 2, 1)))
    assert [0.0, 0.0, 0.0] == summary["label_var"].to_list()
    assert [0, 0, 0] == summary["forgetting_times"].to_list()


def test_regions_are_bounded_by_avg_probs() -> None:
    frame = pl.DataFrame({"avg_probs": [0.0, 0.25, 0.2501, 0.7499, 0.75, 1.0]})
    regions = frame.select(signals.region()).to_series().to_list()
    assert ["hard-to-learn"] * 2 + ["ambiguous"] * 2 + ["easy-to-learn"] * 2 == regions


def test_what_polars_said_of_records_is_the_cause_of_what_the_user_reads() -> None:
    examples = examples_frame(4, 2)
    evaluations = evaluation_frames(examples, random_probs(4, 2, 2))
    name = list(evaluations)[1]
    evaluations[name] = evaluations[name].with_columns(pl.col("label").map_batches(_fail, return_dtype=pl.Int64))
    with pytest.raises(DatamapError, match=f"{name}: cannot be read as signal records: a bad block") as error:
        summarize(evaluations)
    assert isinstance(error.value.__cause__, pl.exceptions.PolarsError)


def test_why_records_were_put_in_order_is_the_cause_where_that_fails() -> None:
    examples = examples_frame(4, 2)
    evaluations = evaluation_frames(examples, random_probs(4, 2, 2))
    name = list(evaluations)[1]
    evaluations[name] = pl.concat([evaluations[name], evaluations[name].head(1)])
    with pytest.raises(DatamapError, match="ids that stand more than once: id 0") as error:
        summarize(evaluations)
    assert isinstance(error.value.__cause__, (NotWholeError, pl.exceptions.PolarsError))


def _fail(_: pl.Series) -> pl.Series:
    raise pl.exceptions.ComputeError("a bad block")
