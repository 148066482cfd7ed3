"""What the package hands on: typed, listed, and used as the document says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import datamap_cli
from datamap_cli import SignalRecorder
from datamap_cli.run import Run
from tests.support import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_public_name_is_there_and_documented() -> None:
    assert ["DatamapError", "SignalRecorder", "__version__"] == sorted(datamap_cli.__all__)
    for name in datamap_cli.__all__:
        assert getattr(datamap_cli, name) is not None
        assert f"| `{name}` |" in DOCUMENT
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        datamap_cli.nothing  # noqa: B018


def test_the_types_are_for_others_too() -> None:
    assert Path(datamap_cli.__file__).with_name("py.typed").is_file()


def test_every_method_stands_in_the_document_with_its_parameters() -> None:
    methods = {name: method for name, method in vars(SignalRecorder).items() if not name.startswith("_")}
    assert {"record", "keep_embeddings", "finish_evaluation", "finish"} == set(methods)
    for name, method in {**methods, "SignalRecorder": SignalRecorder.__init__}.items():
        told = re.search(rf"\b{name}\((.*?)\)", DOCUMENT, re.DOTALL)
        assert told, name
        parameters = [parameter for parameter in inspect.signature(method).parameters if parameter != "self"]
        assert parameters == re.findall(r"(\w+)(?:=[^,]+)?(?:,|$)", told[1]), name


def test_the_examples_of_the_document_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL):
        exec(block, {})
    assert 2 == len(Run.open(tmp_path / "outputs" / "api").info.evaluations)
    lines = capsys.readouterr().out.splitlines()
    assert 3 == len(lines)
    assert "holds a run already" in lines[2]
