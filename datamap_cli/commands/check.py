"""`datamap check`: what is wrong with a labelled file, in seconds, with no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datamap_cli import __version__, terminal
from datamap_cli.analysis import check as analysis
from datamap_cli.analysis.check import FINDINGS, Check, Group
from datamap_cli.config import Config, DataConfig
from datamap_cli.data import dataset
from datamap_cli.errors import DatamapError
from datamap_cli.plot.check import report
from datamap_cli.run import files, reports
from datamap_cli.run.output import beside
from datamap_cli.run.reports import CheckedDev, CheckReport
from datamap_cli.text import counted, cut, listed, plain

_SUSPECTS = 5
_WIDTH = 28


def check(config: Config, dev: Path | None, output: Path, strict: Sequence[str]) -> None:
    """Checks `data.train`, against the `dev` file if one is given; writes STEM.json and STEM.html, shows the outcome.

    Raises DatamapError where a finding that `strict` names is there, once all is written.
    """
    unknown = [name for name in strict if name not in (*FINDINGS, "all")]
    if unknown:
        raise DatamapError(f"--strict: {unknown[0]}: expected all, or one of {', '.join(FINDINGS)}")
    if "leaks" in strict and dev is None:
        raise DatamapError("--strict leaks: there is no dev set; give one with --dev FILE")
    rows = dataset.rows(config.data)
    other = None if dev is None else _dev(config.data, dev)
    found = analysis.check(rows.frame, rows.bad, None if other is None else other.frame, config.train.seed)
    content = CheckReport(
        file=str(rows.path),
        sha256=rows.sha256,
        dev=None if other is None else CheckedDev(str(other.path), other.sha256, other.frame.height),
        datamap=__version__,
        **vars(found),
    )
    paths = [beside(output, suffix) for suffix in ("json", "html")]
    lines = {} if rows.frame["line"].null_count() else dict(rows.frame.select("row", "line").iter_rows())
    reports.write(paths[0], content)
    files.write_text(paths[1], report(_page(found, asdict(content), rows.path.name, lines), f"Check: {rows.path.name}"))
    _show(found, rows.path.name, lines)
    typer.echo()
    for path in paths:
        typer.echo(f"check: {path}")
    _fail(found, strict)


def _dev(data: DataConfig, path: Path) -> dataset.Rows:
    try:
        return dataset.rows(data.model_copy(update={"train": path}))
    except DatamapError as error:
        raise DatamapError(str(error).replace("data.train:", "--dev:", 1)) from None


def _fail(found: Check, strict: Sequence[str]) -> None:
    names = FINDINGS if "all" in strict else strict
    there = [f"{name} {found.counts[name]:,}" for name in FINDINGS if name in names and found.counts.get(name)]
    missing = [name for name in strict if name != "all" and name not in found.counts]
    if there:
        raise DatamapError(f"--strict: found {', '.join(there)}")
    if missing:
        raise DatamapError(f"--strict: {missing[0]}: could not be looked for: {'; '.join(found.notes)}")


# ------------------------------------------------------------------------------------------------- page


def _page(found: Check, content: dict[str, Any], name: str, lines: dict[int, int]) -> dict[str, Any]:
    """What the HTML report shows: the findings with their lists, and facts of the file."""
    lists = {finding: content[finding.replace("-", "_")] for finding in FINDINGS}
    for finding in ("conflicts", "duplicates", "near-duplicates", "leaks"):
        lists[finding] = [{**group, "lines": [lines.get(row) for row in group["rows"]]} for group in lists[finding]]
    opinion = found.opinion
    note = None
    if opinion is not None and opinion.likely_wrong is not None:
        note = (
            f"{opinion.contradicted:,} labels are contradicted, about {opinion.likely_wrong:,} of them wrong; the "
            f"least likely stand first. Marked: the characters that speak most for the other label."
        )
    return {
        "name": plain(name),
        "subtitle": f"{counted(found.examples, 'example')}{' of pairs' if found.pairs else ''}, "
        f"{len(found.classes):,} classes",
        "findings": [
            {
                "name": finding,
                "what": what,
                "count": found.counts.get(finding),
                "note": note if finding == "contradicted" else None,
            }
            for finding, what in FINDINGS.items()
        ][::-1],
        "lists": lists,
        "facts": _facts(found),
        "classes": sorted(content["classes"], key=lambda one: -one["examples"]),
    }


def _facts(found: Check) -> list[tuple[str, str]]:
    facts = [
        (f"{column}, characters", f"{one.shortest:,} to {one.longest:,}; half {one.median:,}, 95% at most {one.p95:,}")
        for column, one in found.lengths.items()
    ]
    if found.opinion is not None:
        facts.append(("linear opinion", f"{found.opinion.method}; agrees with {found.opinion.agreement:.1%} of labels"))
    return [*facts, *(("note", note) for note in found.notes)]


# --------------------------------------------------------------------------------------------- terminal


def _show(found: Check, name: str, lines: dict[int, int]) -> None:
    """The outcome on one screen: the file, the findings, and the first suspects."""
    console = Console(highlight=False)

    def line(text: Text | str, style: str = "") -> None:
        console.print(text if isinstance(text, Text) else Text(plain(text), style), no_wrap=True, overflow="ellipsis")

    sizes = sorted((one.examples for one in found.classes), reverse=True)
    kind = "pairs" if found.pairs else "texts"
    line(f"{name}: {found.examples:,} {kind}, {len(sizes):,} classes of {sizes[-1]:,} to {sizes[0]:,}", "bold")
    lengths = found.lengths.values()
    line("characters: " + "; ".join(f"half {one.median:,}, up to {one.longest:,}" for one in lengths), "dim")
    for text in found.notes:
        terminal.note(text)
    table = Table(box=None, pad_edge=False, show_header=False, expand=True)
    table.add_column(no_wrap=True, min_width=max(map(len, FINDINGS)))
    table.add_column(justify="right", no_wrap=True, min_width=7)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for finding, what in FINDINGS.items():
        count = found.counts.get(finding)
        said = "–" if count is None else f"{count:,}"
        example = _example(found, finding, lines) or what
        table.add_row(finding, said, Text(plain(example)), style="" if count else "dim")
    console.print(table)
    if not found.contradicted or found.opinion is None:
        return
    wrong = found.opinion.likely_wrong or 0
    against = found.opinion.contradicted
    line(f"{against:,} labels contradicted, about {wrong:,} of them wrong; the least likely:", "bold")
    for suspect in found.contradicted[:_SUSPECTS]:
        where = f"line {suspect.line:,}" if suspect.line is not None else f"row {suspect.row:,}"
        head = Text(f"{where:>11}  {cut(plain(suspect.label), _WIDTH)} → {cut(plain(suspect.suggested_label), _WIDTH)}")
        line(head)
        texts = [_marked(suspect.text_a, suspect.marks_a)]
        if suspect.text_b is not None:
            texts += [Text(" | "), _marked(suspect.text_b, suspect.marks_b)]
        line(Text.assemble(" " * 13, *texts))


def _marked(text: str, spans: Sequence[tuple[int, int]]) -> Text:
    # a character for a character, so that the marks stay in their places
    marked = Text(plain(text), style="dim")
    for begin, end in spans:
        marked.stylize("bold not dim underline", begin, end)
    return marked


def _example(found: Check, finding: str, lines: dict[int, int]) -> str | None:
    """The first of a finding, in a line."""

    def group(one: Group) -> str:
        places = listed([f"{lines.get(row, row):,}" for row in one.rows], str)
        labels = " / ".join(dict.fromkeys(one.labels))
        return f"{'line' if lines else 'row'} {places}: {labels}: {one.text_a}"

    match finding:
        case "bad-rows" if found.bad_rows:
            bad = found.bad_rows[0]
            return f"{f'line {bad.line:,}' if bad.line is not None else f'row {bad.row:,}'}: {bad.what}"
        case "conflicts" | "duplicates" | "near-duplicates" | "leaks":
            groups: list[Group] = getattr(found, finding.replace("-", "_"))
            return group(groups[0]) if groups else None
        case "rare-classes" if found.rare_classes:
            return listed([f"{one.name} ({one.examples})" for one in found.rare_classes], str)
        case "alike-classes" if found.alike_classes:
            return listed([" and ".join(pair.classes) for pair in found.alike_classes], str, most=1)
    return None
