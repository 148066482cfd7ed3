"""The import of PaddleNLP: what is left out, loaded when used, and everything as ever where PaddleNLP is another."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from datamap_cli.train import lazy
from tests.support import REPOSITORY

INIT = """
from . import trainer, transformers
from .server import SimpleServer
from .taskflow import Taskflow
"""
NOTES_ITSELF = "import executed\nexecuted.names.append(__name__)\n"
WHOLE = ["", ".trainer", ".transformers", ".server", ".taskflow"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of that name and of the expected version, whose modules note in `executed` when they are executed."""
    found = [name for name in sys.modules if name.partition(".")[0] == "paddlenlp"]
    kept = {name: sys.modules.pop(name) for name in found}
    executed = ModuleType("executed")
    executed.names = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "executed", executed)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(lazy, "_installed", lambda: "3.0.0b4")
    directory = tmp_path / "paddlenlp"
    contents = {
        ".": INIT,
        "trainer": "Trainer = 1\n",
        "transformers": "Model = 2\n",
        "server": "SimpleServer, Client = 3, 4\n",
        "taskflow": "Taskflow = 5\n",
    }
    for part, content in contents.items():
        (directory / part).mkdir(parents=True, exist_ok=True)
        (directory / part / "__init__.py").write_text(NOTES_ITSELF + content)
    yield directory
    for name in [name for name in sys.modules if name.partition(".")[0] == "paddlenlp"]:
        del sys.modules[name]
    sys.modules.update(kept)


def executed() -> list[str]:
    """The modules of the package that were executed, without its name."""
    names: list[str] = sys.modules["executed"].names
    return [name.removeprefix("paddlenlp") for name in names]


def loaded() -> ModuleType:
    """PaddleNLP as the training room imports it, and no trace of how."""
    before = list(sys.meta_path)
    lazy.import_paddlenlp()
    assert before == sys.meta_path
    return sys.modules["paddlenlp"]


def test_a_part_that_training_does_not_need_loads_when_it_is_used(package: Path) -> None:
    paddlenlp = loaded()
    assert ["", ".transformers"] == executed()
    assert 1 == paddlenlp.trainer.Trainer
    assert 5 == paddlenlp.Taskflow
    assert ["", ".transformers", ".trainer", ".taskflow"] == executed()
    server = importlib.import_module("paddlenlp.server")
    assert (4, 3) == (server.Client, paddlenlp.SimpleServer)
    assert not hasattr(paddlenlp, "nothing_of_it")


def test_a_paddlenlp_that_is_imported_is_left_alone(package: Path) -> None:
    before = importlib.import_module("paddlenlp")
    contents = dict(vars(before))
    assert WHOLE == executed()
    assert before is loaded()
    assert WHOLE == executed()
    assert contents == vars(before)


@pytest.mark.parametrize("version", ["3.0.0b5", None])
def test_another_version_is_imported_whole(package: Path, monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    monkeypatch.setattr(lazy, "_installed", lambda: version)
    assert 5 == loaded().Taskflow
    assert WHOLE == executed()


def test_a_package_that_takes_an_unexpected_name_is_imported_whole(package: Path) -> None:
    (package / "__init__.py").write_text(NOTES_ITSELF + INIT + "from .server import Client\n")
    assert 4 == loaded().Client
    assert WHOLE == executed()[-5:]


def test_a_package_that_lacks_an_expected_name_is_imported_whole(package: Path) -> None:
    (package / "__init__.py").write_text(NOTES_ITSELF + INIT.replace("from .taskflow import Taskflow", ""))
    assert 3 == loaded().SimpleServer
    assert WHOLE[:-1] == executed()[-4:]


def test_a_broken_package_raises_what_the_plain_import_raises(package: Path) -> None:
    (package / "transformers" / "__init__.py").write_text("import not_installed_here\n")
    before = list(sys.meta_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
        lazy.import_paddlenlp()
    assert before == sys.meta_path


TRAINED = """
import json, sys
from datamap_cli.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code
unused = ("sklearn", "pandas", "datasets", "fastapi", "aiohttp", "pyarrow", "seqeval", "paddlenlp.trainer.trainer")
found = [name for name in unused if name in sys.modules]
from paddlenlp import SimpleServer
from paddlenlp.trainer import Trainer
print(json.dumps([found, SimpleServer.__module__, Trainer.__module__]))
"""


@pytest.mark.paddle
def test_training_loads_nothing_that_no_classifier_uses(tmp_path: Path) -> None:
    rows = "".join(f"question {i}\tanswer {i % 3}\t{i % 2}\n" for i in range(16))
    (tmp_path / "train.tsv").write_text(f"text_a\ttext_b\tlabel\n{rows}")
    config = tmp_path / "datamap.yaml"
    config.write_text("data: {train: train.tsv}\nmodel: {name: tiny, max_seq_len: 16}\ntrain: {epochs: 1}\n")
    command = [sys.executable, "-c", TRAINED, "train", "-c", str(config), "--run-dir", str(tmp_path / "run")]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert [[], "paddlenlp.server.server", "paddlenlp.trainer.trainer"] == json.loads(ran.stdout.splitlines()[-1])
    assert list((tmp_path / "run").glob("**/model_state.pdparams"))
