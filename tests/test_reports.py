"""Every JSON file we write has a type, is read back as it was written, and is documented field by field."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from datamap_cli.analysis.audit import Interval, Stratum
from datamap_cli.analysis.check import Alike, BadRow, Class, Group, Lengths, Opinion, Suspect
from datamap_cli.analysis.selection import Rule
from datamap_cli.analysis.selfcheck import Measure
from datamap_cli.run import files, parts, reports
from datamap_cli.run.reports import (
    AuditedExample,
    AuditReport,
    AuditSample,
    Axes,
    BeforeAfter,
    ChangesReport,
    CheckedDev,
    CheckReport,
    ComparisonReport,
    Difference,
    Differences,
    ErrorEstimate,
    EvaluationInfo,
    FileReference,
    Flipped,
    GainReport,
    GainSet,
    GainTraining,
    Holder,
    IntervalMethod,
    Mark,
    Measured,
    OpinionsReport,
    Origin,
    RowChanges,
    RunInfo,
    RunReference,
    SelectedFile,
    SelectedRows,
    SelectionReport,
    SelfcheckReport,
    SignalAgreement,
    SignalDetection,
    Spread,
    SuspectsReport,
)
from datamap_cli.signals import Quality
from tests.support import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "files.md").read_text(encoding="utf-8")
MEASURE = Measure(0.9, 0.8, 1.0)
FILE = FileReference("/data/训练.tsv", "0" * 64)
RUN = RunReference("20260101-000000-abcdef", "/outputs/run")
ESTIMATE = ErrorEstimate(7, 3, None, {"是": 7}, "joined")
AUDIT = AuditReport(20, 18, 2, 5, Interval(30.5, 20, 41), {"是": Interval(3, 1, 5)}, {50: Interval(0.5, 0.3, 0.7)})
SPREAD = Spread(0.9, None, 0.8, 1.0, [0.9])
DIFFERENCES = Differences(Difference(0.1, 0.0, 0.2, 0.1, False), Difference(0.1, 0.05, 0.2, 0.1, True))
CHECK = CheckReport(
    file="train.tsv",
    sha256="0" * 64,
    dev=CheckedDev("dev.tsv", "1" * 64, 5),
    datamap="0.1.0",
    examples=10,
    pairs=True,
    classes=[Class("a", 6, 0.6)],
    lengths={"text_a": Lengths(1, 2, 3, 4)},
    counts={"bad-rows": 1},
    bad_rows=[BadRow(3, None, "no label")],
    conflicts=[Group([0, 1], ["a", "b"], "x", None)],
    duplicates=[],
    near_duplicates=[],
    leaks=[Group([0], ["a"], "x", "y", [2], ["a"])],
    rare_classes=[],
    alike_classes=[Alike(("a", "b"), (1, 2), (3, 4))],
    contradicted=[Suspect(1, 2, "007", "a", "b", 0.1, 0.9, "x", None, [(0, 1)], [])],
    opinion=Opinion("linear", 0.9, 0.5, 1, None),
    notes=["said"],
)
REPORTS = [
    RunInfo(
        run_id="r",
        started="2026-01-01T00:00:00+00:00",
        finished=None,
        classes=["否", "是"],
        examples=9,
        origin=Origin("train", "/data/train.tsv", "0" * 64, "tiny", 1000, 5),
        versions={"python": "3.10"},
        evaluations=[
            EvaluationInfo(0, 5, 1.0, None, 0.5, 0.1, ["signals/step-5.jsonl"], Quality(0.1, 0.9, 0.8, [0.5, None]))
        ],
    ),
    Mark("r", ["run.json"], ["signals/step-5.jsonl"]),
    Holder("host", 12, "2026-01-01T00:00:00+00:00"),
    OpinionsReport({"linear": 1.5}, "joined", ESTIMATE, "r"),
    SuspectsReport("suspicion", "high", 5, 9, ESTIMATE, None, "r"),
    SuspectsReport("suspicion", "high", 5, 9, None, AUDIT, "r"),
    AuditSample("audit-2-1000", "suspicion", [Stratum(1, 9, 2)], [AuditedExample(7, 0, 3)], "r"),
    AuditSample("audit-2-1000", "suspicion", [Stratum(1, 9, 2)], [AuditedExample("7", 0, 3)], "r"),
    SelfcheckReport(
        flipped=Flipped(5, 50, "any other class", 1000),
        left_out=1,
        measured=Measured(49, 5),
        interval=IntervalMethod(0.95, "bootstrap"),
        default_score="suspicion",
        signals={"aum": SignalDetection(MEASURE, MEASURE, MEASURE, "low")},
        folds=None,
        run="r",
    ),
    SelectionReport(
        rule=Rule(by="aum", top=0.25, bottom=3),
        words="the 25 % with the highest aum and the 3 rows with the lowest aum",
        rows=SelectedRows(4, 9, 10, {"是": 4}),
        data=SelectedFile("/data/train.tsv", "0" * 64, None),
        run=RUN,
        output=FILE,
    ),
    ChangesReport(
        relabelled=1,
        dropped=2,
        kept=3,
        unsure=4,
        accepted_unseen=5,
        conflicts=6,
        examples=BeforeAfter(9, 7),
        by_class={"是": BeforeAfter(4, 5)},
        data=FILE,
        output=FILE,
        verdicts=[FILE],
        on_conflict="latest",
        run=RUN,
    ),
    ComparisonReport(
        [RUN, RUN], 9, 1, 2, {"ambiguous": {"ambiguous": 9}}, {"aum": SignalAgreement(0.5, None, 9)}, Axes("a", "b")
    ),
    CHECK,
    GainTraining("b.tsv", False, 1000, 2.5, [0, 1]),
    GainReport(
        dev="dev.tsv",
        dev_sha256="0" * 64,
        dev_examples=9,
        classes=["否", "是"],
        seeds=[1000],
        level=0.95,
        method="paired bootstrap",
        model="tiny",
        sets=[
            GainSet(
                name="b",
                file="b.tsv",
                sha256="1" * 64,
                control=False,
                examples=9,
                known_in_dev=0,
                changes=RowChanges(1, 2, 3),
                accuracy=SPREAD,
                macro_f1=SPREAD,
                against_first=DIFFERENCES,
                against_control=None,
                trainings=["trainings/x.json"],
            )
        ],
        versions={"python": "3.10"},
    ),
]


def classes() -> list[type]:
    """Those of `reports`, and all that their fields are made of; without those that others only extend."""
    found: dict[type, None] = {}

    def visit(kind: Any) -> None:
        if inspect.isclass(kind) and is_dataclass(kind) and kind not in found:
            found[kind] = None
            for hint in get_type_hints(kind).values():
                visit(hint)
        for argument in get_args(kind):
            visit(argument)

    for report in REPORTS:
        visit(type(report))
    return list(found)


def names(tree: Any) -> Iterator[str]:
    """The fields in a tree of types."""
    for kind in tree:
        yield from (field.name for field in fields(kind))


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_report_is_read_as_it_was_written(report: Any, tmp_path: Path) -> None:
    reports.write(tmp_path / "report.json", report)
    assert report == reports.read(tmp_path / "report.json", type(report))


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_what_a_later_version_added_is_passed_over_and_what_is_missing_is_named(report: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    reports.write(path, report)
    content = json.loads(path.read_text())
    files.write_json(path, {**content, "later": 1})
    assert report == reports.read(path, type(report))
    first = next(iter(content))
    files.write_json(path, {name: value for name, value in content.items() if name != first})
    with pytest.raises(ValueError, match=first):
        reports.read(path, type(report))


def test_no_type_of_reports_is_missing_here() -> None:
    defined = {kind for _, kind in inspect.getmembers(reports, inspect.isclass) if is_dataclass(kind)}
    extended = {base for kind in classes() for base in kind.__mro__[1:]}
    assert set() == defined - set(classes()) - extended


def test_the_names_of_fields_have_no_spaces() -> None:
    assert [] == [name for name in names(classes()) if not re.fullmatch(r"[a-z][a-z0-9_]*", name)]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_type_is_documented_with_its_fields_and_no_others(kind: type) -> None:
    """A line that begins with the type's name, then a table whose first column names the fields."""
    (table,) = re.findall(rf"^`{kind.__name__}`[^\n]*\n\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE)
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(field.name for field in fields(kind)) == sorted(named)


def test_every_part_of_a_run_directory_is_documented() -> None:
    listed = DOCUMENT.partition("## In a run directory")[2].partition("\n## ")[0]
    parts_of_it = {parts.MARK, ".datamap.lock", parts.DIGESTS, *parts.WITHIN, *parts.NAMES}
    assert set() == {part for part in parts_of_it if not re.search(rf"[`/]{re.escape(part)}[`/]", listed)}
