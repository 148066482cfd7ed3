"""Selecting rows: the rule against a slow reference, and the command on files of every format."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli import config, signals
from datamap_cli.analysis import selection
from datamap_cli.analysis.selection import Rule
from datamap_cli.data import dataset
from datamap_cli.errors import DatamapError
from datamap_cli.run import Origin, Run, files
from tests.support import random_probs

Cli = Callable[..., tuple[int, str, str]]

SUMMARY = pl.DataFrame(
    {
        "id": [3, 1, 4, 0, 5, 9],
        "label": [0, 0, 0, 1, 1, 1],
        "avg_probs": [0.9, 0.1, 0.5, 0.5, 0.25, 0.75],
        "label_var": [0.01, 0.2, 0.2, 0.1, None, 0.05],
        "never_learnt": [False, True, False, False, True, False],
        "forgetting_times": [0, 0, 2, 1, 0, 0],
    }
)


def selected(**rule: Any) -> list[int]:
    return SUMMARY["id"].filter(selection.select(SUMMARY, Rule(**rule), signals.region())).to_list()


@pytest.mark.parametrize(
    ("ids", "rule"),
    [
        ([3, 9], {"region": "easy-to-learn"}),
        ([4, 0], {"region": "ambiguous"}),
        ([1, 5], {"region": "hard-to-learn"}),
        ([3, 1, 5, 9], {"region": "ambiguous", "drop": True}),
        ([4, 0], {"where": "forgetting_times >= 1 and avg_probs < 0.6"}),
        ([0], {"region": "ambiguous", "where": "label = 1"}),
        ([1, 4], {"by": "label_var", "top": 2}),
        ([1], {"by": "label_var", "top": 1}),  # the tie of 1 and 4 is broken by id
        ([3], {"by": "label_var", "bottom": 0.2}),
        ([3, 1], {"by": "label_var", "bottom": 1, "top": 1}),
        ([3, 4, 5, 0], {"by": "label_var", "bottom": 1, "top": 1, "drop": True, "where": "id != 3 and id != 4 and id != 5"}),
        ([3, 1, 4, 0, 9], {"by": "label_var", "top": 99}),
        ([1, 0], {"by": "label_var", "top": 0.34, "balance": "label"}),
        ([1, 5, 4], {"by": "case when never_learnt then 1000 else forgetting_times end", "top": 3}),
        ([1, 0, 5], {"by": "1 - avg_probs", "top": 0.5}),  # of 4 and 0, equal, the lower id is 0
    ],
)  # fmt: skip
def test_a_rule_selects(ids: list[int], rule: dict[str, Any]) -> None:
    assert sorted(ids) == sorted(selected(**rule))


def slow(rows: list[tuple[int, int, float | None, bool]], rule: Rule) -> set[int]:
    """The ids that a rule selects, row by row; of a row: id, group, value, whether it passes the filter."""
    chosen: set[int] = set()
    groups: dict[int, list[tuple[int, float | None]]] = {}
    for identity, group, value, passes in rows:
        if passes:
            groups.setdefault(group if rule.balance else 0, []).append((identity, value))
    for members in groups.values():
        for quantity, sign in ((rule.top, -1), (rule.bottom, 1)):
            if quantity is None:
                continue
            number = quantity if isinstance(quantity, int) else max(1, math.floor(quantity * len(members) + 1e-9))
            ranked = sorted((sign * value, identity) for identity, value in members if value is not None)
            chosen |= {identity for _, identity in ranked[:number]}
    return chosen if not rule.drop else {row[0] for row in rows} - chosen


AMOUNTS = st.one_of(st.none(), st.integers(1, 5), st.sampled_from([0.01, 0.1, 0.29, 0.5, 1.0]))


@given(
    values=st.lists(
        st.tuples(st.integers(0, 2), st.one_of(st.none(), st.integers(0, 3).map(float)), st.booleans()),
        min_size=1,
        max_size=25,
    ),
    order=st.randoms(use_true_random=False),
    top=AMOUNTS,
    bottom=AMOUNTS,
    balance=st.booleans(),
    drop=st.booleans(),
)
def test_the_ends_are_those_of_the_reference(
    values: list[tuple[int, float | None, bool]],
    order: Any,
    top: int | float | None,
    bottom: int | float | None,
    balance: bool,
    drop: bool,
) -> None:
    ids = list(range(len(values)))
    order.shuffle(ids)
    rows = [(identity, *value) for identity, value in zip(ids, values, strict=True)]
    if (top is None and bottom is None) or all(value is None for _, value, _ in values):
        return
    rule = Rule(where="passes", by="value", top=top, bottom=bottom, balance="group" if balance else None, drop=drop)
    frame = pl.DataFrame(
        rows, schema={"id": pl.Int64, "group": pl.Int64, "value": pl.Float64, "passes": pl.Boolean}, orient="row"
    )
    expected = slow(rows, rule)
    if not expected:
        with pytest.raises(DatamapError, match="no row is selected"):
            selection.select(frame, rule, signals.region())
        return
    assert expected == set(frame["id"].filter(selection.select(frame, rule, signals.region())))


@pytest.mark.parametrize(
    ("amount", "text"), [(100, "100"), (1, "1"), (1.0, "1.0"), (0.1, "0.1"), (0.1, ".1"), (0.1, "10%"), (1.0, "100%")]
)
def test_an_amount_is_a_number_of_rows_or_a_fraction(amount: int | float, text: str) -> None:
    assert (amount, type(amount)) == (selection.amount("--top", text), type(selection.amount("--top", text)))


@pytest.mark.parametrize("text", ["0", "0.0", "1.5", "-1", "101%", "abc", "", "nan", "1e-1", "٣"])
def test_an_amount_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DatamapError, match=r"--top: .*: expected a fraction such as 0\.1, or a number of rows"):
        selection.amount("--top", text)


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        ("nothing to select by; give --region, --where, or --top or --bottom with --by SIGNAL", {}),
        ("--top and --bottom need to know of what", {"top": 1}),
        ("--by ranks for --top and --bottom", {"by": "aum", "where": "id = 1"}),
        ("--balance is for --top and --bottom", {"balance": "label", "region": "hard-to-learn"}),
        ("--by: aum: no column aum; known: id, label", {"by": "aum", "top": 1}),
        ("where: aum: no column aum; known: id, label", {"where": "aum"}),
        ("no row is selected, of 6: avg_probs < 0", {"where": "avg_probs < 0"}),
        ("no row is selected, of 6: all but: avg_probs > 0", {"where": "avg_probs > 0", "drop": True}),
    ],
)
def test_a_rule_that_selects_nothing_is_told_in_a_line(message: str, rule: dict[str, Any]) -> None:
    with pytest.raises(DatamapError) as error:
        selected(**rule)
    assert str(error.value).replace('"', "").startswith(message)


def test_a_signal_that_is_empty_throughout_ranks_nothing() -> None:
    with pytest.raises(DatamapError, match="--by: margin: empty in every row"):
        selection.select(
            SUMMARY.with_columns(margin=pl.lit(None, pl.Float64)), Rule(by="margin", top=1), signals.region()
        )


def test_a_rule_reads_as_a_sentence() -> None:
    rule = Rule(region="ambiguous", where="label = 1", by="aum", top=0.29, bottom=1, balance="label", drop=True)
    assert (
        "all but: region ambiguous and label = 1; "
        "then the 29 % with the highest aum and the 1 row with the lowest aum within each label"
    ) == str(rule)


# ----------------------------------------------------------------------------------------- the command

COUNT = 60


def contents() -> dict[str, bytes]:
    """The same data set in every format, with what is hard on those who count lines."""
    rows = [
        {"text_a": f"问题 {i}", "text_b": f'it\'s, "b" {i}\n\r\n{i}', "label": "ab"[i % 2], "note": ""}
        for i in range(COUNT)
    ]
    flat = [row | {"text_b": f'"{i}'} for i, row in enumerate(rows)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    tsv = "\r\n\r\n".join(["\t".join(rows[0]), *("\t".join(row.values()) for row in flat)])
    parquet = io.BytesIO()
    pl.DataFrame(rows).write_parquet(parquet)
    return {
        "train.tsv": b"\xef\xbb\xbf" + tsv.encode(),
        "train.csv": text.getvalue().encode(),
        "train.jsonl": "\n \n".join(json.dumps(row) for row in rows).encode(),
        "train.parquet": parquet.getvalue(),
    }


def make_run(directory: Path, name: str, content: bytes, **data: Any) -> tuple[Path, dataset.Dataset]:
    """A summarized run that was trained on this file, as `datamap train` leaves it."""
    path = directory / name
    path.write_bytes(content)
    settings = config.parse({"data": {"train": str(path), **data}, "run_dir": str(directory / "run")}, "test")
    loaded = dataset.load(settings.data)
    probs = random_probs(loaded.examples.height, len(loaded.classes), 4)
    run = Run.create(
        directory / "run",
        examples=loaded.examples,
        classes=loaded.classes,
        config=config.dump(settings),
        origin=Origin("train", str(loaded.path), loaded.sha256, model="tiny", seed=1),
        overwrite=False,
    )
    label = loaded.examples["label"].to_numpy()
    for t, p in enumerate(probs):
        run.write_evaluation(
            signals.records(loaded.examples, p, signals.loss(p, label)),
            format="jsonl",
            step=t,
            epoch=1.0,
            train_loss=1.0,
            accuracy=0.5,
            seconds=0.1,
        )
    run.finish()
    with run.scratch() as scratch:
        signals.write_summary(run.write_summary, run.evaluations(), scratch)
    return path, loaded


@pytest.mark.parametrize("name", ["train.tsv", "train.csv", "train.jsonl", "train.parquet"])
def test_a_selection_and_its_complement_are_read_as_the_rows_they_were(tmp_path: Path, run_cli: Cli, name: str) -> None:
    path, loaded = make_run(tmp_path, name, contents()[name])
    parts = []
    for option in ([], ["--drop"]):
        output = tmp_path / f"out{'-'.join(option)}{path.suffix}"
        code, out, _ = run_cli(
            "select", "--run-dir", tmp_path / "run", "--top", "0.25", "--by", "label_var", "--output", output, *option
        )
        assert (0, f"selection: {output}\nrule: {output}.selection.json\n") == (code, out)
        parts.append(dataset.load(config.DataConfig(train=output)).examples)
    summary = pl.read_parquet(tmp_path / "run" / "summary.parquet")
    top = set(summary.top_k(15, by="label_var")["id"])
    content = loaded.examples.drop("id")
    assert 15 == parts[0].height
    assert content.filter(loaded.examples["id"].is_in(top)).equals(parts[0].drop("id"))
    assert content.filter(~loaded.examples["id"].is_in(top)).equals(parts[1].drop("id"))


def test_the_rule_and_the_counts_are_kept_beside_the_file(tmp_path: Path, run_cli: Cli) -> None:
    path, loaded = make_run(tmp_path, "train.csv", contents()["train.csv"])
    output = tmp_path / "out.csv"
    code, _, err = run_cli("select", "--run-dir", tmp_path / "run", "--top", "4", "--by", "aum", "--balance", "label", "--output", output)  # fmt: skip
    kept = json.loads((tmp_path / "out.csv.selection.json").read_text())
    run = Run.open(tmp_path / "run")
    assert (0, "8 of 60 rows: the 4 rows with the highest aum within each label") == (code, err.splitlines()[0])
    assert {"selected": 8, "in_the_run": 60, "in_the_file": 60, "by_given_label": {"a": 4, "b": 4}} == kept["rows"]
    assert ("aum", 4, "label", False) == tuple(kept["rule"][key] for key in ("by", "top", "balance", "drop"))
    assert {"file": str(path), "sha256": loaded.sha256, "sha256_in_the_run": loaded.sha256} == kept["data"]
    assert run.info.run_id == kept["run"]["id"]
    assert files.sha256(output) == kept["output"]["sha256"]


def test_ids_of_a_column_are_found_among_rows_that_were_left_out(tmp_path: Path, run_cli: Cli) -> None:
    content = "id\ttext_a\tlabel\nx\ta\t0\nshort\n\ny\tb\t1\nz\t\t1\nw\tc\t0\n"
    make_run(tmp_path, "train.tsv", content.encode(), id="id", on_bad_rows="skip")
    code, _, err = run_cli("select", "--run-dir", tmp_path / "run", "--where", "id in ('y', 'w')", "--output", tmp_path / "out.tsv")  # fmt: skip
    assert 0 == code
    assert "train.tsv that are not in the run: 2\n" in err
    assert "id\ttext_a\tlabel\ny\tb\t1\nw\tc\t0\n" == (tmp_path / "out.tsv").read_text()


def test_a_file_that_changed_is_refused_unless_forced_and_one_that_moved_is_named(tmp_path: Path, run_cli: Cli) -> None:
    path, _ = make_run(tmp_path, "train.tsv", contents()["train.tsv"])
    arguments = ["select", "--run-dir", tmp_path / "run", "--bottom", "10%", "--by", "aum"]
    moved = path.rename(tmp_path / "moved.tsv")
    code, _, err = run_cli(*arguments, "--output", tmp_path / "a.tsv")
    assert (1, f"datamap: {path}: no such file; if it was moved, say where it is with --data FILE\n") == (code, err)
    assert 0 == run_cli(*arguments, "--output", tmp_path / "a.tsv", "--data", moved)[0]

    with moved.open("ab") as file:
        file.write(b"\r\nq\tr\ta\t")
    code, _, err = run_cli(*arguments, "--output", tmp_path / "b.tsv", "--data", moved)
    assert 1 == code
    assert f"datamap: {moved}: changed since the run in {tmp_path / 'run'} was trained on it: its rows may be others; --force takes them as they are\n" == err  # fmt: skip
    assert not (tmp_path / "b.tsv").exists()
    code, _, err = run_cli(*arguments, "--output", tmp_path / "b.tsv", "--data", moved, "--force")
    assert (0, True) == (code, f"left out rows of {moved} that are not in the run: 1\n" in err)
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()

    moved.write_bytes(b"".join(moved.read_bytes().splitlines(keepends=True)[:20]))
    code, _, err = run_cli(*arguments, "--output", tmp_path / "c.tsv", "--data", moved, "--force")
    assert 1 == code
    assert "of the 6 selected rows are not in it; it is not the file of the run" in err
    assert not list(tmp_path.glob("*c.tsv*"))


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("--region: soft: expected easy, ambiguous, hard", ["--region", "soft"]),
        ("--top: 0: expected a fraction such as 0.1, or a number of rows such as 100", ["--top", "0", "--by", "aum"]),
        ("where: 1; 2: expected an expression such as avg_probs < 0.3 and no more; found ;", ["--where", "1; 2"]),
        ("--balance: no column x; known: id, label, s_label", ["--top", "1", "--by", "aum", "--balance", "x"]),
        ("no row is selected, of 60: id < 0", ["--where", "id < 0"]),
    ],
)
def test_bad_options_are_one_line_and_nothing_is_written(
    tmp_path: Path, run_cli: Cli, message: str, options: list[str]
) -> None:
    make_run(tmp_path, "train.tsv", contents()["train.tsv"])
    code, _, err = run_cli("select", "--run-dir", tmp_path / "run", "--output", tmp_path / "out.tsv", *options)
    assert 1 == code
    assert err.startswith(f"datamap: {message}")
    assert 1 == err.count("\n")
    assert not list(tmp_path.glob("*out.tsv*"))


def test_no_file_is_written_over_unasked_and_the_data_file_never(tmp_path: Path, run_cli: Cli) -> None:
    path, _ = make_run(tmp_path, "train.tsv", contents()["train.tsv"])
    arguments = ["select", "--run-dir", tmp_path / "run", "--region", "ambiguous", "--output"]
    before = path.read_bytes()
    for output, message in (
        (path, "that is the data file itself"),
        (tmp_path / "out.csv", "expected a name ending in .tsv"),
        (tmp_path / "there.tsv", "there already; give another name, or --overwrite to replace it"),
    ):
        (tmp_path / "there.tsv").write_text("x")
        code, _, err = run_cli(*arguments, output, *(["--overwrite"] if output == path else []))
        assert (1, True) == (code, message in err)
    assert (before, "x") == (path.read_bytes(), (tmp_path / "there.tsv").read_text())
    assert 0 == run_cli(*arguments, tmp_path / "there.tsv", "--overwrite")[0]


def test_a_selection_of_a_single_class_is_told(tmp_path: Path, run_cli: Cli) -> None:
    make_run(tmp_path, "train.tsv", contents()["train.tsv"])
    _, _, err = run_cli("select", "--run-dir", tmp_path / "run", "--where", "label = 1", "--output", tmp_path / "o.tsv")
    assert "every row has the label b: nothing to train a classifier with" in err


def test_a_run_that_does_not_know_its_file_compares_the_texts(tmp_path: Path, run_cli: Cli) -> None:
    make_run(tmp_path, "train.tsv", b"text_a\tlabel\tkey\na\t0\t5\nb\t1\t6\nc\t0\t7\n", id="key")
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(info | {"origin": {"kind": "recorder"}}))
    arguments = ["select", "--run-dir", tmp_path / "run", "--where", "id < 7"]
    assert 0 == run_cli(*arguments, "--output", tmp_path / "a.tsv")[0]
    assert "text_a\tlabel\tkey\na\t0\t5\nb\t1\t6\n" == (tmp_path / "a.tsv").read_text()
    assert json.loads((tmp_path / "a.tsv.selection.json").read_text())["data"]["sha256_in_the_run"] is None

    (tmp_path / "other.tsv").write_text("text_a\tlabel\tkey\nb\t1\t5\nb \t1\t6\n")
    arguments += ["--data", tmp_path / "other.tsv", "--output", tmp_path / "b.tsv"]
    code, _, err = run_cli(*arguments)
    assert (1, True) == (code, "1 of 2 selected examples have another text there than in the run (id 5)" in err)
    assert (0, True) == (run_cli(*arguments, "--force")[0], (tmp_path / "b.tsv").exists())


@pytest.mark.parametrize(
    ("taken", "amount", "rows"),
    [(1, "0.5%", 300), (29, "0.29", 100), (1, "0.1%", 5), (5, "1.0", 5), (100, "100", 300), (1, "1", 300)],
)
def test_a_fraction_of_rows_is_its_floor_but_one_at_least(taken: int, amount: str, rows: int) -> None:
    assert taken == selection.number(selection.amount("--top", amount), rows)
