"""Two runs beside each other: rank correlations, regions, moves, the map with arrows and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli import signals
from datamap_cli.analysis import comparison
from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.plot.arrows import arrows
from datamap_cli.plot.curves import Curve, precision_recall
from datamap_cli.plot.plain import plain_page
from tests.support import examples_frame, random_probs, write_run

Cli = Callable[..., tuple[int, str, str]]


def paired(first: dict[str, list[object]], second: dict[str, list[object]]) -> pl.DataFrame:
    return comparison.pair(pl.DataFrame(first, strict=False), pl.DataFrame(second, strict=False), ("A", "B"))


def test_examples_are_paired_by_id_whatever_their_order() -> None:
    both = paired({"id": [2, 0, 1], "aum": [1, 2, 3]}, {"id": [0, 1, 2], "aum": [20, 30, 10]})
    assert {"id": [2, 0, 1], "aum": [1, 2, 3], "aum@b": [10, 20, 30]} == both.to_dict(as_series=False)


@pytest.mark.parametrize(
    ("message", "first", "second"),
    [
        ("not the same examples: 1 of A are not in B (id 3); runs over the same ids can be compared", [1, 3], [1]),
        ("not the same examples: 2 of B are not in A (id 4); runs over the same ids can be compared", [1], [1, 4, 5]),
        ("not the same examples: 1 of A are not in B (id 1), 1 of B are not in A (id 2); runs over the same ids can be compared", [1], [2]),
        ("A has ids such as 1, B such as 'x'", [1], ["x"]),
    ],
)  # fmt: skip
def test_other_ids_are_one_line(message: str, first: list[object], second: list[object]) -> None:
    with pytest.raises(DatamapError) as error:
        paired({"id": first}, {"id": second})
    assert message == str(error.value)


def average_ranks(values: list[float]) -> list[float]:
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def spearman(first: list[float], second: list[float]) -> float | None:
    """Pearson's correlation of the average ranks, in loops."""
    a, b = average_ranks(first), average_ranks(second)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
    return covariance / spread if spread else None


VALUES = st.one_of(st.none(), st.just(float("nan")), st.integers(0, 4).map(float))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=20))
def test_rank_correlation_is_that_of_the_reference(values: list[tuple[float | None, float | None]]) -> None:
    ids = list(range(len(values)))
    both = paired({"id": [*ids], "aum": [a for a, _ in values]}, {"id": [*ids], "aum": [b for _, b in values]})
    both = both.with_columns(pl.col("aum", "aum@b").cast(pl.Float64))
    pairs = [(a, b) for a, b in values if a is not None and b is not None and not math.isnan(a) and not math.isnan(b)]
    found = comparison.correlations(both).row(0, named=True)
    expected = spearman([a for a, _ in pairs], [b for _, b in pairs]) if pairs else None
    assert ("aum", len(pairs), None) == (found["signal"], found["examples"], found["agreement"])
    assert (expected is None) == (found["spearman"] is None)
    assert expected is None or math.isclose(expected, found["spearman"], abs_tol=1e-9)


def test_class_indices_agree_and_texts_and_columns_of_one_are_left_out() -> None:
    both = paired(
        {"id": [0, 1, 2, 3], "label": [0, 1, 0, 1], "pred_label": [0, 1, 0, 1], "note": ["a"] * 4, "never_learnt": [True, True, False, False], "mine": [1, 2, 3, 4]},
        {"id": [0, 1, 2, 3], "label": [0, 1, 0, 1], "pred_label": [0, 1, 1, 1], "note": ["a"] * 4, "never_learnt": [True, True, False, False], "yours": [1, 2, 3, 4]},
    )  # fmt: skip
    assert [("pred_label", None, 0.75, 4), ("never_learnt", 1.0, None, 4)] == comparison.correlations(both).rows()


def test_regions_cross_in_their_order() -> None:
    before, after = pl.Series(["easy", "easy", "hard", "easy"]), pl.Series(["easy", "hard", "hard", "hard"])
    crossed = comparison.crossing(before, after, ["easy", "mid", "hard"])
    assert {
        "easy": {"easy": 1, "mid": 0, "hard": 2},
        "mid": {"easy": 0, "mid": 0, "hard": 0},
        "hard": {"easy": 0, "mid": 0, "hard": 1},
    } == crossed
    assert ["easy", "mid", "hard"] == list(crossed)


def test_the_farthest_move_is_first_with_each_axis_of_length_one() -> None:
    both = paired(
        {"id": [0, 1, 2, 3, 4], "x": [0.0, 0.0, 10.0, 5.0, None], "y": [0.0, 1.0, 0.5, 0.5, 0.5]},
        {"id": [0, 1, 2, 3, 4], "x": [3.0, 0.0, 10.0, 5.0, 1.0], "y": [0.4, 0.0, 0.5, 0.5, 0.5]},
    )
    moves = comparison.moves(both, "x", "y")
    assert [1, 0, 2, 3] == moves["id"].to_list()  # 4 has no x in the first; 2 and 3, which stayed, stand by id
    assert [1.0, 0.5, 0.0, 0.0] == pytest.approx(moves["moved"].to_list())
    assert (0.0, 0.0, 3.0, 0.4) == moves.row(1)[1:5]


