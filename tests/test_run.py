"""The run directory: whole files or none, one run a directory, and what is said of damage."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from datamap_cli import SignalRecorder, signals
from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run, files
from datamap_cli.run.output import Output
from tests.support import examples_frame, random_probs, summarize, write_run


def refusal(action: Any) -> str:
    with pytest.raises(DatamapError) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


def save_weights(path: Path) -> None:
    (path / "weights").write_text("1")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_what_is_written_is_read_back(tmp_path: Path, format: str) -> None:
    examples = examples_frame(6, 3, s_label=True)
    probs = random_probs(6, 3, 4)
    write_run(tmp_path / "run", examples, probs, format=format)
    run = Run.open(tmp_path / "run")
    assert ["0", "1", "2"] == run.info.classes
    assert [0, 1, 2, 3] == [entry.evaluation for entry in run.info.evaluations]
    assert examples.equals(run.scan_examples().collect())
    summary = summarize(run.evaluations())
    expected = summarize({str(t): signals.records(examples, p, p[:, 0]).lazy() for t, p in enumerate(probs)})
    assert expected.equals(summary)


def test_jsonl_records_have_the_tutorials_fields(tmp_path: Path) -> None:
    write_run(tmp_path, examples_frame(3, 2, s_label=True), random_probs(3, 2, 1))
    line = (tmp_path / "signals" / "step-000010.jsonl").read_text().splitlines()[0]
    assert ["id", "label", "pred_label", "correct", "loss", "probs", "label_probs", "s_label"] == list(json.loads(line))


def test_the_summary_is_kept_as_tsv_and_parquet(tmp_path: Path) -> None:
    run = write_run(tmp_path, examples_frame(5, 2), random_probs(5, 2, 3))
    summary = summarize(run.evaluations())
    tsv, parquet = run.write_summary(summary.lazy())
    assert summary.equals(pl.read_parquet(parquet))
    read = pl.read_csv(tsv, separator="\t", schema=summary.schema)
    assert summary.equals(read)


def test_two_runs_never_mix_in_one_directory(tmp_path: Path) -> None:
    write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 2))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    message = refusal(lambda: write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 2)))
    assert (
        "holds a run already; give another one with --run-dir, --resume to go on with it, or --overwrite to replace it"
        in message
    )
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_overwriting_removes_the_run_and_nothing_else(tmp_path: Path) -> None:
    write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 2))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.html").write_text("mine")
    (tmp_path / "signals" / "mine.py").write_text("mine")
    write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1), overwrite=True)
    assert [".datamap.json", "config.yaml", "examples.parquet", "maps", "notes.txt", "run.json", "signals"] == names(
        tmp_path
    )
    assert ["mine.html"] == names(tmp_path / "maps")
    assert ["mine.py", "step-000010.jsonl"] == names(tmp_path / "signals")


@pytest.mark.parametrize("name", ["checkpoints/mine.pt", "config.yaml", "run.json", "examples.parquet", "summary.tsv"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_with_files_of_others_is_no_run_and_stays_as_it_is(
    tmp_path: Path, name: str, overwrite: bool
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"run": "of another tool"}')
    assert not Run.holds_run(tmp_path)
    message = refusal(lambda: write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1), overwrite=overwrite))
    assert f"{tmp_path}: {Path(name).parts[0]} there, and not written by a run; give another directory" in message
    assert {name.partition("/")[0]} == set(names(tmp_path))
    assert '{"run": "of another tool"}' == (tmp_path / name).read_text()


def test_maps_may_lie_beside_those_of_others(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "town.png").write_text("mine")
    run = write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1))
    ours = run.map_output(PlotConfig()).path("html")
    run.enter(ours)
    ours.write_text("ours")
    write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1), overwrite=True)
    assert ["town.png"] == names(tmp_path / "maps")


def test_overwriting_takes_the_check_of_the_old_run_with_it(tmp_path: Path) -> None:
    write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1))
    write_run(tmp_path / "selfcheck", examples_frame(3, 2), random_probs(3, 2, 1))
    (tmp_path / "selfcheck" / "notes.txt").write_text("mine")
    write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1), overwrite=True)
    assert ["notes.txt"] == names(tmp_path / "selfcheck")


def test_a_check_without_a_run_stays_where_a_run_starts(tmp_path: Path) -> None:
    write_run(tmp_path / "selfcheck", examples_frame(3, 2), random_probs(3, 2, 1))
    write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1))
    assert Run.holds_run(tmp_path / "selfcheck")


@pytest.mark.parametrize("before", ["nothing", "a run", "a run of version 0.1.0"])
@pytest.mark.parametrize("death", range(16))
def test_a_start_cut_off_at_any_write_or_removal_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, death: int
) -> None:
    examples, probs = examples_frame(3, 2), random_probs(3, 2, 1)
    if before != "nothing":
        run = write_run(tmp_path, examples, random_probs(3, 2, 2))
        run.write_checkpoint(20, save_weights)
        (tmp_path / "checkpoints" / "step-000020" / "mine").write_text("mine")
        if before == "a run of version 0.1.0":
            (tmp_path / ".datamap.json").unlink()
    left = death

    def dying(function: Any) -> Any:
        def call(path: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return function(path, *arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", dying(files.sync))
        patch.setattr(Path, "unlink", dying(Path.unlink))
        patch.setattr(files, "remove", lambda _: None)  # a process that is dead does not tidy up
        with suppress(KeyboardInterrupt):
            write_run(tmp_path, examples, probs, overwrite=True)
    assert (tmp_path / "config.yaml").exists() or before == "nothing"
    if not Run.holds_run(tmp_path):
        write_run(tmp_path, examples, probs)
    else:
        assert len(Run.open(tmp_path).info.evaluations) in ({0, 1} if before == "nothing" else {0, 1, 2})
        write_run(tmp_path, examples, probs, overwrite=True)
    kept = {"mine"} if before != "nothing" else set()
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        ".datamap.json", "config.yaml", "examples.parquet", "run.json", "step-000010.jsonl", *kept,
    }  # fmt: skip


def test_a_run_without_its_description_is_no_start_that_was_cut_off(tmp_path: Path) -> None:
    write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1))
    (tmp_path / "run.json").unlink()
    assert Run.holds_run(tmp_path)
    assert "run.json: missing, though other parts of the run are there" in refusal(lambda: Run.open(tmp_path))


def test_a_run_of_version_0_1_0_is_opened_and_replaced(tmp_path: Path) -> None:
    run = write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1))
    run.write_checkpoint(10, save_weights)
    (tmp_path / ".datamap.json").unlink()
    (tmp_path / "maps").mkdir()
    for name in ("avg_probs-label_var.html", "compare-other.tsv", "mine.html"):
        (tmp_path / "maps" / name).write_text("")
    assert Run.holds_run(tmp_path)
    assert (tmp_path / "checkpoints" / "step-000010", []) == Run.open(tmp_path).checkpoint()
    write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 2), overwrite=True)
    assert ["mine.html"] == names(tmp_path / "maps")
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("part", ["../precious", "/etc/passwd"])
def test_a_mark_that_leads_out_of_the_directory_is_refused(tmp_path: Path, part: str) -> None:
    write_run(tmp_path / "run", examples_frame(3, 2), random_probs(3, 2, 1))
    (tmp_path / "precious").write_text("mine")
    mark = tmp_path / "run" / ".datamap.json"
    mark.write_text(json.dumps({"run_id": "x", "written": [part]}))
    message = refusal(lambda: write_run(tmp_path / "run", examples_frame(3, 2), random_probs(3, 2, 1), overwrite=True))
    assert f"{mark}: damaged (a path out of the directory)" in message
    assert (tmp_path / "precious").exists()


# ------------------------------------------------------------------------------------------- the lock


HOLDER = """
import sys, time
from pathlib import Path
from datamap_cli.run import Run
with Run.holding(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def held(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, directory], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "held\n" == process.stdout.readline()
    return process


def test_the_second_process_is_told_of_the_first_and_a_dead_one_is_no_hindrance(
    tmp_path: Path, run_cli: Callable[..., tuple[int, str, str]]
) -> None:
    run_dir = tmp_path / "run"
    write_run(run_dir, examples_frame(3, 2), random_probs(3, 2, 2))
    first = held(run_dir)
    try:
        for arguments in (["summarize"], ["train", "--resume"], ["train", "--overwrite"]):
            code, out, err = run_cli(*arguments, "--run-dir", run_dir)
            assert (1, "") == (code, out)
            assert re.fullmatch(
                rf"datamap: {re.escape(str(run_dir))}: process {first.pid} on {re.escape(socket.gethostname())} since "
                r"\d{4}-\d\d-\d\dT\S+ is writing there; wait for it, or give another directory with --run-dir\n",
                err,
            ), err
        with pytest.raises(DatamapError, match="is writing there"):
            SignalRecorder(run_dir, examples=examples_frame(3, 2), classes=["a", "b"], overwrite=True)
    finally:
        first.kill()
        first.communicate()
    assert (run_dir / ".datamap.lock").exists()  # it could not tidy up
    assert 0 == run_cli("summarize", "--run-dir", run_dir)[0]
    assert not (run_dir / ".datamap.lock").exists()


def test_a_directory_that_was_made_for_the_lock_goes_with_it(tmp_path: Path) -> None:
    with Run.holding(tmp_path / "a" / "b"), Run.holding(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / ".datamap.lock").exists()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("refused", "process", "host"),
    [(True, None, None), (False, 2**22 + 1, None), (True, 2**22 + 1, "another")],
)
def test_where_a_file_system_has_no_locks_the_file_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool, process: int | None, host: str | None
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    process = process or os.getpid()
    holder = {"host": host or socket.gethostname(), "process": process, "since": "2026-11-24T10:00:00+00:00"}
    (tmp_path / ".datamap.lock").write_text(json.dumps(holder))
    if refused:
        with pytest.raises(DatamapError, match=f"process {process} on {holder['host']} since 2026-11-24"):
            Run.holding(tmp_path).__enter__()
    else:
        with Run.holding(tmp_path):
            pass


