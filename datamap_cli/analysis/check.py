"""What is wrong with labelled texts, as far as the texts and labels themselves tell: no model, no training.

Every finding has a name, which `datamap check --strict` takes, and is there or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.analysis import duplicates, linear
from datamap_cli.analysis.linear import Labels, Linear

FINDINGS = {
    "bad-rows": "rows that training would refuse",
    "conflicts": "the same text under different labels",
    "duplicates": "the same text more than once",
    "near-duplicates": "nearly the same text",
    "leaks": "training texts that stand in the dev set",
    "rare-classes": "classes with too few examples to learn or to judge",
    "alike-classes": "classes that are taken for each other",
    "contradicted": "labels that the other examples contradict",
}
"""Every finding by its name, and what it is."""

MOST = 500
"""Entries of each list that are kept."""
_FEW = linear.FOLDS
_ALIKE, _TIMES = 0.1, 3
_SKILL = 0.05
"""Share of the uncertainty of labels that an opinion must take away to be heard; guessing takes none."""


@dataclass(frozen=True)
class Lengths:
    """Characters of the texts of a column."""

    shortest: int
    median: int
    p95: int
    longest: int


@dataclass(frozen=True)
class Class:
    name: str
    examples: int
    share: float


@dataclass(frozen=True)
class BadRow:
    """A row that is no example."""

    row: int
    line: int | None
    what: str


@dataclass(frozen=True)
class Group:
    """Examples with the same texts, or nearly."""

    rows: list[int]
    labels: list[str]
    text_a: str
    text_b: str | None
    dev_rows: list[int] | None = None
    """Of a leak: where the text stands in the dev file."""
    dev_labels: list[str] | None = None


@dataclass(frozen=True)
class Alike:
    """Two classes that are taken for each other: how many of each the linear opinion gives to the other."""

    classes: tuple[str, str]
    taken: tuple[int, int]
    examples: tuple[int, int]


@dataclass(frozen=True)
class Suspect:
    """A label that the linear opinion contradicts."""

    row: int
    line: int | None
    id: int | str
    label: str
    suggested_label: str
    label_probs: float
    suggested_probs: float
    text_a: str
    text_b: str | None
    marks_a: list[tuple[int, int]]
    """Characters [begin, end) that speak most for the suggested against the given label."""
    marks_b: list[tuple[int, int]]


@dataclass(frozen=True)
class Opinion:
    """What the linear opinion says on the whole."""

    method: str
    agreement: float
    """Share of the labels that it would have given."""
    skill: float
    """Share of the uncertainty of labels, in nats, that it takes away; 0 is guessing by the classes' sizes."""
    contradicted: int
    """Labels that it would not have given."""
    likely_wrong: int | None
    """Labels more that would be right than wrong if it were followed wherever it contradicts; None where it is weak."""


@dataclass(frozen=True)
class Check:
    """All that was found in a file; lists hold the first MOST entries, `counts` all."""

    examples: int
    pairs: bool
    classes: list[Class]
    lengths: dict[str, Lengths]
    counts: dict[str, int]
    """How often each finding is there, by its name; a finding that could not be looked for is missing."""
    bad_rows: list[BadRow]
    conflicts: list[Group]
    duplicates: list[Group]
    near_duplicates: list[Group]
    leaks: list[Group]
    rare_classes: list[Class]
    alike_classes: list[Alike]
    contradicted: list[Suspect]
    opinion: Opinion | None
    notes: list[str]


