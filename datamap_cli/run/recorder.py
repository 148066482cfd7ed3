"""Recording signals from any training loop: the one way into a run directory, which `datamap train` takes as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli import config as configuration
from datamap_cli import signals
from datamap_cli.config import Config
from datamap_cli.errors import DatamapError
from datamap_cli.run import Origin, Run
from datamap_cli.text import listed_ids

_TAKEN = {*signals.FIELDS, *(signal.name for signal in signals.SIGNALS)}


class SignalRecorder:
    """Writes what a model says of its training examples, evaluation by evaluation, into a run directory.

        with SignalRecorder("outputs/mine", examples=frame, classes=["no", "yes"]) as recorder:
            for ids, logits in batches:  # every example once, in any order
                recorder.record(step=100, ids=ids, logits=logits)
            recorder.finish_evaluation()

    `examples` is a Polars frame, or what Polars makes one of (a dict of columns, a pandas frame), with the columns id,
    label (a class index, or a name of `classes`) and, for the map, text_a, text_b, s_label. Raises DatamapError for
    examples that do not fit, for a run directory that holds a run, unless `overwrite`, and for one that another process
    writes to; until `finish`, or the end of the `with`, no other process can write to this one.

    With `probs` "label", for many classes, records keep the probabilities of the label and of the runner-up only; the
    signals that need all of them are then null. `resume_after`: goes on with the run there, after its first so many
    evaluations.
    """

    def __init__(
        self,
        run_dir: str | Path,
        *,
        examples: Any,
        classes: Sequence[str],
        overwrite: bool = False,
        format: Literal["jsonl", "parquet"] = "parquet",
        probs: signals.Kept = "all",
        config: Config | None = None,
        origin: Origin | None = None,
        resume_after: int | None = None,
    ) -> None:
        self.format = format
        self.probs = probs
        self.examples = _examples(examples, classes)
        config = config or Config(
            run_dir=Path(run_dir), signals=configuration.SignalsConfig(format=format, probs=probs)
        )
        with ExitStack() as stack:
            stack.enter_context(Run.holding(Path(run_dir)))
            if resume_after is None:
                self.run = Run.create(
                    Path(run_dir),
                    examples=self.examples,
                    classes=classes,
                    config=configuration.dump(config),
                    origin=origin or Origin("recorder"),
                    overwrite=overwrite,
                )
            else:
                self.run = self._resumed(Path(run_dir), classes, resume_after)
            self._held = stack.pop_all()  # until it is finished
        self._labels = self.examples["label"].to_numpy()
        self._places: dict[Any, int] | None = None
        self._evaluation: _Evaluation | None = None

    def _resumed(self, run_dir: Path, classes: Sequence[str], evaluations: int) -> Run:
        run = Run.open(run_dir)
        if not (run.info.classes == [*classes] and run.scan_examples().collect().equals(self.examples)):
            raise DatamapError(f"{run_dir}: the run there has other examples or classes; give those it was begun with")
        run.rewind(evaluations)
        return run

    def record(
        self,
        *,
        step: int,
        ids: Any,
        logits: Any = None,
        probs: Any = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes a batch of the evaluation at training step `step`: B ids and either logits or probs, (B, C).

        Arrays are NumPy's, Paddle's, PyTorch's, or nested lists. `extra` holds further columns by name, (B,) each,
        numbers or texts, the same names in every batch. Raises DatamapError for ids that are unknown or come
        twice, values that are not finite, and probs that do not sum to 1.
        """
        if (logits is None) == (probs is None):
            raise DatamapError(f"step {step}: give either logits or probs")
        ids = ids if isinstance(ids, pl.Series) else pl.Series(_array(ids))
        evaluation = self._at(step)
        rows = self._rows(ids, step)
        scores = _array(logits if probs is None else probs).astype(np.float64)
        expected = (len(rows), len(self.run.info.classes))
        if scores.shape != expected:
            raise DatamapError(f"step {step}: scores of shape {scores.shape}, expected {expected}: ids × classes")
        _refuse(~np.isfinite(scores).all(axis=1), ids, f"step {step}: values that are not finite")
        if probs is None:
            probabilities, loss = signals.probabilities(scores, self._labels[rows])
        else:
            # a softmax in single precision ends up at 1 + 1.2e-7, and dumps in half precision sum to 1 less exactly
            outside = (scores < 0).any(axis=1) | (scores > 1 + 1e-6).any(axis=1) | (abs(scores.sum(axis=1) - 1) > 1e-3)
            _refuse(outside, ids, f"step {step}: probs that are not probabilities summing to 1")
            probabilities = scores.clip(max=1)
            loss = signals.loss(probabilities, self._labels[rows])
        _refuse(evaluation.seen[rows], ids, f"step {step}: recorded twice")
        fields = signals.fields(probabilities, self._labels[rows], loss, self.probs)
        evaluation.take(rows, fields, {name: _array(values) for name, values in (extra or {}).items()})

    def keep_embeddings(self, text_a: Any, text_b: Any = None) -> None:
        """Keeps vectors of the texts, (N, D) each in the order of the examples, by a model that has seen no label.

        Such as pooled hidden states before the first training step: a fine-tuned model's hide label errors. They are
        brought to length 1. Raises DatamapError for other shapes and for values that are not finite.
        """
        vectors = [_array(values).astype(np.float32) for values in (text_a, text_b) if values is not None]
        for array in vectors:
            if array.ndim != 2 or array.shape != (self.examples.height, vectors[0].shape[1]):
                raise DatamapError(
                    f"embeddings: shape {array.shape}, expected a vector for each of {self.examples.height:,} examples"
                )
            _refuse(~np.isfinite(array).all(axis=1), self.examples["id"], "embeddings: values that are not finite")
        lengths = [np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-12) for array in vectors]
        self.run.write_embeddings(
            [(array / length).astype(np.float16) for array, length in zip(vectors, lengths, strict=True)]
        )

    def finish_evaluation(
        self,
        *,
        epoch: float | None = None,
        train_loss: float | None = None,
        seconds: float | None = None,
        dev: signals.Quality | None = None,
    ) -> float:
        """Writes the evaluation once every example was recorded; returns the accuracy over all of them.

        `dev` is what the model achieves on a dev set, entered in run.json.
        Raises DatamapError naming the examples that are missing.
        """
        evaluation = self._evaluation
        if evaluation is None:
            raise DatamapError(f"{self.run.directory}: no evaluation to finish: nothing was recorded")
        _refuse(~evaluation.seen, self.examples["id"], f"step {evaluation.step}: the evaluation lacks")
        records = signals.frame(self.examples, evaluation.fields).with_columns(
            # texts and null beside true and false are Python's own objects, of which Polars makes no column by itself
            pl.Series(name, values.tolist() if values.dtype == object else values, strict=False)
            for name, values in evaluation.extra.items()
        )
        accuracy = float(records["correct"].mean())  # type: ignore[arg-type]
        self.run.write_evaluation(
            records,
            format=self.format,
            step=evaluation.step,
            epoch=epoch,
            train_loss=train_loss,
            accuracy=accuracy,
            seconds=time.monotonic() - evaluation.started if seconds is None else seconds,
            dev=dev,
        )
        self._evaluation = None
        return accuracy

    def finish(self, save_model: Callable[[Path], None] | None = None) -> None:
        """Marks the run as finished; `save_model` writes the trained model to the directory it is given.

        Raises DatamapError for an evaluation that was begun and not finished.
        """
        if self._evaluation is not None:
            _refuse(~self._evaluation.seen, self.examples["id"], f"step {self._evaluation.step}: the evaluation lacks")
            raise DatamapError(f"step {self._evaluation.step}: recorded, but finish_evaluation() was not called")
        self.run.finish(save_model)
        self._held.close()

    def __enter__(self) -> SignalRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._held:
            if kind is None:
                self.finish()

    def _at(self, step: int) -> _Evaluation:
        """The evaluation that is being recorded, begun if there is none."""
        if self._evaluation is None:
            done = self.run.info.evaluations
            if done and step <= done[-1].step:
                raise DatamapError(f"step {step}: the evaluation before was at step {done[-1].step}; steps go up")
            self._evaluation = _Evaluation(step, self.examples.height)
        elif self._evaluation.step != step:
            raise DatamapError(f"step {step}: the evaluation at step {self._evaluation.step} is not finished")
        return self._evaluation

    def _rows(self, ids: pl.Series, step: int) -> npt.NDArray[np.int64]:
        """The rows of the examples with these ids."""
        next_row = 0 if self._evaluation is None else int(self._evaluation.seen.sum())
        if ids.equals(self.examples["id"].slice(next_row, len(ids))):  # in their order: no look-up
            return np.arange(next_row, next_row + len(ids))
        if self._places is None:
            self._places = {identity: row for row, identity in enumerate(self.examples["id"])}
        rows = np.array([self._places.get(identity, -1) for identity in ids], dtype=np.int64)
        _refuse(rows < 0, ids, f"step {step}: not among the examples")
        doubled = ids.is_duplicated().to_numpy()
        _refuse(doubled, ids, f"step {step}: twice in one batch")
        return rows