def test_a_recorder_holds_its_directory_until_it_is_finished(tmp_path: Path) -> None:
    recorder = SignalRecorder(tmp_path, examples=examples_frame(3, 2), classes=["a", "b"])
    assert (tmp_path / ".datamap.lock").exists()
    recorder.finish()
    assert not (tmp_path / ".datamap.lock").exists()


def test_a_run_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    message = refusal(lambda: write_run(tmp_path / "file", examples_frame(3, 2), random_probs(3, 2, 2)))
    assert "file: not a directory" in message


def test_steps_of_any_length_stay_in_order(tmp_path: Path) -> None:
    run = write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 2), steps=[999_999, 1_000_000])
    names = [Path(name).name for name in run.evaluations()]
    assert ["step-999999.jsonl", "step-1000000.jsonl"] == names


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_an_evaluation_may_be_in_several_files_in_any_order(tmp_path: Path, format: str) -> None:
    run = write_run(tmp_path, examples_frame(9, 2), random_probs(9, 2, 3), format=format)
    expected = summarize(run.evaluations())
    path = tmp_path / "signals" / f"step-000020.{format}"
    whole = pl.read_ndjson(path) if format == "jsonl" else pl.read_parquet(path)
    names = []
    for rank, part in enumerate((whole[5:], whole[:5].reverse())):
        names.append(f"signals/step-000020.rank-{rank}.{format}")
        (part.write_ndjson if format == "jsonl" else part.write_parquet)(tmp_path / names[-1])
    path.unlink()
    tree = json.loads((tmp_path / "run.json").read_text())
    tree["evaluations"][1]["files"] = names
    (tmp_path / "run.json").write_text(json.dumps(tree))
    assert expected.equals(summarize(Run.open(tmp_path).evaluations()))
    (tmp_path / names[1]).unlink()
    assert "rank-1" in refusal(Run.open(tmp_path).evaluations)


