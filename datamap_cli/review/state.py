"""A review under way: examples in an order, what was decided of them, and where the reviewer is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from datamap_cli.analysis.verdicts import Identity, Verdict, Word

_RECENT = 20


@dataclass(frozen=True)
class Item:
    """An example to be decided."""

    id: Identity
    label: str
    """Name of the given class."""
    texts: tuple[str, ...]
    suggested: str | None = None
    """Name of the class that the model would give; None in an audit, where nothing may lead."""
    probs: tuple[float, ...] = ()
    """Mean probability of every class; empty where it is unknown or may not be shown."""
    course: tuple[tuple[float, ...], ...] = ()
    """Probability of the given label, and of the strongest other, at every evaluation; NaN where there is none."""
    about: str = ""
    """Its rank and score."""
    why: str = ""


@dataclass(frozen=True)
class Progress:
    decided: int
    total: int
    wrong: int
    """Relabelled or dropped."""
    recent: int
    """The last so many decided, 20 at most."""
    recent_wrong: int


class Review:
    """What one reviewer decides of a list of examples.

    Each decision is a Verdict, to be appended to the file before anything else happens.
    """

    def __init__(
        self,
        items: Sequence[Item],
        *,
        reviewer: str,
        run: str,
        sample: str | None = None,
        earlier: Iterable[Verdict] = (),
    ) -> None:
        """Goes on after `earlier`, the reviewer's lines of before, in the order of the file."""
        self.items = items
        self.reviewer = reviewer
        self.run = run
        self.sample = sample
        self.decided: dict[Identity, Verdict] = {}
        self._steps: list[tuple[Identity, Verdict | None]] = []
        """Every decision that can be taken back: the id, and what was decided of it before."""
        self._places = {item.id: place for place, item in enumerate(items)}
        for verdict in earlier:
            if verdict.id not in self._places:
                continue
            if verdict.verdict == "undo":
                self.decided.pop(verdict.id, None)
                self._steps = [step for step in self._steps if step[0] != verdict.id]
            else:
                self._enter(verdict)
        self.place = self._next_open(-1)

    @property
    def item(self) -> Item:
        return self.items[self.place]

    @property
    def verdict(self) -> Verdict | None:
        """What was decided of the example at hand."""
        return self.decided.get(self.item.id)

    @property
    def finished(self) -> bool:
        return len(self.decided) == len(self.items)

    def progress(self) -> Progress:
        order = list(dict.fromkeys(identity for identity, _ in reversed(self._steps)))[:_RECENT]
        wrong = sum(verdict.wrong is True for verdict in self.decided.values())
        recent = sum(self.decided[identity].wrong is True for identity in order)
        return Progress(len(self.decided), len(self.items), wrong, len(order), recent)

    def decide(self, word: Word, new_label: str | None, note: str | None, at: str) -> Verdict:
        """Decides of the example at hand, and goes on to the next that is open."""
        if new_label == self.item.label:
            word, new_label = "keep", None
        verdict = Verdict(
            self.item.id, word, self.item.label, new_label, self.reviewer, at, note, self.run, self.sample
        )
        self._enter(verdict)
        self.place = self._next_open(self.place)
        return verdict

    def annotate(self, note: str | None, at: str) -> Verdict | None:
        """The verdict on the example at hand once more, with a note; None where there is no verdict yet."""
        if self.verdict is None:
            return None
        verdict = replace(self.verdict, note=note, at=at)
        self.decided[verdict.id] = verdict
        return verdict

    def undo(self, at: str) -> Verdict | None:
        """Takes the last decision back and returns to it: a verdict that says so, None where there is none."""
        if not self._steps:
            return None
        identity, before = self._steps.pop()
        self.place = self._places[identity]
        taken_back = self.decided.pop(identity)
        if before is None:
            return replace(
                taken_back, verdict="undo", new_label=None, note=None, at=at, run=self.run, sample=self.sample
            )
        self.decided[identity] = again = replace(before, at=at)
        return again

    def move(self, by: int) -> None:
        """To a neighbour, decided or not."""
        self.place = min(max(self.place + by, 0), len(self.items) - 1)

    def _enter(self, verdict: Verdict) -> None:
        self._steps.append((verdict.id, self.decided.get(verdict.id)))
        self.decided[verdict.id] = verdict

    def _next_open(self, place: int) -> int:
        """The next that is not decided, from the beginning again where none follows; where all are, the next."""
        count = len(self.items)
        for step in range(1, count + 1):
            candidate = (place + step) % count
            if self.items[candidate].id not in self.decided:
                return candidate
        return min(place + 1, count - 1)
