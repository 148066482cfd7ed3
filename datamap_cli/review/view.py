"""The screen of a review: what a key does, and what is to be seen, line by line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import isnan

from rich.text import Text

from datamap_cli.analysis.verdicts import Verdict
from datamap_cli.review.state import Item, Review
from datamap_cli.text import cut, plain, visible, width

_BLOCKS = "▁▂▃▄▅▆▇█"
_DIGITS = 9
# words of scripts that put spaces between them are compared whole, all else character by character
_TOKEN = re.compile(r"[^\W\d_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+|.", re.DOTALL)
# comparing takes the product of the lengths
_MOST_TOKENS = 2_000
_MARKED = "underline bold yellow"


@dataclass
class View:
    """A review, and how it is looked at."""

    review: Review
    classes: Sequence[str]
    title: str
    forecast: str = ""
    """What is to be expected of the next, once something is."""
    marks: bool = True
    scroll: int = 0
    prompt: str | None = None
    """What is being typed: `class` or `note`."""
    typed: str = ""
    note: str | None = None
    """Goes with the next verdict."""
    message: str = ""
    quit: bool = False
    overflow: bool = False
    """Whether the texts are longer than their place, as drawn last."""

    # ------------------------------------------------------------------------------------------- keys

    def press(self, key: str, at: str) -> Verdict | None:
        """Does what a key says; the verdict that it made, which is to be kept before anything else."""
        self.message = ""
        if self.prompt is not None:
            return self._type(key, at)
        match key:
            case "k":
                return self._decide("keep", None, at)
            case "s":
                suggested = self.review.item.suggested
                if suggested is None or suggested == self.review.item.label:
                    self.message = "there is no suggestion of another label here"
                    return None
                return self._decide("relabel", suggested, at)
            case "d":
                return self._decide("drop", None, at)
            case "u":
                return self._decide("unsure", None, at)
            case "z":
                verdict = self.review.undo(at)
                self._turn()
                self.message = "nothing to undo" if verdict is None else f"id {verdict.id}: taken back"
                return verdict
            case "c" | "/" | "n":
                self.prompt = "note" if key == "n" else "class"
                before = self.note or (self.review.verdict.note if self.review.verdict else None)
                self.typed = (before or "") if key == "n" else ""
            case "left" | "right":
                self.review.move(-1 if key == "left" else 1)
                self._turn()
            case "up" | "down" | "pageup" | "pagedown":
                step = {"up": -1, "down": 1, "pageup": -5, "pagedown": 5}[key]
                self.scroll = max(0, self.scroll + step) if self.overflow or step < 0 else 0
            case "x":
                self.marks = not self.marks
            case "q":
                self.quit = True
            case _ if key in "123456789" and len(key) == 1:
                choices = self.choices()
                if int(key) <= len(choices):
                    return self._decide("relabel", choices[int(key) - 1], at)
        return None

    def _type(self, key: str, at: str) -> Verdict | None:
        if key == "escape":
            self.prompt = None
        elif key == "backspace":
            self.typed = self.typed[:-1]
        elif key == "enter" and self.prompt == "note":
            self.prompt, note = None, self.typed.strip() or None
            verdict = self.review.annotate(note, at)
            if verdict is None:
                self.note = note  # kept until there is a verdict to go with
            return verdict
        elif key == "enter":
            found = self.matches()
            if not found:
                self.message = f"no class with {self.typed!r} in its name"
                return None
            self.prompt = None
            return self._decide("relabel", found[0], at)
        elif len(key) == 1 and key.isprintable():
            self.typed += key
        return None

    def _decide(self, word: str, new_label: str | None, at: str) -> Verdict:
        note = self.note or (self.review.verdict.note if self.review.verdict else None)
        verdict = self.review.decide(word, new_label, note, at)  # type: ignore[arg-type]
        self._turn()
        to = f" → {verdict.new_label}" if verdict.new_label else ""
        self.message = f"id {verdict.id}: {verdict.verdict}{to}"
        return verdict

    def _turn(self) -> None:
        self.scroll, self.note = 0, None

    def choices(self) -> list[str]:
        """The classes that digits stand for: in their order, of more than nine those that are the most probable."""
        if len(self.classes) <= _DIGITS or not self.review.item.probs:
            return list(self.classes[:_DIGITS])
        order = sorted(range(len(self.classes)), key=lambda k: -self.review.item.probs[k])
        return [self.classes[k] for k in order[:_DIGITS]]

    def matches(self) -> list[str]:
        """The classes whose names hold what was typed: the same name first, then those that begin with it."""
        typed = self.typed.casefold().strip()
        found = [name for name in self.classes if typed in name.casefold()]
        return sorted(found, key=lambda name: (name.casefold() != typed, not name.casefold().startswith(typed)))

    # ---------------------------------------------------------------------------------------- drawing

    def draw(self, columns: int, rows: int) -> list[Text]:
        """The screen, `rows` lines of at most so many `columns`."""
        item = self.review.item
        head = [self._head(columns), Text("─" * columns, style="dim")]
        foot = self._foot(columns)[: max(1, rows // 4)]
        below = [*self._labels(item, columns), *self._classes(item, columns)]
        above = self._about(columns)
        room = rows - len(head) - len(foot) - len(above) - len(below) - 1
        if room < 3:  # a low window: the labels stay
            below = below[: max(2, len(below) + room - 3)]
            room = rows - len(head) - len(foot) - len(above) - len(below) - 1
        texts = self._texts(item, columns)
        self.overflow = len(texts) > max(room, 1)
        foot = self._foot(columns)[: len(foot)]
        self.scroll = min(self.scroll, max(0, len(texts) - max(room, 1)))
        part = texts[self.scroll : self.scroll + max(room, 1)]
        if self.overflow:
            more = len(texts) - self.scroll - len(part)
            part[-1] = Text(f"  … {more + 1} more lines, ↓" if more else "  (the end, ↑ goes back)", style="dim")
        body = [*above, *part, Text(), *below]
        body = body[: rows - len(head) - len(foot)]
        body += [Text()] * (rows - len(head) - len(foot) - len(body))
        lines = [*head, *body, *foot]
        for line in lines:
            line.truncate(columns, overflow="ellipsis")
        return lines

    def _head(self, columns: int) -> Text:
        progress = self.review.progress()
        parts = [f"{progress.decided} of {progress.total}"]
        if progress.decided:
            parts.append(f"{progress.wrong} wrong ({progress.wrong / progress.decided:.0%})")
            parts.append(f"last {progress.recent}: {progress.recent_wrong / progress.recent:.0%}")
        parts += [self.forecast] if self.forecast else []
        counts = "  " + " · ".join(parts)
        title = cut(plain(self.title), max(columns - width(counts), 8))
        return Text(title, style="bold").append(counts, style="not bold")

    def _about(self, columns: int) -> list[Text]:
        item, verdict = self.review.item, self.review.verdict
        about = f"id {plain(str(item.id))}" + (f" · {plain(item.about)}" if item.about else "")
        line = Text(f" {about}", style="dim")
        if verdict is not None:
            to = f" → {plain(verdict.new_label)}" if verdict.new_label else ""
            line.append(f"   decided: {verdict.verdict}{to}", style="bold not dim")
        note = self.note or (verdict.note if verdict else None)
        return [line, *([Text(cut(f" note: {plain(note)}", columns), style="italic")] if note else []), Text()]

    def _texts(self, item: Item, columns: int) -> list[Text]:
        lines: list[Text] = []
        for text in marked(item.texts) if self.marks else [Text(clean(text)) for text in item.texts]:
            lines += [Text()] if lines else []
            text.stylize("bold")
            lines += [Text("  ").append_text(line) for line in wrapped(text, columns - 4)]
        return lines

    def _labels(self, item: Item, columns: int) -> list[Text]:
        given = Text("  given      ").append(plain(item.label), style="bold")
        probs = dict(zip(self.classes, item.probs, strict=False))
        if item.label in probs:
            given.append(f"  {probs[item.label]:.2f}", style="dim")
        lines = [given]
        if item.suggested is not None:
            other = item.suggested != item.label
            lines.append(Text("  suggested  ").append(plain(item.suggested), style="bold red" if other else "bold"))
            if item.suggested in probs:
                lines[-1].append(f"  {probs[item.suggested]:.2f}", style="dim")
        if item.course:
            names = ("given", "strongest other")
            drawn = [f"{name} {sparkline(values)}" for name, values in zip(names, item.course, strict=True)]
            lines.append(Text(f"  course     {'   '.join(drawn)}", style="dim"))
        if item.why:
            lines.append(Text(cut(f"  {plain(item.why)}", columns), style="dim"))
        return lines

    def _classes(self, item: Item, columns: int) -> list[Text]:
        if self.prompt == "class":
            found = self.matches()
            shown = [plain(name) for name in found[:_DIGITS]]
            shown += [f"… {len(found) - _DIGITS} more"] if len(found) > _DIGITS else []
            return [Text(), *_flowed(shown, columns, 2)]
        probs = dict(zip(self.classes, item.probs, strict=False))
        shown = [
            f"[{digit}] {cut(plain(name), 24)}" + (f" {probs[name]:.2f}" if name in probs else "")
            for digit, name in enumerate(self.choices(), start=1)
        ]
        return [Text(), *_flowed(shown, columns, 3)]

    def _foot(self, columns: int) -> list[Text]:
        if self.prompt is not None:
            what = "another class, by a part of its name" if self.prompt == "class" else "note"
            typed = visible(self.typed)
            while width(typed) > columns - 4:
                typed = typed[1:]
            enter = "enter takes the first" if self.prompt == "class" else "enter keeps it"
            return [Text(f" > {typed}█"), Text(f" {what} ({enter}, esc leaves)", style="dim"), Text(f" {self.message}")]
        suggestion = [] if self.review.item.suggested is None else ["s suggestion"]
        keys = ["k keep", *suggestion, "1-9 class", "c name", "d drop", "u unsure", "n note", "z undo"]
        keys += ["←→ move", "x marks", *(["↑↓ read on"] if self.overflow else []), "q quit"]
        message = "all decided: q ends, z takes back" if self.review.finished else ""
        return [Text(cut(f" {plain(self.message or message)}", columns), style="bold"), *_flowed(keys, columns, 2)]


# --------------------------------------------------------------------------------------------- texts


def clean(text: str) -> str:
    """A foreign text with its line breaks, and symbols for all else that could steer a terminal."""
    return "\n".join(visible(line) for line in re.split(r"\r\n|\n|\r", text))


def marked(texts: Sequence[str]) -> list[Text]:
    """The texts, and of a pair what differs is marked, also where there is no colour."""
    drawn = [Text(clean(text)) for text in texts]
    tokens = [_TOKEN.findall(text.plain) for text in drawn]
    if len(drawn) != 2 or max(map(len, tokens)) > _MOST_TOKENS:
        return drawn
    for tag, *spans in SequenceMatcher(None, tokens[0], tokens[1], autojunk=False).get_opcodes():
        if tag != "equal":
            for text, parts, (start, end) in zip(drawn, tokens, (spans[:2], spans[2:]), strict=True):
                before = sum(map(len, parts[:start]))
                text.stylize(_MARKED, before, before + sum(map(len, parts[start:end])))
    return drawn


def wrapped(text: Text, columns: int) -> list[Text]:
    """The text in lines of at most so many columns, broken between words where there are any."""
    lines: list[Text] = []
    for paragraph in text.split("\n", allow_blank=True):
        lines += _folded(paragraph, max(columns, 2))
    return lines


def _folded(line: Text, columns: int) -> list[Text]:
    """One paragraph; a word that is longer than a line is broken, and wide characters are never cut in two."""
    lines = []
    while width(line.plain) > columns:
        used, at = width(line.plain[0]), 1
        while (used := used + width(line.plain[at])) <= columns:
            at += 1
        space = line.plain.rfind(" ", 0, at + 1)
        end = space + 1 if space > at // 2 else at
        first, line = line.divide([end])
        first.rstrip()
        lines.append(first)
    return [*lines, line]


def sparkline(values: Sequence[float]) -> str:
    """Probabilities as a line of blocks, a character each; a dot where there is none."""
    return "".join("·" if isnan(value) else _BLOCKS[min(7, max(0, int(value * 8)))] for value in values)


def _flowed(parts: Sequence[str], columns: int, gap: int) -> list[Text]:
    """Parts side by side, in as many lines as they need."""
    lines, used = [Text(" ")], 1
    for part in parts:
        part = cut(part, columns - 2)
        if used > 1 and used + width(part) > columns:
            lines.append(Text(" "))
            used = 1
        lines[-1].append(part + " " * gap)
        used += width(part) + gap
    for line in lines:
        line.rstrip()
    return lines