def test_an_axis_that_is_the_same_throughout_moves_nobody() -> None:
    both = paired({"id": [0, 1], "x": [2, 2], "y": [0, 1]}, {"id": [0, 1], "x": [2, 2], "y": [1, 1]})
    assert [1.0, 0.0] == comparison.moves(both, "x", "y")["moved"].to_list()


@pytest.mark.parametrize(
    ("message", "x"),
    [("z: not a signal of both runs", "z"), ("y, e: no example has a value of both in both runs", "e")],
)
def test_an_axis_without_values_is_one_line(message: str, x: str) -> None:
    both = paired({"id": [0], "e": [None], "y": [0], "z": [1]}, {"id": [0], "e": [None], "y": [1]})
    with pytest.raises(DatamapError, match=message):
        comparison.moves(both, x, "y")


# --------------------------------------------------------------------------------------------- the map

REGIONS = list(signals.REGIONS)
MOVES = pl.DataFrame(
    {
        "id": [7, 8, 9],
        "x": [0.0, 0.1, 0.2],
        "y": [0.9, 0.1, 0.5],
        "x@b": [0.2, 0.1, 0.2],
        "y@b": [0.1, 0.9, 0.5],
        "region@b": [REGIONS[2], REGIONS[0], REGIONS[1]],
        "text": ["<b>%{x}</script>", None, None],
    }
)


def drawn(number: int) -> go.Figure:
    return arrows(MOVES, PlotConfig(), title="A <to> B", subtitle="2 of 3", regions=REGIONS, number=number)


def test_arrows_lead_from_the_first_place_to_the_second_in_the_colour_of_the_region() -> None:
    figure = drawn(2)
    assert [(0.0, 0.9, 0.2, 0.1), (0.1, 0.1, 0.1, 0.9)] == [(a.ax, a.ay, a.x, a.y) for a in figure.layout.annotations]
    assert 2 == len({annotation.arrowcolor for annotation in figure.layout.annotations})
    assert [
        "all examples",
        "now easy-to-learn (1)",
        "now ambiguous (0)",
        "now hard-to-learn (1)",
    ] == [trace.name for trace in figure.data]
    assert [3, 1, 0, 1] == [len(trace.x) for trace in figure.data]
    low, high = figure.layout.yaxis.range
    assert low < 0.1 < 0.9 < high


def test_foreign_texts_are_shown_as_they_stand() -> None:
    figure = drawn(3)
    assert "&lt;b&gt;&#37;{x}&lt;/script&gt;" in figure.data[3].text[0]
    assert figure.layout.title.text.startswith("A &lt;to&gt; B<br>")
    page = plain_page(figure, "A <to> B")
    assert "<title>A &lt;to&gt; B</title>" in page
    assert "{x}</script>" not in page


def test_pictures_that_stand_by_themselves_have_one_frame() -> None:
    curve = Curve("x", 0.5, np.array([1]), np.array([1.0]), np.array([0.5]))
    settings = PlotConfig(width=800)
    other = precision_recall([curve], settings, default="x", share=0.5, title="A", subtitle="B").layout
    own = arrows(MOVES, settings, title="A", subtitle="B", regions=REGIONS, number=1).layout
    assert "A<br><sub>B</sub>" == own.title.text == other.title.text
    assert (own.template, own.margin) == (other.template, other.margin)


def test_of_many_examples_at_most_so_many_are_drawn() -> None:
    many = pl.concat([MOVES] * 40)
    figure = arrows(many, PlotConfig(max_points=50), title="", subtitle="", regions=REGIONS, number=1)
    assert 40 == len(figure.data[0].x)


# ----------------------------------------------------------------------------------------- the command


def make_run(directory: Path, seed: int, *, count: int = 30, n_classes: int = 3) -> None:
    run = write_run(directory, examples_frame(count, n_classes), random_probs(count, n_classes, 4, seed))
    with run.scratch() as scratch:
        signals.write_summary(run.write_summary, run.evaluations(), scratch)


def test_no_id_in_the_table_starts_a_formula(tmp_path: Path, run_cli: Cli) -> None:
    examples = examples_frame(3, 3).with_columns(id=pl.Series(["=1+1", "b", "-4"]))
    for seed in (1, 2):
        run = write_run(tmp_path / str(seed), examples, random_probs(3, 3, 4, seed))
        with run.scratch() as scratch:
            signals.write_summary(run.write_summary, run.evaluations(), scratch)
    for safe, expected in (("true", "'=1+1"), ("false", "=1+1")):
        setting = f"plot.spreadsheet_safe={safe}"
        assert 0 == run_cli("compare", tmp_path / "1", tmp_path / "2", "--no-png", "--set", setting)[0]
        table = pl.read_csv(tmp_path / "1/maps/compare-2.tsv", separator="\t")
        assert {expected, "b", "-4"} == set(table["id"])


