"""`datamap train`: data set → training → signal records."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import numpy.typing as npt
import typer

from datamap_cli import config as configuration
from datamap_cli import terminal
from datamap_cli import train as training
from datamap_cli.analysis import overlap
from datamap_cli.config import Config
from datamap_cli.data import dataset
from datamap_cli.errors import DatamapError
from datamap_cli.run import Origin, Run
from datamap_cli.run.recorder import SignalRecorder
from datamap_cli.signals import Quality
from datamap_cli.text import counted

# rows that are condensed to records at a time
_ROWS = 65_536


def train(
    config: Config,
    data: dataset.Dataset | None = None,
    *,
    kind: str = "train",
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Trains and records, from the beginning, or with `resume` from the newest checkpoint in the run directory.

    `data` is what is trained on, if it is not the data set as it stands in its file; `kind` names the command. Raises
    DatamapError where a run is in the directory and it is to be neither resumed nor overwritten, where the run to be
    resumed was started with other data or another configuration, and when it was interrupted.
    """
    main = training.is_main_process()
    with Run.holding(config.run_dir) if main else nullcontext():
        going_on = resume and Run.holds_run(config.run_dir)
        if main and not going_on:
            Run.refuse_existing(config.run_dir, overwrite=overwrite)
            if config.data.dev is not None:
                Run.refuse_dev_of_another(config.run_dir)
        started = time.perf_counter()
        data = data or dataset.load(config.data)
        dev = dataset.load_dev(config.data, data)
        run = Run.open(config.run_dir) if going_on else None
        if run is not None:
            _refuse_another(run, config, data, dev, kind)
            if run.info.finished is not None:
                terminal.note(f"{config.run_dir}: the training is finished; there is nothing to resume")
                return
        display = terminal.TrainingDisplay(talks=main)
        for text in [*data.notes, *_dev_notes(data, dev)]:
            display.note(text)
        checkpoint = _checkpoint(run, display) if run is not None else None
        display.note(f"{data.examples.height:,} examples, {len(data.classes)} classes; loading Paddle …")
        reading = time.perf_counter() - started
        saved = _Saved(checkpoint)
        try:
            with _interruption(display) as interruption, display.shown():
                for event in training.run(
                    config,
                    data.examples,
                    data.classes,
                    dev=None if dev is None else dev.examples,
                    checkpoint=checkpoint,
                    stop=lambda: interruption.number is not None,
                ):
                    display.show(event)
                    if isinstance(event, training.Stopped):
                        raise _stopped(config, kind, event.step, interruption.number)
                    if main:
                        _store(event, saved, config, data, dev, kind, going_on=going_on, overwrite=overwrite)
                    if main and isinstance(event, training.Trained):
                        total = time.perf_counter() - started
                        display.show_phases({"reading the data set": reading, **event.seconds}, total)
        except training.Diverged as error:
            where = f"last checkpoint: {saved.checkpoint}" if saved.checkpoint is not None else "no checkpoint yet"
            raise DatamapError(f"{error}; {where}") from error
        if main:
            typer.echo(f"signals: {Run.open(config.run_dir).signals}")


@dataclass
class _Saved:
    """What of a training is on disk."""

    checkpoint: Path | None
    recorder: SignalRecorder | None = None
    dev: SignalRecorder | None = None


def _store(
    event: training.Event,
    saved: _Saved,
    config: Config,
    data: dataset.Dataset,
    dev: dataset.Dataset | None,
    kind: str,
    *,
    going_on: bool,
    overwrite: bool,
) -> None:
    """Puts into the run directory what the event brings."""
    if isinstance(event, training.Started):
        # only now: what went wrong until here has cost no earlier run
        saved.recorder = _recorder(config, data, kind, event.evaluated if going_on else None, overwrite=overwrite)
        if dev is not None:
            saved.dev = _dev_recorder(saved.recorder.run, config, dev, event.evaluated)
        return
    recorder = saved.recorder
    match event:
        case training.Embeddings():
            assert recorder is not None
            recorder.keep_embeddings(*event.vectors)
        case training.Checkpoint():
            assert recorder is not None
            saved.checkpoint = recorder.run.write_checkpoint(event.step, event.save)
        case training.Evaluation():
            assert recorder is not None
            if event.dev is not None:
                assert saved.dev is not None
                _record(saved.dev, event, event.dev.logits)
            # after that of the dev set: what run.json counts is there in both
            _record(recorder, event, event.logits, None if event.dev is None else event.dev.quality)
        case training.Trained():
            assert recorder is not None
            if saved.dev is not None:
                saved.dev.finish()
            recorder.finish(event.save)


