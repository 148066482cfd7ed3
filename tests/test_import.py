"""`datamap import` and `datamap plot --summary` as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from datamap_cli import dynamics
from tests.support import DATA, evaluation_frames, examples_frame, page_columns, random_probs, shared, summarize

Cli = Callable[..., tuple[int, str, str]]

TUTORIAL = """\
{'id': 0, 'label': 1, 'pred_label': 1, 'noisy_label': 0, 'correct': 'true', 'loss': 0.1, 'probs': [0.1, 0.9], 'label_probs': 0.9}
{'id': 1, 'label': 0, 'pred_label': 1, 'noisy_label': 2, 'correct': 'false', 'loss': 0.9, 'probs': [0.4, 0.6], 'label_probs': 0.4}
{'id': 0, 'label': 1, 'pred_label': 1, 'noisy_label': 0, 'correct': 'true', 'loss': 0.1, 'probs': [0.05, 0.95], 'label_probs': 0.95}
{'id': 1, 'label': 0, 'pred_label': 0, 'noisy_label': 2, 'correct': 'true', 'loss': 0.9, 'probs': [0.75, 0.25], 'label_probs': 0.75}
"""


def test_the_tutorials_output_becomes_a_map_with_texts(tmp_path: Path, run_cli: Cli) -> None:
    (tmp_path / "output_data.json").write_text(TUTORIAL)
    (tmp_path / "texts.tsv").write_text("text_a\ttext_b\n怎么做\t如何做\n天气\t几点\n", encoding="utf-8")
    run = tmp_path / "run"
    source = tmp_path / "output_data.json"
    code, out, err = run_cli("import", source, "--run-dir", run, "--examples", tmp_path / "texts.tsv")
    assert (0, f"signals: {run / 'signals'}\n") == (code, out)
    assert "tutorial: 2 examples, 2 classes, 2 evaluations" in err
    assert 0 == run_cli("summarize", "--run-dir", run)[0]
    summary = pl.read_csv(run / "summary.tsv", separator="\t")
    assert [[0, 1, 0], [1, 0, 2]] == [list(row) for row in summary.select("id", "label", "s_label").rows()]
    assert [0.925, 0.575] == summary["avg_probs"].round(12).to_list()
    assert [0, 1] == summary["learnt_times"].to_list()
    assert 0 == run_cli("plot", "--run-dir", run, "--no-png")[0]
    texts = page_columns(run / "maps" / "avg_probs-label_var.html", "texts")
    assert {("怎么做", "如何做"), ("天气", "几点")} == set(zip(*texts, strict=True))
    origin = json.loads((run / "run.json").read_text())["origin"]
    assert ("import tutorial", str(source)) == (origin["kind"], origin["data"])
    assert 64 == len(origin["sha256"])


def test_every_form_of_the_same_dynamics_gives_the_same_summary(tmp_path: Path, run_cli: Cli) -> None:
    examples, probs = examples_frame(30, 3), random_probs(30, 3, 4)
    label = examples["label"].to_numpy()
    np.savez(tmp_path / "arrays.npz", probs=probs, labels=label)
    long = pl.concat(
        examples.select("id", "label").with_columns(epoch=pl.lit(t), logits=pl.Series(np.log(p).tolist()))
        for t, p in enumerate(probs)
    ).sample(fraction=1, shuffle=True, seed=0)
    long.write_parquet(tmp_path / "long.parquet")
    (tmp_path / "cartography").mkdir()
    for t, p in enumerate(probs):
        frame = examples.select(guid="id", gold="label").with_columns(
            pl.Series(f"logits_epoch_{t}", np.log(p).tolist())
        )
        frame.write_ndjson(tmp_path / "cartography" / f"dynamics_epoch_{t}.jsonl")
    expected = summarize(evaluation_frames(examples, probs))
    for source in ("arrays.npz", "long.parquet", "cartography"):
        run = tmp_path / f"run-{source}"
        assert 0 == run_cli("import", tmp_path / source, "--run-dir", run)[0]
        assert 0 == run_cli("summarize", "--run-dir", run)[0]
        assert 0 == run_cli("plot", "--run-dir", run, "--no-png")[0]  # without texts
        found = pl.read_parquet(run / "summary.parquet").sort("id")
        for name in expected.columns:
            one, other = (frame[name].cast(pl.Float64).fill_null(-1).to_numpy() for frame in (expected, found))
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12, err_msg=f"{source}: {name}")


def test_cartographys_samples_are_refused_with_the_reason(tmp_path: Path, run_cli: Cli) -> None:
    shared("cartography/dynamics_epoch_0.jsonl")
    code, out, err = run_cli("import", DATA / "cartography", "--run-dir", tmp_path / "run")
    assert (1, "", 1) == (code, out, len(err.splitlines()))
    assert "no id stands in two evaluations" in err
    assert not (tmp_path / "run").exists()


def test_a_summary_of_cartographys_is_drawn_without_a_run(tmp_path: Path, run_cli: Cli) -> None:
    table = shared("cartography/winogrande_coordinates.jsonl")
    axes = ["--attr1", "confidence", "--attr2", "variability"]
    code, out, err = run_cli("plot", "--summary", table, *axes, "--no-png", "--output", tmp_path / "map")
    assert (0, f"map: {tmp_path / 'map.html'}\n", 1) == (code, out, len(err.splitlines()))
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "40,398 examples, all drawn" in page
    assert "24,900 (61.6%)" in page


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.xlsx", "x", "expected a file ending in .tsv, .csv, .jsonl, .parquet"),
        ("s.jsonl", "{'a'\n", "not a table that can be read"),
        ("s.parquet", "PAR1", "not a Parquet file that can be read"),
        ("s.tsv", "id\tavg_probs\n", "no rows"),
        ("s.tsv", "id\tx\n1\t2\n", "plot.attr1: avg_probs: no such numeric signal; those of this summary: x"),
        ("s.tsv", "", "not a table that can be read"),
    ],
)
def test_a_table_that_is_no_summary_is_a_line(
    tmp_path: Path, run_cli: Cli, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    code, out, err = run_cli("plot", "--summary", tmp_path / name)
    assert (1, "", 1) == (code, out, len(err.splitlines()))
    assert message in err


def test_import_mistakes_are_a_line(tmp_path: Path, run_cli: Cli) -> None:
    code, _, err = run_cli("import", tmp_path / "nowhere", "--run-dir", tmp_path / "run")
    assert (1, True) == (code, "nowhere: no such file or folder" in err)
    (tmp_path / "x.json").write_text(TUTORIAL)
    code, _, err = run_cli("import", tmp_path / "x.json", "--run-dir", tmp_path / "run", "--format", "pickle")
    assert (1, True) == (code, "expected tutorial, cartography, table, arrays" in err)
    assert 0 == run_cli("import", tmp_path / "x.json", "--run-dir", tmp_path / "run")[0]
    code, _, err = run_cli("import", tmp_path / "x.json", "--run-dir", tmp_path / "run")
    assert (1, True) == (code, "holds a run already" in err)
    (tmp_path / "t.tsv").write_text("text_a\tlabel\nonly one\t0\n")
    code, _, err = run_cli(
        "import", tmp_path / "x.json", "--run-dir", tmp_path / "run", "--overwrite", "--examples", tmp_path / "t.tsv"
    )
    assert (0, True) == (code, "no text for 1 of 2 examples" in err)


def test_the_help_names_every_format(run_cli: Cli) -> None:
    code, out, _ = run_cli("import", "--help")
    assert (0, []) == (code, [name for name in dynamics.FORMATS if name not in out])


def test_a_summary_in_which_nothing_was_ever_right_is_drawn(tmp_path: Path, run_cli: Cli) -> None:
    table = "guid,correctness,confidence,variability\n1,0,0.2,0.1\n2,0,0.3,0.2\n"
    (tmp_path / "s.csv").write_text(table)
    code, _, err = run_cli(
        "plot", "--summary", tmp_path / "s.csv", "--attr1", "confidence", "--attr2", "variability", "--no-png"
    )
    assert (0, False) == (code, "Traceback" in err)
    assert "2 (100.0%)" in (tmp_path / "s.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", ["87.5", "-0.1", "inf", "often"])
def test_a_correct_ratio_that_is_no_share_is_a_line(tmp_path: Path, run_cli: Cli, value: str) -> None:
    (tmp_path / "s.csv").write_text(f"id,avg_probs,label_var,correct_ratio\n1,0.5,0.1,{value}\n2,0.5,0.1,0.5\n")
    code, out, err = run_cli("plot", "--summary", tmp_path / "s.csv", "--no-png")
    assert (1, "", 1) == (code, out, len(err.splitlines()))
    assert f"s.csv: correct_ratio {value}: expected a number from 0 to 1" in err


def test_a_field_that_changes_its_type_is_imported_as_text_or_left_null(tmp_path: Path, run_cli: Cli) -> None:
    record = "{'id': %d, 'label': 0, 'probs': [0.6, 0.4], 'flag': %s, 'own': %s}\n"
    lines = [
        record % (0, "True", "1"),
        record % (1, "None", "'x'"),
        record % (0, "None", "2"),
        record % (1, "True", "[1]"),
    ]
    (tmp_path / "x.json").write_text("".join(lines))
    run = tmp_path / "run"
    assert 0 == run_cli("import", tmp_path / "x.json", "--run-dir", run, "--set", "signals.format=jsonl")[0]
    (first, second) = (pl.read_ndjson(path) for path in sorted((run / "signals").iterdir()))
    assert ([True, None], ["1", "x"]) == (first["flag"].to_list(), first["own"].to_list())
    assert ([None, True], ["2", "[1]"]) == (second["flag"].to_list(), second["own"].to_list())
