"""What the page carries: every value comes back, and it takes no more room than it may."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamap_cli.config import PlotConfig
from datamap_cli.plot import Evidence, Trajectories, carried_evaluations, draw, page
from datamap_cli.plot.page import payload

AXES = {"x": "label_var", "y": "avg_probs"}
SCRIPTS = Path(payload.__file__).parent


def inflated(block: str) -> bytes:
    return zlib.decompress(base64.b64decode(block), -zlib.MAX_WBITS)


def packed(
    summary: pl.DataFrame,
    examples: pl.DataFrame | None = None,
    trajectories: Trajectories | None = None,
    text_budget_mb: float = 60,
    evidence: Evidence | None = None,
) -> payload.Payload:
    settings = PlotConfig(text_budget_mb=text_budget_mb)
    return payload.pack(summary, examples, trajectories, AXES, [], settings, evidence)


def signal(carried: payload.Payload, name: str, rows: int) -> list[float | None]:
    """The values of a signal as the page's scripts read them."""
    number, form = next((n, s) for n, s in enumerate(carried.about["signals"]) if s["name"] == name)
    block = inflated(carried.blocks[f"signal-{number}"])
    if form["form"] == "values":
        return [None if code == 255 else form["values"][code] for code in block]
    codes = [high << 8 | low for high, low in zip(block[:rows], block[rows:], strict=True)]
    return [None if code == 0xFFFF else form["low"] + code * form["step"] for code in codes]


def listed(carried: payload.Payload, kind: str) -> list[list[str]]:
    """The columns of the blocks of this kind, end to end."""
    blocks = [json.loads(inflated(block)) for name, block in carried.blocks.items() if name.startswith(f"{kind}-")]
    return [[value for block in columns for value in block] for columns in zip(*blocks, strict=True)]


def frame(**columns: Any) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({"id": range(rows), "avg_probs": [0.5] * rows, "label_var": [0.1] * rows, **columns})


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=1, max_size=40))
def test_few_values_come_back_exactly(values: list[int | None]) -> None:
    if any(value is not None for value in values):
        assert values == signal(packed(frame(own=pl.Series(values, dtype=pl.Int64))), "own", len(values))


def test_small_whole_numbers_come_back_exactly() -> None:
    values = [None, *range(-3, 1_000)]
    assert values == signal(packed(frame(own=values)), "own", len(values))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1e12, 1e12), min_size=300, max_size=400, unique=True))
def test_other_numbers_come_back_to_a_small_share_of_their_range(values: list[float]) -> None:
    back = signal(packed(frame(own=values)), "own", len(values))
    np.testing.assert_allclose(values, np.array(back, float), rtol=0, atol=(max(values) - min(values)) / 32_000)


def test_what_is_no_number_comes_back_as_none() -> None:
    values = [float("nan"), float("inf"), None, *np.linspace(0, 1, 300)]
    assert [None, None, None] == signal(packed(frame(own=values)), "own", len(values))[:3]


def test_a_signal_without_any_value_is_not_carried() -> None:
    carried = packed(frame(el2n=pl.Series([None, None], dtype=pl.Float64), own=[1, 2]))
    assert ["avg_probs", "label_var", "own"] == [s["name"] for s in carried.about["signals"]]
    assert [] == carried.about["omitted"]


def test_what_follows_from_the_axes_is_reckoned_not_carried() -> None:
    mean, variance = np.linspace(0.1, 0.9, 500), np.linspace(0, 0.2, 500)
    known = {"variability": np.sqrt(variance), "threshold_closeness": mean * (1 - mean)}
    carried = packed(frame(**known, aleatoric=mean).with_columns(avg_probs=mean, label_var=variance))
    forms = {s["name"]: s["form"] for s in carried.about["signals"]}
    assert {"avg_probs": "y", "label_var": "x", "variability": "follows", "threshold_closeness": "follows"} == {
        name: form for name, form in forms.items() if name != "aleatoric"
    }
    assert "steps" == forms["aleatoric"]  # this one is another tool's


def test_where_not_all_signals_fit_the_main_ones_are_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "SIGNALS_MB", 0.0043)
    noise = np.random.default_rng(0).random((2, 1_000))
    carried = packed(frame(noise=noise[0], more=noise[1], forgetting_times=np.arange(1_000) % 3))
    assert ["avg_probs", "label_var", "noise", "forgetting_times"] == [s["name"] for s in carried.about["signals"]]
    assert ["more"] == carried.about["omitted"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(), min_size=1, max_size=30))
