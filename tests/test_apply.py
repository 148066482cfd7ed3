"""`datamap apply`: verdicts → one's own file, and the log of what changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from datamap_cli.analysis import changes, verdicts
from datamap_cli.analysis.verdicts import Verdict
from datamap_cli.config import DataConfig
from datamap_cli.data.cells import Edit, write_edited
from datamap_cli.run import Run, files
from tests.test_selection import contents, make_run

Cli = Callable[..., tuple[int, str, str]]
AT = "2026-11-24T09:00:00+01:00"


def verdict(identity: int | str, word: str, label: str, new: str | None = None, **more: Any) -> Verdict:
    return Verdict(
        **({"id": identity, "verdict": word, "label": label, "new_label": new, "reviewer": "ann", "at": AT} | more)
    )


def written(path: Path, *lines: Verdict) -> Path:
    path.write_text("".join(map(verdicts.serialize, lines)), encoding="utf-8")
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A run trained on train.tsv; of its 60 rows the even are labelled a, the odd b."""
    make_run(tmp_path, "train.tsv", contents()["train.tsv"])
    return tmp_path


def applied(project: Path, run_cli: Cli, *arguments: object, name: str = "out.tsv") -> tuple[int, str, str]:
    """What `datamap apply` answers, without its last line of what comes next."""
    code, out, err = run_cli("apply", *arguments, "--run-dir", project / "run", "--output", project / name)
    return (
        code,
        out,
        "".join(line for line in err.splitlines(keepends=True) if not line.startswith("next: datamap gain")),
    )


@pytest.mark.parametrize("name", ["train.tsv", "train.csv", "train.jsonl", "train.parquet"])
def test_the_file_differs_in_what_was_decided_alone(tmp_path: Path, run_cli: Cli, name: str) -> None:
    path, loaded = make_run(tmp_path, name, contents()[name])
    said = written(
        tmp_path / "v.jsonl", verdict(0, "relabel", "a", "b"), verdict(3, "drop", "b"), verdict(5, "keep", "b")
    )
    output = f"out{path.suffix}"
    code, out, err = applied(tmp_path, run_cli, said, name=output)
    assert (0, "1 relabelled, 1 dropped, 1 kept, of 60 examples\n") == (code, err)
    stem = tmp_path / output
    assert f"applied: {stem}\nchanges: {stem}.changes.tsv\nchanges: {stem}.changes.json\n" == out
    expected = loaded.examples.with_columns(label=pl.when(pl.col("id") == 0).then(1).otherwise("label")).filter(
        pl.col("id") != 3
    )
    (tmp_path / "again").mkdir()
    _, after = make_run(tmp_path / "again", name, stem.read_bytes())
    assert expected.drop("id").equals(after.examples.drop("id"))
    assert (
        0
        == applied(
            tmp_path, run_cli, written(tmp_path / "none.jsonl", verdict(5, "keep", "b")), name=f"same{path.suffix}"
        )[0]
    )
    assert path.read_bytes() == (tmp_path / f"same{path.suffix}").read_bytes()


def test_the_log_names_every_change_and_the_account_both_files(project: Path, run_cli: Cli) -> None:
    said = written(
        project / "v.jsonl",
        verdict(4, "drop", "a", note='a "note",\n\tof two lines'),
        verdict(0, "relabel", "a", "b"),
        verdict(0, "relabel", "a", "b", reviewer="bo", at="2026-11-24T10:00:00+01:00", note="sure"),
        verdict(7, "unsure", "b"),
    )
    assert 0 == applied(project, run_cli, said)[0]
    log = pl.read_csv(project / "out.tsv.changes.tsv", separator="\t")
    assert ["id", "line", "from", "to", "reviewers", "when", "note"] == log.columns
    assert [
        (0, 3, "a", "b", "ann, bo", "2026-11-24T10:00:00+01:00", "sure"),
        (4, 11, "a", None, "ann", AT, 'a "note",\n\tof two lines'),
    ] == log.rows()
    account = json.loads((project / "out.tsv.changes.json").read_text())
    assert {"a": {"before": 30, "after": 28}, "b": {"before": 30, "after": 31}} == account["by_class"]
    assert {"before": 60, "after": 59} == account["examples"]
    assert (1, 1, 0, 1) == tuple(account[key] for key in ("relabelled", "dropped", "kept", "unsure"))
    for key, path in (("data", project / "train.tsv"), ("output", project / "out.tsv")):
        assert {"file": str(path), "sha256": files.sha256(path)} == account[key]
    assert [{"file": str(said), "sha256": files.sha256(said)}] == account["verdicts"]
    assert Run.open(project / "run").info.run_id == account["run"]["id"]


