"""The page's scripts that compute, by node's own test runner; tests/page has the tests."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.run import files
from datamap_cli.text import FORMULA, NUMBER

HERE = Path(__file__).parent
SCRIPTS = HERE.parent / "datamap_cli/plot/page"
TEXTS = [
    *("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\ttab", "\nline", "\rreturn", "＝全角", "－2"),
    *("-5", "+3.25", "-5.", "- 5", "--5", "plain", "a=b", '"quoted" -', "", " =1"),
]


def written(texts: list[str], path: Path) -> list[str]:
    """Each text as it stands in a table, raw."""
    files.write_table(path, pl.DataFrame({"text": texts, "end": [0] * len(texts)}), spreadsheet_safe=True)
    return path.read_bytes().decode().removeprefix("text\tend\n").removesuffix("\t0\n").split("\t0\n")


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_the_scripts_pass_their_tests_under_node(tmp_path: Path) -> None:
    # node takes .js for modules only where a package says so
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for script in [*SCRIPTS.glob("*.js"), *(HERE / "page").glob("*.test.js")]:
        shutil.copy(script, tmp_path)
    cells = list(zip(TEXTS, written(TEXTS, tmp_path / "table.tsv"), strict=True))
    done = subprocess.run(
        ["node", "--test"],
        cwd=tmp_path,
        env={
            **os.environ,
            "FORMULAS": json.dumps({"begin": FORMULA, "number": NUMBER}),
            "CELLS": json.dumps([(text, cell or text) for text, cell in cells if text]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


@given(st.text(alphabet="=+-@\t\r\n＝＋－＠ab1. ", max_size=4))
def test_what_a_spreadsheet_takes_for_a_formula_begins_with_an_apostrophe(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    [_, [cell, _]] = csv.reader(
        StringIO("text\tend\n" + written([text], tmp_path_factory.mktemp("t") / "t.tsv")[0] + "\t0\n", newline=""),
        delimiter="\t",
    )
    number = text[1:] if text[:1] in ("+", "-") else text
    whole, dot, part = number.partition(".")
    is_number = whole.isdigit() and (part.isdigit() if dot else True)
    formula = text[:1] in tuple("=+-@\t\r\n＝＋－＠") and not is_number
    assert (f"'{text}" if formula else text) == cell