def test_ids_and_texts_come_back_whole(texts: list[str]) -> None:
    examples = pl.DataFrame({"text_a": texts, "text_b": texts[::-1]})
    carried = packed(frame(own=range(len(texts))).with_columns(id=pl.Series(texts)), examples)
    assert [texts] == listed(carried, "ids")
    assert [texts, texts[::-1]] == listed(carried, "texts")
    assert {"names": ["text_a", "text_b"], "cut": None} == carried.about["texts"]


def test_texts_are_found_block_by_block() -> None:
    rows = 2 * payload.BLOCK + 5
    texts = [f"第{row}条" for row in range(rows)]
    examples = pl.DataFrame({"text_a": texts, "text_b": [None] * rows}, schema_overrides={"text_b": pl.String})
    carried = packed(frame(own=range(rows)), examples)
    assert [texts] == listed(carried, "texts")
    assert {"texts-0", "texts-1", "texts-2"} == {name for name in carried.blocks if name.startswith("texts")}


@pytest.mark.parametrize("budget", [0.0, 0.05, 0.2, 0.5])
def test_texts_take_no_more_than_their_budget_and_ids_are_whole(budget: float) -> None:
    rng = np.random.default_rng(0)
    rows = 4_000
    texts = ["".join(map(chr, rng.integers(0x4E00, 0x9FA5, int(n)))) for n in rng.integers(1, 60, rows)]
    examples = pl.DataFrame({"text_a": texts, "text_b": texts})
    carried = packed(frame(own=range(rows)), examples, text_budget_mb=budget)
    size = sum(len(block) for name, block in carried.blocks.items() if name.startswith("texts"))
    assert size <= budget * 1_000_000
    assert [str(row) for row in range(rows)] == listed(carried, "ids")[0]
    if budget == 0:
        assert {"names": [], "cut": 0} == carried.about["texts"]
    else:
        cut = carried.about["texts"]["cut"]
        assert cut > 0
        assert size > budget * 400_000 or cut == 1
        assert [text if len(text) <= cut else text[:cut] + "…" for text in texts] == listed(carried, "texts")[0]


def test_courses_come_back_to_a_step_of_254() -> None:
    label = np.array([[0.0, 1.0], [0.25, np.nan], [0.3, 0.4]], np.float32)
    runner_up = np.array([[1.0, 0.0], [0.5, np.nan], [0.7, 0.1]], np.float32)
    carried = packed(frame(own=[1, 2, 3]), None, Trajectories([0, 4], label, runner_up))
    block = np.frombuffer(inflated(carried.blocks["courses"]), np.uint8).reshape(2, 2, 3)
    back = (254 - block[:, 0].astype(int) - block[:, 1]) & 0xFF
    assert {"evaluations": [0, 4]} == carried.about["courses"]
    assert [255, 255] == [block[1, 0, 1], back[1, 1]]
    known = np.isfinite(label.T)
    np.testing.assert_allclose(label.T[known], block[:, 0][known] / 254, atol=0.002)
    np.testing.assert_allclose(runner_up.T[known], back[known] / 254, atol=0.002)


@pytest.mark.parametrize(
    ("points", "evaluations", "expected"),
    [
        (238_766, 5, [0, 1, 2, 3, 4]),
        (100_000, 200, [0, 14, 28, 43, 57, 71, 85, 100, 114, 128, 142, 156, 171, 185, 199]),
        (1_000_000, 5, []),
        (0, 3, [0, 1, 2]),
    ],
)
def test_of_many_evaluations_as_many_are_carried_as_fit(points: int, evaluations: int, expected: list[int]) -> None:
    assert expected == carried_evaluations(points, evaluations)


# ------------------------------------------------------------------------------------------ the evidence


def suspects_of(ids: list[str], *, nearest: list[str], contradiction: str | None = None) -> pl.DataFrame:
    """Suspects in the order of their suspicion, all with the same evidence."""
    rows = len(ids)
    return pl.DataFrame(
        {
            "id": ids,
            "joined_label": [1] * rows,
            "part_linear": [2.13] * rows,
            "part_prior": [None] * rows,
            "nearest": [nearest] * rows,
            "similarity": [[0.876, 0.5][: len(nearest)]] * rows,
            "contradiction": [contradiction] * rows,
            "marks_a": [[[0, 2], [4, 5]]] * rows,
            "marks_b": [None] * rows,
        },
        schema_overrides={"part_prior": pl.Float64, "contradiction": pl.String, "marks_b": pl.List(pl.List(pl.Int64))},
    )


def evidence_of(carried: payload.Payload) -> dict[int, list[Any]]:
    """The rows by position, as the page's scripts read them."""
    [positions] = json.loads(inflated(carried.blocks["evidence-at"]))
    blocks = {name: block for name, block in carried.blocks.items() if name != "evidence-at"}
    columns = listed(payload.Payload({}, blocks), "evidence")
    return dict(zip(positions, map(list, zip(*columns, strict=True)), strict=True))