def test_texts_come_in_the_order_of_the_ids(tmp_path: Path) -> None:
    run = write_run(tmp_path, examples_frame(5, 2), random_probs(5, 2, 1))
    texts = run.texts(pl.Series([3, 0, 99]))
    assert texts is not None
    assert ["第3个问题怎么做", "第0个问题怎么做", ""] == texts["text_a"].to_list()
    assert ["如何做第3个", "如何做第0个", ""] == texts["text_b"].to_list()


def test_single_texts_and_no_texts_at_all(tmp_path: Path) -> None:
    nothing = pl.lit(None, dtype=pl.String)
    single = examples_frame(3, 2).with_columns(text_b=nothing)
    texts = write_run(tmp_path / "single", single, random_probs(3, 2, 1)).texts(pl.Series([1, 2]))
    assert texts is not None
    assert [None, None] == texts["text_b"].to_list()
    run = write_run(tmp_path / "none", single.with_columns(text_a=nothing), random_probs(3, 2, 1))
    assert run.texts(pl.Series([1, 2])) is None


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def drop_a_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("format", "damage", "message"),
    [
        ("jsonl", cut, "step-000020.jsonl: cut off in the middle of line 4"),
        ("parquet", cut, "step-000020.parquet: cannot be read as signal records"),
        ("jsonl", drop_a_line, "step-000020.jsonl: no record of 1 example that"),
        ("jsonl", lambda path: path.write_text(""), "step-000020.jsonl: empty"),
        ("jsonl", lambda path: path.write_text("{'id': 1}\n"), "step-000020.jsonl: cannot be read as signal records"),
        ("jsonl", lambda path: path.write_text('{"id": 1}\n'), "step-000020.jsonl: no field label, pred_label"),
        (
            "jsonl",
            lambda path: path.write_text(path.read_text().replace("true", '"yes"').replace("false", '"no"')),
            "step-000020.jsonl: cannot be read as signal records",
        ),
        ("jsonl", lambda path: path.unlink(), "step-000020.jsonl: missing, though run.json names it"),
    ],
)
def test_damaged_signal_files_are_named(tmp_path: Path, format: str, damage: Any, message: str) -> None:
    run = write_run(tmp_path, examples_frame(4, 2), random_probs(4, 2, 3), format=format)
    damage(tmp_path / "signals" / f"step-000020.{format}")
    assert message in refusal(lambda: summarize(run.evaluations()))