def _stopped(config: Config, kind: str, step: int, number: int | None) -> DatamapError:
    """That the training was stopped after `step`, by which signal, and how to go on."""
    by = number or signal.SIGTERM  # it may be another process that was asked to stop
    again = f"datamap train --run-dir {config.run_dir}" if kind == "train" else "the same command with"
    return DatamapError(
        f"stopped by {signal.Signals(by).name} after step {step:,}; to go on: {again} --resume", exit_code=128 + by
    )


def _refuse_another(run: Run, config: Config, data: dataset.Dataset, dev: dataset.Dataset | None, kind: str) -> None:
    """Raises DatamapError where the run was started by another command, with other data or another configuration."""
    before = configuration.load(Run.config_in(config.run_dir))
    free = ("train.device", "train.checkpoint_steps")
    changed = configuration.changes(before, config, ("data", "model", "train", "signals"))
    changed = [change for change in changed if not change.startswith(free)]
    if run.info.origin.kind != kind:
        raise DatamapError(f"{config.run_dir}: not a run of `datamap {kind}`, which alone can be resumed so")
    if changed:
        raise DatamapError(
            f"{config.run_dir}: a run goes on with the configuration it was started with; now different, with "
            f"the value of then: {', '.join(changed)}"
        )
    files = [(run, data), *([(Run.open(run.dev), dev)] if dev is not None and Run.holds_run(run.dev) else [])]
    for begun, file in files:
        if begun.info.origin.sha256 != file.sha256:
            raise DatamapError(
                f"{file.path}: changed since the run in {config.run_dir} was started; train with --overwrite"
            )


def _checkpoint(run: Run, display: terminal.TrainingDisplay) -> Path | None:
    """The checkpoint to go on from; None: from the beginning."""
    path, damaged = run.checkpoint()
    for text in damaged:
        display.note(text)
    display.note(f"going on {f'from {path}' if path else 'from the beginning: there is no checkpoint yet'}")
    return path


def _recorder(
    config: Config, data: dataset.Dataset, kind: str, resume_after: int | None, *, overwrite: bool
) -> SignalRecorder:
    return SignalRecorder(
        config.run_dir,
        examples=data.examples,
        classes=data.classes,
        overwrite=overwrite,
        format=config.signals.format,
        probs=config.signals.probs,
        config=config,
        origin=Origin(kind, str(data.path), data.sha256, config.model.name, config.train.seed, config.train.folds),
        resume_after=resume_after,
    )


def _dev_recorder(run: Run, config: Config, dev: dataset.Dataset, evaluated: int) -> SignalRecorder:
    """That of the dev set, a run of its own; it goes on after so many evaluations."""
    going_on = Run.holds_run(run.dev)
    if evaluated and not going_on:
        raise DatamapError(f"{run.dev}: the run of the dev set is gone; train again with --overwrite")
    run.enter(run.dev)
    data = config.data.model_copy(update={"train": config.data.dev, "dev": None})
    settings = config.train.model_copy(update={"keep": "last"})
    own = config.model_copy(update={"run_dir": run.dev, "data": data, "train": settings})
    return _recorder(own, dev, "dev", evaluated if going_on else None, overwrite=False)


def _dev_notes(data: dataset.Dataset, dev: dataset.Dataset | None) -> list[str]:
    """What the user should know of the dev set."""
    if dev is None:
        return []
    seen = int(overlap.known(dev.examples, data.examples).sum())
    return [
        *dev.notes,
        f"dev set: {counted(dev.examples.height, 'example')} of {dev.path}",
        *([f"dev set: {counted(seen, 'row')} also in the training data: no gain shows on them"] if seen else []),
    ]


def _record(
    recorder: SignalRecorder,
    evaluation: training.Evaluation,
    logits: npt.NDArray[np.float32],
    dev: Quality | None = None,
) -> None:
    for first in range(0, len(logits), _ROWS):
        rows = slice(first, first + _ROWS)
        recorder.record(step=evaluation.step, ids=recorder.examples["id"][rows], logits=logits[rows])
    recorder.finish_evaluation(
        epoch=evaluation.epoch, train_loss=evaluation.train_loss, seconds=evaluation.seconds, dev=dev
    )


@dataclass
class _Interruption:
    """SIGINT or SIGTERM, once it came."""

    number: int | None = None


@contextmanager
def _interruption(display: terminal.TrainingDisplay) -> Iterator[_Interruption]:
    """Remembers the first SIGINT or SIGTERM, so that the step can be finished; a second one ends at once."""
    interruption = _Interruption()

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        interruption.number = number
        restore()
        display.note("stopping with a checkpoint after this step; once more to stop at once")

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
