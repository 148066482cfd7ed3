"""Every JSON file we write, typed: what `docs/files.md` describes is what stands here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

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
