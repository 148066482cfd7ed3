"""The map: filter and categories against slow references, the figure, the texts on hover, the PNG."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import struct
import subprocess
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.plot import DataMap, draw, hover, image, missing_fonts, page
from datamap_cli.plot.categories import Selection, select

WINOGRANDE = Path(__file__).parents[2] / "shared/data/cartography/winogrande_coordinates.jsonl"

Curve = list[bool]


def summarized(curves: list[Curve], **columns: list[Any]) -> pl.DataFrame:
    """A summary of curves of right and wrong, all of one length, with p = 0.9 where right and 0.2 where wrong."""
    rows = []
    for number, curve in enumerate(curves):
        steps = list(pairwise(curve))
        probabilities = [0.9 if right else 0.2 for right in curve]
        mean = math.fsum(probabilities) / len(curve)
        rows.append(
            {
                "id": number,
                "label": 0,
                "s_label": 0,
                "correct_times": sum(curve),
                "correct_ratio": sum(curve) / len(curve),
                "avg_probs": mean,
                "label_var": math.fsum((p - mean) ** 2 for p in probabilities) / len(curve),
                "forgetting_times": sum(before and not after for before, after in steps),
                "learnt_times": sum(after and not before for before, after in steps),
                "never_learnt": not any(curve),
                "pred_label": 0 if curve[-1] else 1,
                "suggested_label": 0 if mean > 0.5 else 1,
            }
        )
    return pl.DataFrame(rows).with_columns(**{name: pl.Series(values) for name, values in columns.items()})


def drawn(summary: pl.DataFrame, evaluations: int, **settings: Any) -> DataMap:
    return draw(
        summary,
        PlotConfig(**settings),
        title="a run",
        evaluations=evaluations,
        examples=None,
        classes=["no", "yes"],
    )


def heading(data_map: DataMap) -> str:
    text: str = data_map.figure.layout.title.text
    return text


def legend(data_map: DataMap) -> list[str]:
    """Legend entries from the top, without the markup."""
    traces = [trace for trace in data_map.figure.data if trace.showlegend is not False]
    texts: list[str] = [trace.name for trace in sorted(traces, key=lambda trace: trace.legendrank)]
    return [re.sub(r" +<span [^>]*>(.*)</span>", r" | \1", text) for text in texts]


def points_of(data_map: DataMap) -> list[Any]:
    """The traces of the examples, in the order in which they are drawn."""
    return [trace for trace in data_map.figure.data if trace.customdata is not None]


def name_of(selection: Selection, row: int) -> str:
    """Legend name of the category of a row of the summary."""
    index: int = selection.points.filter(pl.col("row") == row)["category"].item()
    return selection.scheme.categories[index].name


CURVES = [
    [False, False, False, False, False],
    [True, False, False, False, False],
    [False, False, True, True, False],
    [False, True, True, True, False],
    [False, True, True, True, True],
    [True, True, True, True, True],
]


# ------------------------------------------------------------------------------------ filter, categories


@pytest.mark.parametrize("evaluations", range(1, 21))
def test_buckets_are_those_of_the_exact_fraction(evaluations: int) -> None:
    edges = [Fraction(0), Fraction(1, 5), Fraction(2, 5), Fraction(3, 5), Fraction(4, 5), Fraction(1)]
    names = ["0 – <0.2", "0.2 – <0.4", "0.4 – <0.6", "0.6 – <0.8", "0.8 – <1", "1"]
    curves = [[step < times for step in range(evaluations)] for times in range(evaluations + 1)]
    selection = select(summarized(curves), PlotConfig())
    for times in range(evaluations + 1):
        bucket = max(i for i, edge in enumerate(edges) if Fraction(times, evaluations) >= edge)
        assert names[bucket] == name_of(selection, times)


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
)
def test_filters_combine_as_a_loop_over_the_rows_does(
    curves: list[Curve],
    table: list[tuple[float | None, float | None, float | None]],
    threshold: float,
    least: int,
    forgetting: bool,
) -> None:
    extra = {
        name: pl.Series([row[column] for row in table[: len(curves)]], dtype=pl.Float64)
        for column, name in enumerate(("up", "across", "criterion"))
    }
    summary = summarized(curves).with_columns(**extra)
    settings = PlotConfig(
        attr1="up",
        attr2="across",
        criterion="criterion",
        threshold=threshold,
        **{"use_f_times" if forgetting else "use_l_times": least},
    )
    selection = select(summary, settings)

    rows, missing = [], 0
    for row, (up, across, criterion) in enumerate(table[: len(curves)]):
        if summary["forgetting_times" if forgetting else "learnt_times"][row] < least:
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


@pytest.mark.parametrize("key", ["attr1", "attr2", "criterion"])
def test_an_unknown_signal_is_named_with_those_there_are(key: str) -> None:
    with pytest.raises(DatamapError) as caught:
        drawn(summarized(CURVES, source=["web"] * 6), 5, **{key: "nosuch"})
    assert str(caught.value) == (
        f"plot.{key}: nosuch: no such numeric signal; those of this summary: label, s_label, correct_times,"
        " correct_ratio, avg_probs, label_var, forgetting_times, learnt_times, never_learnt, pred_label,"
        " suggested_label"
    )


def test_a_text_column_is_no_signal() -> None:
    with pytest.raises(
        DatamapError, match=r"^plot\.attr2: source: no such numeric signal; those of this summary: label,"
    ):
        drawn(summarized(CURVES, source=["web"] * 6), 5, attr2="source")


def test_a_bool_column_is_an_axis_of_0_and_1() -> None:
    points = select(summarized(CURVES), PlotConfig(attr2="never_learnt")).points
    assert [1.0, 0.0, 0.0, 0.0, 0.0, 0.0] == points["x"].to_list()


# ------------------------------------------------------------------------------------------------ figure


def test_the_subtitle_counts_what_is_drawn() -> None:
    assert "<b>a run</b>" in heading(drawn(summarized(CURVES), 5))
    assert "6 examples, all drawn; 5 evaluations" in heading(drawn(summarized(CURVES), 5))


def test_the_subtitle_names_the_filters() -> None:
    data_map = drawn(summarized(CURVES), 5, criterion="avg_probs", threshold=0.4, use_f_times=1)
    assert "2 of 6 examples: avg_probs ≥ 0.4 and forgetting_times ≥ 1; 5 evaluations" in (
        heading(data_map).replace("&gt;", ">")
    )
    assert (2, 6) == (data_map.drawn, data_map.total)


def test_the_subtitle_counts_examples_without_a_value() -> None:
    summary = summarized(CURVES, learnt_for_good=[None, None, None, None, 1, 0])
    data_map = drawn(summary, 5, attr2="learnt_for_good")
    assert "2 of 6 examples; 4 without a value of learnt_for_good not drawn; 5 evaluations" in heading(data_map)


def test_the_legend_tells_range_count_and_share_from_easy_to_hard() -> None:
    assert [
        "1 | 1 (16.7%)",
        "0.8 – <1 | 1 (16.7%)",
        "0.6 – <0.8 | 1 (16.7%)",
        "0.4 – <0.6 | 1 (16.7%)",
        "0.2 – <0.4 | 1 (16.7%)",
        "0 – <0.2 | 1 (16.7%)",
    ] == legend(drawn(summarized(CURVES), 5))


def test_rare_categories_are_drawn_over_common_ones() -> None:
    data_map = drawn(summarized([CURVES[0]] * 2 + [CURVES[5]] * 3 + [CURVES[2]]), 5)
    assert ["1", "0 – <0.2", "0.4 – <0.6"] == [trace.name.split("   ")[0] for trace in points_of(data_map)]


def test_hard_and_planted_dirty_examples_wear_rings() -> None:
    data_map = drawn(summarized(CURVES, s_label=[2, 1, 0, 0, 2, 0]), 5)
    assert ["hard | 1", "planted dirty | 2"] == legend(data_map)[6:]
    rings = [trace for trace in data_map.figure.data if "s_label" in (trace.legendgroup or "")]
    assert 2 == len({ring.marker.symbol for ring in rings}) == len({ring.marker.color for ring in rings})


def test_regions_are_named_on_axes_that_show_them() -> None:
    def regions(**axes: str) -> list[str]:
        summary = summarized(CURVES).with_columns(variability=pl.col("label_var").sqrt())
        return [label.text for label in drawn(summary, 5, **axes).figure.layout.annotations]

    everything = ["<b>easy-to-learn</b>", "<b>ambiguous</b>", "<b>hard-to-learn</b>"]
    assert everything == regions()
    assert everything == regions(attr2="variability")
    assert [] == regions(attr2="forgetting_times")
    assert [] == regions(attr1="correct_ratio")


def test_nothing_is_called_ambiguous_where_nothing_varies() -> None:
    annotations = drawn(summarized(CURVES[-1:]), 5).figure.layout.annotations
    assert ["<b>easy-to-learn</b>", "<b>hard-to-learn</b>"] == [label.text for label in annotations]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_f_times": 3}, "no example has forgetting_times ≥ 3"),
        ({"use_l_times": 4, "criterion": "avg_probs", "threshold": 2}, "no example has avg_probs ≥ 2"),
        ({"attr2": "empty"}, "no example has a value of empty"),
    ],
)
def test_an_empty_selection_is_a_map_that_says_so(settings: dict[str, Any], says: str) -> None:
    data_map = drawn(summarized(CURVES, empty=[math.nan] * 6), 5, **settings)
    assert 0 == data_map.drawn
    assert data_map.figure.layout.annotations[0].text.startswith(says)
    assert says in page(data_map)


def test_a_summary_without_rows_is_a_map_that_says_so() -> None:
    data_map = drawn(summarized(CURVES).clear(), 5)
    assert "there are no examples" == data_map.figure.layout.annotations[0].text


@pytest.mark.parametrize(("copies", "kind"), [(1_000, "scatter"), (1_001, "scattergl")])
def test_many_points_are_drawn_by_webgl(copies: int, kind: str) -> None:
    data_map = drawn(pl.concat([summarized(CURVES[1:])] * copies), 5)
    markers = points_of(data_map)
    assert {kind} == {trace.type for trace in markers}
    assert 5 * copies == sum(len(trace.x) for trace in markers)


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
    summary = summarized(CURVES, big=[1e300, -5.0, 3.0, 0, 1, 2], small=[-3e9] * 6)
    layout, points = (
        drawn(summary, 5, **settings).figure.layout,
        select(summary, PlotConfig(**settings)).points,
    )
    for axis, column in ((layout.xaxis, "x"), (layout.yaxis, "y")):
        low, high = axis.range
        assert all(low < value < high for value in points[column])
    for axis in (layout.yaxis2, layout.xaxis3, layout.yaxis4):
        assert axis.range is not None


@pytest.mark.parametrize("copies", [1, 200])
def test_the_histograms_hold_every_example_once(copies: int) -> None:
    data_map = drawn(pl.concat([summarized(CURVES)] * copies), 5)
    for axis, across in (("x2", "y"), ("x3", "x")):
        bars = [trace for trace in data_map.figure.data if trace.type == "bar" and trace.xaxis == axis]
        assert 6 * copies == sum(int(bar[across].sum()) for bar in bars)


def test_large_numbers_keep_their_differences() -> None:
    exact = [1_700_000_000 + number / 100 for number in range(6)]
    data_map = drawn(summarized(CURVES, when=exact), 5, attr2="when")
    markers = points_of(data_map)
    assert exact == sorted(float(trace.x[0]) for trace in markers)


def test_all_of_winogrande_is_drawn() -> None:
    if not WINOGRANDE.exists():
        pytest.skip("../shared/data is absent")
    summary = pl.read_ndjson(WINOGRANDE).select(
        id="guid",
        label=0,
        s_label=0,
        correct_times="correctness",
        correct_ratio=pl.col("correctness") / 6,
        avg_probs="confidence",
        label_var=pl.col("variability") ** 2,
        forgetting_times=0,
        learnt_times=0,
        pred_label=0,
        suggested_label=0,
    )
    data_map = drawn(summary, 6)
    assert 40_398 == data_map.drawn
    assert [
        "1 | 24,900 (61.6%)",
        "0.8 – <1 | 12,215 (30.2%)",
        "0.6 – <0.8 | 2,208 (5.5%)",
        "0.4 – <0.6 | 698 (1.7%)",
        "0.2 – <0.4 | 266 (0.7%)",
        "0 – <0.2 | 111 (0.3%)",
    ] == legend(data_map)


def test_a_summary_of_another_tool_needs_no_more_than_its_axes() -> None:
    summary = pl.DataFrame({"id": [7, 8], "s_label": [0, 0], "confidence": [0.2, 0.9], "variability": [0.1, 0.3]})
    settings = PlotConfig(attr1="confidence", attr2="variability")
    data_map = draw(summary, settings, title="t", evaluations=None, examples=None, classes=[])
    assert ["all | 2 (100.0%)"] == legend(data_map)
    assert "2 examples, all drawn" in heading(data_map)
    assert [["7", "0.2", "0.1"], ["8", "0.9", "0.3"]] == points_of(data_map)[0].customdata.tolist()
    with pytest.raises(DatamapError, match=r"plot\.use_f_times: needs forgetting_times and correct_ratio"):
        draw(
            summary,
            settings.model_copy(update={"use_f_times": 0}),
            title="",
            evaluations=None,
            examples=None,
            classes=[],
        )


# ------------------------------------------------------------------------------------------------- hover


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/b&gt;"),
        ("</script>", "&lt;/script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("%{x}", "&#37;{x}"),
        ("a\tb\nc\rd", "a⇥b↵c␍d"),
        ("\x00\x1b\x7f\x85", "␀␛\ufffd\ufffd"),
        ("a\u2028b\u2029c", "a↵b↵c"),
        ("\u202eabc\u2066", "\ufffdabc\ufffd"),
        ("\ud800", "\ufffd"),
        ("\"quoted\" 'too'", "\"quoted\" 'too'"),
        ("👩\u200d🔬 \u200fשלום", "👩\u200d🔬 \u200fשלום"),
        ("plain 中文", "plain 中文"),
    ],
)
def test_foreign_text_is_shown_as_it_stands(foreign: str, shown: str) -> None:
    assert shown == hover.escape(foreign)


@given(st.text().map(hover.visible), st.integers(2, 50))
def test_wrapped_lines_fit_and_lose_nothing_but_blanks(text: str, columns: int) -> None:
    lines = hover.wrap(text, columns)
    assert all(hover.width(line) <= columns for line in lines)
    assert text.replace(" ", "") == "".join(lines).replace(" ", "")


def test_lines_break_between_words_and_before_no_closing_punctuation() -> None:
    assert ["the quick", "brown fox", "jumpedover", "itall"] == hover.wrap("the quick brown fox jumpedoveritall", 10)
    assert ["今天天气", "很好，我", "出门。"] == hover.wrap("今天天气很好，我出门。", 9)
    assert ["今天天", "气，很好"] == hover.wrap("今天天气，很好", 8)
    assert ["好" * 3, "好，好"] == hover.wrap("好好好好，好", 7)


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    lines = hover.paragraph("长" * 301).split("<br>")
    assert [20] * 14 + [19, 2] == [len(line) for line in lines]
    assert "长…" == lines[-1]


def test_hover_tells_texts_names_and_signals() -> None:
    summary = summarized(CURVES[3:4]).with_columns(aum=pl.lit(-0.123456), id=pl.lit("<7>"))
    examples = pl.DataFrame({"text_a": ["<i>你好</i>"], "text_b": ["再见"]})
    axes = ("aum", "avg_probs")
    texts = ["&lt;7&gt;", "&lt;i&gt;你好&lt;/i&gt;", "再见", "no", "yes &amp; more"]
    signals = ["0.62", "0.1176", "3", "1", "1", "-0.1235"]
    assert [texts + signals] == hover.fields(summary, examples, ["no", "yes & more"], axes).tolist()

    template = hover.template(summary, examples, 5, axes)
    assert "correct_times</span>  %{customdata[7]} / 5<br>" in template
    assert template.endswith("aum</span>  %{customdata[10]}<extra></extra>")


def test_hover_suggests_a_label_only_where_it_is_another() -> None:
    summary = summarized([CURVES[1], CURVES[5]])
    verdicts = hover.fields(summary, None, ["no", "yes"], ())[:, 2]
    assert ["yes<br><span style='color:#616e7c'>suggested</span>  yes", "no"] == verdicts.tolist()


def test_single_texts_have_no_second_line_on_hover() -> None:
    examples = pl.DataFrame({"text_a": ["one"], "text_b": [None]}, schema_overrides={"text_b": pl.String})
    summary = summarized(CURVES[:1])
    assert "text_a" in hover.template(summary, examples, 5, ())
    assert "text_b" not in hover.template(summary, examples, 5, ())


def test_hover_follows_its_point_through_filter_and_category() -> None:
    summary = summarized(CURVES, id=[f"example {row}" for row in range(6)])
    data_map = drawn(summary, 5, attr2="correct_times", criterion="avg_probs", threshold=0.3)
    markers = points_of(data_map)
    assert {(trace.x[0], trace.customdata[0][0]) for trace in markers} == {
        (1, "example 1"),
        (2, "example 2"),
        (3, "example 3"),
        (4, "example 4"),
        (5, "example 5"),
    }


# -------------------------------------------------------------------------------------------------- page


def embedded(document: str) -> Any:
    """The figure that stands in the page, as an HTML parser and JavaScript would find it."""
    start = document.index('id="figure">') + len('id="figure">')
    return json.loads(document[start : document.index("</script", start)])


def test_no_text_ends_the_script_it_stands_in() -> None:
    evil = "</script><script>alert(1)</script><!--\u2028\u2029"
    examples = pl.DataFrame({"text_a": [evil], "text_b": [evil]})
    summary = summarized(CURVES[:1])
    data_map = draw(summary, PlotConfig(), title=evil, evaluations=5, examples=examples, classes=[evil, "yes"])
    document = page(data_map)
    assert "<script>alert" not in document
    assert "\u2028" not in document[document.index('id="figure">') :]
    text = embedded(document)["data"][0]["customdata"][0][1]
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text
    assert "<title>&lt;/script&gt;&lt;script&gt;alert(1)" in document


def test_the_page_holds_chinese_as_it_is() -> None:
    examples = pl.DataFrame({"text_a": ["数据地图"] * 6, "text_b": ["NaN"] * 6})
    document = page(
        draw(summarized(CURVES), PlotConfig(), title="图", evaluations=5, examples=examples, classes=["否", "是"])
    )
    assert 6 == document.count('"数据地图"')


# --------------------------------------------------------------------------------------------------- PNG


@pytest.mark.parametrize(
    ("browser", "says"),
    [
        ("/nonexistent", "the PNG needs Chromium or Chrome, and there is none at BROWSER_PATH=/nonexistent: "),
        (shutil.which("false"), "the PNG needs Chromium or Chrome, and that at BROWSER_PATH="),
    ],
)
def test_without_a_working_browser_one_line_tells_the_remedy(
    browser: str, says: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROWSER_PATH", browser)
    with pytest.raises(DatamapError) as caught:
        image(drawn(summarized(CURVES), 5))
    assert str(caught.value).startswith(says)
    assert "`apt-get install chromium`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ("", "") == tuple(capfd.readouterr())


@pytest.mark.browser
def test_the_png_has_its_size_and_is_not_blank() -> None:
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium")
    png = image(drawn(summarized(CURVES, s_label=[2, 1, 0, 0, 0, 0]), 5))
    assert b"\x89PNG\r\n\x1a\n" == png[:8]
    assert (2480, 1720) == struct.unpack(">II", png[16:24])
    chunks, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        chunks += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    assert len(set(zlib.decompress(chunks))) > 100


@pytest.mark.parametrize(
    ("title", "fonts", "remedy"),
    [
        ("数据地图", b"", "`apt-get install fonts-noto-cjk`"),
        ("数据地图", b"/usr/share/fonts/noto.ttc: Noto Sans CJK SC", None),
        ("a run – ≥ 3", b"", None),
    ],
)
def test_a_missing_chinese_font_is_told_where_one_is_needed(
    title: str, fonts: bytes, remedy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *args, **_: subprocess.CompletedProcess(args, 0, stdout=fonts))
    data_map = draw(summarized(CURVES), PlotConfig(), title=title, evaluations=5, examples=None, classes=["a", "b"])
    told = missing_fonts(data_map)
    assert (remedy is None) == (told is None)
    assert (remedy or "") in (told or "")


def test_drawing_an_image_leaves_the_root_logger_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    level = logging.getLogger().level
    monkeypatch.setenv("BROWSER_PATH", "/nonexistent")
    with pytest.raises(DatamapError):
        image(drawn(summarized(CURVES), 5))
    assert level == logging.getLogger().level
