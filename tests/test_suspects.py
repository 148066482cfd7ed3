"""The list of suspects: the ranking, the reasons, the estimate of how many, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamap_cli import signals
from datamap_cli.analysis import suspects
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run
from datamap_cli.signals.averages import mean_probs
from tests.support import evaluation_frames, examples_frame, random_probs, summarize, write_run

Cli = Callable[..., tuple[int, str, str]]

# id: 0 easy, 1 never learnt, 2 forgotten and wrong at the end, 3 learnt, forgotten twice, right at the end
SUMMARY = pl.DataFrame(
    {
        "id": [0, 1, 2, 3],
        "label": [0, 0, 1, 1],
        "pred_label": [0, 1, 0, 1],
        "suggested_label": [0, 1, 0, None],
        "avg_probs": [0.9, 0.1, 0.3, 0.8],
        "margin": [2.0, -2.0, -0.8, 1.4],
        "avg_loss": [0.1, 2.5, 1.2, 0.2],
        "correct_ratio": [1.0, 0.0, 0.25, 0.75],
        "never_learnt": [False, True, False, False],
        "learnt_for_good": [0, None, None, 3],
        "forgetting_times": [0, 0, 1, 2],
        "tied": [1, 1, 1, 1],
        "suspicion": [-3.0, 2.0, None, -1.0],
        "joined_label": [0, 0, None, 0],
        "linear_label_probs": [0.9, 0.2, None, 0.5],
        "embedding_label_probs": [None, None, None, None],
        "neighbour_disagreement": [0.1, 0.95, None, 0.4],
    },
    schema_overrides={"embedding_label_probs": pl.Float64},
)
HARD = pl.col("avg_probs") <= 0.25


def ranking(score: str, end: suspects.End = "high", number: int = 4) -> list[int]:
    return suspects.rank(SUMMARY, score, end, number, hard=HARD)["id"].to_list()


@pytest.mark.parametrize(
    ("ids", "score", "end"),
    [
        ([1, 2, 3, 0], "avg_loss", "high"),
        ([1, 2, 3, 0], "margin", "low"),
        ([1, 3, 2, 0], "forgetting_times", "high"),  # never learnt comes before all that were forgotten
        ([1, 2, 3, 0], "learnt_for_good", "high"),  # wrong at the end comes before all that were learnt, then avg_probs
        ([1, 2, 3, 0], "tied", "high"),
        ([1, 2, 3, 0], "tied", "low"),
        ([1, 2, 3, 0], "never_learnt", "high"),
        ([1, 3, 0, 2], "suspicion", "high"),  # nobody knows anything of 2
    ],
)
def test_the_ranking_begins_at_the_suspicious_end(ids: list[int], score: str, end: suspects.End) -> None:
    assert ids == ranking(score, end)
    assert ids[:2] == ranking(score, end, number=2)


def test_ties_are_broken_by_id_whatever_the_order_of_the_rows() -> None:
    same = pl.concat([SUMMARY.head(1)] * 3).with_columns(id=pl.Series([7, 5, 6]))
    ranked = suspects.rank(same, "margin", "low", 3, hard=HARD)
    assert ([1, 2, 3], [5, 6, 7]) == (ranked["rank"].to_list(), ranked["id"].to_list())


def test_why_is_said_in_words() -> None:
    ranked = suspects.rank(SUMMARY, "avg_loss", "high", 4, hard=HARD)
    assert [
        "never learnt, low avg_probs 0.1, negative margin -2.0, linear gives it 20 %, "
        "95 % of its neighbours have another label",
        "right 25 % of the time, wrong at the end, negative margin -0.8",
        "forgotten 2 times",
        "among the 100 % with the highest avg_loss",
    ] == ranked["why"].to_list()


def test_the_last_prediction_stands_for_a_suggestion_that_is_missing() -> None:
    ranked = suspects.rank(SUMMARY, "avg_loss", "high", 4, hard=HARD)
    assert [1, 0, 1, 0] == ranked["suggested_label"].to_list()
    bare = SUMMARY.with_columns(suggested_label=pl.lit(None, pl.Int64), margin=pl.lit(None, pl.Float64))
    ranked = suspects.rank(bare, "avg_loss", "high", 4, hard=HARD)
    assert [1, 0, 1, 0] == ranked["suggested_label"].to_list()
    assert ranked["why"][0].startswith("never learnt, low avg_probs 0.1, linear")


def test_rows_without_a_score_come_last() -> None:
    holed = SUMMARY.with_columns(margin=pl.Series([None, -2.0, None, 1.4]))
    assert [1, 3, 2, 0] == suspects.rank(holed, "margin", "low", 4, hard=HARD)["id"].to_list()


def test_a_score_is_a_number_and_its_unknown_end_the_high_one() -> None:
    assert "low" == suspects.end("margin", SUMMARY.schema, "low")
    assert "high" == suspects.end("tied", SUMMARY.schema, None)
    for score in ("id", "nope"):
        with pytest.raises(
            DatamapError, match=f"--score: {score}: expected a signal of the summary: label, pred_label"
        ):
            suspects.end(score, SUMMARY.schema, None)


# ------------------------------------------------------------------------------------------- how many


@pytest.mark.parametrize("shuffled", [False, True])
def test_averaged_probabilities_are_those_of_a_loop(shuffled: bool) -> None:
    examples, probs = examples_frame(9, 3), random_probs(9, 3, 4)
    frames = evaluation_frames(examples, probs)
    if shuffled:
        frames = {
            name: frame.collect().sample(fraction=1, shuffle=True, seed=seed).lazy()
            for seed, (name, frame) in enumerate(frames.items())
        }
    ids = pl.Series([5, 0, 8])
    averages = mean_probs(frames, ids)
    assert averages is not None
    expected = [[sum(p[i][k] for p in probs) / 4 for k in range(3)] for i in (5, 0, 8)]
    np.testing.assert_allclose(averages, expected, rtol=1e-12)
    summary = summarize(evaluation_frames(examples, probs))
    label = examples["label"].to_numpy()[[5, 0, 8]]
    np.testing.assert_allclose(averages[range(3), label], summary["avg_probs"].gather([5, 0, 8]), rtol=1e-12)


def test_an_example_that_is_missing_in_some_evaluations_is_averaged_over_the_others() -> None:
    examples, probs = examples_frame(4, 2), random_probs(4, 2, 2)
    frames = evaluation_frames(examples, probs)
    frames["evaluation 1"] = frames["evaluation 1"].filter(pl.col("id") != 2)
    averages = mean_probs(frames, examples["id"])
    assert averages is not None
    np.testing.assert_allclose(averages[2], probs[0][2])
    np.testing.assert_allclose(averages[1], (probs[0][1] + probs[1][1]) / 2)


def test_records_without_all_probabilities_have_no_averages() -> None:
    examples, probs = examples_frame(6, 3), random_probs(6, 3, 1)
    label = examples["label"].to_numpy()
    records = signals.records(examples, probs[0], signals.loss(probs[0], label), "label")
    assert mean_probs({"evaluation 0": records.lazy()}, examples["id"]) is None


def confident_joint(label: list[int], probs: list[list[float]]) -> list[list[float]]:
    """Northcutt 2021, eq. 1 to 3, example by example, for classes that all occur."""
    classes = range(len(probs[0]))
    threshold = []
    for k in classes:
        own = [p[k] for y, p in zip(label, probs, strict=True) if y == k]
        threshold.append(sum(own) / len(own))
    counts = [[0.0] * len(classes) for _ in classes]
    for y, p in zip(label, probs, strict=True):
        confident = [k for k in classes if p[k] >= threshold[k] - 1e-6]
        if confident:
            counts[y][max(confident, key=lambda k: p[k])] += 1
    return [
        [c / sum(row) * label.count(k) for c in row]
        if sum(row)
        else [float(label.count(k) * (j == k)) for j in classes]
        for k, row in enumerate(counts)
    ]


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 5), count=st.integers(6, 60))
def test_the_estimate_is_that_of_the_confident_joint(seed: int, n_classes: int, count: int) -> None:
    pytest.importorskip("cleanlab", reason="the extra `clean` is not installed")
    rng = np.random.default_rng(seed)
    label: npt.NDArray[np.int64] = np.array([*range(n_classes), *rng.integers(0, n_classes, count - n_classes)])
    probs = rng.dirichlet(np.ones(n_classes), count)
    probs[range(count), label] += 0.5
    probs /= probs.sum(axis=1, keepdims=True)
    joint = confident_joint(label.tolist(), probs.tolist())
    expected = [sum(row) - row[k] for k, row in enumerate(joint)]
    found = suspects.estimate(label, probs)
    # cleanlab rounds to whole examples
    assert all(abs(a - b) <= 1 for a, b in zip(expected, found.by_class, strict=True))
    assert abs(sum(expected) - found.total) <= n_classes
    assert found.method.startswith("cleanlab 2.")


def test_planted_errors_are_counted_and_a_class_without_examples_has_none() -> None:
    pytest.importorskip("cleanlab", reason="the extra `clean` is not installed")
    label = np.repeat([0, 2], 100)
    probs = np.zeros((200, 3))
    probs[:, 1] = 0.01
    probs[range(200), label] = 0.9
    probs[range(200), 2 - label] = 0.09
    probs[:10] = probs[:10, ::-1]  # given 0, but 2
    assert [10, 0, 0] == suspects.estimate(label, probs).by_class
    assert 0 == suspects.estimate(np.zeros(5, dtype=np.int64), np.full((5, 3), 1 / 3)).total


# ----------------------------------------------------------------------------------------- the command


def make_run(directory: Path, *, keep: signals.Kept = "all") -> Run:
    examples = examples_frame(40, 3).with_columns(
        text_a=pl.when(pl.col("id") == 3).then(pl.lit('=cmd("x")\t\x1b[31mred')).otherwise("text_a")
    )
    probs = random_probs(40, 3, 4)
    if keep == "all":
        run = write_run(directory, examples, probs)
    else:
        run = write_run(directory, examples, probs[:0])
        label = examples["label"].to_numpy()
        for t, p in enumerate(probs):
            records = signals.records(examples, p, signals.loss(p, label), keep)
            run.write_evaluation(records, format="jsonl", step=t, epoch=1.0, train_loss=1.0, accuracy=0.5, seconds=0.1)
    with run.scratch() as scratch:
        signals.write_summary(run.write_summary, run.evaluations(), scratch)
    return run


def test_the_suspects_are_written_with_texts_names_and_reasons(
    tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run")
    monkeypatch.setattr(suspects, "can_estimate", lambda: False)
    code, out, err = run_cli("suspects", "--run-dir", tmp_path / "run")
    table = pl.read_csv(tmp_path / "run" / "suspects.tsv", separator="\t")
    summary = run.scan_summary().collect()
    assert (0, suspects.MISSING) == (code, err.splitlines()[0])
    assert f"The 4 highest {suspects.ALONE}, of 4 written" in out
    assert out.endswith(
        f"suspects: {tmp_path / 'run' / 'suspects.tsv'}\nsuspects: {tmp_path / 'run' / 'suspects.json'}\n"
    )
    assert ["rank", "id", "text_a", "text_b", "label", "suggested_label", "score", "why"] == table.columns[:8]
    worst = summary.sort("avg_loss", descending=True).head(4)
    assert worst["id"].to_list() == table["id"].to_list()
    assert [f"如何做第{i}个" for i in worst["id"]] == table["text_b"].to_list()
    assert worst["label"].to_list() == table["label"].to_list()
    kept = json.loads((tmp_path / "run" / "suspects.json").read_text())
    assert (suspects.ALONE, "high", 4, 40, None) == tuple(
        kept[key] for key in ("score", "suspicious_end", "rows", "examples", "estimate")
    )


def test_foreign_texts_steer_neither_terminal_nor_spreadsheet(
    tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "run")
    monkeypatch.setattr(suspects, "can_estimate", lambda: False)
    code, out, _ = run_cli("suspects", "--run-dir", tmp_path / "run", "--top", "1.0")
    assert (0, False) == (code, "\x1b[31m" in out)
    table = pl.read_csv(tmp_path / "run" / "suspects.tsv", separator="\t")
    assert '\'=cmd("x")\t\x1b[31mred' == table.filter(pl.col("id") == 3)["text_a"].item()
    run_cli("suspects", "--run-dir", tmp_path / "run", "--top", "1.0", "--set", "plot.spreadsheet_safe=false")
    table = pl.read_csv(tmp_path / "run" / "suspects.tsv", separator="\t")
    assert '=cmd("x")\t\x1b[31mred' == table.filter(pl.col("id") == 3)["text_a"].item()


def test_a_run_without_all_probabilities_says_what_stands_for_the_suggestion(tmp_path: Path, run_cli: Cli) -> None:
    run = make_run(tmp_path / "run", keep="label")
    code, _, err = run_cli("suspects", "--run-dir", tmp_path / "run", "--top", "40")
    table = pl.read_csv(tmp_path / "run" / "suspects.tsv", separator="\t").sort("id")
    assert 0 == code
    assert "no probabilities of all classes: the last prediction is the suggested label" in err
    assert run.scan_summary().collect()["pred_label"].to_list() == table["suggested_label"].to_list()
    assert (40, 40) == (table["margin"].null_count(), table.height)


def test_any_signal_can_be_the_score(tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run")
    monkeypatch.setattr(suspects, "can_estimate", lambda: False)
    numeric = [name for name in run.scan_summary().collect_schema() if name not in ("id", "s_label")]
    for score in numeric:
        code, out, err = run_cli("suspects", "--run-dir", tmp_path / "run", "--score", score, "--top", "2")
        assert (0, True) == (code, f"est {score}, of 2 written" in out)
        neither = f"neither end of {score} is known to be suspicious; the highest come first" in err
        assert (signals.find(score).suspicious is None) == neither


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("--score: x: expected a signal of the summary: label,", ["--score", "x"]),
        ("--top: 0: expected a fraction such as 0.1, or a number of rows such as 100", ["--top", "0"]),
    ],
)
def test_bad_options_are_one_line(tmp_path: Path, run_cli: Cli, message: str, options: list[str]) -> None:
    make_run(tmp_path / "run")
    code, _, err = run_cli("suspects", "--run-dir", tmp_path / "run", *options)
    assert (1, True, 1) == (code, err.startswith(f"datamap: {message}"), err.count("\n"))


def test_the_estimate_is_told_in_total_and_by_class(tmp_path: Path, run_cli: Cli) -> None:
    pytest.importorskip("cleanlab", reason="the extra `clean` is not installed")
    make_run(tmp_path / "run")
    code, out, err = run_cli("suspects", "--run-dir", tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "suspects.json").read_text())["estimate"]
    assert (0, 1) == (code, len(err.splitlines()))
    assert kept["total"] == sum(kept["by_given_label"].values())
    assert f"about {kept['total']} of 40 labels are wrong" in out
    assert "confident joint, calibrated, of the averaged probabilities" in out


def test_the_help_names_the_default_score(run_cli: Cli) -> None:
    told = " ".join(run_cli("suspects", "--help")[1].replace("│", " ").split())
    assert f"[default: ({suspects.DEFAULT_SCORE}; without opinions {suspects.ALONE})]" in told


@pytest.mark.parametrize(("keep", "expected"), [("all", ("margin", "low")), ("label", ("avg_loss", "high"))])
def test_held_out_signals_have_a_score_of_their_own(
    tmp_path: Path, run_cli: Cli, keep: signals.Kept, expected: tuple[str, str]
) -> None:
    make_run(tmp_path / "run", keep=keep)
    path = tmp_path / "run" / "run.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, "origin": {**info["origin"], "folds": 5}}))
    code, out, _ = run_cli("suspects", "--run-dir", tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "suspects.json").read_text())
    assert (0, expected) == (code, (kept["score"], kept["suspicious_end"]))
    assert f"The 4 {expected[1]}est {expected[0]}, of 4 written" in out
    assert "memorized" not in out