def check(
    frame: pl.DataFrame, bad: Sequence[tuple[int, int | None, str]], dev: pl.DataFrame | None, seed: int
) -> Check:
    """Checks examples: row, line, id, text_a, text_b (null: single texts) and label as text; `dev` likewise.

    `bad` are the rows that are no examples.
    """
    a, b = frame["text_a"], frame["text_b"] if frame["text_b"].null_count() < frame.height else None
    names = sorted(frame["label"].unique().to_list(), key=_by_number)
    label = frame["label"].replace_strict(names, list(range(len(names))), return_dtype=pl.Int64).to_numpy()
    sizes = np.bincount(label, minlength=len(names))
    classes = [Class(name, int(size), float(size / len(label))) for name, size in zip(names, sizes, strict=True)]
    same = duplicates.groups(a, b)
    groups = _groups(frame, same)
    conflicts = [group for group in groups if len(set(group.labels)) > 1]
    copies = [group for group in groups if len(set(group.labels)) < len(group.labels)]
    near = _near(frame, same, duplicates.near(a, b))
    leaks = [] if dev is None else _leaks(frame, a, b, dev)
    rare = [one for one in classes if one.examples < _FEW]
    counts = {
        "bad-rows": len(bad),
        "conflicts": sum(len(group.rows) for group in conflicts),
        "duplicates": sum(len(group.rows) - len(set(group.labels)) for group in copies),
        "near-duplicates": sum(len(group.rows) - 1 for group in near),
        **({} if dev is None else {"leaks": sum(len(group.rows) for group in leaks)}),
        "rare-classes": len(rare),
    }
    opinion, alike, suspects, notes = _opinion(frame, a, b, label, names, seed)
    if opinion is not None:
        counts |= {"alike-classes": len(alike), "contradicted": opinion.likely_wrong or 0}
    return Check(
        examples=frame.height,
        pairs=b is not None,
        classes=classes,
        lengths={"text_a": _lengths(a), **({} if b is None else {"text_b": _lengths(b)})},
        counts=counts,
        bad_rows=[BadRow(*row) for row in bad[:MOST]],
        conflicts=conflicts[:MOST],
        duplicates=copies[:MOST],
        near_duplicates=near[:MOST],
        leaks=leaks[:MOST],
        rare_classes=rare[:MOST],
        alike_classes=alike[:MOST],
        contradicted=suspects,
        opinion=opinion,
        notes=notes,
    )


def _by_number(name: str) -> tuple[bool, int, str]:
    """Integers by value before names by the alphabet."""
    number = name.lstrip("-").isdecimal() and len(name) < 19
    return (not number, int(name) if number else 0, name)


def _lengths(texts: pl.Series) -> Lengths:
    length = texts.fill_null("").str.len_chars().to_numpy()
    return Lengths(*(round(float(value)) for value in np.percentile(length, [0, 50, 95, 100])))


# -------------------------------------------------------------------------------------------- duplicates


def _groups(frame: pl.DataFrame, group: npt.NDArray[np.int64]) -> list[Group]:
    """The examples that share a group with others: several labels before one, then the largest groups first."""
    found = (
        frame.select("row", "label", "text_a", "text_b", group=pl.Series(group))
        .filter(pl.len().over("group") > 1)
        .group_by("group", maintain_order=True)
        .agg("row", "label", pl.col("text_a", "text_b").first())
        .sort(pl.col("label").list.n_unique(), pl.col("row").list.len(), "group", descending=[True, True, False])
    )
    return [
        Group(row["row"], row["label"], row["text_a"], row["text_b"])
        for row in found.drop("group").iter_rows(named=True)
    ]


def _near(frame: pl.DataFrame, same: npt.NDArray[np.int64], near: npt.NDArray[np.int64]) -> list[Group]:
    """Groups of nearly the same texts, one example for each text: those that are the same have a list of their own."""
    first = same == np.arange(len(same))
    return _groups(frame.filter(pl.Series(first)), near[first])


def _leaks(frame: pl.DataFrame, a: pl.Series, b: pl.Series | None, dev: pl.DataFrame) -> list[Group]:
    dev_b = None if dev["text_b"].null_count() == dev.height else dev["text_b"]
    known = duplicates.folded(dev["text_a"], dev_b).with_columns(dev["row"].alias("dev"), dev["label"].alias("of_dev"))
    known = known.group_by("first", "second").agg("dev", "of_dev")
    found = pl.concat([frame, duplicates.folded(a, b)], how="horizontal").join(
        known, on=["first", "second"], how="inner", maintain_order="left"
    )
    return [
        Group([row["row"]], [row["label"]], row["text_a"], row["text_b"], row["dev"], row["of_dev"])
        for row in found.iter_rows(named=True)
    ]


