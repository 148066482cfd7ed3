"""Every command as a user types it, on runs that are made without training."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from datamap_cli import signals
from tests import cli_docs
from tests.support import examples_frame, page_columns, random_probs, write_run

Cli = Callable[..., tuple[int, str, str]]
COMMANDS = list(cli_docs.commands())


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of 40 examples, 3 classes and 5 evaluations, not summarized yet."""
    directory = tmp_path / "run"
    write_run(directory, examples_frame(40, 3, s_label=True), random_probs(40, 3, 5))
    return directory


def one_line(result: tuple[int, str, str]) -> str:
    """The line of an error the user can mend; nothing else was printed."""
    code, out, err = result
    assert (1, "") == (code, out)
    assert 1 == len(err.strip().splitlines()), err
    assert err.startswith("datamap: ")
    return err


# ------------------------------------------------------------------------------------------------ help


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_fits_eighty_columns(command: str | None, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run_cli(*([command] if command else []), "--help")
    assert 0 == code
    assert max(len(line) for line in out.splitlines()) <= 80
    expected = COMMANDS if command is None else ["Usage: datamap " + command]
    assert all(text in out for text in expected)


def test_help_lists_the_commands_in_groups(run_cli: Cli) -> None:
    headings = re.findall(r"^╭─ ([A-Z][a-z ]+) ─", run_cli("--help")[1], re.MULTILINE)
    assert ["Options", "The map", "Act on it", "Bring your own", "Set up"] == headings


def test_a_command_ends_with_what_usually_comes_next(
    run_dir: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last(*arguments: str | Path) -> str:
        code, _, err = run_cli(*arguments)
        assert 0 == code, err
        return err.splitlines()[-1]

    config = run_dir / "config.yaml"
    assert f"next: datamap plot --run-dir {run_dir}" == last("summarize", "--run-dir", run_dir)
    assert f"next: datamap suspects -c {config}" == last("plot", "-c", config, "--no-png")
    monkeypatch.chdir(run_dir.parent)
    spaced = run_dir.rename(run_dir.with_name("a run"))
    assert "next: datamap review --run-dir 'a run'" == last("suspects", "--run-dir", spaced.name)
    assert "next: datamap suspects --run-dir 'a run'" == last("compare", spaced.name, spaced.name, "--no-png")
    (run_dir.parent / "train.tsv").write_text("text_a\tlabel\n" + "".join(f"text {n}\t{n % 2}\n" for n in range(500)))
    written = last(
        "select", "--run-dir", "a run", "--bottom", "3", "--by", "aum", "--drop", "--output", "x.tsv", "--force"
    )
    assert "next: datamap gain -c 'a run/config.yaml' train.tsv x.tsv --control --set data.dev=DEV_FILE" == written
    summary = str(spaced / "summary.tsv")
    assert last("plot", "--summary", summary, "--no-png").endswith(".tsv' --color-by SIGNAL")


def test_the_module_runs_like_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "datamap_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert "datamap 0.1.0\n" == result.stdout


def test_shell_completion_knows_the_commands() -> None:
    environment = {**os.environ, "_DATAMAP_COMPLETE": "complete_bash", "COMP_WORDS": "datamap sum", "COMP_CWORD": "1"}
    command = Path(sys.executable).with_name("datamap")
    result = subprocess.run([command], capture_output=True, text=True, env=environment, check=True)
    assert "summarize" == result.stdout.strip()


def test_wrong_usage_exits_with_2(run_cli: Cli) -> None:
    assert 2 == run_cli("summarise")[0]
    assert 2 == run_cli("plot", "--threshold", "high")[0]


# -------------------------------------------------------------------------------- summarize and plot


def test_summarize_then_the_tutorials_three_maps(run_dir: Path, run_cli: Cli) -> None:
    code, out, err = run_cli("summarize", "--run-dir", run_dir)
    assert 0 == code
    assert [f"{run_dir}: the training was not finished; summarizing what there is"] == err.splitlines()[:-1]
    assert "40 examples by region" in out
    assert f"summary: {run_dir / 'summary.tsv'}" in out
    assert 40 == pl.read_csv(run_dir / "summary.tsv", separator="\t").height
    for options, stem in (
        ([], "avg_probs-label_var"),
        (["--criterion", "forgetting_times", "--threshold", "1"], "avg_probs-label_var.forgetting_times-1"),
        (["--use_l_times", "0"], "avg_probs-label_var.l_times-0"),
        (["--use-f-times", "0"], "avg_probs-label_var.f_times-0"),
        (["--attr1", "margin", "--attr2", "entropy"], "margin-entropy"),
    ):
        code, out, err = run_cli("plot", "-c", run_dir / "config.yaml", "--no-png", *options)
        assert (0, 1) == (code, len(err.splitlines()))
        assert f"map: {run_dir / 'maps' / stem}.html\n" == out
        assert "<!doctype html>" in (run_dir / "maps" / f"{stem}.html").read_text(encoding="utf-8")[:200].lower()


def test_hover_shows_each_examples_own_text_whatever_the_order_of_the_records(run_dir: Path, run_cli: Cli) -> None:
    first = run_dir / "signals" / "step-000010.jsonl"
    first.write_text("".join(reversed(first.read_text().splitlines(keepends=True))))
    assert 0 == run_cli("summarize", "--run-dir", run_dir)[0]
    assert [39, 38] == pl.read_parquet(run_dir / "summary.parquet")["id"].head(2).to_list()
    run_cli("plot", "--run-dir", run_dir, "--no-png")
    page = run_dir / "maps" / "avg_probs-label_var.html"
    (ids,), (text_a, _) = page_columns(page, "ids"), page_columns(page, "texts")
    assert 40 == len(set(ids))
    assert [f"第{identity}个问题怎么做" for identity in ids] == text_a


def test_the_page_carries_why_labels_are_suspected(run_dir: Path, run_cli: Cli) -> None:
    pytest.importorskip("sklearn")
    run_cli("summarize", "--run-dir", run_dir)
    opinions = pl.read_parquet(run_dir / "opinions.parquet").join(
        pl.read_parquet(run_dir / "summary.parquet").select("id", "label"), on="id"
    )
    suspects = {row["id"]: row for row in opinions.filter(pl.col("joined_label") != pl.col("label")).to_dicts()}
    assert len(suspects) > 0
    assert 0 == run_cli("plot", "--run-dir", run_dir, "--no-png")[0]
    page = run_dir / "maps" / "avg_probs-label_var.html"
    (ids,), (joined, _, nearest, *_) = page_columns(page, "ids"), page_columns(page, "evidence")
    on_page = [int(identity) for identity in ids if int(identity) in suspects]
    assert [suspects[identity]["joined_label"] for identity in on_page] == joined
    assert [suspects[identity]["nearest"] for identity in on_page] == [
        [int(ids[position]) for position, _ in row] for row in nearest
    ]


def test_where_the_opinions_are_damaged_the_page_is_drawn_without_them(run_dir: Path, run_cli: Cli) -> None:
    run_cli("summarize", "--run-dir", run_dir)
    (run_dir / "opinions.json").write_text("{")
    code, out, err = run_cli("plot", "--run-dir", run_dir, "--no-png")
    assert (0, f"map: {run_dir / 'maps' / 'avg_probs-label_var.html'}\n") == (code, out)
    assert "no evidence of suspects on the page: " in err


def test_output_says_where_the_map_goes(run_dir: Path, run_cli: Cli, tmp_path: Path) -> None:
    run_cli("summarize", "--run-dir", run_dir)
    code, out, _ = run_cli("plot", "--run-dir", run_dir, "--no-png", "--output", tmp_path / "new" / "my.map")
    assert (0, f"map: {tmp_path / 'new' / 'my.map.html'}\n") == (code, out)
    assert (tmp_path / "new" / "my.map.html").exists()


def test_without_a_browser_the_html_is_written_and_a_line_says_how_to_get_the_png(
    run_dir: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(run_dir / "no-browser-here"))
    run_cli("summarize", "--run-dir", run_dir)
    code, out, err = run_cli("plot", "--run-dir", run_dir)
    assert (0, f"map: {run_dir / 'maps' / 'avg_probs-label_var.html'}\n") == (code, out)
    assert 2 == len(err.splitlines())
    assert "no PNG: " in err
    assert "apt-get install chromium" in err


def test_foreign_texts_do_not_steer_the_terminal(tmp_path: Path, run_cli: Cli) -> None:
    foreign = "[red]x[/red] \x1b[2J <script> \u202e\ttab"
    examples = examples_frame(12, 2).with_columns(text_a=pl.lit(foreign))
    write_run(tmp_path, examples, random_probs(12, 2, 3))
    code, out, _ = run_cli("summarize", "--run-dir", tmp_path)
    assert 0 == code
    assert "[red]x[/red]  [2J <script>" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_the_wide_summary_is_the_registrys(run_dir: Path, run_cli: Cli) -> None:
    run_cli("summarize", "--run-dir", run_dir)
    names = pl.read_parquet(run_dir / "summary.parquet").columns
    assert ["id", "label", "s_label", *(signal.name for signal in signals.SIGNALS)] == names


# ---------------------------------------------------------------------------------------- mistakes


def test_commands_out_of_order_name_the_one_to_run(run_dir: Path, run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text("data: {train: t.tsv}\nrun_dir: new\n")
    assert "new: no run here; `datamap train` makes one" in one_line(run_cli("summarize", "-c", tmp_path / "new.yaml"))
    assert "run `datamap summarize` first" in one_line(run_cli("plot", "--run-dir", run_dir))
    assert "no run here (no config.yaml)" in one_line(run_cli("plot", "--run-dir", tmp_path / "nowhere"))
    assert "give one with -c FILE, or a run with --run-dir DIR" in one_line(run_cli("plot"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--attr1", "confidence"], "plot.attr1"),
        (["--attr2", "nosuch"], "plot.attr2"),
        (["--criterion", "nosuch"], "plot.criterion"),
    ],
)
def test_a_signal_that_does_not_exist_lists_those_that_do(
    run_dir: Path, run_cli: Cli, options: list[str], message: str
) -> None:
    run_cli("summarize", "--run-dir", run_dir)
    line = one_line(run_cli("plot", "--run-dir", run_dir, "--no-png", *options))
    assert message in line
    assert options[1] in line
    assert all(name in line for name in ("avg_probs", "label_var", "forgetting_times", "mutual_information"))
    assert not (run_dir / "maps").exists()


def test_run_refuses_a_wrong_signal_before_it_trains(tmp_path: Path, run_cli: Cli) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {train: nowhere.tsv}\nplot: {attr1: nosuch}\n")
    assert "plot.attr1: nosuch" in one_line(run_cli("run", "-c", path))


def test_both_counts_together_are_refused(run_dir: Path, run_cli: Cli) -> None:
    line = one_line(run_cli("plot", "--run-dir", run_dir, "--use_f_times", "0", "--use_l_times", "0"))
    assert "only one of use_f_times and use_l_times can be on" in line


def test_training_into_a_run_is_refused_before_anything_is_read(run_dir: Path, run_cli: Cli) -> None:
    line = one_line(run_cli("train", "--run-dir", run_dir))
    assert (
        "holds a run already; give another one with --run-dir, --resume to go on with it, or --overwrite to replace it"
        in line
    )


def test_a_mistake_in_the_data_costs_no_earlier_run(run_dir: Path, run_cli: Cli) -> None:
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    line = one_line(run_cli("train", "--run-dir", run_dir, "--overwrite"))
    assert "data.train: train.tsv: no such file" in line
    assert before == {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}


def test_several_problems_are_a_line_each(tmp_path: Path, run_cli: Cli) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {trian: x}\nmodle: {}\n")
    code, out, err = run_cli("train", "-c", path)
    assert (1, "") == (code, out)
    assert 3 == len(err.splitlines())


# -------------------------------------------------------------------------------------- init, signals


def test_init_writes_a_configuration_that_is_read_back(
    tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli("init")
    assert (0, "datamap.yaml\n") == (code, out)
    assert "set data.train in datamap.yaml" in err
    assert "data.train: data/train.tsv: no such file" in one_line(run_cli("train", "-c", "datamap.yaml"))
    assert "datamap.yaml: there already" in one_line(run_cli("init"))


def test_init_example_brings_data_that_loads(tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from datamap_cli import config
    from datamap_cli.data import dataset

    monkeypatch.chdir(tmp_path)
    code, out, _ = run_cli("init", "new/example.yaml", "--example", "--schema")
    assert (0, ["new/question_pairs.tsv", "new/datamap.schema.json", "new/example.yaml"]) == (code, out.splitlines())
    loaded = config.load(Path("new/example.yaml"))
    assert "tiny" == loaded.model.name
    assert dataset.load(loaded.data).examples.height >= 1000
    assert "# yaml-language-server: $schema=datamap.schema.json\n" in Path("new/example.yaml").read_text()


def test_signals_lists_every_signal(run_cli: Cli) -> None:
    code, out, _ = run_cli("signals")
    assert 0 == code
    assert [s.name for s in signals.SIGNALS] == [line for line in out.splitlines() if line and not line.startswith(" ")]


@pytest.mark.parametrize("how", [["--resume"], ["--overwrite"], []])
def test_a_run_cannot_start_over_the_configuration_it_is_started_from(
    tmp_path: Path, run_cli: Callable[..., tuple[int, str, str]], how: list[str]
) -> None:
    config = tmp_path / "p" / "config.yaml"
    run_cli("init", config, "--example")
    (tmp_path / "p" / "examples.parquet").write_text("mine")
    before = {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()}
    code, out, err = run_cli("train", "-c", config, "--run-dir", tmp_path / "p", *how)
    assert (1, "", 1) == (code, out, err.count("\n"))
    assert "config.yaml, examples.parquet there, and not written by a run; give another directory" in err
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()}