def test_two_seeds_are_compared_in_words_json_table_and_map(tmp_path: Path, run_cli: Cli) -> None:
    make_run(tmp_path / "a", 1)
    make_run(tmp_path / "b", 2)
    code, out, err = run_cli("compare", tmp_path / "a", tmp_path / "b", "--no-png", "--arrows", "5")
    stem = tmp_path / "a" / "maps" / "compare-b"
    assert (0, 1) == (code, len(err.splitlines()))
    assert "".join(f"comparison: {stem}{suffix}\n" for suffix in (".json", ".tsv", ".html")) in out
    assert "30 examples: how alike the signals rank them" in out
    account = json.loads(stem.with_suffix(".json").read_text())
    table = pl.read_csv(stem.with_suffix(".tsv"), separator="\t")
    frames = [pl.read_parquet(tmp_path / name / "summary.parquet") for name in "ab"]
    assert 30 == account["examples"] == table.height == sum(sum(row.values()) for row in account["regions"].values())
    assert account["other_region"] == table.filter(pl.col("region_a") != pl.col("region_b")).height
    expected = spearman(frames[0]["aum"].to_list(), frames[1]["aum"].to_list())
    assert expected == pytest.approx(account["signals"]["aum"]["spearman"])
    by_id = table.sort("id")
    assert frames[0]["avg_probs"].to_list() == pytest.approx(by_id["avg_probs_a"].to_list(), abs=1e-6)
    assert frames[1]["label_var"].to_list() == pytest.approx(by_id["label_var_b"].to_list(), abs=1e-6)
    assert table["moved"].to_list() == sorted(table["moved"], reverse=True)
    assert ["id", "label", "moved", "region_a", "region_b"] == table.columns[:5]


def test_a_run_is_like_itself(tmp_path: Path, run_cli: Cli) -> None:
    make_run(tmp_path / "a", 1)
    code, _, _ = run_cli("compare", tmp_path / "a", tmp_path / "a", "--no-png", "--output", tmp_path / "same")
    account = json.loads((tmp_path / "same.json").read_text())
    assert (0, 0) == (code, account["other_region"])
    for signal, found in account["signals"].items():
        assert found["spearman"] is None or math.isclose(1, found["spearman"]), signal
        assert found["agreement"] in (None, 1.0), signal
    assert account["regions"]["ambiguous"]["easy-to-learn"] == 0


def test_classes_in_another_order_are_compared_by_name(tmp_path: Path, run_cli: Cli) -> None:
    make_run(tmp_path / "a", 1)
    examples = examples_frame(30, 3).with_columns(label=2 - pl.col("label"))  # the same names, from the other end
    run = write_run(tmp_path / "b", examples, random_probs(30, 3, 4, 1)[:, :, ::-1])
    with run.scratch() as scratch:
        signals.write_summary(run.write_summary, run.evaluations(), scratch)
    info = json.loads((tmp_path / "b" / "run.json").read_text())
    (tmp_path / "b" / "run.json").write_text(json.dumps({**info, "classes": ["2", "1", "0"]}))
    code, _, err = run_cli("compare", tmp_path / "a", tmp_path / "b", "--output", tmp_path / "c.json")
    account = json.loads((tmp_path / "c.json").read_text())
    assert (0, False, 0) == (code, "another label" in err or "by their index" in err, account["other_label"])
    assert {1.0} == {found["agreement"] for found in account["signals"].values()} - {None}
    assert ["a", "b", "c.json"] == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("message", "other"),
    [
        ("classes, ", {"n_classes": 4}),
        ("not the same examples: 5 of ", {"count": 25}),
    ],
)
def test_runs_that_cannot_be_compared_are_one_line(
    tmp_path: Path, run_cli: Cli, message: str, other: dict[str, int]
) -> None:
    make_run(tmp_path / "a", 1)
    make_run(tmp_path / "b", 1, **other)
    code, _, err = run_cli("compare", tmp_path / "a", tmp_path / "b", "--no-png")
    assert (1, True, 1) == (code, message in err, err.count("\n"))
    assert not (tmp_path / "a" / "maps").exists()


@pytest.mark.browser
def test_the_arrows_are_drawn_as_a_picture(tmp_path: Path, run_cli: Cli) -> None:
    make_run(tmp_path / "a", 1)
    make_run(tmp_path / "b", 2)
    code, out, err = run_cli("compare", tmp_path / "a", tmp_path / "b", "--output", tmp_path / "c")
    if "no PNG" in err:
        pytest.skip(err)
    assert (0, True) == (code, out.endswith(f"comparison: {tmp_path / 'c.png'}\n"))
    assert b"\x89PNG" == (tmp_path / "c.png").read_bytes()[:4]
