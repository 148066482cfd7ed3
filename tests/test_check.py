"""`datamap check` finds what was planted, writes whole files, and fails pipelines where it is told to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from datamap_cli.analysis import linear
from datamap_cli.analysis.check import FINDINGS
from tests.support import shared

Cli = Callable[..., tuple[int, str, str]]
WORDS = {"fruit": "a red apple and a ripe pear", "water": "the blue river flows to the sea"}
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


def rows(count: int = 40) -> list[tuple[str, str]]:
    names = list(WORDS)
    return [(f"{WORDS[names[n % 2]]} {sha256(bytes([n])).hexdigest()[:40]}", names[n % 2]) for n in range(count)]


def write(path: Path, lines: list[tuple[str, str]], header: str = "text_a\tlabel") -> Path:
    path.write_text(header + "\n" + "".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def checked(run_cli: Cli, path: Path, *arguments: object) -> dict[str, Any]:
    code, _, error = run_cli("check", path, *arguments)
    assert 0 == code, error
    found: dict[str, Any] = json.loads(Path(f"{path.stem}.check.json").read_text(encoding="utf-8"))
    return found


def test_a_clean_file_has_no_findings(tmp_path: Path, run_cli: Cli) -> None:
    found = checked(run_cli, write(tmp_path / "d.tsv", rows()), "--strict", "conflicts", "--strict", "contradicted")
    assert {"bad-rows": 0, "conflicts": 0, "duplicates": 0, "near-duplicates": 0, "rare-classes": 0} == {
        name: count for name, count in found["counts"].items() if name not in ("alike-classes", "contradicted")
    }
    assert [] == found["contradicted"]
    assert ["fruit", "water"] == [one["name"] for one in found["classes"]]


def test_every_finding_is_found_with_its_rows(tmp_path: Path, run_cli: Cli) -> None:
    lines = rows(200)
    lines[10] = (lines[10][0], "water")  # contradicted
    lines += [("One text", "fruit"), ("one  TEXT", "water")]  # 200, 201: conflict
    lines += [("twice", "fruit"), ("twice", "fruit")]  # 202, 203: duplicate
    lines += [
        ("what is the price of this nice long thing", "rare"),
        ("what is the price of this nice long thing!", "rare"),
    ]
    path = write(tmp_path / "d.tsv", lines)
    with path.open("a") as file:
        file.write("too\tmany\tfields\n\tfruit\n")
    dev = write(tmp_path / "dev.tsv", [("ONE text", "water"), ("other", "fruit")])
    found = checked(run_cli, path, "--dev", dev)
    assert [[206, 208], [207, 209]] == [[bad["row"], bad["line"]] for bad in found["bad_rows"]]
    assert [[200, 201]] == [group["rows"] for group in found["conflicts"]]
    assert [[202, 203]] == [group["rows"] for group in found["duplicates"]]
    assert [204, 205] in [group["rows"] for group in found["near_duplicates"]]
    assert [([200], [0]), ([201], [0])] == [(leak["rows"], leak["dev_rows"]) for leak in found["leaks"]]
    assert ["rare"] == [one["name"] for one in found["rare_classes"]]
    suspect = found["contradicted"][0]
    assert (10, 12, "water", "fruit") == tuple(suspect[key] for key in ("row", "line", "label", "suggested_label"))
    marked = "".join(suspect["text_a"][begin:end] for begin, end in suspect["marks_a"])
    assert "apple" in marked or "pear" in marked or "ripe" in marked or "red" in marked
    assert set(FINDINGS) == set(found["counts"])


def test_strict_exits_with_1_saying_which_findings_are_there_and_the_report_is_written(
    tmp_path: Path, run_cli: Cli
) -> None:
    path = write(tmp_path / "d.tsv", [*rows(), ("twice", "fruit"), ("twice", "fruit")])
    code, _, error = run_cli("check", path, "--strict", "conflicts", "--strict", "duplicates")
    assert (1, "datamap: --strict: found duplicates 1") == (code, error.splitlines()[-1])
    assert (tmp_path / "d.check.html").exists()
    assert 1 == run_cli("check", path, "--strict", "all")[0]
    assert 0 == run_cli("check", path, "--strict", "conflicts")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.tsv"], "data.train: missing.tsv: no such file"),
        (["d.tsv", "--dev", "missing.tsv"], "--dev: missing.tsv: no such file"),
        (["d.tsv", "--strict", "nonsense"], "--strict: nonsense: expected all, or one of bad-rows, conflicts"),
        (["d.tsv", "--strict", "leaks"], "--strict leaks: there is no dev set; give one with --dev FILE"),
        (["d.tsv", "--set", "data.label=nothing"], "data.label: no column nothing"),
        ([], "no data file"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_file(
    tmp_path: Path, run_cli: Cli, arguments: list[str], message: str
) -> None:
    write(tmp_path / "d.tsv", rows())
    code, out, error = run_cli("check", *arguments)
    assert (1, "", 1) == (code, out, len(error.splitlines()))
    assert message in error
    assert ["d.tsv"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    "lines",
    [
        [("only", "one")],
        [("same", "one"), ("same", "one")],
        [("a", "one"), ("b", "two")],
        [("a", "one"), ("b", "two"), ("c", "three")],
        [(f"text {n}", f"class {n}") for n in range(300)],
    ],
)
def test_data_of_which_nothing_can_be_said_is_told_and_no_error(
    tmp_path: Path, run_cli: Cli, lines: list[tuple[str, str]]
) -> None:
    found = checked(run_cli, write(tmp_path / "d.tsv", lines))
    assert len(lines) == found["examples"]
    assert [] == found["contradicted"]
    assert found["notes"]


def test_without_scikit_learn_the_rest_is_checked_and_a_line_says_what_to_install(
    tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "available", lambda: False)
    path = write(tmp_path / "d.tsv", [*rows(), ("twice", "fruit"), ("twice", "fruit")])
    code, out, error = run_cli("check", path)
    assert (0, f"{linear.MISSING}\n") == (code, error)
    assert "twice" in out
    assert 1 == run_cli("check", path, "--strict", "contradicted")[0]


def test_the_output_goes_to_the_run_directory_of_a_configuration_or_where_it_is_told(
    tmp_path: Path, run_cli: Cli
) -> None:
    write(tmp_path / "d.tsv", rows())
    (tmp_path / "c.yaml").write_text("run_dir: outputs/x\ndata: {train: d.tsv}\n")
    assert 0 == run_cli("check", "-c", "c.yaml")[0]
    assert (tmp_path / "outputs/x/check/d.html").exists()
    assert 0 == run_cli("check", "d.tsv", "--output", "else/where")[0]
    assert (tmp_path / "else/where.json").exists()


def test_the_report_on_the_terminal_fits_a_screen(run_cli: Cli) -> None:
    _, out, _ = run_cli("check", shared("real_errors/yoruba_headlines.tsv"))
    assert len(out.splitlines()) <= 24


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
def test_foreign_texts_stay_texts_in_the_page_and_can_be_searched(tmp_path: Path, run_cli: Cli) -> None:
    from playwright.sync_api import sync_playwright

    lines = rows(60)
    lines += [(HOSTILE, "fruit"), (HOSTILE, "water"), ("second conflict 😀", "fruit"), ("second conflict 😀", "water")]
    checked(run_cli, write(tmp_path / "d.tsv", lines))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto((tmp_path / "d.check.html").as_uri())
        texts = page.locator("#conflicts .text").all_text_contents()
        page.fill("#search", "second conf")
        after = page.locator("#conflicts .text").all_text_contents()
        title = page.title()
        browser.close()
    assert [] == faults
    assert "Check: d.tsv" == title
    assert {HOSTILE, "second conflict 😀"} == set(texts)
    assert ["second conflict 😀"] == after
