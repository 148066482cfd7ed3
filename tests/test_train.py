"""Training for real, on the tiny model: what it yields, that it repeats, and how it refuses."""

from __future__ import annotations

import http.server
import importlib
import json
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from datamap_cli import train
from datamap_cli.config import Config, ModelConfig, SignalsConfig, parse
from datamap_cli.errors import DatamapError
from datamap_cli.train import batches, environment, pretrained

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
    trained.save(directory)
    return directory


# ---------------------------------------------------------------------------------------------- the events


def test_events_come_in_order(pair_events: list[train.Event]) -> None:
    kinds = [type(event).__name__ for event in pair_events]
    in_order = [kind for kind, before in zip(kinds, ["", *kinds], strict=False) if kind != before]
    assert [
        "Started",
        *["Step", "EvaluationProgress", "Evaluation"] * 2,
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
        assert np.float64 == evaluation.logits.dtype
        assert (evaluation.logits.argmax(axis=1) == labels).mean() == evaluation.accuracy


def test_the_tiny_model_learns_in_seconds(single_events: list[train.Event]) -> None:
    assert 1 == evaluations(single_events)[-1].accuracy


def test_train_loss_is_the_mean_since_the_last_evaluation(pair_events: list[train.Event]) -> None:
    losses = [step.loss for step in steps(pair_events)]
    means = [np.mean(losses[:4]), np.mean(losses[4:])]
    assert means == pytest.approx([evaluation.train_loss for evaluation in evaluations(pair_events)])


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ({"per_epoch": 1}, [7, 14]),
        ({"per_epoch": 2}, [3, 7, 10, 14]),
        ({"per_epoch": 3}, [2, 4, 7, 9, 11, 14]),
        ({"per_epoch": 7}, list(range(1, 15))),
        ({"every_steps": 4}, [4, 8, 12, 14]),
        ({"every_steps": 7}, [7, 14]),
        ({"every_steps": 100}, [14]),
    ],
)
def test_evaluations_stand_at_even_steps_and_on_the_final_weights(signals: dict[str, int], expected: list[int]) -> None:
    environment.load_paddle()
    from datamap_cli.train.loop import evaluation_steps

    assert expected == sorted(evaluation_steps(SignalsConfig(**signals), steps_per_epoch=7, epochs=2))


def test_more_evaluations_than_steps_are_refused() -> None:
    with pytest.raises(DatamapError, match=r"^signals.per_epoch: 5: an epoch has only 4 steps"):
        run(config(signals={"per_epoch": 5}), pairs())


def test_fewer_examples_than_a_batch_are_one_step() -> None:
    events = run(config(), pairs(5))
    assert [1, 2] == [step.step for step in steps(events)]
    assert [(5, 2), (5, 2)] == [evaluation.logits.shape for evaluation in evaluations(events)]


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


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [int(i) for batch in batches.training_batches(10, 4, seed, epoch) for i in batch]

    assert list(range(10)) == sorted(order(1, 0))
    assert order(1, 0) == order(1, 0)
    assert 3 == len({tuple(order(*key)) for key in ((1, 0), (1, 1), (2, 0))})


def test_a_saved_model_predicts_the_same_when_named_by_its_directory(
    pair_events: list[train.Event], saved: Path
) -> None:
    loaded = _evaluate(ModelConfig(name=str(saved), max_seq_len=24), pairs())
    np.testing.assert_array_equal(evaluations(pair_events)[-1].logits, loaded)


def test_a_directory_without_a_tokenizer_configuration_will_do(
    pair_events: list[train.Event], saved: Path, tmp_path: Path
) -> None:
    for name in ("config.json", "model_state.pdparams", "vocab.txt"):
        shutil.copy(saved / name, tmp_path)
    loaded = _evaluate(ModelConfig(name=str(tmp_path), max_seq_len=24), pairs())
    np.testing.assert_array_equal(evaluations(pair_events)[-1].logits, loaded)


