"""What verdicts do to a data set: rows that get another label, and rows that go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from datamap_cli.analysis.verdicts import Decision, Identity, moment


@dataclass(frozen=True)
class Change:
    """A row that does not stay as it is."""

    id: Identity
    label: str
    new_label: str | None
    """None: the row is dropped."""
    reviewers: tuple[str, ...]
    """Nobody, for a suggestion that was accepted unseen."""
    when: str | None
    note: str | None


def changes(decisions: Iterable[Decision], *, drop_unsure: bool) -> list[Change]:
    """The rows that decisions change: those to be relabelled or dropped, and with `drop_unsure` the doubtful ones."""
    dropped = {"drop", "unsure"} if drop_unsure else {"drop"}
    return [
        Change(
            decision.id,
            decision.label,
            None if decision.verdict in dropped else decision.new_label,
            tuple(verdict.reviewer for verdict in decision.by),
            max((verdict.at for verdict in decision.by), key=moment),
            "; ".join(verdict.note for verdict in decision.by if verdict.note) or None,
        )
        for decision in decisions
        if decision.verdict in dropped or decision.verdict == "relabel"
    ]


def unseen(suspects: pl.DataFrame, classes: Sequence[str], seen: Container[Identity], number: int) -> list[Change]:
    """The first `number` suggestions of another label for examples that no person has `seen`, as changes.

    Of the suspects are read rank, id, label and suggested_label, the worst first.
    """
    found: list[Change] = []
    for rank, identity, label, suggested in suspects.select("rank", "id", "label", "suggested_label").iter_rows():
        if len(found) == number:
            break
        if identity not in seen and suggested != label:
            note = f"suggestion accepted unseen: rank {rank} of suspects.tsv"
            found.append(Change(identity, classes[label], classes[suggested], (), None, note))
    return found


def table(changed: Iterable[Change], lines: Mapping[Identity, int | None]) -> pl.DataFrame:
    """The log: id, line, from, to (null: dropped), reviewers, when, note; a row a change."""
    rows = []
    for change in changed:
        reviewers = ", ".join(change.reviewers) or None
        rows.append(
            (str(change.id), lines[change.id], change.label, change.new_label, reviewers, change.when, change.note)
        )
    names = ("id", "line", "from", "to", "reviewers", "when", "note")
    return pl.DataFrame(rows, {name: pl.Int64 if name == "line" else pl.String for name in names}, orient="row")


def by_class(before: Mapping[str, int], changed: Sequence[Change]) -> dict[str, dict[str, int]]:
    """How many examples each class has before and after, new classes last."""
    gone = Counter(change.label for change in changed)
    come = Counter(change.new_label for change in changed if change.new_label is not None)
    counts = {name: {"before": before.get(name, 0)} for name in dict.fromkeys((*before, *come))}
    for name, count in counts.items():
        count["after"] = count["before"] - gone[name] + come[name]
    return counts
