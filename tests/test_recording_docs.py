"""The loops of docs/recording.md run as they stand, where their frameworks are installed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamap_cli import SignalRecorder
from datamap_cli.run import Run
from tests.support import REPOSITORY, summarize

BLOCKS = re.findall(
    r"```python\n(.*?)```", (REPOSITORY / "docs" / "recording.md").read_text(encoding="utf-8"), re.DOTALL
)


def test_there_is_a_loop_for_each_framework() -> None:
    assert ["import torch", "from datamap_cli import SignalRecorder"] == [block.splitlines()[0] for block in BLOCKS]


def test_the_pytorch_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[0], {})
    run = Run.open(tmp_path / "outputs" / "torch")
    assert 5 == len(run.info.evaluations)
    assert [0, 1, 2, 3] == summarize(run.evaluations())["id"].to_list()


def test_the_trainer_callback_records_every_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the Trainer: the callback uses of it what the real one documents."""
    import sys
    from types import ModuleType, SimpleNamespace

    transformers = ModuleType("transformers")
    transformers.TrainerCallback = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    scope: dict[str, Any] = {}
    exec(BLOCKS[1], scope)
    recorder = SignalRecorder(tmp_path, examples={"id": range(3), "label": [0, 1, 0]}, classes=["a", "b"])
    callback = scope["RecordSignals"](recorder)
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    callback.trainer = SimpleNamespace(train_dataset=range(3), predict=lambda _: SimpleNamespace(predictions=logits))
    for epoch in (1, 2):
        callback.on_epoch_end(None, SimpleNamespace(global_step=10 * epoch, epoch=float(epoch)), None)
    recorder.finish()
    assert [10, 20] == [entry.step for entry in Run.open(tmp_path).info.evaluations]
    assert [2, 2, 0] == summarize(Run.open(tmp_path).evaluations())["correct_times"].to_list()