def test_the_doubtful_are_dropped_where_asked(project: Path, run_cli: Cli) -> None:
    said = written(
        project / "v.jsonl",
        verdict(7, "unsure", "b"),
        verdict(8, "unsure", "a"),
        verdict(8, "keep", "a", reviewer="bo"),
    )
    assert (
        "0 relabelled, 1 dropped, 1 kept, 1 unsure, of 60 examples\n"
        in applied(project, run_cli, said, "--drop-unsure")[2]
    )


def test_reviewers_are_merged_and_their_contradictions_told(project: Path, run_cli: Cli) -> None:
    ann = written(
        project / "ann.jsonl", verdict(0, "relabel", "a", "b"), verdict(2, "keep", "a"), verdict(4, "keep", "a")
    )
    bo = written(project / "bo.jsonl", *(verdict(i, "keep", "a", reviewer="bo", run="elsewhere") for i in (0, 2)))
    code, _, err = applied(project, run_cli, ann, bo)
    told = "reviewers contradict each other on 1 example: id 0: ann relabel b, bo keep"
    assert (1, f"datamap: {told}; --on-conflict keep, latest, majority settles it\n") == (
        code,
        err.splitlines(keepends=True)[-1],
    )
    assert not list(project.glob("*out.tsv*"))
    code, _, err = applied(project, run_cli, ann, bo, "--on-conflict", "latest")
    assert 0 == code
    assert [
        "2 verdicts of other runs, over the same labels: elsewhere (2)",
        "2 reviewers agree on 50% of the 2 examples that two or more decided, Cohen's kappa 0.00",
        f"{told}; settled by --on-conflict latest",
        "1 relabelled, 0 dropped, 2 kept, of 60 examples",
    ] == err.splitlines()
    assert (1, True) == (
        (answer := applied(project, run_cli, ann, "--on-conflict", "ann"))[0],
        "--on-conflict: ann: expected error, keep, latest, majority" in answer[2],
    )


def test_suggestions_are_taken_unseen_only_where_asked_and_no_person_looked(project: Path, run_cli: Cli) -> None:
    assert 0 == run_cli("suspects", "--run-dir", project / "run", "--top", "40")[0]
    suspects = pl.read_csv(project / "run" / "suspects.tsv", separator="\t").filter(
        pl.col("label") != pl.col("suggested_label")
    )
    first, second, third, fourth = suspects["id"][:4]
    labels = dict(suspects.select("id", "label").rows())
    said = written(project / "v.jsonl", verdict(first, "keep", labels[first]))
    written(project / "run" / "verdicts.jsonl", verdict(third, "unsure", labels[third]))
    code, _, err = applied(project, run_cli, said, "--accept-suggestions", "2")
    assert (0, "2 relabelled, 2 of them by suggestions that no person saw, 0 dropped, 1 kept, of 60 examples\n") == (
        code,
        err,
    )
    log = pl.read_csv(project / "out.tsv.changes.tsv", separator="\t")
    assert {second, fourth} == set(log["id"])
    ranks = dict(suspects.select("id", "rank").rows())
    assert [f"suggestion accepted unseen: rank {ranks[identity]} of suspects.tsv" for identity in log["id"]] == log[
        "note"
    ].to_list()
    assert [None, None] == log["reviewers"].to_list() == log["when"].to_list()


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("v.jsonl, line 1: id 99 is not in the run in", [verdict(99, "drop", "a")]),
        ('v.jsonl, line 2: id "0": the ids of the run in', [verdict(0, "keep", "a"), verdict("0", "keep", "a")]),
        ('v.jsonl, line 1: id 0: the label is "a" in the run in', [verdict(0, "drop", "b", run="other")]),
        ('v.jsonl, line 1: new_label "c" is no class: a, b; --allow-new-classes admits it', [verdict(0, "relabel", "a", "c")]),
    ],
)  # fmt: skip
def test_verdicts_that_do_not_fit_are_refused_in_a_line(
    project: Path, run_cli: Cli, message: str, said: list[Verdict]
) -> None:
    code, _, err = applied(project, run_cli, written(project / "v.jsonl", *said))
    assert (1, 1) == (code, err.count("\n"))
    assert message in err
    assert not list(project.glob("*out.tsv*"))


