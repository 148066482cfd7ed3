"""Suspects as tasks of other labelling tools, and what these export as verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from datamap_cli.analysis import exchange
from datamap_cli.analysis.exchange import Task
from datamap_cli.errors import DatamapError
from tests.test_selection import contents, make_run

Cli = Callable[..., tuple[int, str, str]]
AT = "2026-11-24T09:00:00+00:00"
CLASSES = ["no", "yes", 'a <"b">']
TASKS = [
    Task(7, ("是吗", "<b>x</b>"), "no", "yes", 0.9, 1, "never learnt"),
    Task(3, ("一", "二"), "yes", 'a <"b">', None, 2, ""),
]


def written(kind: str) -> list[Any]:
    content = exchange.write(kind, TASKS, CLASSES, "r1")[""]
    found: list[Any] = [json.loads(line) for line in content.splitlines()] if kind == "doccano" else json.loads(content)
    return found


def read(content: Any) -> list[tuple[Any, ...]]:
    text = content if isinstance(content, str) else json.dumps(content)
    found = exchange.read(text.encode(), "file", reviewer="stem", at=AT)
    assert found is not None
    return [(v.id, v.verdict, v.label, v.new_label, v.reviewer, v.at, v.run) for v in found]


def test_tasks_of_label_studio_have_the_suggestion_as_a_prediction() -> None:
    # https://labelstud.io/guide/predictions: data, and predictions with model_version, score and result
    first, second = written("label-studio")
    assert {"text_a": "是吗", "text_b": "<b>x</b>"}.items() <= first["data"].items()
    choice = {"from_name": "label", "to_name": "text_a", "type": "choices", "value": {"choices": ["yes"]}}
    assert [{"model_version": "datamap r1", "score": 0.9, "result": [choice]}] == first["predictions"]
    assert "score" not in second["predictions"][0]


def test_the_configuration_of_label_studio_names_texts_and_classes() -> None:
    root = ElementTree.fromstring(exchange.write("label-studio", TASKS, CLASSES, "r1")[".config.xml"])
    assert ["text_a", "text_b"] == [tag.attrib["name"] for tag in root.iter("Text")]
    assert CLASSES == [tag.attrib["value"] for tag in root.iter("Choice")]
    assert [{"name": "label", "toName": "text_a"}] == [
        {key: tag.attrib[key] for key in ("name", "toName")} for tag in root.iter("Choices")
    ]


def test_what_label_studio_exports_is_read_as_verdicts() -> None:
    def annotation(by: Any, *choices: str, **more: Any) -> dict[str, Any]:
        result = [{"from_name": "label", "to_name": "text_a", "type": "choices", "value": {"choices": list(choices)}}]
        times = {"created_at": "2026-11-24T09:00:00.513742Z", "updated_at": "2026-11-24T09:16:08.746926Z"}
        return {
            "id": 1,
            "completed_by": by,
            "result": result if choices else [],
            "was_cancelled": False,
            **times,
            **more,
        }

    first, second = written("label-studio")
    first |= {"id": 1, "annotations": [annotation(10, "yes"), annotation({"id": 2, "email": "b@x.org"}, "no")]}
    second |= {"id": 2, "annotations": [annotation(10, "no", was_cancelled=True), annotation(10)]}
    at = "2026-11-24T09:16:08.746926Z"
    assert [
        (7, "relabel", "no", "yes", "label-studio 10", at, "r1"),
        (7, "keep", "no", None, "label-studio b@x.org", at, "r1"),
    ] == read([first, second])


def test_records_of_argilla_go_there_and_back() -> None:
    # argilla.Record.to_dict: id, fields, metadata, suggestions and responses by question, vectors
    first, second = written("argilla")
    assert {"label": {"value": "yes", "score": 0.9, "agent": "datamap r1"}} == first["suggestions"]
    assert {"text_a": "是吗", "text_b": "<b>x</b>"} == first["fields"]
    assert all(isinstance(value, int | float | str) for value in first["metadata"].values())
    first["responses"] = {"label": [{"value": "yes", "user_id": "u1"}, {"value": "no", "user_id": "u2"}]}
    assert [
        (7, "relabel", "no", "yes", "argilla u1", AT, "r1"),
        (7, "keep", "no", None, "argilla u2", AT, "r1"),
    ] == read([first, second])


def test_argillas_own_reader_takes_its_records() -> None:
    argilla = pytest.importorskip("argilla", reason="argilla is not installed")
    for entry in written("argilla"):
        record = argilla.Record.from_dict(entry)
        assert (entry["fields"], entry["metadata"], entry["id"]) == (record.fields, record.metadata, record.id)
        assert entry["suggestions"] == record.to_dict()["suggestions"]


def test_label_studios_own_reader_takes_its_tasks() -> None:
    objects = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    files = exchange.write("label-studio", TASKS, CLASSES, "r1")
    interface = objects.LabelInterface(files[".config.xml"])
    for task in json.loads(files[""]):
        assert interface.validate_task({"data": task["data"]})  # with predictions it fails on a slip of its own
        assert all(map(interface.validate_prediction, task["predictions"]))


def test_examples_of_doccano_carry_the_suggestion_beside_an_open_label() -> None:
    first, _ = written("doccano")
    assert ("是吗\n<b>x</b>", [], "yes", 0.9) == tuple(
        first[key] for key in ("text", "label", "suggested", "suggested_probability")
    )
    # doccano exports id, text, label, the other columns, and comments; JSONL or a JSON array
    lines = [
        {"id": 1, **entry, "label": label, "Comments": []}
        for entry, label in zip(written("doccano"), (["yes"], []), strict=True)
    ]
    expected = [(7, "relabel", "no", "yes", "stem", AT, "r1")]
    assert expected == read("\n".join(map(json.dumps, lines)) + "\n") == read(lines)


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ("file, example 1: 2 classes chosen: a, b; expected one", [{"datamap_id": 1, "datamap_label": "a", "label": ["a", "b"]}]),
        ("file, example 1: no label: not an export", [{"datamap_id": 1}]),
        ("file, task 1: no datamap_id and datamap_label: not made of suspects", [{"data": {}, "annotations": [{"completed_by": 1, "result": [{"type": "choices", "value": {"choices": ["a"]}}]}]}]),
        ("file, line 2: not valid JSON", '{"datamap_id": 1, "datamap_label": "a", "label": []}\n{"datamap'),
        ("file, record 2: no responses", [{"fields": {}, "responses": {}}, 3]),
    ],
)  # fmt: skip
def test_an_export_that_is_none_of_suspects_is_told(message: str, content: Any) -> None:
    with pytest.raises(DatamapError) as error:
        read(content)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("content", ["", "[]", "[1]", "x", '{"id": 3, "verdict": "keep"}', "[{}]", "\xff"])
def test_what_is_no_export_is_left_to_others(content: str) -> None:
    assert exchange.read(content.encode("latin-1"), "file", reviewer="x", at=AT) is None


@pytest.mark.parametrize("kind", exchange.TOOLS)
def test_suspects_go_out_and_what_was_decided_is_applied(tmp_path: Path, run_cli: Cli, kind: str) -> None:
    make_run(tmp_path, "train.tsv", contents()["train.tsv"])
    tasks = tmp_path / "tasks.json"
    arguments = ["suspects", "--run-dir", tmp_path / "run", "--top", "5", "--to", kind, "--output", tasks]
    code, out, _ = run_cli(*arguments)
    assert (0, True) == (code, f"{kind}: {tasks}\n" in out)
    lines = tasks.read_text().splitlines()
    entries = [json.loads(line) for line in lines] if kind == "doccano" else json.loads(tasks.read_text())
    for entry in entries:  # everyone there says b
        result = [{"type": "choices", "value": {"choices": ["b"]}}]
        entry["annotations"] = [{"result": result, "completed_by": 1, "updated_at": "2026-11-24T09:00:00Z"}]
        entry["responses"] = {"label": [{"value": "b", "user_id": "u"}]}
        entry["label"] = ["b"]
    tasks.write_text("\n".join(map(json.dumps, entries)) if kind == "doccano" else json.dumps(entries))
    code, _, err = run_cli("apply", tasks, "--run-dir", tmp_path / "run", "--output", tmp_path / "out.tsv")
    found = json.loads((tmp_path / "out.tsv.changes.json").read_text())
    assert (0, 5) == (code, found["relabelled"] + found["kept"])
    assert found["by_class"]["a"]["after"] == 30 - found["relabelled"]
    code, _, err = run_cli(*arguments)
    assert (1, f"datamap: --output: {tasks}: there already; give another name\n") == (code, err)


def test_a_tool_that_is_unknown_or_without_a_file_is_told(run_cli: Cli, tmp_path: Path) -> None:
    assert (
        "--to: excel: expected label-studio, argilla, doccano"
        in run_cli("suspects", "--run-dir", tmp_path, "--to", "excel", "--output", tmp_path / "x")[2]
    )
    assert (
        "--to says for which tool, --output into which file; give both"
        in run_cli("suspects", "--run-dir", tmp_path, "--to", "argilla")[2]
    )