class _Evaluation:
    """What was recorded so far of one evaluation of N examples."""

    def __init__(self, step: int, examples: int) -> None:
        self.step = step
        self.started = time.monotonic()
        self.seen = np.zeros(examples, dtype=bool)
        self.fields: dict[str, npt.NDArray[Any]] = {}
        self.extra: dict[str, npt.NDArray[Any]] = {}

    def take(
        self,
        rows: npt.NDArray[np.int64],
        fields: Mapping[str, npt.NDArray[Any]],
        extra: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        first = not self.seen.any()
        if not first and set(extra) != set(self.extra):
            before = ", ".join(self.extra) or "none"
            raise DatamapError(f"step {self.step}: extra {', '.join(extra) or 'none'}, but {before} before")
        for name, values in extra.items():
            if values.shape != rows.shape:
                raise DatamapError(f"step {self.step}: extra {name}: shape {values.shape}, expected {rows.shape}")
            if name in _TAKEN:
                raise DatamapError(f"step {self.step}: extra {name}: the name is taken, by a field or a signal of ours")
            if first:
                self.extra[name] = np.empty(
                    len(self.seen), dtype=object if values.dtype.kind in "OUS" else values.dtype
                )
            elif (values.dtype.kind in "OUS") != (self.extra[name].dtype == object):
                raise DatamapError(f"step {self.step}: extra {name}: numbers in one batch, texts in another")
            elif values.dtype.kind not in "OUS":  # fractions may come after whole numbers
                wide = np.result_type(self.extra[name].dtype, values.dtype)
                self.extra[name] = self.extra[name].astype(wide, copy=False)
            self.extra[name][rows] = values
        for name, values in fields.items():
            if first:
                self.fields[name] = np.empty((len(self.seen), *values.shape[1:]), dtype=values.dtype)
            self.fields[name][rows] = values
        self.seen[rows] = True


def _examples(examples: Any, classes: Sequence[str]) -> pl.DataFrame:
    """id, text_a, text_b, label, s_label, of what the user calls examples."""
    frame = examples if isinstance(examples, pl.DataFrame) else pl.DataFrame(examples)
    missing = [name for name in ("id", "label") if name not in frame.columns]
    if missing:
        raise DatamapError(f"examples: no column {', '.join(missing)}; columns: {', '.join(frame.columns)}")
    if frame.is_empty():
        raise DatamapError("examples: there are none")
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise DatamapError("classes: expected two different names or more")
    if frame["label"].dtype == pl.String:
        names = {name: index for index, name in enumerate(classes)}
        label = frame["label"].replace_strict(names, default=None, return_dtype=pl.Int64)
    else:
        label = frame["label"].cast(pl.Int64, strict=False)
    wrong = label.is_null() | ~label.is_between(0, len(classes) - 1)
    _refuse(wrong.fill_null(True).to_numpy(), frame["id"], "examples: labels that are no class")
    identity = frame["id"].cast(pl.Int64) if frame["id"].dtype.is_integer() else frame["id"].cast(pl.String)
    _refuse((identity.is_null() | identity.is_duplicated()).to_numpy(), identity, "examples: ids that are not unique")
    nothing = pl.lit(None, dtype=pl.String)
    return frame.select(
        identity.alias("id"),
        pl.col("text_a").cast(pl.String).fill_null("") if "text_a" in frame.columns else nothing.alias("text_a"),
        pl.col("text_b").cast(pl.String) if "text_b" in frame.columns else nothing.alias("text_b"),
        label.alias("label"),
        (pl.col("s_label") if "s_label" in frame.columns else nothing.alias("s_label")).cast(pl.Int64),
    )


def _array(values: Any) -> npt.NDArray[Any]:
    """A tensor of whatever framework as a NumPy array; no framework is imported for it."""
    if "bfloat16" in str(getattr(values, "dtype", "")).lower():  # NumPy has no such type
        values = values.astype("float32") if hasattr(values, "astype") else values.float()
    for method in ("detach", "cpu", "numpy"):
        values = getattr(values, method)() if hasattr(values, method) else values
    return np.asarray(values)


def _refuse(faulty: npt.NDArray[np.bool_], ids: pl.Series, what: str) -> None:
    """Raises DatamapError naming the first ids where `faulty` is true."""
    if not faulty.any():
        return
    found = ids.filter(pl.Series(faulty))
    raise DatamapError(f"{what}: {len(found):,} of {len(ids):,}: {listed_ids(found)}")