def test_a_saved_model_trains_on_with_other_classes_and_says_what_is_new(saved: Path) -> None:
    events = run(config({"name": str(saved)}, train={"epochs": 1}), singles(), TOPICS)
    started = events[0]
    assert isinstance(started, train.Started)
    assert "newly initialized, not in the checkpoint: classifier.weight, classifier.bias" in started.notes
    assert (60, 5) == evaluations(events)[-1].logits.shape


def test_a_hugging_face_directory_is_converted_and_left_as_it_was(tmp_path: Path) -> None:
    environment.load_paddle()
    from paddlenlp.transformers import BertConfig, BertForSequenceClassification
    from safetensors.numpy import save_file

    from datamap_cli.train.model import build

    shape = {
        "architectures": ["BertForSequenceClassification"],
        "vocab_size": 8,
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 4,
        "max_position_embeddings": 24,
        "type_vocab_size": 2,
    }
    source = BertForSequenceClassification(BertConfig(**shape))
    weights = {name: weight.numpy() for name, weight in source.state_dict().items()}
    torch_weights = {
        mapping.source_name: (weight.T if mapping.action == "transpose" else weight).copy()
        for mapping in BertForSequenceClassification._get_name_mappings(source.config)
        if (weight := weights.get(mapping.target_name)) is not None
    }
    save_file(torch_weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(shape | {"model_type": "bert"}))
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n")
    before = sorted(path.name for path in tmp_path.iterdir())

    pretrained.check(str(tmp_path))
    classifier = build(ModelConfig(name=str(tmp_path), max_seq_len=24), 2, [])
    name = "bert.encoder.layers.0.linear1.weight"
    np.testing.assert_array_equal(weights[name], classifier.model.state_dict()[name].numpy())
    # PaddleNLP's table of names leaves out this one
    assert ["newly initialized, not in the checkpoint: classifier.bias"] == classifier.notes
    assert before == sorted(path.name for path in tmp_path.iterdir())


def _evaluate(model: ModelConfig, examples: pl.DataFrame) -> Any:
    """Logits of an evaluation; in small batches it equals a forward of each example on its own."""
    environment.load_paddle()
    import paddle

    from datamap_cli.train.loop import evaluate
    from datamap_cli.train.model import build

    text_a, text_b = examples["text_a"].to_list(), examples["text_b"].to_list()
    classifier = build(model, 2, [*text_a, *text_b])
    tokens = batches.tokenize(classifier.tokenizer, text_a, text_b, model.max_seq_len)
    outputs: list[Any] = []

    def drain(budget: int) -> Iterator[train.EvaluationProgress]:
        outputs.append((yield from evaluate(classifier, tokens, budget)))

    assert len(examples) > len(list(drain(100))) > len(list(drain(2048)))
    small, logits = outputs
    classifier.model.eval()
    with paddle.no_grad():
        plain = [classifier.logits(tokens, np.array([row])).numpy()[0] for row in range(len(examples))]
    np.testing.assert_allclose(np.array(plain), small, rtol=0, atol=1e-5)
    return np.asarray(logits)


# ------------------------------------------------------------------------------------------------- texts


def test_tokens_are_those_of_the_tokenizers_own_encoding() -> None:
    environment.load_paddle()
    from datamap_cli.train.model import build

    text_a = ["短", "很长的句子" * 9, "Cafés in 北京, now!", "很长的句子" * 9, "", "a b c d e f g h i j k l"]
    text_b = ["很长的句子" * 9, "短", "x", "另一个很长的句子" * 9, "", "m n o p q r s t u v w x y"]
    for max_seq_len in (7, 8, 24):
        tokenizer = build(ModelConfig(name="tiny", max_seq_len=max_seq_len), 2, text_a + text_b).tokenizer
        for second in (text_b, None):
            tokens = batches.tokenize(tokenizer, text_a, second, max_seq_len)
            with environment.quiet():  # it warns of every pair it truncates
                own = tokenizer(text_a, second, max_length=max_seq_len, truncation="longest_first")
            assert own["input_ids"] == [part.tolist() for part in np.split(tokens.flat, tokens.offsets[1:-1])]
            assert own["token_type_ids"] == [part.tolist() for part in np.split(tokens.types, tokens.offsets[1:-1])]