OTHERS = pl.DataFrame({"id": ["far"], "label": [0], "text_a": ["远" * 300], "text_b": ["b"]})


def pairs_of(ids: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    texts = pl.DataFrame({"text_a": [f"第{name}个" for name in ids], "text_b": ids})
    return frame(own=range(len(ids))).with_columns(id=pl.Series(ids)), texts


def test_the_evidence_comes_back_with_others_by_their_position_or_quoted() -> None:
    suspects = suspects_of(["c", "a"], nearest=["b", "far"], contradiction="far")
    carried = packed(*pairs_of(["a", "b", "c"]), evidence=Evidence(suspects, OTHERS))
    far = ["far", 0, "远" * 200 + "…", "b"]
    row = [1, [2.1, None], [[1, 0.88], [far, 0.5]], far, [[[0, 2], [4, 5]], []]]
    assert {0: row, 2: row} == evidence_of(carried)
    assert {"opinions": ["linear", "prior"]} == carried.about["evidence"]


def test_the_evidence_quotes_no_texts_where_the_page_has_none() -> None:
    evidence = Evidence(suspects_of(["a"], nearest=["far"]), OTHERS)
    for examples in (None, pairs_of(["a"])[1]):
        carried = packed(pairs_of(["a"])[0], examples, text_budget_mb=0, evidence=evidence)
        assert {0: [1, [2.1, None], [[["far", 0], 0.88]], None, []]} == evidence_of(carried)


def test_of_more_evidence_than_fits_that_of_the_most_suspicious_is_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "EVIDENCE_MB", 0.005)
    ids = [f"{number}" for number in range(5_000)]
    worst_first = ids[::-1]
    carried = packed(*pairs_of(ids), evidence=Evidence(suspects_of(worst_first, nearest=["7"]), OTHERS))
    found = evidence_of(carried)
    assert sum(len(block) for name, block in carried.blocks.items() if name.startswith("evidence")) <= 5_000
    assert [*range(5_000 - len(found), 5_000)] == list(found)
    assert 1_000 < len(found) < 5_000


def test_a_page_without_evidence_carries_nothing_of_it() -> None:
    plain = packed(*pairs_of(["a", "b"]))
    nobody = Evidence(suspects_of([], nearest=["a"]), OTHERS)
    assert plain == packed(*pairs_of(["a", "b"]), evidence=nobody)
    assert "evidence" not in plain.about


# ------------------------------------------------------------------------------------------ the document

EVIL = "</script><script>alert(1)</script><!--\u2028\u2029"


def test_no_text_ends_the_script_it_stands_in() -> None:
    summary = frame(own=[1, 2], label=[0, 1], s_label=[0, 0], pred_label=[0, 1]).with_columns(id=pl.Series([EVIL, "b"]))
    summary = summary.rename({"own": EVIL})
    examples = pl.DataFrame({"text_a": [EVIL] * 2, "text_b": [EVIL] * 2})
    data_map = draw(summary, PlotConfig(), title=EVIL, evaluations=5, classes=[EVIL, "yes"])
    text = page(
        data_map, summary, PlotConfig(), examples=examples, classes=[EVIL, "yes"], evaluations=5, trajectories=None
    )
    assert "<script>alert" not in text
    assert "\u2028" not in text[text.index('id="figure">') :]
    assert "<title>&lt;/script&gt;&lt;script&gt;alert(1)" in text
    about = json.loads(re.findall(r'id="about">([^<]*)</script>', text)[0])
    assert [EVIL, "yes"] == about["classes"]


def test_every_word_is_in_both_languages() -> None:
    words = json.loads((SCRIPTS / "words.json").read_text(encoding="utf-8"))
    assert words["en"].keys() == words["zh"].keys()
    for name, english in words["en"].items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", words["zh"][name])), name


def test_the_scripts_can_stand_one_after_another() -> None:
    names: list[str] = []
    for script in SCRIPTS.glob("*.js"):
        code = script.read_text(encoding="utf-8")
        names += re.findall(r"^(?:export )?(?:async )?(?:const|let|function) (\w+|\$)", code, re.MULTILINE)
        assert code.count("import ") == len(
            re.findall(r'^import \{ [\w, ]+ \} from "\./\w+\.js";\n', code, re.MULTILINE)
        )
    assert [] == sorted({name for name in names if names.count(name) > 1})


def test_the_scripts_put_no_markup_into_the_page() -> None:
    for script in SCRIPTS.glob("*.js"):
        code = script.read_text(encoding="utf-8")
        assert [] == re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", code)
