"""The documents do not lie: commands run, links lead somewhere, generated parts are as generated."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datamap_cli import terminal
from tests import cli_docs
from tests.support import REPOSITORY

DOCUMENTS = [
    REPOSITORY / name
    for name in (
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "docs/api.md",
        "docs/cli.md",
        "docs/files.md",
        "docs/signals.md",
        "docs/acting.md",
        "docs/check.md",
        "docs/reviewing.md",
        "docs/training.md",
    )
]
BIN = Path(sys.executable).parent


def command_lines(document: Path) -> list[str]:
    """The lines of indented blocks, without what follows a #."""
    lines = re.findall(r"^    (\S.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return [line.split("  #")[0].split(" # ")[0].strip() for line in lines]


def test_the_signals_document_is_the_registrys() -> None:
    shipped = (REPOSITORY / "docs" / "signals.md").read_text(encoding="utf-8")
    assert terminal.signals_markdown() == shipped, "make docs"


def test_the_commands_document_is_the_commands() -> None:
    shipped = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    assert cli_docs.markdown() == shipped, "make docs"
    for name, command in cli_docs.commands().items():
        assert command.help
        assert f"### datamap {name}\n" in shipped
        assert command.rich_help_panel is not None
        for parameter in command.params:
            assert parameter.help, f"datamap {name}: {parameter.name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_that_are_there(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if not link.startswith("http") and not (document.parent / link).exists()]
    assert [] == missing


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for document in DOCUMENTS for line in command_lines(document) if line.startswith("make ")}
    assert {"demo", "test", "setup", "lint", "bench"} <= named
    assert set() == named - targets


@pytest.mark.paddle
def test_every_datamap_command_of_the_readme_runs(tmp_path: Path) -> None:
    commands = [line for line in command_lines(REPOSITORY / "README.md") if line.startswith("datamap ")]
    # the sources that the commands name
    long = "id,epoch,label,probs_0,probs_1\n0,0,1,0.4,0.6\n1,0,0,0.3,0.7\n0,1,1,0.2,0.8\n1,1,0,0.6,0.4\n"
    (tmp_path / "SOURCE").write_text(long)
    (tmp_path / "train.tsv").write_text("text_a\tlabel\ntext\t0\nother text\t1\n")
    (tmp_path / "coordinates.jsonl").write_text('{"guid":1,"confidence":0.9,"variability":0.1,"correctness":2}\n')
    assert {"init", "train", "summarize", "plot", "import"} <= {command.split()[1] for command in commands}
    for command in commands:
        arguments = shlex.split(command)
        if arguments[1] == "compare":
            shutil.copytree(tmp_path / "outputs" / "run", tmp_path / "outputs" / "other")
        if arguments[1] in ("train", "selfcheck"):  # the same commands on a part of the example, to save time
            data = tmp_path / "question_pairs.tsv"
            data.write_text("".join(data.read_text(encoding="utf-8").splitlines(keepends=True)[:65]), encoding="utf-8")
            arguments += ["--set", "train.epochs=2"]
        result = subprocess.run(
            [BIN / arguments[0], *arguments[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert 0 == result.returncode, f"{command}: {result.stderr}"
        assert "Traceback" not in result.stderr
    assert 8 == len(list((tmp_path / "outputs").glob("run/maps/*.html")))
