"""Every JSON file we write, typed: `docs/files.md` describes what stands here, and a test holds it to that."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from datamap_cli.analysis.audit import Interval, Stratum
from datamap_cli.analysis.check import Check
from datamap_cli.analysis.selection import Rule
from datamap_cli.analysis.selfcheck import Detection
from datamap_cli.run import files
from datamap_cli.signals import Quality

T = TypeVar("T")


def write(path: Path, report: Any) -> None:
    """Writes one of the types below as JSON, whole or not at all."""
    files.write_json(path, asdict(report))


def read(path: Path, kind: type[T]) -> T:
    """What `write` wrote, as `kind`; fields that it does not know are passed over, as a later version may have written.

    Raises ValueError for what is no such file, OSError for what cannot be read.
    """
    try:
        return TypeAdapter(kind).validate_python(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


# ------------------------------------------------------------------------------------------ run.json


@dataclass(frozen=True)
class EvaluationInfo:
    """One evaluation as run.json lists it."""

    evaluation: int
    step: int
    epoch: float | None
    train_loss: float | None
    accuracy: float
    seconds: float
    files: list[str]
    """Paths of its signal files in the run directory; we write one, others may write several."""
    dev: Quality | None = None
    """Loss, accuracy, macro-F1 and F1 by class on the dev set, where there is one."""


@dataclass(frozen=True)
class Origin:
    """Where the records of a run come from."""

    kind: str
    """train, recorder, or import and the format."""
    data: str | None = None
    """Absolute path of the data file that was trained on, or of what was imported."""
    sha256: str | None = None
    """Of that file's bytes."""
    model: str | None = None
    seed: int | None = None
    folds: int | None = None
    """Models trained, if the records of each example are of the one it was held out from."""


@dataclass(frozen=True)
class RunInfo:
    """run.json: what the run is of, and its evaluations."""

    run_id: str
    started: str
    finished: str | None
    classes: list[str]
    examples: int
    origin: Origin
    versions: dict[str, str]
    evaluations: list[EvaluationInfo] = field(default_factory=list)


# ----------------------------------------------------------------------------------------- gain.json


@dataclass(frozen=True)
class GainTraining:
    """trainings/….json: what one training for `datamap gain` came to."""

    file: str
    control: bool
    seed: int
    seconds: float
    predicted: list[int]
    """Class index for each dev example."""


@dataclass(frozen=True)
class Spread:
    """A measure over the trainings on one file."""

    mean: float
    sd: float | None
    """Over the seeds, ddof 1; null for one seed."""
    low: float
    """With `high` the interval of the mean."""
    high: float
    values: list[float]
    """By seed."""


@dataclass(frozen=True)
class Difference:
    """Of two files' means, with the interval of the paired bootstrap."""

    value: float
    low: float
    high: float
    detectable: float
    """The least true difference that would have been told from chance with a probability of 80 %."""
    told: bool
    """Whether the interval does not span zero."""


@dataclass(frozen=True)
class Differences:
    accuracy: Difference
    macro_f1: Difference


@dataclass(frozen=True)
class RowChanges:
    """What was done to the rows of the first file to make another of it, rows matched by their texts."""

    dropped: int
    relabelled: int
    added: int


@dataclass(frozen=True)
class GainSet:
    """A file that was trained on, or the control of one."""

    name: str
    file: str
    sha256: str
    control: bool
    """Whether as many rows of the first file were changed at random, in place of those that this file changed."""
    examples: int
    known_in_dev: int
    """Dev examples whose texts are among these."""
    changes: RowChanges | None
    """Null for the first file."""
    accuracy: Spread
    macro_f1: Spread
    against_first: Differences | None
    against_control: Differences | None
    trainings: list[str]
    """Files beside this one, by seed."""


@dataclass(frozen=True)
class GainReport:
    """gain.json: what training on each file came to on the dev set."""

    dev: str
    dev_sha256: str
    dev_examples: int
    classes: list[str]
    seeds: list[int]
    level: float
    """Of the intervals."""
    method: str
    model: str
    sets: list[GainSet]
    versions: dict[str, str]


# ---------------------------------------------------------------------------------- beside run.json


@dataclass(frozen=True)
class Mark:
    """.datamap.json: which run is in the directory, and what of all that lies there we wrote."""

    run_id: str
    written: list[str]
    """Paths in the directory, each entered before it is written: nothing else is ever removed."""
    replaced: list[str] = field(default_factory=list)
    """The same of a run before that is being removed; empty once it is."""


@dataclass(frozen=True)
class Holder:
    """.datamap.lock: who is writing to the directory just now."""

    host: str
    process: int
    since: str


# ------------------------------------------------------------------------------------- opinions.json


@dataclass(frozen=True)
class ErrorEstimate:
    """How many labels are wrong, as far as can be told without looking at any."""

    total: int
    low: int | None
    """With `high` the ends of the interval; null where the method gives none."""
    high: int | None
    by_given_label: dict[str, int]
    method: str


@dataclass(frozen=True)
class OpinionsReport:
    """opinions.json: how the opinions in opinions.parquet came to be."""

    opinions: dict[str, float]
    """Those that are joined, with the weight of each; none where there are too many classes."""
    method: str
    estimate: ErrorEstimate | None
    run: str


