"""Which examples the map draws and in which category, against slow references."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.plot import columns
from datamap_cli.plot.categories import Selection, select
from datamap_cli.plot.encoding import Scheme
from tests.maps import CURVES, Curve, drawn, summarized


def names(scheme: Scheme | None) -> list[str]:
    assert scheme is not None
    return [category.name for category in scheme.categories]


def name_of(selection: Selection, row: int) -> str:
    """Legend name of the category of a row of the summary."""
    index: int = selection.points.filter(pl.col("row") == row)["color"].item()
    return names(selection.color)[index]


@pytest.mark.parametrize("evaluations", range(1, 21))
def test_buckets_are_those_of_the_exact_fraction(evaluations: int) -> None:
    edges = [Fraction(0), Fraction(1, 5), Fraction(2, 5), Fraction(3, 5), Fraction(4, 5), Fraction(1)]
    expected = ["0 – <0.2", "0.2 – <0.4", "0.4 – <0.6", "0.6 – <0.8", "0.8 – <1", "1"]
    curves = [[step < times for step in range(evaluations)] for times in range(evaluations + 1)]
    selection = select(summarized(curves), PlotConfig())
    for times in range(evaluations + 1):
        bucket = max(i for i, edge in enumerate(edges) if Fraction(times, evaluations) >= edge)
        assert expected[bucket] == name_of(selection, times)


def forgetting_class(curve: Curve) -> str:
    count = sum(before and not after for before, after in pairwise(curve))
    if count:
        return "≥ 3" if count >= 3 else str(count)
    return "0: always right" if all(curve) else "0: learnt, kept (−+)" if any(curve) else "0: never right (−)"


def learning_class(curve: Curve) -> str:
    count = sum(after and not before for before, after in pairwise(curve))
    if count:
        return "≥ 3" if count >= 3 else str(count)
    if all(curve):
        return "0: always right"
    return "0: forgotten, not relearnt (+−)" if any(curve) else "0: never right (−)"


curves_of_one_length = st.integers(1, 9).flatmap(
    lambda length: st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=12)
)


@given(curves_of_one_length)
def test_counts_make_six_classes(curves: list[Curve]) -> None:
    summary = summarized(curves)
    forgetting = select(summary, PlotConfig(use_f_times=0))
    learning = select(summary, PlotConfig(use_l_times=0))
    for row, curve in enumerate(curves):
        assert forgetting_class(curve) == name_of(forgetting, row)
        assert learning_class(curve) == name_of(learning, row)


values = st.one_of(st.none(), st.sampled_from([-1.0, 0.0, 0.5, math.nan, math.inf, -math.inf]), st.floats(-2, 2))


@given(
    curves_of_one_length,
    st.lists(st.tuples(values, values, values), min_size=12, max_size=12),
    st.floats(-2, 2),
    st.integers(-1, 4),
    st.booleans(),
    st.one_of(st.none(), st.sampled_from([0.3, 0.5, 0.7])),
)
def test_filters_combine_as_a_loop_over_the_rows_does(
    curves: list[Curve],
    table: list[tuple[float | None, float | None, float | None]],
    threshold: float,
    least: int,
    forgetting: bool,
    below: float | None,
) -> None:
    extra = {
        name: pl.Series([row[column] for row in table[: len(curves)]], dtype=pl.Float64)
        for column, name in enumerate(("up", "row", "criterion"))
    }
    summary = summarized(curves).with_columns(**extra)
    settings = PlotConfig(
        attr1="up",
        attr2="row",
        criterion="criterion",
        threshold=threshold,
        where=None if below is None else f"avg_probs < {below}",
        **{"use_f_times" if forgetting else "use_l_times": least},
    )
    selection = select(summary, settings)

    rows, missing = [], 0
    for row, (up, across, criterion) in enumerate(table[: len(curves)]):
        if summary["forgetting_times" if forgetting else "learnt_times"][row] < least:
            continue
        if below is not None and summary["avg_probs"][row] >= below:
            continue
        known = [value is not None and math.isfinite(value) for value in (up, across, criterion)]
        if known[2] and criterion is not None and criterion < threshold:
            continue
        if all(known):
            rows.append(row)
        else:
            missing += 1
    assert rows == selection.points["row"].to_list()
    assert missing == selection.missing


@pytest.mark.parametrize("key", ["attr1", "attr2", "criterion", "color_by", "shape_by"])
def test_an_unknown_signal_is_named_with_those_there_are(key: str) -> None:
    settings: dict[str, Any] = {key: "nosuch"}
    with pytest.raises(DatamapError) as caught:
        drawn(summarized(CURVES, source=["web"] * 6), **settings)
    assert str(caught.value) == (
        f"plot.{key}: nosuch: no such numeric signal; those of this summary: label, s_label, correct_times,"
        " correct_ratio, avg_probs, label_var, forgetting_times, learnt_times, never_learnt, pred_label,"
        " suggested_label"
    )


def test_a_text_column_is_no_signal() -> None:
    with pytest.raises(
        DatamapError, match=r"^plot\.attr2: source: no such numeric signal; those of this summary: label,"
    ):
        drawn(summarized(CURVES, source=["web"] * 6), attr2="source")


@pytest.mark.parametrize("expression", ["nosuch < 1", "avg_probs <", "avg_probs", "SELECT 1", ""])
def test_a_wrong_condition_is_one_line_that_names_its_key(expression: str) -> None:
    with pytest.raises(DatamapError) as caught:
        drawn(summarized(CURVES), where=expression)
    assert str(caught.value).startswith("plot.where: ")
    assert "\n" not in str(caught.value)


def test_a_condition_may_name_texts_and_the_id() -> None:
    summary = summarized(CURVES, source=["web", "book", "web", "book", "web", "book"])
    selection = select(summary, PlotConfig(where="source = 'web' AND id > 0"))
    assert [2, 4] == selection.points["row"].to_list()
    assert ("source = 'web' AND id > 0",) == selection.conditions


def test_a_bool_column_is_an_axis_of_0_and_1() -> None:
    points = select(summarized(CURVES), PlotConfig(attr2="never_learnt")).points
    assert [1.0, 0.0, 0.0, 0.0, 0.0, 0.0] == points["x"].to_list()


# ---------------------------------------------------------------------------------------- colour, shape


def test_few_whole_values_colour_as_they_are_hard_end_first() -> None:
    summary = summarized(CURVES)
    hard = select(summary, PlotConfig(color_by="forgetting_times"))
    assert ["1", "0"] == names(hard.color)
    assert [1, 0, 0, 0, 1, 1] == [{"1": 1, "0": 0}[name_of(hard, row)] for row in (2, 4, 5, 0, 1, 3)]


def test_a_bool_colours_as_true_and_false() -> None:
    selection = select(summarized(CURVES), PlotConfig(color_by="never_learnt"))
    assert ["true", "false"] == names(selection.color)
    assert [0, 1, 1, 1, 1, 1] == selection.points["color"].to_list()


def test_many_values_colour_along_a_scale() -> None:
    summary = summarized(CURVES, aum=[-3.5, -1.0, 0.0, math.inf, 2.0, None])
    selection = select(summary, PlotConfig(color_by="aum"))
    assert selection.color is None
    assert [-3.5, -1.0, 0.0, None, 2.0, None] == selection.points["value"].to_list()
    assert ["0 – <0.2", "0.2 – <0.4"] == names(selection.shape)[:2]


def test_labels_are_named_and_have_no_order() -> None:
    summary = summarized(CURVES, label=[0, 1, 2, 0, 1, 2])
    scheme = select(summary, PlotConfig(color_by="label"), classes=["否", "是", "?"]).color
    assert scheme is not None
    assert ["否", "是", "?"] == names(scheme)
    assert not scheme.ordered
    assert ["#0072B2", "#E69F00", "#009E73"] == [category.color for category in scheme.categories]


def test_more_classes_than_eyes_tell_apart_are_merged_into_one() -> None:
    labels = [label for label in range(10) for _ in range(label + 1)]
    summary = summarized([CURVES[2]] * len(labels), label=labels)
    selection = select(summary, PlotConfig(color_by="label"), classes=[f"class {k}" for k in range(10)])
    assert [*(f"class {k}" for k in range(4, 10)), "4 others"] == names(selection.color)
    assert [6] * 10 + [0] * 5 + [1] * 6 == selection.points["color"].to_list()[:21]


def test_many_values_shape_in_classes_of_about_as_many() -> None:
    summary = summarized([CURVES[2]] * 70, aum=[(value * 37 % 70) / 8 for value in range(70)])
    selection = select(summary, PlotConfig(shape_by="aum"))
    counts = selection.points["shape"].value_counts().sort("shape")["count"].to_list()
    assert 7 == len(counts)
    assert 9 <= min(counts) <= max(counts) <= 11
    for category, row in zip(selection.points["shape"], summary["aum"], strict=True):
        low, _, high = names(selection.shape)[category].partition(" – ")
        assert float(low) - 0.1 <= row <= float(high.strip("<")) + 0.1


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.5, 1.5, 2.5]), st.floats(-1e9, 1e9)), min_size=1, max_size=40))
def test_quantile_classes_follow_the_order_of_the_values(drawn_values: list[float | None]) -> None:
    extra = pl.Series("extra", [*drawn_values, 0.25], dtype=pl.Float64)
    summary = summarized([CURVES[2]] * len(extra)).with_columns(extra)
    selection = select(summary, PlotConfig(shape_by="extra"))
    pairs = sorted((v, s) for v, s in zip(extra, selection.points["shape"], strict=True) if v is not None)
    assert [shape for _, shape in pairs] == sorted(shape for _, shape in pairs)
    for value, shape in zip(extra, selection.points["shape"], strict=True):
        assert (value is None) == (shape == selection.shape.valueless)


def test_examples_without_a_value_of_the_colour_are_a_category_of_their_own() -> None:
    summary = summarized(CURVES, learnt_for_good=[None, None, None, None, 1, 0])
    data_map = drawn(summary, color_by="learnt_for_good")
    assert 6 == data_map.passing
    assert {None: 4, 0: 1, 1: 1} == dict(data_map.points["category"].value_counts().iter_rows())


def test_a_signal_without_any_value_is_drawn_as_no_value() -> None:
    summary = summarized(CURVES, margin=[None] * 6).with_columns(pl.col("margin").cast(pl.Float64))
    assert [None] * 6 == drawn(summary, color_by="margin").points["category"].to_list()
    assert ["no value"] == names(select(summary, PlotConfig(shape_by="margin")).shape)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["s_label", "correct_ratio", "avg_probs", "label_var"]),
        (
            {"attr1": "aum", "color_by": "label", "where": "learnt_times > 0 OR id < 3", "use_f_times": 0},
            [
                "id",
                "label",
                "s_label",
                "correct_ratio",
                "avg_probs",
                "label_var",
                "forgetting_times",
                "learnt_times",
                "aum",
            ],
        ),
    ],
)
def test_the_columns_that_are_read_are_enough_to_draw(settings: dict[str, Any], expected: list[str]) -> None:
    summary = summarized(CURVES, aum=[0.5] * 6)
    needed = columns(PlotConfig(**settings), summary.schema)
    assert expected == needed
    assert drawn(summary, **settings).points.equals(drawn(summary.select(needed), **settings).points)