def test_every_training_text_can_be_written_in_the_tiny_vocabulary() -> None:
    environment.load_paddle()
    from datamap_cli.train.model import build

    texts = ["Straße CAFÉ 東京タワー 한국어", "שלום \u200fعربى", "🙂👩‍👩‍👧 a\x00b", "only-once unrepeatable"]
    tokenizer = build(ModelConfig(name="tiny", max_seq_len=64), 2, texts).tokenizer
    assert "[UNK]" not in [token for text in texts for token in tokenizer.tokenize(text)]


def test_the_tiny_vocabulary_does_not_depend_on_the_order_of_texts() -> None:
    environment.load_paddle()
    from datamap_cli.train.model import vocabulary

    expected = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "##b", "a", "中", "c", "ab"]
    assert expected == vocabulary(["ab 中", "AB", "中 c"]) == vocabulary(["AB", "中 c", "ab 中"])


def test_odd_texts_are_trained_on() -> None:
    odd = ["", " \t", "🙂", "a\x00b", "\u202eabc\u200f", "[CLS] [PAD]", "\ufeff", "长" * 100_000]
    events = run(config(train={"epochs": 1}), frame(odd, odd[::-1], [0, 1] * 4))
    started = events[0]
    assert isinstance(started, train.Started)
    assert ["2 of 8 examples truncated to 24 tokens"] == started.notes
    assert np.isfinite(evaluations(events)[-1].logits).all()


def test_a_very_long_text_takes_no_longer_than_what_is_kept_of_it() -> None:
    environment.load_paddle()
    from datamap_cli.train.model import build

    tokenizer = build(ModelConfig(name="tiny", max_seq_len=24), 2, ["长 text"]).tokenizer
    started = time.perf_counter()
    tokens = batches.tokenize(tokenizer, ["长" * 1_000_000, "text " * 1_000_000], None, 24)
    assert 2 > time.perf_counter() - started
    assert [24, 24] == tokens.lengths.tolist()


# ----------------------------------------------------------------------------------------------- refusals


def test_a_loss_that_is_no_longer_finite_names_step_and_examples() -> None:
    with pytest.raises(
        DatamapError, match=r"^step \d: the loss is (nan|inf) for 16 examples \(id (row-\d+, ){5}…\); .*learning_rate"
    ):
        run(config(train={"learning_rate": 1e38, "warmup_proportion": 0}), pairs())


def test_outputs_that_are_not_finite_after_the_last_step_are_refused() -> None:
    with pytest.raises(DatamapError, match=r"^evaluation after step 1: .* not finite for 5 examples \(id row-0, "):
        run(config(train={"learning_rate": 1e38, "warmup_proportion": 0, "epochs": 1}), pairs(5))


def test_a_gpu_that_is_not_there_is_refused() -> None:
    environment.load_paddle()
    import paddle

    if paddle.is_compiled_with_cuda():
        pytest.skip("the installed Paddle can use GPUs")
    with pytest.raises(DatamapError, match=r"^train.device: gpu:1: the installed Paddle is for CPUs"):
        run(config(train={"device": "gpu:1"}), pairs())


def test_missing_paddle_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", {}.get)
    with pytest.raises(DatamapError, match=r"needs paddle and paddlenlp.*pip install 'datamap-cli\[train\]'"):
        run(config(), pairs())


@pytest.mark.parametrize(
    ("removed", "missing"),
    [
        ("config.json", "a configuration (config.json)"),
        ("model_state.pdparams", "weights (model_state.pdparams)"),
        ("vocab.txt", "a vocabulary (vocab.txt)"),
    ],
)
def test_a_directory_without_a_whole_model_is_refused(saved: Path, tmp_path: Path, removed: str, missing: str) -> None:
    directory = shutil.copytree(saved, tmp_path / "model")
    (directory / removed).unlink()
    with pytest.raises(DatamapError) as error:
        run(config({"name": str(directory)}), pairs())
    assert f"model.name: {directory}: the directory lacks {missing}" == str(error.value)