def test_a_new_class_is_taken_where_asked(project: Path, run_cli: Cli) -> None:
    said = written(project / "v.jsonl", verdict(0, "relabel", "a", "新"))
    assert 0 == applied(project, run_cli, said, "--allow-new-classes")[0]
    assert {"before": 0, "after": 1} == json.loads((project / "out.tsv.changes.json").read_text())["by_class"]["新"]
    bad = written(project / "v.jsonl", verdict(0, "relabel", "a", "x\ty"))
    code, _, err = applied(project, run_cli, bad, "--allow-new-classes", "--overwrite")
    assert (1, True) == (code, "train.tsv, line 3: the label 'x\\ty' cannot stand in a file without quotes" in err)
    assert "新" in (project / "out.tsv").read_text()


def test_a_data_file_that_changed_is_refused(project: Path, run_cli: Cli) -> None:
    said = written(project / "v.jsonl", verdict(0, "drop", "a"))
    with (project / "train.tsv").open("ab") as file:
        file.write(b"\r\nq\tr\ta\t")
    code, _, err = applied(project, run_cli, said)
    assert (1, True) == (code, err.endswith("its rows may be others; give the file as it was with --data FILE\n"))
    (project / "train.tsv").rename(project / "changed.tsv")
    (project / "before.tsv").write_bytes(contents()["train.tsv"])
    assert 0 == applied(project, run_cli, said, "--data", project / "before.tsv")[0]


def test_no_file_is_written_over(project: Path, run_cli: Cli) -> None:
    said = written(project / "v.jsonl", verdict(0, "drop", "a"))
    before = (project / "train.tsv").read_bytes()
    for name, message in (
        ("train.tsv", "that is the data file itself"),
        ("o.csv", "expected a name ending in .tsv"),
        ("there.tsv", "there already"),
    ):
        (project / "there.tsv.changes.json").write_text("x")
        code, _, err = applied(project, run_cli, said, name=name)
        assert (1, True) == (code, message in err)
    assert before == (project / "train.tsv").read_bytes()
    assert 0 == applied(project, run_cli, said, "--overwrite", name="there.tsv")[0]
    assert (1, True) == (
        (answer := applied(project, run_cli, name="x.tsv"))[0],
        "no verdicts: give files of them" in answer[2],
    )


def test_ids_of_a_column_are_found(tmp_path: Path, run_cli: Cli) -> None:
    make_run(tmp_path, "train.csv", b'key,text_a,label\nx7,"a\nb",0\n\ny,c,1\nz,d,1\n', id="key", text_b=None)
    said = written(tmp_path / "v.jsonl", verdict("y", "relabel", "1", "0"), verdict("x7", "drop", "0"))
    assert 0 == applied(tmp_path, run_cli, said, name="out.csv")[0]
    assert b"key,text_a,label\n\ny,c,0\nz,d,1\n" == (tmp_path / "out.csv").read_bytes()
    assert [2, 5] == pl.read_csv(tmp_path / "out.csv.changes.tsv", separator="\t")["line"].to_list()


def test_a_class_that_loses_its_last_example_is_told(tmp_path: Path, run_cli: Cli) -> None:
    make_run(tmp_path, "train.tsv", b"text_a\tlabel\nx\t0\ny\t1\n", text_b=None)
    _, _, err = applied(tmp_path, run_cli, written(tmp_path / "v.jsonl", verdict(0, "relabel", "0", "1")))
    assert "no example is left of: 0\n" in err


def test_ten_thousand_verdicts_take_less_than_five_seconds(tmp_path: Path) -> None:
    rows = [f"text {i}\t{'ab'[i % 2]}" for i in range(20_000)]
    (tmp_path / "t.tsv").write_text("\n".join(["text_a\tlabel", *rows]))
    said = [verdict(i, "relabel", "ab"[i % 2], "ba"[i % 2], reviewer=f"r{i % 3}") for i in range(10_000)]
    path = written(tmp_path / "v.jsonl", *said)
    started = time.monotonic()
    merged = verdicts.merge(verdicts.current([verdicts.load(path).verdicts]), "error")
    changed = changes.changes(merged.decisions, drop_unsure=False)
    edits = {int(change.id): Edit(change.label, change.new_label) for change in changed}
    write_edited(DataConfig(train=tmp_path / "t.tsv"), edits, tmp_path / "out.tsv")
    assert 5 > time.monotonic() - started
    assert 10_000 == len(edits)
