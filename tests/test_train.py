"""Training for real, on the tiny model: what it yields, that it repeats, and how it refuses."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from datamap_cli import train
from datamap_cli.config import Config, ModelConfig, parse
from datamap_cli.errors import DatamapError
from datamap_cli.train import batches, environment

pytestmark = pytest.mark.paddle

PAIR_CLASSES = ["different", "same"]
TOPICS = ["天气", "音乐", "travel", "food", "спорт"]


def config(model: dict[str, Any] | None = None, **sections: Any) -> Config:
    tree: dict[str, Any] = {
        "data": {"train": "train.tsv"},
        "model": {"name": "tiny", "max_seq_len": 24} | (model or {}),
        "train": {"epochs": 2, "batch_size": 16, "learning_rate": 2e-3} | sections.get("train", {}),
        "signals": sections.get("signals", {}),
    }
    return parse(tree, source="test")


def frame(text_a: list[str], text_b: list[str] | None, labels: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"row-{row}" for row in range(len(labels))],
            "text_a": text_a,
            "text_b": text_b or [None] * len(labels),
            "label": labels,
            "s_label": [None] * len(labels),
        },
        schema={
            "id": pl.String,
            "text_a": pl.String,
            "text_b": pl.String,
            "label": pl.Int64,
            "s_label": pl.Int64,
        },
    )


def pairs(count: int = 60) -> pl.DataFrame:
    draw = random.Random(1)
    labels = [row % 2 for row in range(count)]
    text_a = [f"怎么学习{draw.choice('吉他钢琴英语数学')}{'呢' * draw.randrange(1, 9)}" for _ in labels]
    text_b = [first if label else "今天天气很好" for first, label in zip(text_a, labels, strict=True)]
    return frame(text_a, text_b, labels)


def singles(count: int = 60) -> pl.DataFrame:
    labels = [row % 5 for row in range(count)]
    return frame([f"{TOPICS[label]} Nr {row} {TOPICS[label]}" for row, label in enumerate(labels)], None, labels)


def run(settings: Config, examples: pl.DataFrame, classes: list[str] = PAIR_CLASSES) -> list[train.Event]:
    return list(train.run(settings, examples, classes))


def evaluations(events: list[train.Event]) -> list[train.Evaluation]:
    return [event for event in events if isinstance(event, train.Evaluation)]


def steps(events: list[train.Event]) -> list[train.Step]:
    return [event for event in events if isinstance(event, train.Step)]


@pytest.fixture(scope="module")
def pair_events() -> list[train.Event]:
    return run(config(), pairs())


@pytest.fixture(scope="module")
def single_events() -> list[train.Event]:
    return run(config(train={"epochs": 8}), singles(), TOPICS)


@pytest.fixture(scope="module")
def saved(pair_events: list[train.Event], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("saved") / "model"
    trained = pair_events[-1]
    assert isinstance(trained, train.Trained)
    assert trained.save is not None
    trained.save(directory)
    return directory


# ---------------------------------------------------------------------------------------------- the events


def test_events_come_in_order(pair_events: list[train.Event]) -> None:
    kinds = [type(event).__name__ for event in pair_events]
    in_order = [kind for kind, before in zip(kinds, ["", *kinds], strict=False) if kind != before]
    assert [
        "Started",
        *["Step", "Checkpoint", "EvaluationProgress", "Evaluation"] * 2,
        "Trained",
    ] == in_order


def test_started_tells_the_size_of_the_work(pair_events: list[train.Event]) -> None:
    started = pair_events[0]
    assert isinstance(started, train.Started)
    assert ("cpu", 8, 4, 2) == (started.device, started.steps, started.steps_per_epoch, started.evaluations)
    assert 400_000 < started.parameters < 600_000


def test_steps_count_from_one_and_the_rate_falls_after_the_warm_up() -> None:
    events = steps(run(config(train={"warmup_proportion": 0.25, "learning_rate": 0.004}), pairs()))
    assert [1, 2, 3, 4, 5, 6, 7, 8] == [step.step for step in events]
    assert [0, 0, 0, 0, 1, 1, 1, 1] == [step.epoch for step in events]
    expected = [0, 0.002, 0.004, 0.004 * 5 / 6, 0.004 * 4 / 6, 0.002, 0.004 * 2 / 6, 0.004 / 6]
    assert expected == pytest.approx([step.learning_rate for step in events])


def test_progress_ends_at_all_examples(pair_events: list[train.Event]) -> None:
    progress = [event for event in pair_events if isinstance(event, train.EvaluationProgress)]
    assert {60} == {event.total for event in progress}
    assert 60 == max(event.done for event in progress)


@pytest.mark.parametrize(("kind", "classes"), [("pair_events", 2), ("single_events", 5)])
def test_an_evaluation_covers_every_example(kind: str, classes: int, request: pytest.FixtureRequest) -> None:
    labels = np.arange(60) % classes
    for evaluation in evaluations(request.getfixturevalue(kind)):
        assert (60, classes) == evaluation.logits.shape
        assert np.float32 == evaluation.logits.dtype
        assert (evaluation.logits.argmax(axis=1) == labels).mean() == evaluation.accuracy


def test_the_tiny_model_learns_in_seconds(single_events: list[train.Event]) -> None:
    assert 1 == evaluations(single_events)[-1].accuracy


def test_train_loss_is_the_mean_since_the_last_evaluation(pair_events: list[train.Event]) -> None:
    losses = [step.loss for step in steps(pair_events)]
    means = [np.mean(losses[:4]), np.mean(losses[4:])]
    assert means == pytest.approx([evaluation.train_loss for evaluation in evaluations(pair_events)])


def test_online_signals_need_a_whole_epoch() -> None:
    with pytest.raises(DatamapError, match=r"^train.max_steps: 3: an epoch has 4 steps, and signals.mode: online"):
        run(config(train={"max_steps": 3}, signals={"mode": "online"}), pairs())


def test_an_epoch_that_max_steps_cuts_gives_no_online_signals_and_says_so() -> None:
    events = run(config(train={"max_steps": 6}, signals={"mode": "online"}), pairs())
    started = events[0]
    assert isinstance(started, train.Started)
    assert "train.max_steps ends within an epoch: that epoch gives no online signals" == started.notes[-1]
    assert 6 == steps(events)[-1].step
    assert [4] == [evaluation.step for evaluation in evaluations(events)]


def test_more_evaluations_than_steps_are_refused() -> None:
    with pytest.raises(DatamapError, match=r"^signals.per_epoch: 5: an epoch has only 4 steps"):
        run(config(signals={"per_epoch": 5}), pairs())


def test_fewer_examples_than_a_batch_are_one_step() -> None:
    events = run(config(), pairs(5))
    assert [1, 2] == [step.step for step in steps(events)]
    assert [(5, 2), (5, 2)] == [evaluation.logits.shape for evaluation in evaluations(events)]


# ---------------------------------------------------------------------------------------------- folds


def test_the_model_of_a_fold_is_that_of_a_training_without_what_is_held_out(saved: Path) -> None:
    from datamap_cli.train.plan import hold_out

    examples, model = pairs(31), {"name": str(saved)}
    folded = run(config(model, train={"folds": 3}), examples)
    first = hold_out(examples["label"].to_numpy(), 3, config().train.seed)[0]
    alone = run(config(model), examples[first.trained.tolist()])
    assert [step.loss for step in steps(alone)] == [step.loss for step in steps(folded)][: len(steps(alone))]


def test_folds_yield_whole_evaluations_with_the_last_model_and_keep_none() -> None:
    events = run(config(train={"folds": 3}, signals={"per_epoch": 2}), pairs(31))
    started = events[0]
    assert isinstance(started, train.Started)
    assert (0, 12, 2, 4, 0) == (
        started.step,
        started.steps,
        started.steps_per_epoch,
        started.evaluations,
        started.evaluated,
    )
    assert started.notes[-1].startswith("3 folds: a model for each, trained on the others;")
    assert list(range(1, 13)) == [step.step for step in steps(events)]
    whole = evaluations(events)
    assert [1, 2, 3, 4] == [evaluation.step for evaluation in whole]
    assert [0.5, 1, 1.5, 2] == [evaluation.epoch for evaluation in whole]
    last_fold = events.index(steps(events)[8])
    assert all(events.index(evaluation) > last_fold for evaluation in whole)
    # the three models took their first steps at 1, 5 and 9
    losses = [steps(events)[place].loss for place in (0, 4, 8)]
    assert pytest.approx(np.mean(losses)) == whole[0].train_loss
    ended = [event for event in events if isinstance(event, train.FoldTrained)]
    assert [(0, 3, 11), (1, 3, 10), (2, 3, 10)] == [(fold.fold, fold.folds, fold.held_out) for fold in ended]
    right = sum(round(fold.accuracy * fold.held_out) for fold in ended)
    assert pytest.approx(right / 31) == whole[-1].accuracy
    trained = events[-1]
    assert isinstance(trained, train.Trained)
    assert trained.save is None


# ---------------------------------------------------------------------------------------------- repeatable


def test_the_same_seed_gives_the_same_logits_and_another_seed_others(pair_events: list[train.Event]) -> None:
    again = run(config(), pairs())
    for first, second in zip(evaluations(pair_events), evaluations(again), strict=True):
        np.testing.assert_array_equal(first.logits, second.logits)
    other = run(config(train={"seed": 7}), pairs())
    assert not np.array_equal(evaluations(pair_events)[-1].logits, evaluations(other)[-1].logits)


def test_more_evaluations_do_not_change_the_training(pair_events: list[train.Event]) -> None:
    often = run(config(signals={"every_steps": 1}), pairs())
    assert [1, 2, 3, 4, 5, 6, 7, 8] == [evaluation.step for evaluation in evaluations(often)]
    assert [step.loss for step in steps(pair_events)] == [step.loss for step in steps(often)]
    np.testing.assert_array_equal(evaluations(pair_events)[-1].logits, evaluations(often)[-1].logits)


def test_online_signals_are_those_of_the_training_forward_itself() -> None:
    events = run(config(train={"epochs": 1, "batch_size": 60}, signals={"mode": "online"}), pairs())
    before = run(config(train={"epochs": 1, "batch_size": 60, "learning_rate": 1e-30}), pairs())
    (online,), (untrained,) = evaluations(events), evaluations(before)
    # one step over all examples: the logits are those of the weights before it, but for dropout
    labels = np.arange(60) % 2
    assert (online.logits.argmax(axis=1) == labels).mean() == steps(events)[0].accuracy
    assert not np.array_equal(online.logits, untrained.logits)
    np.testing.assert_allclose(untrained.logits, online.logits, atol=0.15)
    assert 0.0 == online.seconds


def test_online_signals_do_not_change_the_training(pair_events: list[train.Event]) -> None:
    online = run(config(signals={"mode": "online"}), pairs())
    assert [step.loss for step in steps(pair_events)] == [step.loss for step in steps(online)]


def test_accumulated_gradients_are_those_of_one_batch() -> None:
    environment.load_paddle()
    from datamap_cli.train.model import build
    from datamap_cli.train.processes import Processes
    from datamap_cli.train.trainer import Trainer

    examples = pairs(14)
    text_a, text_b = examples["text_a"], examples["text_b"]
    gradients = []
    for batch_size in (14, 4):
        settings = config(train={"batch_size": batch_size, "gradient_accumulation": 14 // batch_size + 1})
        classifier = build(settings.model, 2, [text_a, text_b])
        tokens = batches.tokenize(classifier.tokenizer, text_a, text_b, 24)
        labels = examples["label"].to_numpy()
        trainer = Trainer.of(settings.train, classifier, tokens, labels, 2, Processes(1, 0), steps=9)
        classifier.model.eval()  # no dropout
        for index, parameter in enumerate(classifier.model.parameters()):
            values = np.random.default_rng(index).normal(size=parameter.shape, scale=0.05)
            parameter.set_value(values.astype(np.float32))
        loss, _, _ = trainer.step(0, np.arange(14), None, lambda: False)
        gradients.append((loss, classifier.model.classifier.weight.grad.numpy()))
    (loss, whole), (parts_loss, parts) = gradients
    assert loss == pytest.approx(parts_loss, rel=1e-5)
    assert 1e-3 < abs(whole).max()
    np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_a_saved_model_predicts_the_same_when_named_by_its_directory(
    pair_events: list[train.Event], saved: Path
) -> None:
    loaded = _evaluate(ModelConfig(name=str(saved), max_seq_len=24), pairs())
    np.testing.assert_array_equal(evaluations(pair_events)[-1].logits, loaded)


def test_a_saved_model_trains_on_with_other_classes_and_says_what_is_new(saved: Path) -> None:
    events = run(config({"name": str(saved)}, train={"epochs": 1}), singles(), TOPICS)
    started = events[0]
    assert isinstance(started, train.Started)
    assert "newly initialized, not in the checkpoint: classifier.weight, classifier.bias" in started.notes
    assert (60, 5) == evaluations(events)[-1].logits.shape


def _evaluate(model: ModelConfig, examples: pl.DataFrame) -> Any:
    """Logits of an evaluation; in small batches it equals a forward of each example on its own."""
    environment.load_paddle()
    import paddle

    from datamap_cli.train.model import build
    from datamap_cli.train.processes import Processes
    from datamap_cli.train.trainer import Trainer

    text_a, text_b = examples["text_a"], examples["text_b"]
    classifier = build(model, 2, [text_a, text_b])
    tokens = batches.tokenize(classifier.tokenizer, text_a, text_b, model.max_seq_len)
    labels = examples["label"].to_numpy()
    trainer = Trainer.of(config().train, classifier, tokens, labels, 2, Processes(1, 0), steps=1)
    outputs: list[Any] = []

    def drain(budget: int) -> Iterator[train.EvaluationProgress]:
        outputs.append((yield from trainer.evaluate(tokens, np.arange(len(examples)), budget, lambda: False)))

    assert len(examples) > len(list(drain(100))) > len(list(drain(2048)))
    small, logits = outputs
    classifier.model.eval()
    with paddle.no_grad():
        plain = [classifier.logits(tokens, np.array([row])).numpy()[0] for row in range(len(examples))]
    np.testing.assert_allclose(np.array(plain), small, rtol=0, atol=1e-5)
    return np.asarray(logits)


# ------------------------------------------------------------------------------------------------- texts


def test_odd_texts_are_trained_on() -> None:
    odd = ["", " \t", "🙂", "a\x00b", "\u202eabc\u200f", "[CLS] [PAD]", "\ufeff", "长" * 100_000]
    events = run(config(train={"epochs": 1}), frame(odd, odd[::-1], [0, 1] * 4))
    started = events[0]
    assert isinstance(started, train.Started)
    assert ["2 of 8 examples truncated to 24 tokens"] == started.notes
    assert np.isfinite(evaluations(events)[-1].logits).all()


# ----------------------------------------------------------------------------------------------- refusals


def test_a_loss_that_is_no_longer_finite_names_step_and_examples() -> None:
    with pytest.raises(
        DatamapError,
        match=r"^step \d: the loss is (nan|inf) for 16 examples \(id (row-\d+, ){15}row-\d+\); .*learning_rate",
    ):
        run(config(train={"learning_rate": 1e38, "warmup_proportion": 0}), pairs())


def test_outputs_that_are_not_finite_after_the_last_step_are_refused() -> None:
    with pytest.raises(DatamapError, match=r"^evaluation after step 1: .* not finite for 5 examples \(id row-0, "):
        run(config(train={"learning_rate": 1e38, "warmup_proportion": 0, "epochs": 1}), pairs(5))


def test_mixed_precision_that_the_device_cannot_compute_in_is_refused() -> None:
    with pytest.raises(DatamapError, match=r"^train.amp: fp16: .*cpu.* cannot compute in it; expected none$"):
        run(config(train={"amp": "fp16", "device": "cpu"}), pairs())


def test_a_gpu_that_is_not_there_is_refused() -> None:
    environment.load_paddle()
    import paddle

    if paddle.is_compiled_with_cuda():
        pytest.skip("the installed Paddle can use GPUs")
    with pytest.raises(DatamapError, match=r"^train.device: gpu:1: the installed Paddle is for CPUs"):
        run(config(train={"device": "gpu:1"}), pairs())


def test_a_vocabulary_of_another_model_is_refused(saved: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(saved, tmp_path / "model")
    words = (directory / "vocab.txt").read_text(encoding="utf-8")
    more = "".join(f"{word}\n" for word in [*(f"filler{row}" for row in range(99)), "nr"])
    (directory / "vocab.txt").write_text(words + more, encoding="utf-8")
    with pytest.raises(DatamapError, match="expected the vocabulary the model was trained with"):
        run(config({"name": str(directory)}), singles(), TOPICS)


# -------------------------------------------------------------------------------------------- surroundings


def test_training_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run(config(train={"epochs": 1}), pairs(8))
    assert ("", "") == capfd.readouterr()


# ------------------------------------------------------------------------------------------- embeddings


def test_a_model_from_a_directory_embeds_each_text_by_itself_before_the_first_step(saved: Path) -> None:
    examples, model = pairs(9), ModelConfig(name=str(saved), max_seq_len=24)
    events = run(config({"name": str(saved)}), examples)
    place = next(i for i, event in enumerate(events) if isinstance(event, train.Embeddings))
    assert not any(isinstance(event, train.Step) for event in events[:place])
    embeddings = events[place]
    assert isinstance(embeddings, train.Embeddings)
    assert [(9, 128), (9, 128)] == [vectors.shape for vectors in embeddings.vectors]
    np.testing.assert_allclose(_vectors(model, examples["text_b"]), embeddings.vectors[1], atol=2e-3)


def test_embeddings_change_nothing_in_the_training_and_can_be_left_out(saved: Path) -> None:
    with_them = run(config({"name": str(saved)}), pairs(9))
    without = run(config({"name": str(saved)}, signals={"embeddings": "none"}), pairs(9))
    assert not any(isinstance(event, train.Embeddings) for event in without)
    assert [step.loss for step in steps(with_them)] == [step.loss for step in steps(without)]


def test_a_tiny_model_has_no_embeddings(pair_events: list[train.Event]) -> None:
    assert not any(isinstance(event, train.Embeddings) for event in pair_events)


def test_a_stop_while_embedding_is_a_checkpoint_before_the_first_step(saved: Path) -> None:
    events = list(train.run(config({"name": str(saved)}), pairs(9), PAIR_CLASSES, stop=lambda: True))
    assert [train.Started, train.Checkpoint, train.Stopped] == [type(event) for event in events]
    assert isinstance(events[-1], train.Stopped)
    assert 0 == events[-1].step


def _vectors(model: ModelConfig, texts: pl.Series) -> Any:
    """Mean of the last hidden states of each text, of length 1, one by one."""
    import paddle

    from datamap_cli.train.model import build

    classifier = build(model, 2, [])
    classifier.model.eval()
    found = []
    for text in texts:
        encoded = classifier.tokenizer(text, return_tensors="pd")
        with paddle.no_grad():
            states = classifier.model.ernie(encoded["input_ids"], encoded["token_type_ids"])[0].numpy()[0]
        found.append(states.mean(axis=0) / np.linalg.norm(states.mean(axis=0)))
    return np.stack(found)
