"""The commands of docs/acting.md run as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from datamap_cli import signals
from tests.support import REPOSITORY
from tests.test_selection import make_run

Cli = Callable[..., tuple[int, str, str]]

TEXT = (REPOSITORY / "docs" / "acting.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in re.findall(r"^    (datamap .*)$", TEXT, re.MULTILINE)]
ACTING = [line for line in COMMANDS if line.split()[1] in ("suspects", "select", "compare")]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """outputs/demo, outputs/seed7 and outputs/folds, of examples that were forgotten and learnt."""
    lines = [f"问题{i}\t回答{i}\t{i % 2}" for i in range(300)]
    for name in ("demo", "seed7", "folds"):
        (tmp_path / name).mkdir()
        make_run(tmp_path / name, "train.tsv", "\n".join(["text_a\ttext_b\tlabel", *lines]).encode())
        (tmp_path / "outputs").mkdir(exist_ok=True)
        (tmp_path / name / "run").rename(tmp_path / "outputs" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run(runs: Path, run_cli: Cli) -> None:
    assert 9 == len(ACTING)
    for line in ACTING:
        command, _, remark = line.partition("  # ")
        arguments = shlex.split(command)[1:]
        code, out, err = run_cli(*arguments, *(["--no-png"] if arguments[0] == "compare" else []))
        assert (1 if remark == "refused" else 0) == code, f"{line}: {err}"
        assert (remark == "refused") == (out == "")
    assert {"ambiguous.tsv", "cleaner.tsv", "forgotten.tsv", "third.tsv"} == {path.name for path in runs.glob("*.tsv")}


def test_every_filter_of_cartography_runs(runs: Path, run_cli: Cli) -> None:
    section = TEXT[TEXT.index("### What cartography filters by") : TEXT.index("## Two runs")]
    rules = re.findall(r"`(--(?:top|bottom) .*? --by .*?)`", section)
    assert 6 == len(rules)
    for rule in rules:
        arguments = shlex.split(rule.replace("0.7·F", "0.35").replace("0.3·F", "0.15").replace(" F ", " 0.5 "))
        code, _, err = run_cli("select", "--run-dir", "outputs/demo", *arguments, "--output", "out.tsv", "--overwrite")
        assert (0, True) == (code, err.startswith("150 of 300 rows")), (rule, err)


def test_the_signals_it_names_are_there() -> None:
    named = set(re.findall(r"--(?:by|score) ([a-z_0-9]+)", TEXT))
    assert {"aum", "label_var"} <= named
    assert set() == named - {signal.name for signal in signals.SIGNALS}
