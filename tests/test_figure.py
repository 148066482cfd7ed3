"""The map as a figure: what stands on it, in which order, and what it says of itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.plot import draw, heading
from datamap_cli.plot.words import _WORDS
from tests.maps import CURVES, drawn, legends, markers_of, rings_of, subtitle, summarized
from tests.support import shared

REGION = pl.when(pl.col("avg_probs") > 0.6).then(pl.lit("easy-to-learn")).otherwise(pl.lit("hard-to-learn"))


def scattered(count: int, **columns: Any) -> pl.DataFrame:
    """A summary of so many examples, spread over the map."""
    rng = np.random.default_rng(0)
    ratio = rng.integers(0, 6, count) / 5
    probability = (ratio + rng.random(count)) / 2
    frame = {"id": range(count), "s_label": 0, "correct_ratio": ratio, "avg_probs": probability}
    return pl.DataFrame({**frame, "label_var": probability * (1 - probability), **columns})


# ------------------------------------------------------------------------------------------------ texts


def test_the_subtitle_counts_what_is_drawn() -> None:
    data_map = drawn(summarized(CURVES))
    assert data_map.figure.layout.title.text.startswith("<b>a run</b><br>")
    assert "6 examples, all drawn; 5 evaluations" == subtitle(data_map)


def test_the_subtitle_names_the_filters() -> None:
    data_map = drawn(
        summarized(CURVES), criterion="avg_probs", threshold=0.4, use_f_times=1, where="correct_times >= 2"
    )
    assert "2 of 6 examples: avg_probs ≥ 0.4 and forgetting_times ≥ 1 and correct_times >= 2; 5 evaluations" == (
        subtitle(data_map)
    )
    assert (2, 2, 6) == (data_map.points.height, data_map.passing, data_map.total)


def test_the_subtitle_counts_examples_without_a_value() -> None:
    summary = summarized(CURVES, learnt_for_good=[None, None, None, None, 1, 0])
    data_map = drawn(summary, attr2="learnt_for_good")
    assert "2 of 6 examples; 4 without a value of learnt_for_good not drawn; 5 evaluations" == subtitle(data_map)


def test_a_long_subtitle_goes_on_in_a_second_line_and_ends_in_an_ellipsis() -> None:
    condition = " OR ".join(f"avg_probs > 0.{k}" for k in range(1, 50))
    lines = subtitle(drawn(summarized(CURVES), where=condition)).split(" / ")
    assert lines[0].startswith("6 examples, all drawn: avg_probs > 0.1 OR")
    assert lines[0].endswith("…")
    assert ["5 evaluations"] == lines[1:]


def test_foreign_texts_are_shown_as_they_stand() -> None:
    evil = "<b>x</b>"
    summary = summarized(CURVES, **{evil: [0.5] * 6})
    data_map = draw(summary, PlotConfig(attr2=evil, color_by="label", shape_by=evil), title=evil, classes=[evil, "yes"])
    text = data_map.figure.to_json()
    assert "<b>x" not in text
    assert "\\u003cb\\u003ex" not in text
    assert "&lt;b&gt;x&lt;/b&gt;" == data_map.figure.layout.xaxis.title.text


def test_every_word_is_said_in_chinese() -> None:
    summary = summarized(CURVES, s_label=[2, 1, 0, 0, 2, 0], learnt_for_good=[None, None, None, None, 1, 0])
    settings = PlotConfig(language="zh", use_f_times=0, color_by="learnt_for_good", where="id < 6")
    data_map = draw(summary, settings, title=heading("试", "zh"), evaluations=5, region=REGION)
    assert "数据地图：试" in data_map.figure.layout.title.text
    assert "6 条样本，全部绘出：id < 6；5 次评估" == subtitle(data_map)
    assert {
        "learnt_for_good": ["0 | 1 (16.7%)", "1 | 1 (16.7%)", "无值 | 4 (66.7%)"],
        "forgetting_times": [
            "0：始终正确 | 1 (16.7%)",
            "0：学会后未忘（−+） | 1 (16.7%)",
            "1 | 3 (50.0%)",
            "0：从未正确（−） | 1 (16.7%)",
        ],
        "s_label": [
            "困难 | 1 / 易学 0% / 模糊 0% / 难学 100%",
            "人为脏数据 | 2 / 易学 50% / 模糊 0% / 难学 50%",
        ],
    } == legends(data_map)
    annotations = [label.text for label in data_map.figure.layout.annotations]
    assert ["<b>易学</b>", "<b>模糊</b>", "<b>难学</b>"] == annotations
    assert "数量" == data_map.figure.layout.yaxis2.title.text


def test_every_word_has_two_languages_with_the_same_blanks() -> None:
    for english, chinese in _WORDS.values():
        assert english != chinese
        assert english.count("{") == chinese.count("{")


# --------------------------------------------------------------------------------------- points, legend


def test_the_legend_tells_range_count_and_share_from_easy_to_hard() -> None:
    assert {
        "correct_ratio": [
            "1 | 1 (16.7%)",
            "0.8 – <1 | 1 (16.7%)",
            "0.6 – <0.8 | 1 (16.7%)",
            "0.4 – <0.6 | 1 (16.7%)",
            "0.2 – <0.4 | 1 (16.7%)",
            "0 – <0.2 | 1 (16.7%)",
        ]
    } == legends(drawn(summarized(CURVES)))


def test_colour_and_shape_that_differ_have_a_legend_each() -> None:
    data_map = drawn(summarized(CURVES, label=[0, 0, 1, 1, 1, 0]), color_by="label", shape_by="never_learnt")
    assert {
        "label": ["no | 3 (50.0%)", "yes | 3 (50.0%)"],
        "never_learnt": ["false | 5 (83.3%)", "true | 1 (16.7%)"],
    } == legends(data_map)
    looks = {(trace.marker.color, trace.marker.symbol): len(trace.x) for trace in markers_of(data_map)}
    assert {("#0072B2", "x"): 1, ("#0072B2", "circle"): 2, ("#E69F00", "circle"): 3} == looks


def test_a_scale_has_a_colour_bar_and_shapes_keep_their_legend() -> None:
    data_map = drawn(summarized(CURVES, aum=[-2.0, -1.0, 0.5, 1.5, 2.5, None]), color_by="aum")
    axis = data_map.figure.layout.coloraxis
    assert (-2.0, 2.5, "<b>aum</b>") == (axis.cmin, axis.cmax, axis.colorbar.title.text)
    assert ["-2", "-0.88", "0.25", "1.38", "2.5"] == list(axis.colorbar.ticktext)
    assert ["correct_ratio", "aum"] == list(legends(data_map))
    assert ["no value | 1 (16.7%)"] == legends(data_map)["aum"]
    colors = [trace.marker.color for trace in markers_of(data_map)]
    assert [-2.0, -1.0, 0.5, 1.5, 2.5] == sorted(float(color[0]) for color in colors if not isinstance(color, str))
    assert 1 == sum(isinstance(color, str) for color in colors)


def test_a_few_values_far_out_do_not_take_all_the_colours() -> None:
    data_map = drawn(scattered(5_000, loss=[*np.linspace(0, 1, 4_999), 1e6]), color_by="loss")
    assert data_map.figure.layout.coloraxis.cmax < 1.001
    assert data_map.figure.layout.coloraxis.colorbar.ticktext[-1].startswith("≥ ")


def test_the_points_are_listed_in_the_order_of_their_traces() -> None:
    summary = scattered(3_000, label=np.arange(3_000) % 2)
    data_map = drawn(summary, color_by="label", where="avg_probs > 0.2")
    traces = markers_of(data_map)
    points = data_map.points
    assert ["row", "trace", "x", "y", "category"] == points.columns
    assert points.height == sum(len(trace.x) for trace in traces) == data_map.passing
    assert np.allclose(points["x"], np.concatenate([trace.x for trace in traces]))
    assert np.allclose(points["y"], np.concatenate([trace.y for trace in traces]))
    assert points["trace"].to_list() == [i for i, trace in enumerate(traces) for _ in trace.x]
    rows = summary[points["row"]]
    assert (points["x"] == rows["label_var"]).all()
    assert (points["y"] == rows["avg_probs"]).all()
    assert (points["category"] == rows["label"]).all()
    assert {"none"} == {trace.hoverinfo for trace in traces}
    assert {None} == {trace.customdata for trace in traces}


def test_rare_categories_are_drawn_over_common_ones() -> None:
    data_map = drawn(summarized([CURVES[0]] * 2 + [CURVES[5]] * 3 + [CURVES[2]]))
    assert ["1", "0 – &lt;0.2", "0.4 – &lt;0.6"] == [trace.name for trace in markers_of(data_map)]


@pytest.mark.parametrize(("copies", "kind"), [(1_000, "scatter"), (1_001, "scattergl")])
def test_many_points_are_drawn_by_webgl(copies: int, kind: str) -> None:
    data_map = drawn(pl.concat([summarized(CURVES[1:])] * copies))
    markers = markers_of(data_map)
    assert {kind} == {trace.type for trace in markers}
    assert 5 * copies == sum(len(trace.x) for trace in markers)
    assert not data_map.dense


def test_large_numbers_keep_their_differences() -> None:
    exact = [1_700_000_000 + number / 100 for number in range(6)]
    data_map = drawn(summarized(CURVES, when=exact), attr2="when")
    assert exact == sorted(float(trace.x[0]) for trace in markers_of(data_map))


# ----------------------------------------------------------------------------------------------- rings


def test_hard_and_planted_dirty_examples_wear_rings() -> None:
    summary = summarized(CURVES, s_label=[2, 1, 0, 0, 2, 0])
    data_map = draw(summary, PlotConfig(), title="t", region=REGION)
    assert [
        "hard | 1 / easy-to-learn 0% / ambiguous 0% / hard-to-learn 100%",
        "planted dirty | 2 / easy-to-learn 50% / ambiguous 0% / hard-to-learn 50%",
    ] == legends(data_map)["s_label"]
    rings = rings_of(data_map)
    assert 3 == sum(len(ring.x) for ring in rings)
    assert {("circle-open", 1), ("square-open", 2)} == {(ring.marker.symbol, ring.meta["s_label"]) for ring in rings}


def test_a_ring_is_hidden_with_the_category_of_its_point() -> None:
    data_map = drawn(summarized(CURVES, s_label=[2, 1, 0, 0, 2, 0]))
    group = {(trace.x[0], trace.y[0]): trace.legendgroup for trace in markers_of(data_map)}
    rings = rings_of(data_map)
    assert [group[ring.x[0], ring.y[0]] for ring in rings] == [ring.legendgroup for ring in rings]


def test_so_many_rings_that_they_would_hide_the_map_are_thinned_and_counted() -> None:
    data_map = drawn(scattered(20_000, s_label=np.arange(20_000) % 3))
    rings = sum(len(ring.x) for ring in rings_of(data_map))
    assert 100 < rings <= 36 * 24 * 2 * 2
    assert f"20,000 examples, all drawn; rings around {rings:,} of 13,333 marked; 5 evaluations" == subtitle(data_map)
    assert ["hard | 6,667", "planted dirty | 6,666"] == legends(data_map)["s_label"]


# --------------------------------------------------------------------------------------------- regions


def test_regions_are_named_on_axes_that_show_them() -> None:
    def regions(**axes: Any) -> list[str]:
        summary = summarized(CURVES).with_columns(variability=pl.col("label_var").sqrt())
        return [label.text for label in drawn(summary, **axes).figure.layout.annotations]

    everything = ["<b>easy-to-learn</b>", "<b>ambiguous</b>", "<b>hard-to-learn</b>"]
    assert everything == regions()
    assert everything == regions(attr2="variability")
    assert [] == regions(attr2="forgetting_times")
    assert [] == regions(attr1="correct_ratio")


def test_nothing_is_called_ambiguous_where_nothing_varies() -> None:
    annotations = drawn(summarized(CURVES[-1:])).figure.layout.annotations
    assert ["<b>easy-to-learn</b>", "<b>hard-to-learn</b>"] == [label.text for label in annotations]


def test_the_name_of_a_region_hides_no_rare_point_where_there_is_room() -> None:
    spot = {"avg_probs": 0.12, "label_var": 0.02, "correct_ratio": 0.0}
    summary = pl.concat(
        [
            scattered(50).with_columns(avg_probs=0.9),
            scattered(1).with_columns(**{k: pl.lit(v) for k, v in spot.items()}),
        ]
    )
    data_map = drawn(summary)
    label = data_map.figure.layout.annotations[-1]
    assert "<b>hard-to-learn</b>" == label.text
    assert math.hypot((label.x - spot["label_var"]) / 0.25, label.y - spot["avg_probs"]) > 0.05


# ------------------------------------------------------------------------------------- counts and axes


@pytest.mark.parametrize("copies", [1, 200])
def test_the_histograms_hold_every_example_once(copies: int) -> None:
    data_map = drawn(pl.concat([summarized(CURVES)] * copies))
    for axis, across in (("x2", "y"), ("x3", "x")):
        bars = [trace for trace in data_map.figure.data if trace.type == "bar" and trace.xaxis == axis]
        assert 6 * copies == sum(int(bar[across].sum()) for bar in bars)


def test_the_lines_of_the_histograms_add_up_to_their_bars() -> None:
    data_map = drawn(scattered(5_000))
    (bar,) = (trace for trace in data_map.figure.data if trace.type == "bar" and trace.xaxis == "x2")
    lines = [trace for trace in data_map.figure.data if trace.type == "scatter" and trace.xaxis == "x2"]
    assert 6 == len(lines)
    assert bar.y.tolist() == np.nansum([line.y[::2] for line in lines], axis=0).tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"attr1": "big", "attr2": "small"},
        {"attr1": "never_learnt", "attr2": "forgetting_times"},
        {"use_f_times": 0},
        {"use_f_times": 3},
    ],
)
def test_every_axis_has_an_explicit_range_that_holds_its_points(settings: dict[str, Any]) -> None:
    data_map = drawn(summarized(CURVES, big=[1e300, -5.0, 3.0, 0, 1, 2], small=[-3e9] * 6), **settings)
    layout = data_map.figure.layout
    for axis, column in ((layout.xaxis, "x"), (layout.yaxis, "y")):
        low, high = axis.range
        assert all(low < value < high for value in data_map.points[column])
    for axis in (layout.yaxis2, layout.xaxis3, layout.yaxis4):
        assert axis.range is not None


@pytest.mark.parametrize(("width", "height"), [(600, 400), (1240, 860), (2400, 1600), (600, 1600), (2400, 400)])
@pytest.mark.parametrize("color_by", [None, "label", "avg_probs"])
def test_nothing_overlaps_at_any_size(width: int, height: int, color_by: str | None) -> None:
    summary = scattered(300, s_label=np.arange(300) % 3, label=0)
    settings = PlotConfig(width=width, height=height, color_by=color_by)
    layout = draw(summary, settings, title="t", region=REGION).figure.layout
    inner = width - layout.margin.l - layout.margin.r
    right, column = layout.xaxis.domain[1], layout.legend.x
    assert right * inner > 0.3 * width
    assert 0 < right < layout.xaxis3.domain[0] < layout.xaxis3.domain[1] < column < layout.xaxis4.domain[0] < 1
    assert layout.yaxis.domain[1] < layout.yaxis2.domain[0]
    assert (1 - column) * inner > 140


# ---------------------------------------------------------------------------------------- odd summaries


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_f_times": 3}, "no example has forgetting_times ≥ 3"),
        ({"use_l_times": 4, "criterion": "avg_probs", "threshold": 2}, "no example has avg_probs ≥ 2"),
        ({"attr2": "empty"}, "no example has a value of empty"),
        ({"where": "id = 9", "color_by": "label", "shape_by": "avg_probs"}, "no example has id = 9"),
        ({"where": "id = 9", "color_by": "avg_probs"}, "no example has id = 9"),
    ],
)
def test_an_empty_selection_is_a_map_that_says_so(settings: dict[str, Any], says: str) -> None:
    data_map = drawn(summarized(CURVES, empty=[math.nan] * 6), **settings)
    assert (0, 0) == (data_map.points.height, data_map.passing)
    assert data_map.figure.layout.annotations[0].text.startswith(says)


def test_a_summary_without_rows_is_a_map_that_says_so() -> None:
    data_map = drawn(summarized(CURVES).clear())
    assert "there are no examples" == data_map.figure.layout.annotations[0].text


def test_a_summary_of_another_tool_needs_no_more_than_its_axes() -> None:
    summary = pl.DataFrame({"id": [7, 8], "s_label": [0, 0], "confidence": [0.2, 0.9], "variability": [0.1, 0.3]})
    settings = PlotConfig(attr1="confidence", attr2="variability")
    data_map = draw(summary, settings, title="t")
    assert {"examples": ["all | 2 (100.0%)"]} == legends(data_map)
    assert "2 examples, all drawn" == subtitle(data_map)
    with pytest.raises(DatamapError, match=r"plot\.use_f_times: needs forgetting_times and correct_ratio"):
        draw(summary, settings.model_copy(update={"use_f_times": 0}), title="")


def test_all_of_winogrande_is_drawn() -> None:
    summary = pl.read_ndjson(shared("cartography/winogrande_coordinates.jsonl")).select(
        s_label=0,
        correct_ratio=pl.col("correctness") / 6,
        avg_probs="confidence",
        label_var=pl.col("variability") ** 2,
    )
    data_map = drawn(summary)
    assert (40_398, 40_398) == (data_map.points.height, data_map.passing)
    assert [
        "1 | 24,900 (61.6%)",
        "0.8 – <1 | 12,215 (30.2%)",
        "0.6 – <0.8 | 2,208 (5.5%)",
        "0.4 – <0.6 | 698 (1.7%)",
        "0.2 – <0.4 | 266 (0.7%)",
        "0 – <0.2 | 111 (0.3%)",
    ] == legends(data_map)["correct_ratio"]
