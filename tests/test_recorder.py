"""Recording from any training loop: the same run whatever the order and the kind of the batches, and what is refused."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamap_cli import DatamapError, SignalRecorder, signals
from datamap_cli.config import load
from datamap_cli.run import Run
from tests.support import evaluation_frames, examples_frame, random_probs, summarize


def refusal(action: Any) -> str:
    with pytest.raises(DatamapError) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.booleans())
def test_batches_in_any_order_make_the_same_run(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int, as_logits: bool
) -> None:
    rng = np.random.default_rng(seed)
    examples, probs = examples_frame(9, 3, seed=seed % 1000), random_probs(9, 3, 3, seed=seed)
    directory = tmp_path_factory.mktemp("run")
    with SignalRecorder(directory, examples=examples, classes=["a", "b", "c"]) as recorder:
        for t, p in enumerate(probs):
            order = rng.permutation(9)
            for start in range(0, 9, batch):
                rows = order[start : start + batch]
                scores = {"logits": np.log(p[rows]) + 5} if as_logits else {"probs": p[rows]}
                recorder.record(step=t, ids=examples["id"].to_numpy()[rows], **scores)
            accuracy = recorder.finish_evaluation()
            assert (p.argmax(axis=1) == examples["label"].to_numpy()).mean() == accuracy
    run = Run.open(directory)
    assert run.info.finished
    expected = summarize(evaluation_frames(examples, probs))
    found = summarize(run.evaluations())
    for name in expected.columns:
        np.testing.assert_allclose(
            expected[name].cast(pl.Float64).to_numpy(), found[name].cast(pl.Float64).to_numpy(), rtol=1e-9, atol=1e-12
        )


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from(["jsonl", "parquet"]))
def test_without_all_probabilities_the_other_signals_stay_the_same_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int, format: Literal["jsonl", "parquet"]
) -> None:
    rng = np.random.default_rng(seed)
    examples = examples_frame(9, 5, seed=seed % 1000)
    logits = rng.normal(size=(3, 9, 5)).round(1) * 3  # classes are equally probable now and then
    summaries = {}
    for probs in ("all", "label"):
        directory = tmp_path_factory.mktemp(probs)
        with SignalRecorder(
            directory, examples=examples, classes=list("abcde"), format=format, probs=probs
        ) as recorder:
            for t, scores in enumerate(logits):
                order = rng.permutation(9)
                for start in range(0, 9, batch):
                    rows = order[start : start + batch]
                    recorder.record(step=t, ids=examples["id"].to_numpy()[rows], logits=scores[rows])
                recorder.finish_evaluation()
        assert probs == load(directory / "config.yaml").signals.probs
        summaries[probs] = summarize(Run.open(directory).evaluations())
    needed = [signal.name for signal in signals.SIGNALS if signal.all_probs]
    assert summaries["all"].schema == summaries["label"].schema
    assert summaries["all"].drop(needed).equals(summaries["label"].drop(needed))
    assert [9] * 5 == [summaries["label"][name].null_count() for name in needed]


def test_a_record_without_all_probabilities_has_the_runner_up(tmp_path: Path) -> None:
    with SignalRecorder(
        tmp_path, examples={"id": [7, 8], "label": [1, 2]}, classes=["a", "b", "c"], format="jsonl", probs="label"
    ) as recorder:
        recorder.record(step=0, ids=[7, 8], probs=[[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])
        recorder.finish_evaluation()
    lines = (tmp_path / "signals" / "step-000000.jsonl").read_text().splitlines()
    assert {
        "id": 7, "label": 1, "pred_label": 0, "correct": False, "loss": math.log(4), "label_probs": 0.25,
        "runner_up": 0, "runner_up_probs": 0.5,
    } == json.loads(lines[0])  # fmt: skip
    assert (0, 0.25) == (json.loads(lines[1])["runner_up"], json.loads(lines[1])["runner_up_probs"])


def test_without_all_probabilities_memory_does_not_grow_with_the_classes(tmp_path: Path) -> None:
    """20,000 examples of 500 classes in batches of 50: all probabilities would be 80 MB."""
    examples = pl.DataFrame({"id": range(20_000), "label": [7] * 20_000})
    recorder = SignalRecorder(tmp_path, examples=examples, classes=[str(k) for k in range(500)], probs="label")
    logits = np.random.default_rng(0).normal(size=(50, 500))
    tracemalloc.start()
    for start in range(0, 20_000, 50):
        recorder.record(step=0, ids=np.arange(start, start + 50), logits=logits)
    recorder.finish_evaluation()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 8e6 > peak


def test_where_no_label_is_suggested_the_last_prediction_is_listed(
    tmp_path: Path, run_cli: Callable[..., tuple[int, str, str]]
) -> None:
    examples = {"id": [0, 1], "label": [0, 1], "text_a": ["好", "坏"]}
    with SignalRecorder(tmp_path, examples=examples, classes=["good", "bad", "odd"], probs="label") as recorder:
        recorder.record(step=0, ids=[0, 1], probs=[[0.1, 0.2, 0.7], [0.2, 0.8, 0.0]])
        recorder.finish_evaluation()
    code, out, _ = run_cli("summarize", "--run-dir", tmp_path)
    assert 0 == code
    lines = [line.split() for line in out.splitlines()]
    assert ["id", "avg_probs", "label", "predicted", "text"] in lines
    assert ["0", "0.1000", "good", "odd", "好"] in lines


def test_logits_far_apart_keep_their_loss(tmp_path: Path) -> None:
    with SignalRecorder(tmp_path, examples={"id": [1], "label": [1]}, classes=["a", "b"]) as recorder:
        recorder.record(step=0, ids=[1], logits=[[2000.0, 0.0]])
        recorder.finish_evaluation()
    records = next(iter(Run.open(tmp_path).evaluations().values())).collect()
    assert [2000.0] == records["loss"].to_list()
    assert [0.0] == records["label_probs"].to_list()


def test_labels_may_be_class_names_and_ids_texts(tmp_path: Path) -> None:
    examples = {"id": ["x", "y"], "label": ["no", "yes"], "text_a": ["怎么", "b"], "s_label": [0, 2]}
    with SignalRecorder(tmp_path, examples=examples, classes=["yes", "no"]) as recorder:
        recorder.record(
            step=5,
            ids=["y", "x"],
            probs=[[0.9, 0.1], [0.6, 0.4]],
            extra={"gradient_norm": [2.0, 1.0], "source": ["s", "t"]},
        )
        recorder.finish_evaluation(epoch=1.0, train_loss=0.4)
    run = Run.open(tmp_path)
    summary = summarize(run.evaluations())
    assert ["x", "y"] == summary["id"].to_list()
    assert [0.4, 0.9] == summary["avg_probs"].to_list()
    assert [0, 2] == summary["s_label"].to_list()
    assert [1.0, 2.0] == summary["avg_gradient_norm"].to_list()
    assert ["t", "s"] == summary["source"].to_list()
    assert (5, 1.0, 0.4) == (
        run.info.evaluations[0].step,
        run.info.evaluations[0].epoch,
        run.info.evaluations[0].train_loss,
    )
    assert "recorder" == run.info.origin.kind


def test_fractions_may_come_after_whole_numbers(tmp_path: Path) -> None:
    with SignalRecorder(tmp_path, examples={"id": range(4), "label": [0, 1, 0, 1]}, classes=["a", "b"]) as recorder:
        recorder.record(step=0, ids=[0, 1], probs=PROBS[:2], extra={"g": [1, 2]})
        recorder.record(step=0, ids=[2, 3], probs=PROBS[:2], extra={"g": [0.5, 0.25]})
        recorder.finish_evaluation()
    assert [1.0, 2.0, 0.5, 0.25] == summarize(Run.open(tmp_path).evaluations())["avg_g"].to_list()


@pytest.mark.parametrize("values", [[3.5, 4.5], ["x", "y"]])
def test_columns_of_the_users_never_clash_with_what_is_computed(tmp_path: Path, values: list[Any]) -> None:
    names = (
        *("times", "one_hot", "mean_probs", "avg_entropy", "whole", "log_label_probs", "log_other_probs", "g@0"),
        *("log_label_probs 0", "entropy 0", "times@0"),
    )
    probs = [[0.9, 0.1], [0.4, 0.6]]
    summaries = []
    for extra in ({}, dict.fromkeys(names, values)):
        run_dir = tmp_path / str(len(extra))
        with SignalRecorder(run_dir, examples={"id": [0, 1], "label": [0, 1]}, classes=["a", "b"]) as recorder:
            recorder.record(step=0, ids=[0, 1], probs=probs, extra=extra)
            recorder.finish_evaluation()
        summaries.append(summarize(Run.open(run_dir).evaluations()))
    assert summaries[0].equals(summaries[1].select(summaries[0].columns))
    for name in names:
        assert values == summaries[1][f"last_{name}" if values[0] == 3.5 else name].to_list()


def test_two_columns_that_would_become_one_are_refused_by_name(tmp_path: Path) -> None:
    with SignalRecorder(tmp_path, examples={"id": [0, 1], "label": [0, 1]}, classes=["a", "b"]) as recorder:
        recorder.record(step=0, ids=[0, 1], probs=PROBS[:2], extra={"g": [1, 2], "avg_g": ["x", "y"]})
        recorder.finish_evaluation()
    message = refusal(lambda: summarize(Run.open(tmp_path).evaluations()))
    assert "two columns that would both be avg_g; rename one" in message


class Tensor:
    """Looks like a tensor on a GPU that needs gradients: only `detach().cpu().numpy()` gives its values."""

    def __init__(self, values: Any, stage: int = 0) -> None:
        self.values, self.stage, self.dtype = values, stage, "float32"

    def detach(self) -> Tensor:
        return Tensor(self.values, 1)

    def cpu(self) -> Tensor:
        assert 1 == self.stage
        return Tensor(self.values, 2)

    def numpy(self) -> Any:
        assert 2 == self.stage
        return np.asarray(self.values, dtype=np.float32)


def test_tensors_are_taken_without_knowing_their_framework(tmp_path: Path) -> None:
    with SignalRecorder(tmp_path, examples={"id": [3, 4], "label": [0, 1]}, classes=["a", "b"]) as recorder:
        recorder.record(step=1, ids=np.array([4, 3]), logits=Tensor([[0.0, 1.0], [1.0, 0.0]]))
        assert 1.0 == recorder.finish_evaluation()


@pytest.mark.paddle
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_paddle_tensors_are_taken_as_they_are(tmp_path: Path, dtype: str) -> None:
    from datamap_cli.train import environment

    environment.load_paddle()
    import paddle

    logits = paddle.to_tensor([[0.0, 2.0], [2.0, 0.0]], dtype=dtype, stop_gradient=False)
    with SignalRecorder(tmp_path, examples={"id": [3, 4], "label": [1, 0]}, classes=["a", "b"]) as recorder:
        recorder.record(step=1, ids=paddle.to_tensor([3, 4]), logits=logits)
        assert 1.0 == recorder.finish_evaluation()
    assert [pytest.approx(0.8808, abs=1e-4)] * 2 == summarize(Run.open(tmp_path).evaluations())["avg_probs"].to_list()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_torch_tensors_are_taken_as_they_are(tmp_path: Path, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    logits = torch.tensor([[0.0, 2.0], [2.0, 0.0]], dtype=getattr(torch, dtype), requires_grad=True)
    with SignalRecorder(tmp_path, examples={"id": [3, 4], "label": [1, 0]}, classes=["a", "b"]) as recorder:
        recorder.record(step=1, ids=torch.tensor([3, 4]), logits=logits)
        assert 1.0 == recorder.finish_evaluation()


def half(recorder: SignalRecorder) -> int:
    recorder.record(step=1, ids=[0, 1], probs=[[0.5, 0.5]] * 2)
    return 2


PROBS = [[0.5, 0.5]] * 4


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda r: (half(r), r.finish_evaluation()), "step 1: the evaluation lacks: 2 of 4: id 2, id 3"),
        (lambda r: (half(r), r.finish()), "step 1: the evaluation lacks: 2 of 4: id 2, id 3"),
        (lambda r: (half(r), half(r)), "step 1: recorded twice: 2 of 2: id 0, id 1"),
        (lambda r: r.record(step=1, ids=[0, 0], probs=PROBS[:2]), "step 1: twice in one batch: 2 of 2: id 0"),
        (lambda r: r.record(step=1, ids=[0, 9], probs=PROBS[:2]), "step 1: not among the examples: 1 of 2: id 9"),
        (lambda r: r.record(step=1, ids=["0"], probs=PROBS[:1]), "step 1: not among the examples: 1 of 1: id 0"),
        (lambda r: r.record(step=1, ids=[0]), "step 1: give either logits or probs"),
        (lambda r: r.record(step=1, ids=[0], probs=PROBS[:1], logits=PROBS[:1]), "step 1: give either logits or probs"),
        (lambda r: r.record(step=1, ids=[0], logits=[[1.0, 2.0, 3.0]]), "scores of shape (1, 3), expected (1, 2)"),
        (lambda r: r.record(step=1, ids=[0], logits=[[1.0, float("nan")]]), "values that are not finite: 1 of 1: id 0"),
        (lambda r: r.record(step=1, ids=[0], logits=[[1.0, float("inf")]]), "values that are not finite"),
        (lambda r: r.record(step=1, ids=[0], probs=[[0.7, 0.7]]), "probs that are not probabilities summing to 1"),
        (lambda r: r.record(step=1, ids=[0], probs=[[1.5, -0.5]]), "probs that are not probabilities summing to 1"),
        (
            lambda r: (half(r), r.record(step=2, ids=[2], probs=PROBS[:1])),
            "step 2: the evaluation at step 1 is not finished",
        ),
        (lambda r: r.finish_evaluation(), "no evaluation to finish"),
        (
            lambda r: r.record(step=1, ids=[0], probs=PROBS[:1], extra={"g": [1, 2]}),
            "extra g: shape (2,), expected (1,)",
        ),
        (lambda r: r.record(step=1, ids=[0], probs=PROBS[:1], extra={"loss": [1]}), "extra loss: the name is taken"),
        (
            lambda r: (half(r), r.record(step=1, ids=[2], probs=PROBS[:1], extra={"g": [1]})),
            "step 1: extra g, but none before",
        ),
        (
            lambda r: [
                r.record(step=1, ids=[i], probs=PROBS[:1], extra={"g": [value]}) for i, value in enumerate((1, "x"))
            ],
            "step 1: extra g: numbers in one batch, texts in another",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_ids(tmp_path: Path, action: Any, message: str) -> None:
    recorder = SignalRecorder(tmp_path, examples={"id": range(4), "label": [0, 1, 0, 1]}, classes=["a", "b"])
    assert message in refusal(lambda: action(recorder))


def test_steps_go_up(tmp_path: Path) -> None:
    recorder = SignalRecorder(tmp_path, examples={"id": range(4), "label": [0, 1, 0, 1]}, classes=["a", "b"])
    recorder.record(step=7, ids=range(4), probs=PROBS)
    recorder.finish_evaluation()
    message = refusal(lambda: recorder.record(step=7, ids=range(4), probs=PROBS))
    assert "step 7: the evaluation before was at step 7; steps go up" in message


@pytest.mark.parametrize(
    ("examples", "classes", "message"),
    [
        ({"id": [1]}, ["a", "b"], "examples: no column label; columns: id"),
        ({"id": [], "label": []}, ["a", "b"], "examples: there are none"),
        ({"id": [1, 1], "label": [0, 1]}, ["a", "b"], "examples: ids that are not unique: 2 of 2: id 1, id 1"),
        ({"id": [1, 2], "label": [0, 2]}, ["a", "b"], "examples: labels that are no class: 1 of 2: id 2"),
        ({"id": [1, 2], "label": ["a", "c"]}, ["a", "b"], "examples: labels that are no class: 1 of 2: id 2"),
        ({"id": [1], "label": [0]}, ["a"], "classes: expected two different names or more"),
    ],
)
def test_examples_that_do_not_fit_are_refused(tmp_path: Path, examples: Any, classes: list[str], message: str) -> None:
    assert message in refusal(lambda: SignalRecorder(tmp_path / "run", examples=examples, classes=classes))
    assert not (tmp_path / "run").exists()


def crashing_loop(directory: Path) -> None:
    with SignalRecorder(directory, examples={"id": [0, 1], "label": [0, 1]}, classes=["a", "b"]) as recorder:
        recorder.record(step=1, ids=[0, 1], probs=PROBS[:2])
        recorder.finish_evaluation()
        recorder.record(step=2, ids=[0], probs=PROBS[:1])
        raise ZeroDivisionError


def test_an_exception_in_the_loop_leaves_the_run_unfinished(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        crashing_loop(tmp_path)
    run = Run.open(tmp_path)
    assert run.info.finished is None
    assert 1 == len(run.evaluations())


def test_softmax_of_logits_equals_the_plain_formula() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4)) * 3
    label = np.arange(50) % 4
    probs, loss = signals.probabilities(logits, label)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(expected, probs, rtol=1e-12)
    np.testing.assert_allclose(-np.log(expected[np.arange(50), label]), loss, rtol=1e-10)


def test_vectors_of_the_texts_are_kept_at_length_one(tmp_path: Path) -> None:
    with SignalRecorder(tmp_path, examples={"id": [0, 1], "label": [0, 1]}, classes=["a", "b"]) as recorder:
        recorder.keep_embeddings([[3.0, 4.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 0.0]])
    text_a, text_b = Run.open(tmp_path).embeddings()
    np.testing.assert_allclose([[0.6, 0.8], [0.0, 1.0]], text_a, atol=1e-3)
    np.testing.assert_allclose([[1.0, 0.0], [0.0, 0.0]], text_b, atol=1e-3)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 0.0]], "embeddings: shape (1, 2), expected a vector for each of 2 examples"),
        ([1.0, 2.0], "embeddings: shape (2,), expected a vector for each of 2 examples"),
        ([[1.0], [float("nan")]], "embeddings: values that are not finite: 1 of 2: id 1"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path: Path, vectors: Any, message: str) -> None:
    recorder = SignalRecorder(tmp_path / "run", examples={"id": [0, 1], "label": [0, 1]}, classes=["a", "b"])
    assert message in refusal(lambda: recorder.keep_embeddings(vectors))
    assert [] == recorder.run.embeddings()


def test_a_damaged_file_of_vectors_is_one_line(tmp_path: Path) -> None:
    with SignalRecorder(tmp_path, examples={"id": [0, 1], "label": [0, 1]}, classes=["a", "b"]) as recorder:
        recorder.keep_embeddings(np.eye(2))
    path = tmp_path / "embeddings.npz"
    path.write_bytes(path.read_bytes()[:50])
    assert f"{path}: damaged; remove it to go on without embeddings" in refusal(Run.open(tmp_path).embeddings)
