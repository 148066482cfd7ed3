"""What people decided of examples: verdicts read, merged, and turned into one decision for each example.

A file of verdicts is only ever appended to; the last line of a reviewer on an id counts.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import util
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from datamap_cli.errors import DatamapError
from datamap_cli.text import counted, short

Word = Literal["keep", "relabel", "drop", "unsure", "undo"]
"""`undo` takes the reviewer's verdict back: an append-only file has no other way to say that there is none."""

OnConflict = Literal["error", "keep", "latest", "majority"]
Identity = int | str
Deed = tuple[Word, "str | None"]
"""What a verdict does: the word, and the new label of `relabel`."""

WORDS: tuple[Word, ...] = get_args(Word)
ON_CONFLICT: tuple[OnConflict, ...] = get_args(OnConflict)

_SHOWN = 3


@dataclass(frozen=True)
class Verdict:
    """What a reviewer decided of an example; a line of verdicts.jsonl."""

    id: Identity
    verdict: Word
    label: str
    """Name of the given class."""
    new_label: str | None
    """Name of the right one; only of `relabel`."""
    reviewer: str
    at: str
    """ISO 8601, with zone."""
    note: str | None = None
    run: str | None = None
    """run_id of the run it was decided on."""
    sample: str | None = None
    """Name of the audit sample that the example was drawn for."""
    place: str = field(default="", compare=False)
    """The file and line it stands in."""

    @property
    def wrong(self) -> bool | None:
        """Whether the row should not stay as it is; None where the reviewer does not know."""
        return {"keep": False, "relabel": True, "drop": True}.get(self.verdict)


@dataclass(frozen=True)
class Loaded:
    """What a file of verdicts holds."""

    verdicts: list[Verdict]
    """Line by line."""
    notes: list[str]
    """What the user should know of how it was read."""


# ---------------------------------------------------------------------------------------------- lines


def serialize(verdict: Verdict) -> str:
    """A verdict as a line of JSON, with the line end."""
    tree = asdict(verdict)
    del tree["place"]
    return json.dumps(tree, ensure_ascii=False) + "\n"


def parse(line: str, place: str) -> Verdict:
    """The verdict in a line; raises DatamapError that begins with `place` where it is none."""
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError):
        raise DatamapError(f"{place}: not valid JSON; expected a verdict, a JSON object a line") from None
    if not isinstance(tree, dict):
        raise DatamapError(f"{place}: not a JSON object; expected a verdict")
    missing = [name for name in ("id", "verdict", "label", "reviewer", "at") if tree.get(name) is None]
    if missing:
        raise DatamapError(f"{place}: no {' and no '.join(missing)}; a verdict has id, verdict, label, reviewer and at")
    if tree["verdict"] not in WORDS:
        raise DatamapError(f"{place}: verdict: {_said(tree['verdict'])}: expected {', '.join(WORDS)}")
    if not isinstance(tree["id"], int | str) or isinstance(tree["id"], bool):
        raise DatamapError(f"{place}: id: {_said(tree['id'])}: expected an integer or a text")
    for name in ("label", "new_label", "reviewer", "at", "note", "run", "sample"):
        if tree.get(name) is not None and not isinstance(tree[name], str):
            raise DatamapError(f"{place}: {name}: {_said(tree[name])}: expected a text")
    if (tree["verdict"] == "relabel") != (tree.get("new_label") is not None):
        raise DatamapError(f"{place}: new_label: expected with the verdict relabel, and with no other")
    fields: dict[str, Any] = {name: tree.get(name) for name in Verdict.__dataclass_fields__ if name != "place"}
    verdict = Verdict(**fields, place=place)
    _refuse_unreadable(verdict)
    return verdict