def test_a_broken_configuration_is_refused_in_one_line(saved: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(saved, tmp_path / "model")
    (directory / "config.json").write_text(json.dumps({"architectures": ["Nonesuch"]}))
    with pytest.raises(DatamapError, match=r"^model.name: .*PaddleNLP cannot load it") as error:
        run(config({"name": str(directory)}), pairs())
    assert "\n" not in str(error.value)


def test_a_vocabulary_of_another_model_is_refused(saved: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(saved, tmp_path / "model")
    words = (directory / "vocab.txt").read_text(encoding="utf-8")
    more = "".join(f"{word}\n" for word in [*(f"filler{row}" for row in range(99)), "nr"])
    (directory / "vocab.txt").write_text(words + more, encoding="utf-8")
    with pytest.raises(DatamapError, match="expected the vocabulary the model was trained with"):
        run(config({"name": str(directory)}), singles(), TOPICS)


def test_sequences_longer_than_the_model_takes_are_refused(saved: Path) -> None:
    with pytest.raises(DatamapError, match=r"^model.max_seq_len: 25: .* takes at most 24 tokens"):
        run(config({"name": str(saved), "max_seq_len": 25}), pairs())


@pytest.mark.parametrize("name", ["ernie-3.0-base-zh", "ernie-3.0-bsae-zh", "someone/some-model"])
def test_an_unreachable_hub_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PPNLP_HOME", str(tmp_path))
    monkeypatch.setenv("PPNLP_ENDPOINT", "http://127.0.0.1:9/hub")
    with pytest.raises(DatamapError) as error:
        run(config({"name": name}), pairs())
    expected = (
        f"model.name: {name}: no such directory, not in {tmp_path}/models, and http://127.0.0.1:9/hub cannot "
        "be reached (ConnectionError); a local directory with a whole model works, and model.name: tiny needs "
        "no download"
    )
    assert expected == str(error.value)


def test_a_hub_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pretrained, "CONNECT_SECONDS", 1)
    monkeypatch.setenv("PPNLP_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PPNLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DatamapError, match="cannot be reached"):
            pretrained.check("ernie-3.0-base-zh")


def test_a_cached_model_needs_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PPNLP_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained, "_check_hub", pytest.fail)
    weights = tmp_path / "models" / "ernie-3.0-nano-zh" / "model_state.pdparams"
    weights.parent.mkdir(parents=True)
    weights.touch()
    pretrained.check("ernie-3.0-nano-zh")


@pytest.fixture
def empty_hub() -> Iterator[str]:
    """A hub that has no model at all."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_name_the_hub_does_not_know_is_one_line(
    empty_hub: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.load_paddle()
    bos_download = importlib.import_module("paddlenlp.utils.download.bos_download")
    template = empty_hub + "/{repo_type}/{repo_id}/{filename}"
    monkeypatch.setattr(bos_download, "BOS_URL_TEMPLATE_WITHOUT_REVISION", template)
    monkeypatch.setenv("PPNLP_ENDPOINT", empty_hub)
    monkeypatch.setenv("PPNLP_HOME", str(tmp_path))
    with pytest.raises(DatamapError, match=r"^model.name: ernie-3.0-bsae-zh: .*local directory") as error:
        run(config({"name": "ernie-3.0-bsae-zh"}), pairs())
    assert "\n" not in str(error.value)


# -------------------------------------------------------------------------------------------- surroundings


def test_settings_suit_the_machine_and_never_override_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_physical_cores", lambda: 6)
    monkeypatch.setattr(environment, "_is_amd", lambda: True)
    expected = {"GLOG_minloglevel": "2", "OMP_NUM_THREADS": "6", "MKL_DEBUG_CPU_TYPE": "5"}
    assert expected == environment.settings()
    monkeypatch.setattr(environment, "_is_amd", lambda: False)
    assert {"GLOG_minloglevel": "2", "OMP_NUM_THREADS": "6"} == environment.settings()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    environment.load_paddle()
    assert "3" == os.environ["OMP_NUM_THREADS"]


def test_training_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run(config(train={"epochs": 1}), pairs(8))
    assert ("", "") == capfd.readouterr()
