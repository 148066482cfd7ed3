"""Planted label errors, and the measures of how well they are found."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from itertools import pairwise, permutations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamap_cli import signals
from datamap_cli.analysis import suspects
from datamap_cli.analysis.selfcheck import Detection, detection, flip, most_confused
from datamap_cli.analysis.selfcheck import precision_recall as curve_of
from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.plot import look
from datamap_cli.plot.curves import NAMED, Curve, precision_recall
from tests.support import examples_frame, random_probs, write_run

Cli = Callable[..., tuple[int, str, str]]

# ------------------------------------------------------------------------------------------------- flips


@given(
    labels=st.lists(st.integers(0, 4), min_size=4, max_size=60),
    share=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_a_share_of_the_labels_one_may_choose_among_becomes_another_class(
    labels: list[int], share: float, seed: int, data: st.DataObject
) -> None:
    label = np.array(labels)
    among = np.array(data.draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels))))
    number = max(1, math.floor(share * among.sum() + 1e-9))
    if not 0 < number < among.sum():
        with pytest.raises(
            DatamapError, match=rf"^--flip: .*: {number} of {among.sum()} labels; expected at least one"
        ):
            flip(label, 5, share, seed, among=among)
        return
    after, flipped = flip(label, 5, share, seed, among=among)
    assert number == flipped.sum()
    assert not (flipped & ~among).any()
    assert (flipped == (after != label)).all()
    assert 0 <= after.min() <= after.max() < 5
    again, _ = flip(label, 5, int(number), seed, among=among)
    assert after.tolist() == again.tolist()


def test_every_other_class_is_drawn_as_often() -> None:
    after, flipped = flip(np.full(9_000, 2), 4, 6_000, 1, among=np.ones(9_000, np.bool_))
    counts = np.bincount(after[flipped], minlength=4)
    assert 0 == counts[2]
    assert all(1_850 < count < 2_150 for count in counts[[0, 1, 3]])


def test_flips_go_to_the_class_that_is_confused_most() -> None:
    probs = np.array([[0.5, 0.2, 0.3], [0.5, 0.4, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.1, 0.3, 0.6]])
    label = np.array([0, 0, 1, 2, 2])
    # of class 0 in all 0.6 to 1 and 0.4 to 2; of 1 0.3 to 2; of 2 0.5 to 1
    towards = most_confused(label, probs)
    assert [1, 2, 1] == towards.tolist()
    after, flipped = flip(label, 3, 4, 0, among=np.ones(5, np.bool_), towards=towards)
    assert towards[label[flipped]].tolist() == after[flipped].tolist()


def test_one_class_cannot_be_flipped() -> None:
    with pytest.raises(DatamapError, match="two classes or more"):
        flip(np.zeros(5, np.int64), 1, 2, 0, among=np.ones(5, np.bool_))


# ---------------------------------------------------------------------------------------------- measures


def auroc_by_pairs(severity: list[float], flipped: list[bool]) -> float:
    pairs = [
        (1 if a > b else 0.5 if a == b else 0)
        for a, is_flipped in zip(severity, flipped, strict=True)
        if is_flipped
        for b, other in zip(severity, flipped, strict=True)
        if not other
    ]
    return fmean(pairs)


def average_precision_by_cuts(severity: list[float], flipped: list[bool]) -> float:
    total, found_before = 0.0, 0
    for cut in sorted(set(severity), reverse=True):
        listed = [is_flipped for value, is_flipped in zip(severity, flipped, strict=True) if value >= cut]
        total += (sum(listed) - found_before) / sum(flipped) * sum(listed) / len(listed)
        found_before = sum(listed)
    return total


def precision_over_orders(severity: list[float], flipped: list[bool]) -> float:
    """The mean over all orders that the severities leave open."""
    rows = list(zip(severity, flipped, strict=True))
    falling = [order for order in permutations(rows) if all(first[0] >= second[0] for first, second in pairwise(order))]
    number = sum(flipped)
    return fmean(sum(is_flipped for _, is_flipped in order[:number]) / number for order in falling)


RANKINGS = st.lists(
    st.tuples(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0, math.inf]), st.booleans()), min_size=2, max_size=7
).filter(lambda rows: 0 < sum(flipped for _, flipped in rows) < len(rows))


@settings(max_examples=60)
@given(rows=RANKINGS)
def test_the_measures_are_those_of_slow_definitions(rows: list[tuple[float, bool]]) -> None:
    severity, flipped = [value for value, _ in rows], [is_flipped for _, is_flipped in rows]
    found = detection(np.array(severity), np.array(flipped), seed=0, resamples=1)
    assert auroc_by_pairs(severity, flipped) == pytest.approx(found.auroc.value)
    assert average_precision_by_cuts(severity, flipped) == pytest.approx(found.average_precision.value)
    assert precision_over_orders(severity, flipped) == pytest.approx(found.precision.value)
    taken, recall, precision = curve_of(np.array(severity), np.array(flipped))
    cuts = sorted(set(severity), reverse=True)
    listed = [[is_flipped for value, is_flipped in rows if value >= cut] for cut in cuts]
    assert [len(rows) for rows in listed] == taken.tolist()
    assert [sum(rows) / sum(flipped) for rows in listed] == pytest.approx(recall.tolist())
    assert [sum(rows) / len(rows) for rows in listed] == pytest.approx(precision.tolist())


def ranked(seed: int, count: int = 200, distance: float = 1.0) -> tuple[Any, Any]:
    """A severity that is normal, for a fifth of the rows `distance` higher."""
    rng = np.random.default_rng(seed)
    flipped = np.arange(count) % 5 == 0
    return rng.normal(size=count) + distance * flipped, flipped


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = 0.5 * (1 + math.erf(1 / 2))  # of normal distributions a standard deviation apart
    found = [detection(*ranked(seed), seed=0).auroc for seed in range(80)]
    assert 0.88 < fmean(measure.low < truth < measure.high for measure in found) <= 1
    assert 0.07 < fmean(measure.high - measure.low for measure in found) < 0.25


def test_intervals_are_drawn_by_the_seed_and_narrow_with_more_examples() -> None:
    def widths(found: Detection) -> list[float]:
        return [measure.high - measure.low for measure in (found.auroc, found.average_precision, found.precision)]

    few, many = ranked(1), ranked(1, 20_000)
    assert detection(*few, seed=3) == detection(*few, seed=3)
    assert detection(*few, seed=3) != detection(*few, seed=4)
    assert all(
        wide > 5 * narrow for wide, narrow in zip(widths(detection(*few, 0)), widths(detection(*many, 0)), strict=True)
    )


# --------------------------------------------------------------------------------------------- the curves


def curve(name: str, seed: int, distance: float) -> Curve:
    severity, flipped = ranked(seed, distance=distance)
    return Curve(name, detection(severity, flipped, 0, 1).average_precision.value, *curve_of(severity, flipped))


def drawn(curves: list[Curve], default: str) -> Any:
    return precision_recall(curves, PlotConfig(), default=default, share=0.2, title="a <b>", subtitle="told")


def test_the_area_below_a_curve_is_its_average_precision() -> None:
    one = curve("one", 1, 1.0)
    line = drawn([one], "one").data[0]
    assert "vh" == line.line.shape
    area = sum(width * height for width, height in zip(np.diff(line.x), line.y[1:], strict=True))
    assert one.average_precision == pytest.approx(area)


def test_the_default_is_in_front_and_the_worst_are_grey() -> None:
    curves = [curve(f"signal{rank}", rank, 3 - 0.4 * rank) for rank in range(NAMED + 3)]
    figure = drawn(curves, "signal4")
    *others, default, chance = figure.data
    assert default.name.startswith("<b>signal4 ")
    assert look.PALETTE[0] == default.line.color
    assert (0.2, 0.2) == chance.y
    assert [look.LINE] * 2 == [line.line.color for line in others[:2]]
    assert ["2 other signals"] * 2 == [line.name for line in others[:2]]
    assert [True, False] == [line.showlegend for line in others[:2]]
    assert NAMED == len({line.line.color for line in others[2:]})
    assert figure.layout.title.text.startswith("a &lt;b&gt;")


def test_curves_that_are_the_same_are_one() -> None:
    same, other = curve("label_var", 1, 1.0), curve("aum", 2, 2.0)
    figure = drawn(
        [same, other, Curve("variability", *(getattr(same, name) for name in list(vars(same))[1:]))], "variability"
    )
    assert 3 == len(figure.data)
    assert "variability, label_var" in figure.data[1].name


# -------------------------------------------------------------------------------------------- the command

WORDS = {"天气": "今天天气很好", "音乐": "我喜欢听音乐", "旅行": "去北京旅行"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rows = [(words * (1 + row % 3), name) for row in range(40) for name, words in WORDS.items()]
    data = tmp_path / "train.tsv"
    marks = [2 if row < 6 else 0 for row in range(len(rows))]
    lines = [f"{text}\t{name}\t{mark}" for (text, name), mark in zip(rows, marks, strict=True)]
    data.write_text("\n".join(["text_a\tlabel\ts_label", *lines]) + "\n", encoding="utf-8")
    tree = {
        "run_dir": str(tmp_path / "run"),
        "data": {"train": str(data)},
        "model": {"name": "tiny", "max_seq_len": 16},
        "train": {"epochs": 3, "learning_rate": 2e-3, "batch_size": 16, "seed": 5},
        "plot": {"formats": []},
    }
    path = tmp_path / "datamap.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


@pytest.mark.paddle
def test_a_check_reports_every_signal_and_leaves_the_data_as_it_is(config: Path, run_cli: Cli) -> None:
    data, run_dir = config.with_name("train.tsv"), config.with_name("run")
    before = hashlib.sha256(data.read_bytes()).hexdigest()
    code, out, err = run_cli("selfcheck", "-c", config, "--flip", "12")
    assert 0 == code, err
    assert before == hashlib.sha256(data.read_bytes()).hexdigest()
    assert "12 of 114 labels flipped to any other class, seed 5; the file stays as it is" in err
    assert "6 rows are marked as dirty in the data: neither flipped nor measured" in err
    assert ["selfcheck"] == [path.name for path in run_dir.iterdir()]
    examples = pl.read_parquet(run_dir / "selfcheck" / "examples.parquet")
    original = pl.read_csv(data, separator="\t")
    names = pl.Series(json.loads((run_dir / "selfcheck" / "run.json").read_text())["classes"])
    changed = names.gather(examples["label"]) != original["label"]
    assert 12 == changed.sum() == (changed & (examples["s_label"] == 2)).sum()
    assert not changed[:6].any()
    account = json.loads((run_dir / "selfcheck" / "selfcheck.json").read_text())
    assert {"rows": 114, "flipped": 12} == account["measured"]
    measured = account["signals"]
    assert {"avg_loss", "label_var", "forgetting_times"} <= set(measured) <= {s.name for s in signals.SIGNALS}
    summary = pl.read_parquet(run_dir / "selfcheck" / "summary.parquet").with_columns(flipped=changed)[6:]
    for name, found in measured.items():
        for measure in (found["auroc"], found["average_precision"], found["precision"]):
            assert 0 <= measure["low"] <= measure["high"] <= 1
        severity = summary.select(suspects.severity(name, found["suspicious_end"]))[:, 0].to_list()
        assert auroc_by_pairs(severity, summary["flipped"].to_list()) == pytest.approx(found["auroc"]["value"])
    assert measured[account["default_score"]]["auroc"]["value"] > 0.9
    assert "How well each signal finds the 12 flipped labels of 114, with 95% intervals" in out
    assert f"selfcheck: {run_dir / 'selfcheck' / 'maps' / 'precision-recall.html'}\n" in out
    assert max(len(line) for line in out.splitlines() if str(run_dir) not in line) <= 80

    assert "holds a run already" in run_cli("selfcheck", "-c", config)[2]
    again = run_cli("selfcheck", "-c", config, "--flip", "12", "--resume")
    assert (0, out.splitlines()[-5:]) == (again[0], again[1].splitlines()[-5:])
    code, _, err = run_cli("selfcheck", "-c", config, "--flip", "13", "--resume")
    assert (1, True) == (code, "selfcheck: the check there has other flips; go on with" in err)
    code, _, err = run_cli("selfcheck", "-c", config, "--flip", "12", "--resume", "--set", "train.folds=2")
    assert (1, True) == (code, "the value of then: train.folds: 2 (None)" in err)


@pytest.mark.paddle
def test_flips_towards_confusion_take_the_run_that_is_there_or_train_one(config: Path, run_cli: Cli) -> None:
    run_dir = config.with_name("run")
    code, _, err = run_cli("selfcheck", "-c", config, "--confusion", "--set", "train.epochs=1")
    assert 0 == code, err
    assert f"{run_dir}: no run yet; training one first" in err
    records = pl.read_ndjson(next((run_dir / "signals").iterdir()))
    probs = np.array(records["probs"].to_list())
    confusion = np.array([probs[(records["label"] == k).to_numpy()].mean(axis=0) for k in range(3)])
    np.fill_diagonal(confusion, -1)
    original, examples = (
        pl.read_parquet(directory / "examples.parquet") for directory in (run_dir, run_dir / "selfcheck")
    )
    flipped = original["label"] != examples["label"]
    assert 11 == flipped.sum()
    expected = confusion.argmax(axis=1)[original["label"].filter(flipped).to_list()].tolist()
    assert expected == examples["label"].filter(flipped).to_list()
    code, _, err = run_cli("selfcheck", "-c", config, "--confusion", "--overwrite", "--set", "train.epochs=1")
    assert (0, False) == (code, "no run yet" in err)


def test_confusion_needs_a_run_of_the_same_data(config: Path, run_cli: Cli) -> None:
    write_run(config.with_name("run"), examples_frame(30, 3), random_probs(30, 3, 2))
    code, out, err = run_cli("selfcheck", "-c", config, "--confusion")
    assert (1, "", 1) == (code, out, err.count("\n"))
    assert "the run there is of other data than" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--flip", "0"], "--flip: 0: expected a fraction such as 0.1, or a number of rows"),
        (["--flip", "1.0"], "--flip: 1: 114 of 114 labels; expected at least one, and not all"),
        (["--overwrite", "--resume"], "--resume goes on with a run, --overwrite replaces it"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(
    config: Path, run_cli: Cli, arguments: list[str], said: str
) -> None:
    code, out, err = run_cli("selfcheck", "-c", config, *arguments)
    assert (1, "", 1) == (code, out, err.count("\n"))
    assert said in err
    assert not config.with_name("run").exists()