# ------------------------------------------------------------------- suspects.json and audit.json


@dataclass(frozen=True)
class AuditReport:
    """What people who looked at a sample tell of the labels; counts are of the whole data set."""

    drawn: int
    decided: int
    """Of those drawn, the ones a reviewer was sure of."""
    unsure: int
    found: int
    """Wrong labels among those decided."""
    label_errors: Interval
    by_given_label: dict[str, Interval]
    precision: dict[int, Interval]
    """By depth: the share of wrong labels among the first so many suspects."""


@dataclass(frozen=True)
class SuspectsReport:
    """suspects.json: what suspects.tsv is ranked by, and how many labels are wrong."""

    score: str
    suspicious_end: str
    """low or high."""
    rows: int
    examples: int
    estimate: ErrorEstimate | None
    audit: AuditReport | None
    """Told by a sample that people looked at; it stands in place of the estimate."""
    run: str


@dataclass(frozen=True)
class AuditedExample:
    """One example of an audit sample."""

    id: int | str
    label: int
    """Class index."""
    rank: int


@dataclass(frozen=True)
class AuditSample:
    """audit.json: which examples were drawn from the ranking."""

    sample: str
    score: str
    strata: list[Stratum]
    examples: list[AuditedExample]
    """In the random order in which they are shown."""
    run: str


# ------------------------------------------------------------------------------------ selfcheck.json


@dataclass(frozen=True)
class Flipped:
    """Which labels were flipped."""

    rows: int
    of: int
    towards: str
    """In words: to which classes."""
    seed: int


@dataclass(frozen=True)
class Measured:
    """What the signals were measured on."""

    rows: int
    flipped: int


@dataclass(frozen=True)
class IntervalMethod:
    """What low and high of a measure are."""

    level: float
    method: str


@dataclass(frozen=True)
class SignalDetection(Detection):
    """How well one signal finds the flipped labels."""

    suspicious_end: str


@dataclass(frozen=True)
class SelfcheckReport:
    """selfcheck.json: how well each signal finds labels that were flipped."""

    flipped: Flipped
    left_out: int
    """Rows that the data marks as dirty: neither flipped nor measured."""
    measured: Measured
    interval: IntervalMethod
    default_score: str
    signals: dict[str, SignalDetection]
    """By signal, the highest average precision first."""
    folds: int | None
    run: str


# --------------------------------------------------------------------------------- beside an output


@dataclass(frozen=True)
class FileReference:
    """A file as it was: its path and the hash of its bytes."""

    file: str
    sha256: str | None
    """Null for a folder."""


@dataclass(frozen=True)
class SelectedFile(FileReference):
    """The data file that rows were selected from."""

    sha256_in_the_run: str | None
    """What the run was trained on; null where it does not know."""


@dataclass(frozen=True)
class RunReference:
    """Which run it is, and where."""

    id: str
    directory: str


@dataclass(frozen=True)
class SelectedRows:
    """How many rows were selected, and of how many."""

    selected: int
    in_the_run: int
    in_the_file: int
    by_given_label: dict[str, int]


@dataclass(frozen=True)
class SelectionReport:
    """FILE.selection.json: by which rule the rows in FILE were selected."""

    rule: Rule
    words: str
    """The rule in words."""
    rows: SelectedRows
    data: SelectedFile
    run: RunReference
    output: FileReference


@dataclass(frozen=True)
class BeforeAfter:
    """A count before the verdicts were applied, and after."""

    before: int
    after: int


@dataclass(frozen=True)
class ChangesReport:
    """FILE.changes.json: what verdicts changed in FILE."""

    relabelled: int
    dropped: int
    kept: int
    unsure: int
    accepted_unseen: int
    """Changes by suggestions that no person saw."""
    conflicts: int
    """Examples that reviewers contradict each other on."""
    examples: BeforeAfter
    by_class: dict[str, BeforeAfter]
    data: FileReference
    output: FileReference
    verdicts: list[FileReference]
    on_conflict: str
    run: RunReference


@dataclass(frozen=True)
class SignalAgreement:
    """How alike two runs rank the examples by a signal."""

    spearman: float | None
    """Rank correlation; null for class indices, and where one of the two is the same throughout."""
    agreement: float | None
    """Of class indices the share that agrees."""
    examples: int
    """Those with a value in both."""


@dataclass(frozen=True)
class Axes:
    """The signals that a map is drawn of."""

    x: str
    y: str


@dataclass(frozen=True)
class ComparisonReport:
    """The .json of `datamap compare`: how two runs differ."""

    runs: list[RunReference]
    examples: int
    other_label: int
    """Examples whose given label differs."""
    other_region: int
    regions: dict[str, dict[str, int]]
    """Examples by their region in the first run, then in the second."""
    signals: dict[str, SignalAgreement]
    map: Axes


# ------------------------------------------------------------------------------------- FILE.check.json


@dataclass(frozen=True)
class CheckedDev(FileReference):
    """The dev set that a file was checked against."""

    examples: int


@dataclass(frozen=True)
class CheckedFile(FileReference):
    """The file that was checked."""

    dev: CheckedDev | None
    datamap: str
    """The version that checked it."""


@dataclass(frozen=True)
class CheckReport(Check, CheckedFile):
    """FILE.check.json: all that was found in a labelled file."""