def test_what_is_not_there_yet_names_the_command_to_run(tmp_path: Path) -> None:
    assert "no run here; `datamap train` makes one" in refusal(lambda: Run.open(tmp_path))
    run = write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1))
    assert "run `datamap summarize` first" in refusal(run.scan_summary)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"evaluations": [{"x": 1}]}', "\xff"])
def test_a_damaged_description_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content, encoding="latin-1")
    assert "run.json: damaged" in refusal(lambda: Run.open(tmp_path))


def test_a_disk_without_room_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    summary = summarize(run.evaluations())
    assert "cannot be written: No space left on device" in refusal(lambda: run.write_summary(summary.lazy()))
    assert [".datamap.json", "config.yaml", "examples.parquet", "run.json", "signals"] == names(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        pl.exceptions.ComputeError(
            "parquet: File out of specification: underlying IO error: No space left (os error 28)"
        ),
        OSError("No space left (os error 28)"),
    ],
)
def test_polars_own_words_for_a_full_disk_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    run = write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1))

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pl, "collect_all", full)
    message = refusal(lambda: run.write_summary(pl.LazyFrame({"id": [1]})))
    assert "cannot be written: No space left" in message


def test_maps_are_named_by_what_they_show(tmp_path: Path) -> None:
    run = write_run(tmp_path, examples_frame(3, 2), random_probs(3, 2, 1))
    maps = tmp_path / "maps"
    assert maps / "avg_probs-label_var.html" == run.map_output(PlotConfig()).path("html")
    filtered = PlotConfig(criterion="forgetting_times", threshold=1, use_l_times=0)
    assert "avg_probs-label_var.forgetting_times-1.l_times-0.html" == run.map_output(filtered).path("html").name
    chosen = run.map_output(PlotConfig(where="avg_probs < 0.3", color_by="aum")).stem.name
    assert "avg_probs-label_var.color-aum.where-avg_probs-0.3-" in chosen
    assert chosen != run.map_output(PlotConfig(where="avg_probs > 0.3", color_by="aum")).stem.name


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["a/m.html", "a/m.png"], "a/m"),
        (["a/v1.2.html", "a/v1.2.png"], "a/v1.2"),
        (["a/m.svg"], "a/m.svg"),
        (["a/v1.2.pdf"], "a/v1.2.PDF"),
        (["a/m.html"], "a/m.html"),
        (["a/m.json.html", "a/m.json.png"], "a/m.json"),
    ],
)
def test_a_known_suffix_means_that_file_alone_and_another_is_part_of_the_stem(files: list[str], name: str) -> None:
    output = Output.of(Path(name))
    assert files == [str(output.path(format)) for format in output.wanted(["html", "png"])]


@pytest.mark.parametrize("model", ["tiny", "/srv/models/tiny", "models/tiny/"])
def test_a_title_names_the_last_part_of_the_models_path(tmp_path: Path, model: str) -> None:
    write_run(tmp_path, examples_frame(4, 2), random_probs(4, 2, 1))
    run = Run.open(tmp_path)
    run = Run(tmp_path, replace(run.info, origin=replace(run.info.origin, model=model)))
    assert "train.tsv, tiny" == run.title


def test_fewer_class_names_than_the_records_have_are_refused_before_anything_is_written(
    tmp_path: Path, run_cli: Callable[..., tuple[int, str, str]]
) -> None:
    write_run(tmp_path, examples_frame(6, 3), random_probs(6, 3, 2))
    info = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**info, "classes": ["0", "1"]}))
    code, out, err = run_cli("summarize", "--run-dir", tmp_path)
    assert (1, "") == (code, out)
    assert "run.json: 2 class names, but the records in" in err
    assert not (tmp_path / "summary.tsv").exists()