def load(path: Path) -> Loaded:
    """The verdicts in a file of them, a JSON object a line.

    A last line that was cut off, by a crash or a full disk, is left out with a note. Raises DatamapError with the
    line's number for any other that is no verdict, and for a file that cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DatamapError(f"{path}: no such file; `datamap review` writes verdicts") from None
    except OSError as error:
        raise DatamapError(f"{path}: cannot be read: {error.strerror}") from None
    whole, fragment = _whole_lines(content)
    found = []
    for number, line in enumerate(whole.split(b"\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            try:
                found.append(parse(line.decode("utf-8-sig" if number == 1 else "utf-8"), place))
            except UnicodeDecodeError:
                raise DatamapError(f"{place}: not UTF-8 text") from None
    number = whole.count(b"\n") + 1
    notes = [f"{path}, line {number}: cut off in the middle, and left out"] if fragment else []
    return Loaded(found, notes)


def cut_off(path: Path) -> int:
    """How many bytes at the end of a file of verdicts are a line that was cut off: none of them was decided."""
    return len(_whole_lines(path.read_bytes())[1])


def _whole_lines(content: bytes) -> tuple[bytes, bytes]:
    """The lines that are whole, and what was cut off: a last line without an end is whole if it is JSON."""
    last = content[content.rfind(b"\n") + 1 :]
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        if last.strip():
            return content[: len(content) - len(last)], last
    return content, b""


def _refuse_unreadable(verdict: Verdict) -> None:
    try:
        zoned = moment(verdict.at).tzinfo is not None
    except ValueError:
        zoned = False
    if not zoned:
        expected = "expected a date and time with zone, such as 2026-11-24T09:30:00+01:00"
        raise DatamapError(f"{verdict.place}: at: {_said(verdict.at)}: {expected}")
    for name in ("id", "label", "new_label"):
        value = getattr(verdict, name)
        if isinstance(value, str) and not value.strip():
            raise DatamapError(f"{verdict.place}: {name}: empty")


def moment(at: str) -> datetime:
    """The time that ISO 8601 gives; Python 3.10 reads neither Z nor any number of decimals."""
    at = re.sub(r"[zZ]$", "+00:00", at.strip())
    return datetime.fromisoformat(re.sub(r"\.(\d+)", lambda match: f".{match[1]:0<6.6}", at))


# ------------------------------------------------------------------------------------------- the run


def refuse_strange(verdicts: Iterable[Verdict], labels: Mapping[Any, str], *, kind: type, of: str) -> None:
    """Raises DatamapError for verdicts that are not of these examples: `labels` has the class name of every id.

    Told are ids that are not of the `kind` of the examples', ids that are not there, and given labels that are others
    now; `of` says of what the examples are. Verdicts of another run over the same labels are as good as its own.
    """
    strange = _Faults()
    for verdict in verdicts:
        if type(verdict.id) is not kind:
            expected = "integers" if kind is int else "texts"
            strange.add(verdict, f"id {_said(verdict.id)}: the ids of {of} are {expected}")
        elif verdict.id not in labels:
            strange.add(verdict, f"id {_said(verdict.id)} is not in {of}")
        elif labels[verdict.id] != verdict.label:
            now = f"the label is {_said(labels[verdict.id])} in {of}, not {_said(verdict.label)}"
            strange.add(verdict, f"id {_said(verdict.id)}: {now}; the verdict is of other labels")
    strange.raise_any()


def refuse_new_classes(verdicts: Iterable[Verdict], classes: Sequence[str]) -> None:
    """Raises DatamapError for new labels that are no class."""
    known = set(classes)
    faults = _Faults()
    for verdict in verdicts:
        if verdict.new_label is not None and verdict.new_label not in known:
            listed = ", ".join(classes[:9]) + (", …" if len(classes) > 9 else "")
            faults.add(
                verdict, f"new_label {_said(verdict.new_label)} is no class: {listed}; --allow-new-classes admits it"
            )
    faults.raise_any()


class _Faults:
    """The first of the verdicts that do not fit, and how many."""

    def __init__(self) -> None:
        self.first = ""
        self.count = 0

    def add(self, verdict: Verdict, what: str) -> None:
        self.count += 1
        self.first = self.first or f"{verdict.place}: {what}"

    def raise_any(self) -> None:
        if self.count:
            more = f" ({self.count:,} such verdicts)" if self.count > 1 else ""
            raise DatamapError(self.first + more)


# ------------------------------------------------------------------------------------------- merging


def current(files: Iterable[Iterable[Verdict]]) -> list[Verdict]:
    """The verdict of each reviewer on each id that counts, in the order in which the ids first come.

    In a file it is the last line, among files the one that was decided latest; what was taken back is left out.
    """
    counting: dict[tuple[Identity, str], Verdict] = {}
    for verdicts in files:
        for key, verdict in {(verdict.id, verdict.reviewer): verdict for verdict in verdicts}.items():
            other = counting.get(key)
            if other is None or moment(verdict.at) >= moment(other.at):
                counting[key] = verdict
    return [verdict for verdict in counting.values() if verdict.verdict != "undo"]


@dataclass(frozen=True)
class Decision:
    """What is to be done with an example, by all who looked at it."""

    id: Identity
    verdict: Word
    """Never `undo`."""
    label: str
    new_label: str | None
    by: tuple[Verdict, ...]
    """The verdicts that it follows."""


@dataclass(frozen=True)
class Merged:
    """One decision for each example, and where reviewers contradict each other."""

    decisions: list[Decision]
    conflicts: list[tuple[Verdict, ...]]
    """The verdicts on each example on which they do."""


def merge(verdicts: Iterable[Verdict], on_conflict: OnConflict) -> Merged:
    """What the verdicts that count come to; two reviewers contradict each other if they would do different things.

    Who is unsure contradicts nobody. Where they do: `error` raises DatamapError, `keep` leaves the label as it is,
    `latest` takes the verdict that was decided last, `majority` the one of most reviewers; a tie leaves the label.
    """
    by_id: dict[Identity, list[Verdict]] = {}
    for verdict in verdicts:
        by_id.setdefault(verdict.id, []).append(verdict)
    decisions, conflicts = [], []
    for group in by_id.values():
        sure = [verdict for verdict in group if verdict.verdict != "unsure"] or group
        if len({_deed(verdict) for verdict in sure}) > 1:
            conflicts.append(tuple(sure))
            sure = _settled(sure, on_conflict)
        word, new = _deed(sure[0]) if sure else ("keep", None)
        decisions.append(Decision(group[0].id, word, group[0].label, new, tuple(sure or group)))
    if conflicts and on_conflict == "error":
        choices = ", ".join(word for word in ON_CONFLICT if word != "error")
        raise DatamapError(f"{told(conflicts)}; --on-conflict {choices} settles it")
    return Merged(decisions, conflicts)


def _settled(group: list[Verdict], on_conflict: OnConflict) -> list[Verdict]:
    """The verdicts that are followed, all to the same end; none where the label stays as it is."""
    if on_conflict == "latest":
        return [max(group, key=lambda verdict: moment(verdict.at))]
    if on_conflict == "majority":
        (first, votes), (_, others) = Counter(map(_deed, group)).most_common(2)
        if votes > others:
            return [verdict for verdict in group if _deed(verdict) == first]
    return []


def _deed(verdict: Verdict) -> Deed:
    """What a verdict would do; to give an example the label it has is to keep it."""
    if verdict.verdict == "relabel" and verdict.new_label == verdict.label:
        return "keep", None
    return verdict.verdict, verdict.new_label


def told(conflicts: Sequence[Sequence[Verdict]]) -> str:
    """Who contradicts whom, on the first examples."""
    shown = "; ".join(f"id {group[0].id}: {_said_by(group)}" for group in conflicts[:_SHOWN])
    more = "; …" if len(conflicts) > _SHOWN else ""
    return f"reviewers contradict each other on {counted(len(conflicts), 'example')}: {shown}{more}"


def _said_by(group: Iterable[Verdict]) -> str:
    return ", ".join(
        f"{verdict.reviewer} {verdict.verdict}{f' {verdict.new_label}' if verdict.new_label else ''}"
        for verdict in group
    )


# ----------------------------------------------------------------------------------------- agreement


@dataclass(frozen=True)
class Agreement:
    """How far reviewers agree on the examples that two or more of them decided."""

    reviewers: int
    examples: int
    share: float
    """Of the pairs of reviewers on an example, those that would do the same."""
    kappa: float | None
    """Cohen's, which takes out what chance would agree on; of more than two reviewers the mean of all pairs (Light
    1971), weighted by the examples they share. None where every pair knows but one thing to do."""


def agreement(verdicts: Iterable[Verdict]) -> Agreement | None:
    """How far reviewers agree, by what they would do; None where no example has two who are sure.

    Cohen 1960, computed by scikit-learn; without it there is no kappa.
    """
    deeds: dict[str, dict[Identity, Deed]] = {}
    for verdict in verdicts:
        if verdict.verdict != "unsure":
            deeds.setdefault(verdict.reviewer, {})[verdict.id] = _deed(verdict)
    pairs = []
    seen: set[Identity] = set()
    for one, other in combinations(sorted(deeds), 2):
        shared = [identity for identity in deeds[one] if identity in deeds[other]]
        if shared:
            pairs.append(([deeds[one][k] for k in shared], [deeds[other][k] for k in shared]))
            seen.update(shared)
    if not pairs:
        return None
    same = sum(a == b for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))
    total = sum(len(ours) for ours, _ in pairs)
    kappas = [(_kappa(ours, theirs), len(ours)) for ours, theirs in pairs]
    told = [(value, size) for value, size in kappas if value is not None]
    kappa = float(np.average([value for value, _ in told], weights=[size for _, size in told])) if told else None
    involved = {name for name in deeds if any(identity in seen for identity in deeds[name])}
    return Agreement(len(involved), len(seen), same / total, kappa)


def _kappa(ours: Sequence[Deed], theirs: Sequence[Deed]) -> float | None:
    if util.find_spec("sklearn") is None:
        return None
    from sklearn.metrics import cohen_kappa_score

    codes = {deed: code for code, deed in enumerate(dict.fromkeys([*ours, *theirs]))}
    if len(codes) < 2:
        return None
    return float(cohen_kappa_score([codes[deed] for deed in ours], [codes[deed] for deed in theirs]))


def _said(value: object) -> str:
    return short(json.dumps(value, ensure_ascii=False), 60)
