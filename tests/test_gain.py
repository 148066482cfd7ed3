"""Whether one file trains a better model than another: the measures, the twins, the command."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamap_cli import signals
from datamap_cli.analysis import gain
from datamap_cli.cli import main
from tests.forking import Forker


def scores(label: Any, predicted: Any, classes: int = 2, resamples: int = 400) -> gain.Scores:
    return gain.scores(np.array(label), np.array(predicted), classes, 0, resamples)


# ---------------------------------------------------------------------------------------------- measures


@given(
    st.integers(2, 4).flatmap(lambda c: st.lists(st.lists(st.integers(0, c - 1), min_size=6, max_size=6), min_size=2))
)
@settings(max_examples=30)
def test_scores_are_those_of_each_training_by_itself(drawn: list[list[int]]) -> None:
    label, *predicted = (np.array(row) for row in drawn)
    logits = [np.eye(4, dtype=np.float32)[said] for said in predicted]
    found = gain.scores(label, np.array(predicted), 4, 0, 3)
    assert [signals.quality(one, label).macro_f1 for one in logits] == pytest.approx(list(found.values["macro_f1"]))
    assert [signals.quality(one, label).accuracy for one in logits] == pytest.approx(list(found.values["accuracy"]))
    sample = np.random.default_rng([0, 0]).integers(0, 6, (3, 6))[2]
    expected = [signals.quality(one[sample], label[sample]).macro_f1 for one in logits]
    assert expected == pytest.approx(list(found.resampled["macro_f1"][2]))


def test_a_gain_on_every_example_is_told_and_none_is_not() -> None:
    label = [0, 1] * 100
    good, bad = scores(label, [label] * 3), scores(label, [[0, 0, 1, 1] * 50] * 3)
    found = gain.difference(good, bad, "accuracy", 0)
    assert (0.5, True) == (found.value, found.told)
    assert found.low > 0.4
    same = gain.difference(bad, bad, "accuracy", 0)
    assert (0, 0, 0, False) == (same.value, same.low, same.high, same.told)
    assert -found.value == gain.difference(bad, good, "accuracy", 0).value


def test_one_seed_has_no_spread_and_its_interval_is_that_of_the_examples() -> None:
    label = [0, 1] * 200
    found = gain.spread(scores(label, [[0, 0, 1, 1] * 100]), "accuracy", 0)
    assert (0.5, None, [0.5]) == (found.mean, found.sd, found.values)
    # 1.96 standard errors of a share of a half among 400
    assert [0.451, 0.549] == pytest.approx([found.low, found.high], abs=0.012)


def test_what_could_have_been_told_shrinks_with_the_dev_set() -> None:
    rng = np.random.default_rng(5)
    told = []
    for count in (100, 1600):
        label = rng.integers(0, 2, count)
        one, two = (np.where(rng.random((4, count)) < 0.8, label, 1 - label) for _ in range(2))
        told.append(gain.difference(scores(label, one), scores(label, two), "accuracy", 0).detectable)
    assert told[0] / told[1] == pytest.approx(4, rel=0.4)


@pytest.mark.parametrize(("seeds", "of_seeds"), [(5, 0.03), (5, 0.15), (3, 0.15)])
def test_the_interval_spans_zero_where_nothing_was_gained_in_93_of_100_data_sets_or_more(
    seeds: int, of_seeds: float
) -> None:
    """Whether the dev examples or what seeds lead to make the most of chance."""
    rng = np.random.default_rng(8)
    told = 0
    for _ in range(200):
        label = rng.integers(0, 2, 200)
        hard = rng.beta(2, 0.7, 200)  # the probability of being predicted right differs between examples
        chances = (np.clip(hard + rng.normal(0, of_seeds, (seeds, 1)), 0, 1) for _ in range(2))
        one, two = (np.where(rng.random((seeds, 200)) < chance, label, 1 - label) for chance in chances)
        told += gain.difference(
            scores(label, one, resamples=200), scores(label, two, resamples=200), "macro_f1", 0
        ).told
    assert told <= 14


# --------------------------------------------------------------------------------------------- the twins

Rows = list[tuple[str, int]]


def frame(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(
        {"text_a": [a for a, _ in rows], "text_b": None, "label": [k for _, k in rows]},
        schema={"text_a": pl.String, "text_b": pl.String, "label": pl.Int64},
    )


def test_rows_are_matched_by_their_texts_and_first_by_their_labels() -> None:
    before = frame([("a", 0), ("a", 1), ("b", 0), ("c", 1)])
    found = gain.changes(before, frame([("d", 0), ("b", 1), ("a", 1)]))
    assert ([0, 3], [2], 1) == (found.dropped.tolist(), found.relabelled.tolist(), found.added)
    unchanged = gain.changes(before, before[::-1])
    assert (0, 0, 0) == (len(unchanged.dropped), len(unchanged.relabelled), unchanged.added)


rows = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=12)


@given(rows, rows)
def test_changes_are_the_fewest_that_lead_from_one_file_to_the_other(before: Rows, after: Rows) -> None:
    found = gain.changes(frame(before), frame(after))
    left, right = Counter(before) - Counter(after), Counter(after) - Counter(before)
    texts = Counter(text for text, _ in left.elements()), Counter(text for text, _ in right.elements())
    expected = (
        sum((texts[0] - texts[1]).values()),
        sum((texts[0] & texts[1]).values()),
        sum((texts[1] - texts[0]).values()),
    )
    assert expected == (len(found.dropped), len(found.relabelled), found.added)
    assert left == Counter(before[row] for row in [*found.dropped, *found.relabelled])


@given(rows, st.integers(0, 99), st.data())
def test_a_twin_drops_and_relabels_as_many_of_each_class(before: Rows, seed: int, data: st.DataObject) -> None:
    label = np.array([k for _, k in before], np.int64)
    order = np.array(data.draw(st.permutations(range(len(before)))), np.int64)
    done = gain.Changes(order[: len(order) // 3], order[len(order) // 3 : len(order) // 2], 0)
    labels, stays = gain.twin(label, done, 3, seed)
    assert np.bincount(label[done.dropped], minlength=3).tolist() == np.bincount(label[~stays], minlength=3).tolist()
    turned = labels != label
    assert np.bincount(label[done.relabelled], minlength=3).tolist() == np.bincount(label[turned], minlength=3).tolist()
    assert stays[turned].all()
    again = gain.twin(label, done, 3, seed)
    assert [labels.tolist(), stays.tolist()] == [part.tolist() for part in again]


# --------------------------------------------------------------------------------------------- the command


def write(directory: Path) -> list[str]:
    """A file, one without its wrong labels, and a dev set; the command that compares them."""
    good = [(f"{'甲乙'[n % 2]}{'天地玄黄宇宙洪荒日月'[n // 2 % 10]}{n}", n % 2) for n in range(72)]
    bad = [(text, 1 - k if n % 6 == 0 else k) for n, (text, k) in enumerate(good[:48])]
    dropped = [row for n, row in enumerate(bad) if n % 6]
    for name, content in (("before.tsv", bad), ("after.tsv", dropped), ("dev.tsv", good[47:])):
        (directory / name).write_text("text_a\tlabel\n" + "".join(f"{a}\t{k}\n" for a, k in content))
    values = {
        "data.dev": directory / "dev.tsv",
        "model.name": "tiny",
        "model.max_seq_len": 12,
        "train.epochs": 2,
        "train.learning_rate": 2e-3,
        "train.batch_size": 16,
        "run_dir": directory / "run",
    }
    (directory / "c.yaml").write_text("{}\n")
    pairs = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    files = [str(directory / name) for name in ("before.tsv", "after.tsv")]
    return ["gain", *files, "-c", str(directory / "c.yaml"), *pairs, "--seeds", "2", "--control", "--no-png"]


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


@pytest.mark.paddle
def test_files_are_compared_and_a_killed_comparison_goes_on(forker: Forker, tmp_path: Path) -> None:
    command = write(tmp_path)
    whole = forker.run(*command)
    assert 0 == whole["status"], whole["talk"]
    assert f"{tmp_path / 'after.tsv'}: 8 rows dropped against {tmp_path / 'before.tsv'}\n" in whole["talk"]
    assert f"{tmp_path / 'before.tsv'}: 1 dev example among its texts: no gain shows on them\n" in whole["talk"]
    directory = tmp_path / "run" / "gain"
    report = json.loads((directory / "gain.json").read_bytes())
    assert [(48, False), (40, False), (40, True)] == [(of["examples"], of["control"]) for of in report["sets"]]
    assert [[1000, 1001], 25, 1] == [report["seeds"], report["dev_examples"], report["sets"][0]["known_in_dev"]]
    first, after, _ = report["sets"]
    assert {"dropped": 8, "relabelled": 0, "added": 0} == after["changes"]
    difference = after["macro_f1"]["mean"] - first["macro_f1"]["mean"]
    assert difference == pytest.approx(after["against_first"]["macro_f1"]["value"])
    assert 6 == len({(directory / path).resolve(strict=True) for of in report["sets"] for path in of["trainings"]})
    assert [] == [*tmp_path.rglob("signals")]

    shutil.rmtree(directory)
    assert -9 == forker.run(*command, at_write=3)["status"]
    assert 3 == len([*(directory / "trainings").glob("*.json")])
    again = forker.run(*command)
    assert (0, True) == (again["status"], "3 trainings of 6 kept from before\n" in again["talk"])
    assert report == json.loads((directory / "gain.json").read_bytes())

    # another configuration is another comparison
    other = forker.run(*command, "--set", "train.epochs=1", "--seeds", "1")
    assert (0, False) == (other["status"], "kept from before" in other["talk"])


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = write(tmp_path)

    def refusal(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            main(arguments)
        talk = capsys.readouterr().err
        assert 1 == talk.count("\n")
        return talk

    assert "one file: a gain is that of one file over another" in refusal("gain", command[1], *command[3:])
    assert "before.tsv: given twice" in refusal("gain", command[1], *command[1:])
    assert "data.dev: no dev set to measure on" in refusal(*command, "--set", "data.dev=null")
    (tmp_path / "dev.tsv").write_text("text_a\tlabel\n甲\t7\n")
    assert "line 2: the label 7 is no class of the training data" in refusal(*command)
