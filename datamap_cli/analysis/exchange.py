"""Suspects as tasks of other tools, and what people decided there as verdicts: Label Studio, Argilla, doccano.

Every task carries the id, the given label and the run as `datamap_…`, which the tools hand back with what was decided.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from datamap_cli.analysis.verdicts import Identity, Verdict, moment
from datamap_cli.errors import DatamapError

_ID, _LABEL, _RUN = "datamap_id", "datamap_label", "datamap_run"


@dataclass(frozen=True)
class Task:
    """A suspect to be decided elsewhere."""

    id: Identity
    texts: tuple[str, ...]
    label: str
    suggested: str
    probability: float | None
    """Mean probability of the suggestion; None where it is unknown."""
    rank: int
    why: str


def write(kind: str, tasks: Sequence[Task], classes: Sequence[str], run: str) -> dict[str, str]:
    """The files for a tool, by what comes behind the name: the tasks, and where it takes one a configuration."""
    if kind not in _WRITERS:
        raise DatamapError(f"--to: {kind}: expected {', '.join(_WRITERS)}")
    return _WRITERS[kind](tasks, classes, run)


def read(content: bytes, place: str, *, reviewer: str, at: str) -> list[Verdict] | None:
    """The verdicts in what one of the tools exports; None for what is no such export.

    `reviewer` and `at` stand for what an export does not tell. Raises DatamapError, which begins with `place`, for
    tasks that were not made of suspects, and where more than one class was chosen.
    """
    try:
        text = content.decode("utf-8-sig")
        entries = json.loads(text) if text.lstrip().startswith("[") else [json.loads(text.split("\n", 1)[0])]
    except (ValueError, RecursionError):
        return None
    first = entries[0] if isinstance(entries, list) and entries else None
    if not isinstance(first, dict):
        return None
    found: Iterator[_Answer]
    if "annotations" in first and "data" in first:
        found = _of_label_studio(entries, place, at)
    elif "responses" in first and "fields" in first:
        found = _of_argilla(entries, place, at)
    elif _ID in first:
        lines = entries if text.lstrip().startswith("[") else _lines(text, place)
        found = _of_doccano(lines, place, reviewer, at)
    else:
        return None
    return [_verdict(*answer) for answer in found]


# ------------------------------------------------------------------------------------------- writing


def _about(task: Task, run: str) -> dict[str, Any]:
    about: dict[str, Any] = {_ID: task.id, _LABEL: task.label, _RUN: run, "rank": task.rank, "why": task.why}
    return about


def _texts(task: Task) -> dict[str, str]:
    return dict(zip(("text_a", "text_b"), task.texts, strict=False))


def _for_label_studio(tasks: Sequence[Task], classes: Sequence[str], run: str) -> dict[str, str]:
    entries = []
    for task in tasks:
        result = {"from_name": "label", "to_name": "text_a", "type": "choices", "value": {"choices": [task.suggested]}}
        score = {} if task.probability is None else {"score": task.probability}
        prediction = {"model_version": f"datamap {run}", **score, "result": [result]}
        data: dict[str, Any] = {**_texts(task), **_about(task, run)}
        entries.append({"data": data, "predictions": [prediction]})
    pairs = any(len(task.texts) > 1 for task in tasks)
    shown = [f'  <Text name="{name}" value="${name}"/>' for name in ("text_a", *(["text_b"] if pairs else []))]
    choices = [f"    <Choice value={quoteattr(name)}/>" for name in classes]
    config = [
        *("<View>", *shown, f'  <Header value="given: ${_LABEL}"/>'),
        '  <Choices name="label" toName="text_a" choice="single" required="true">',
        *(*choices, "  </Choices>", "</View>", ""),
    ]
    return {"": _json(entries), ".config.xml": "\n".join(config)}


def _for_argilla(tasks: Sequence[Task], _classes: Sequence[str], run: str) -> dict[str, str]:
    entries = []
    for task in tasks:
        suggestion = {"value": task.suggested, "score": task.probability, "agent": f"datamap {run}"}
        entries.append(
            {
                "id": f"{run}-{task.id}",
                "fields": _texts(task),
                "metadata": _about(task, run),
                "suggestions": {"label": suggestion},
                "responses": {},
                "vectors": {},
            }
        )
    return {"": _json(entries)}


def _for_doccano(tasks: Sequence[Task], _classes: Sequence[str], run: str) -> dict[str, str]:
    lines = []
    for task in tasks:
        suggestion = {"suggested": task.suggested, "suggested_probability": task.probability}
        # a label here would come back as a decision that nobody made
        lines.append({"text": "\n".join(task.texts), "label": [], **_about(task, run), **suggestion})
    return {"": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)}


def _json(entries: list[Any]) -> str:
    return json.dumps(entries, ensure_ascii=False, indent=1) + "\n"


_WRITERS: dict[str, Callable[[Sequence[Task], Sequence[str], str], dict[str, str]]] = {
    "label-studio": _for_label_studio,
    "argilla": _for_argilla,
    "doccano": _for_doccano,
}
TOOLS = tuple(_WRITERS)


# ------------------------------------------------------------------------------------------- reading

# the task's own fields, the chosen class, the reviewer, the time, and where it stands
_Answer = tuple[Mapping[str, Any], str, str, str, str]


def _of_label_studio(entries: Iterable[Any], place: str, at: str) -> Iterator[_Answer]:
    """Of its JSON export: an answer for each annotation that was not skipped."""
    for number, entry in enumerate(entries, start=1):
        here = f"{place}, task {number}"
        for annotation in _part(entry, "annotations", list, here):
            if annotation.get("was_cancelled"):
                continue
            chosen = [
                choice
                for result in annotation.get("result", [])
                if result.get("type") == "choices"
                for choice in result["value"]["choices"]
            ]
            by = annotation.get("completed_by")
            name = by.get("email") or by.get("id") if isinstance(by, dict) else by
            when = annotation.get("updated_at") or annotation.get("created_at") or at
            if (answer := _one(chosen, here)) is not None:
                yield _part(entry, "data", dict, here), answer, f"label-studio {name}", when, here


def _of_argilla(entries: Iterable[Any], place: str, at: str) -> Iterator[_Answer]:
    """Of `dataset.records.to_json`: an answer for each response."""
    for number, entry in enumerate(entries, start=1):
        here = f"{place}, record {number}"
        for response in _part(entry, "responses", dict, here).get("label", []):
            if (answer := _one([response["value"]], here)) is not None:
                yield _part(entry, "metadata", dict, here), answer, f"argilla {response.get('user_id')}", at, here


def _of_doccano(entries: Iterable[Any], place: str, reviewer: str, at: str) -> Iterator[_Answer]:
    """Of its JSONL or JSON export: an answer for each example that has a label."""
    for number, entry in enumerate(entries, start=1):
        here = f"{place}, example {number}"
        if (answer := _one(_part(entry, "label", list, here), here)) is not None:
            yield entry, answer, reviewer, at, here


def _lines(text: str, place: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError:
                raise DatamapError(f"{place}, line {number}: not valid JSON") from None


def _part(entry: Any, name: str, kind: type, place: str) -> Any:
    part = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(part, kind):
        raise DatamapError(f"{place}: no {name}: not an export of a tool that suspects were written for")
    return part


def _one(chosen: list[Any], place: str) -> str | None:
    if len(chosen) > 1:
        raise DatamapError(f"{place}: {len(chosen)} classes chosen: {', '.join(map(str, chosen))}; expected one")
    return str(chosen[0]) if chosen else None


def _verdict(about: Mapping[str, Any], chosen: str, reviewer: str, at: str, place: str) -> Verdict:
    identity, label = about.get(_ID), about.get(_LABEL)
    if not isinstance(identity, int | str) or not isinstance(label, str):
        raise DatamapError(f"{place}: no {_ID} and {_LABEL}: not made of suspects")
    try:
        zoned = moment(at).tzinfo is not None
    except (ValueError, AttributeError):
        zoned = False
    if not zoned:
        raise DatamapError(f"{place}: {at!r} is no time with a zone")
    same = chosen == label
    word, new = ("keep", None) if same else ("relabel", chosen)
    return Verdict(identity, word, label, new, reviewer, at, run=about.get(_RUN), place=place)  # type: ignore[arg-type]