# --------------------------------------------------------------------------------------------- the labels


def _opinion(
    frame: pl.DataFrame, a: pl.Series, b: pl.Series | None, label: Labels, names: list[str], seed: int
) -> tuple[Opinion | None, list[Alike], list[Suspect], list[str]]:
    """The linear opinion, classes that are alike, suspects, and what could not be said."""
    if len(names) < 2:
        return None, [], [], [f"every label is {names[0]}: there is nothing to tell apart"]
    if not linear.available():
        return None, [], [], [linear.MISSING]
    found = linear.held_out(a, b, label, len(names), seed)
    judged = ~np.isnan(found.label_probs)
    if not judged.any():
        return None, [], [], ["no label can be judged: every class has one example, or the texts share nothing"]
    notes = []
    if not judged.all():
        notes.append(f"{int((~judged).sum()):,} labels not judged: no other example has them to learn from")
    prior = np.bincount(label[judged]) / judged.sum()
    uncertainty = -float((prior[prior > 0] * np.log(prior[prior > 0])).sum())
    skill = 1 - float(found.loss[judged].mean()) / uncertainty if uncertainty > 0 else 0.0
    against = judged & (found.pred_label != label)
    likely = None if skill < _SKILL else round(float((found.pred_probs - found.label_probs)[against].sum()))
    if likely is None:
        notes.append("words and characters say next to nothing of these labels: `datamap train` may tell more")
    agreement = float((found.pred_label == label)[judged].mean())
    opinion = Opinion(found.method, agreement, skill, int(against.sum()), likely)
    if likely is None:
        return opinion, [], [], notes
    return opinion, _alike(found, label, names), _suspects(frame, found, label, names, against), notes


def _suspects(
    frame: pl.DataFrame, found: Linear, label: Labels, names: list[str], against: npt.NDArray[np.bool_]
) -> list[Suspect]:
    """The contradicted labels, the least likely first."""
    places = np.flatnonzero(against)
    places = places[np.argsort(found.label_probs[places], kind="stable")][:MOST]
    suspects = []
    for place, row in zip(places.tolist(), frame[places].iter_rows(named=True), strict=True):
        given, other = int(label[place]), int(found.pred_label[place])
        marks_a, marks_b = found.speaking(place, row["text_a"], row["text_b"], other, given)
        suspects.append(
            Suspect(
                row=row["row"],
                line=row["line"],
                id=row["id"],
                label=names[given],
                suggested_label=names[other],
                label_probs=float(found.label_probs[place]),
                suggested_probs=float(found.pred_probs[place]),
                text_a=row["text_a"],
                text_b=row["text_b"],
                marks_a=marks_a,
                marks_b=marks_b,
            )
        )
    return suspects


def _alike(found: Linear, label: Labels, names: list[str]) -> list[Alike]:
    """Pairs of classes of which a tenth or more of each is taken for the other, the likest first."""
    size = np.bincount(label, minlength=len(names))
    taken = pl.DataFrame({"given": label, "pred": found.pred_label}).filter(pl.col("given") != pl.col("pred"))
    number = {(given, pred): count for given, pred, count in taken.group_by("given", "pred").len().iter_rows()}
    alike = []
    if len(names) == 2:
        return []  # of two classes each is all that the other can be taken for
    for (i, j), there in number.items():
        back = number.get((j, i), 0)
        share = min(there / size[i], back / size[j])
        if i < j and share >= _ALIKE and min(there, back) >= _TIMES:
            pair = Alike((names[i], names[j]), (there, back), (int(size[i]), int(size[j])))
            alike.append((-share, i, j, pair))
    return [pair for *_, pair in sorted(alike, key=lambda entry: entry[:3])]
