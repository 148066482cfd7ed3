"""A dev set: how it is read, what is said of it, what a training leaves of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli import config as configuration
from datamap_cli import signals
from datamap_cli.analysis import overlap
from datamap_cli.config import DataConfig
from datamap_cli.data import dataset
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run
from datamap_cli.train.plan import Progress
from tests.forking import Forker

TRAIN = "text_a\tlabel\nhow to cook\tfood\nwill it rain\tweather\n"


def load(tmp_path: Path, dev: str, train: str = TRAIN) -> dataset.Dataset:
    (tmp_path / "train.tsv").write_text(train)
    (tmp_path / "dev.tsv").write_text(dev)
    settings = DataConfig(train=tmp_path / "train.tsv", dev=tmp_path / "dev.tsv")
    found = dataset.load_dev(settings, dataset.load(settings))
    assert found is not None
    return found


def refusal(tmp_path: Path, dev: str, train: str = TRAIN) -> str:
    with pytest.raises(DatamapError) as error:
        load(tmp_path, dev, train)
    assert "\n" not in str(error.value)
    return str(error.value)


# --------------------------------------------------------------------------------------------- reading


def test_a_dev_set_has_the_classes_of_the_training_set(tmp_path: Path) -> None:
    found = load(tmp_path, "text_a\tlabel\nis it cold\tweather\n")
    assert (["food", "weather"], [1]) == (found.classes, found.examples["label"].to_list())


def test_an_unknown_label_is_named_with_its_line(tmp_path: Path) -> None:
    assert (
        f"data.dev: {tmp_path / 'dev.tsv'}: 1 bad row: line 3: the label Food is no class of the training data; "
        "the training data has food, weather"
    ) == refusal(tmp_path, "text_a\tlabel\nis it cold\tweather\nbread\tFood\n")


def test_pairs_for_single_texts_the_training_file_itself_and_no_file_are_refused(tmp_path: Path) -> None:
    pairs = "text_a\ttext_b\tlabel\na\tb\tfood\n"
    assert "dev.tsv: pairs, but the training data has single texts" in refusal(tmp_path, pairs)
    (tmp_path / "train.tsv").write_text(TRAIN)
    for name, words in (("train.tsv", "that is the training data itself"), ("gone.tsv", "no such file")):
        settings = DataConfig(train=tmp_path / "train.tsv", dev=tmp_path / name)
        with pytest.raises(DatamapError, match=rf"^data.dev: .*{name}: {words}"):
            dataset.load_dev(settings, dataset.load(settings))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"train": {"keep": "best"}}, "train.keep: best is told by a dev set"),
        ({"data": {"dev": "dev.tsv"}, "train": {"keep": "best", "folds": 2}}, "with train.folds no model is kept"),
    ],
)
def test_the_best_weights_need_a_dev_set_and_one_model(tree: dict[str, object], words: str) -> None:
    with pytest.raises(DatamapError, match=words):
        configuration.parse(tree, "test")


# --------------------------------------------------------------------------------------------- overlap


def texts(rows: list[tuple[str, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"text_a": pl.String, "text_b": pl.String}, orient="row")


def test_what_is_known_is_told_by_folded_texts_in_either_order() -> None:
    train = texts([("How to  cook?", "Ｗhere"), ("b", "a")])
    dev = texts([("where", "how to cook? "), ("a", "b"), ("a", "c"), ("b", "a")])
    assert [True, True, False, True] == overlap.known(dev, train).to_list()
    assert [True, False] == overlap.known(texts([("A", None), ("a b", None)]), texts([("a", None)])).to_list()


@given(st.lists(st.sampled_from("aAb "), max_size=8), st.lists(st.sampled_from("aAb "), min_size=1, max_size=8))
def test_known_is_membership_of_the_folded_texts(dev: list[str], train: list[str]) -> None:
    expected = [text.strip().lower() in {other.strip().lower() for other in train} for text in dev]
    assert expected == overlap.known(texts([(t, None) for t in dev]), texts([(t, None) for t in train])).to_list()


def test_of_equally_good_evaluations_the_first_stays_the_best() -> None:
    progress = Progress.of(steps=4, evaluations=4)
    assert [True, False, True, False] == [progress.better(n, value) for n, value in enumerate([0.5, 0.5, 0.7, 0.6])]
    assert (2, 0.7) == (progress.best_evaluation, progress.best)


# --------------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


def write_sets(directory: Path) -> None:
    """A training set, and a dev set of other labels, so that learning makes it worse; two of its texts are known."""
    rows = [(f"{'甲乙'[n % 2]}{'天地玄黄宇宙洪荒日月'[n // 2 % 10]}{n}", n % 2) for n in range(64)]
    (directory / "train.tsv").write_text("text_a\tlabel\n" + "".join(f"{a}\t{k}\n" for a, k in rows))
    dev = [(f"{a}号", 1 - k) for a, k in rows[:20]] + rows[:2]
    (directory / "dev.tsv").write_text("text_a\tlabel\n" + "".join(f"{a}\t{k}\n" for a, k in dev))


def arguments(directory: Path, run_dir: Path, **settings: object) -> list[str]:
    values = {
        "data.dev": directory / "dev.tsv",
        "data.train": directory / "train.tsv",
        "model.name": "tiny",
        "model.max_seq_len": 12,
        "train.epochs": 3,
        "train.learning_rate": 2e-3,
        "train.batch_size": 16,
        **settings,
    }
    (directory / "c.yaml").write_text("{}\n")
    pairs = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    return ["train", "-c", str(directory / "c.yaml"), "--run-dir", str(run_dir), *pairs]


@pytest.mark.paddle
def test_a_dev_set_is_measured_kept_as_a_run_and_changes_no_signal(forker: Forker, tmp_path: Path) -> None:
    write_sets(tmp_path)
    one, without = tmp_path / "one", tmp_path / "without"
    trained = forker.run(*arguments(tmp_path, one, **{"train.keep": "best"}))
    assert 0 == trained["status"], trained["talk"]
    assert "dev set: 2 rows also in the training data: no gain shows on them\n" in trained["talk"]
    run, dev = Run.open(one), Run.open(one / "dev")
    assert ("dev", 22, str(tmp_path / "dev.tsv")) == (dev.info.origin.kind, dev.info.examples, dev.info.origin.data)
    label = dev.scan_examples().collect()["label"].to_numpy()
    for entry, frame in zip(run.info.evaluations, dev.evaluations().values(), strict=True):
        records = frame.collect()
        assert entry.dev is not None
        expected = signals.quality(np.log(np.array(records["probs"].to_list())).astype(np.float32), label)
        assert (expected.accuracy, expected.macro_f1) == (entry.dev.accuracy, entry.dev.macro_f1)
        assert expected.loss == pytest.approx(entry.dev.loss, abs=1e-5)
        assert expected.f1 == pytest.approx(entry.dev.f1)
        line = f"dev: loss {entry.dev.loss:.4f}  accuracy {entry.dev.accuracy:.1%}  macro-F1 {entry.dev.macro_f1:.3f}"
        assert line in trained["talk"]
    for command in (["summarize"], ["plot", "--no-png"], ["suspects"]):
        assert 0 == forker.run(*command, "--run-dir", str(one / "dev"))["status"]
    assert (one / "dev" / "suspects.tsv").is_file()

    # without a dev set, and with the last weights: the same signals
    assert 0 == forker.run(*arguments(tmp_path, without, **{"data.dev": "null"}))["status"]
    for entry in run.info.evaluations:
        assert (without / entry.files[0]).read_bytes() == (one / entry.files[0]).read_bytes()

    # what was kept are the weights of the best evaluation, which is not the last
    best = int(np.argmax([entry.dev.macro_f1 for entry in run.info.evaluations if entry.dev]))
    assert best < 2
    assert f"the weights of evaluation {best + 1} are kept" in trained["talk"]
    again = arguments(
        tmp_path, tmp_path / "again", **{"model.name": one / "checkpoints" / "final", "train.learning_rate": 1e-30}
    )
    assert 0 == forker.run(*again)["status"]
    reached = Run.open(tmp_path / "again").info.evaluations[0].dev
    assert reached is not None
    assert run.info.evaluations[best].dev.loss == pytest.approx(reached.loss, abs=1e-5)  # type: ignore[union-attr]

    # replaced, the run takes that of its dev set with it; another's run is not touched
    assert 0 == forker.run(*arguments(tmp_path, one, **{"data.dev": "null"}), "--overwrite")["status"]
    assert not (one / "dev").exists()
    assert 0 == forker.run(*arguments(tmp_path, one / "dev", **{"data.dev": "null"}))["status"]
    refused = forker.run(*arguments(tmp_path, one), "--overwrite")
    assert (1, True) == (refused["status"], f"run_dir: {one / 'dev'} holds a run already" in refused["talk"])
    assert Run.holds_run(one)


@pytest.mark.paddle
def test_with_folds_the_models_are_asked_together(forker: Forker, tmp_path: Path) -> None:
    write_sets(tmp_path)
    trained = forker.run(*arguments(tmp_path, tmp_path / "run", **{"train.folds": 2}))
    assert 0 == trained["status"], trained["talk"]
    dev = Run.open(tmp_path / "run" / "dev")
    probs = np.array([frame.collect()["probs"].to_list() for frame in dev.evaluations().values()])
    assert (3, 22, 2) == probs.shape
    np.testing.assert_allclose(1, probs.sum(axis=2), atol=1e-6)
    assert json.loads((tmp_path / "run" / "run.json").read_bytes())["evaluations"][2]["dev"]["macro_f1"] > 0


@pytest.mark.paddle
def test_a_dev_set_that_was_changed_is_not_gone_on_with(forker: Forker, tmp_path: Path) -> None:
    write_sets(tmp_path)
    command = arguments(tmp_path, tmp_path / "run")
    assert 130 == forker.run(*command, signal="SIGINT", at_batch=8)["status"]
    with (tmp_path / "dev.tsv").open("a") as file:
        file.write("甲乙\t0\n")
    refused = forker.run(*command, "--resume")
    assert (1, True) == (refused["status"], "dev.tsv: changed since the run" in refused["talk"])
