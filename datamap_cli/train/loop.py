"""The training loop: steps, between them checkpoints and the evaluations of all examples."""

from __future__ import annotations

import bisect
import contextlib
import functools
import math
import os
import random
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import polars as pl
from numpy.typing import NDArray
from paddle.nn.functional import cross_entropy
from paddlenlp.transformers import LinearDecayWithWarmup

from datamap_cli.config import Config, SignalsConfig, TrainConfig
from datamap_cli.errors import DatamapError
from datamap_cli.train import checkpoint as checkpoints
from datamap_cli.train.batches import Tokens, evaluation_batches, tokenize
from datamap_cli.train.checkpoint import Progress
from datamap_cli.train.events import (
    Checkpoint,
    Diverged,
    Evaluation,
    EvaluationProgress,
    Event,
    FoldTrained,
    Started,
    Step,
    Stopped,
    Trained,
)
from datamap_cli.train.model import Classifier, build
from datamap_cli.train.processes import Processes, connect

# padded tokens in a batch of an evaluation: larger ones are no faster on a CPU
TOKENS_ON_CPU = 2_048
TOKENS_ON_GPU = 32_768

_AMP_TYPES = {"bf16": "bfloat16", "fp16": "float16"}

Logits = NDArray[np.float32]


def train(
    config: Config,
    examples: pl.DataFrame,
    classes: list[str],
    checkpoint: Path | None,
    stop: Callable[[], bool],
    *,
    loading: float,
) -> Iterator[Event]:
    """What `datamap_cli.train.run` documents; Paddle is imported by now, which took `loading` seconds."""
    training = Training(config, examples, classes, stop, Phases({"loading Paddle": loading}))
    if checkpoint is not None:
        training.go_on_from(checkpoint)
    yield training.started()
    yield from training.run()


class Training:
    """A plan being carried out: steps, evaluations and checkpoints, fold after fold."""

    def __init__(
        self, config: Config, examples: pl.DataFrame, classes: list[str], stop: Callable[[], bool], phases: Phases
    ) -> None:
        self.config, self.stop, self.phases = config, stop, phases
        self.device = _select_device(config.train)
        self.processes = connect()
        self.ids, self.labels, self.classes = examples["id"], examples["label"].to_numpy(), len(classes)
        self.texts = [examples["text_a"], *([] if examples["text_b"].null_count() else [examples["text_b"]])]
        self.plan = Plan.of(config, self.labels, self.processes.count)
        self.online = config.signals.mode == "online"
        self.budget = config.train.eval_batch_tokens or (TOKENS_ON_CPU if self.device == "cpu" else TOKENS_ON_GPU)

        classifier = self._build(fold=0)
        with phases("tokenizing"):
            text_b = self.texts[1] if len(self.texts) > 1 else None
            self.tokens = tokenize(classifier.tokenizer, self.texts[0], text_b, config.model.max_seq_len)
            _check_token_ids(config.model.name, classifier, self.tokens)
        self.trainer = self._trainer(classifier)
        self.progress = Progress.of(self.plan.steps, len(self.plan.evaluate_after))
        # logits of evaluations that are not yet whole: online of the one that is going on, with folds of all
        pending = 1 if self.online else len(self.plan.evaluate_after) if self.plan.holds_out else 0
        self.kept = np.zeros((pending, len(self.labels), self.classes), np.float32)

    def go_on_from(self, checkpoint: Path) -> None:
        """Brings everything to the state that was saved there."""
        with self.phases("loading the checkpoint"):
            self.progress, self.kept = checkpoints.load(
                checkpoint,
                self.plan.steps,
                self.trainer.classifier.model,
                self.trainer.optimizer,
                self.trainer.scaler,
                self.kept,
            )
        if self.online and self.processes.rank > 0:
            self.kept[:] = 0  # those so far are counted once

    def started(self) -> Started:
        plan, classifier = self.plan, self.trainer.classifier
        return Started(
            device=self.device,
            processes=self.processes.count,
            model=f"{self.config.model.name} ({type(classifier.model).__name__})",
            parameters=sum(int(parameter.size) for parameter in classifier.model.parameters()),
            step=plan.steps_of_all(self.progress),
            steps=plan.steps * len(plan.folds),
            steps_per_epoch=plan.steps_per_epoch,
            evaluations=len(plan.evaluate_after),
            evaluated=plan.evaluated(self.progress),
            notes=[
                *classifier.notes,
                *_truncation_note(self.tokens, self.config.model.max_seq_len),
                *_cut_epoch_note(self.config, plan),
                *_folds_note(plan),
            ],
        )

    def run(self) -> Iterator[Event]:
        """From where it stands to the end, or until it is asked to stop."""
        while True:
            stopping = False
            # a checkpoint is saved before the evaluation that is due with it: a training that goes on begins with that
            if self.progress.step in self.plan.evaluate_after:
                stopping = yield from self._evaluate(self.plan.evaluate_after.index(self.progress.step))
            if not stopping:
                if self.progress.step == self.plan.steps and self.progress.fold == len(self.plan.folds) - 1:
                    self.processes.any(False)  # nobody leaves while another still needs what was shared
                    save = None if self.plan.holds_out else self.trainer.classifier.save
                    yield Trained(save, self.phases.seconds)
                    return
                if self.progress.step == self.plan.steps:
                    self._begin_fold(self.progress.fold + 1)
                stopping = yield from self._step()
            if stopping or self.plan.checkpoint_due(self.progress.step):
                with self.phases("checkpoints"):
                    yield self._checkpoint()
            if stopping:
                yield Stopped(self.plan.steps_of_all(self.progress))
                return

    def _build(self, fold: int) -> Classifier:
        _seed(self.config.train.seed, fold)
        with self.phases("building the model"):
            return build(self.config.model, self.classes, self.texts)

    def _trainer(self, classifier: Classifier) -> Trainer:
        return Trainer.of(
            self.config.train, classifier, self.tokens, self.labels, self.classes, self.processes, self.plan.steps
        )

    def _begin_fold(self, fold: int) -> None:
        self.progress.fold, self.progress.step = fold, 0
        del self.trainer  # one model in memory at a time
        self.trainer = self._trainer(self._build(fold))

    def _evaluate(self, number: int) -> Generator[Event, None, bool]:
        """The evaluation of this index; whether it is asked to stop, and the evaluation was not made."""
        plan, progress, evaluated = self.plan, self.progress, self.plan.folds[self.progress.fold].evaluated
        started = time.perf_counter()
        if self.online:
            logits = self.processes.total(self.kept[0])
        else:
            with self.phases("evaluations"):
                found = yield from self.trainer.evaluate(evaluated, self.budget, self.stop)
            if found is None:
                return True
            logits = found
            progress.seconds[number] += time.perf_counter() - started
        bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(bad):
            what = f"evaluation after step {progress.step}: the model's output is not finite"
            raise _diverged(what, self.ids.gather(evaluated[bad]))
        progress.right, progress.seen = 0, 0
        if plan.holds_out:
            self.kept[number, evaluated] = logits
            logits = self.kept[number]
        right = logits.argmax(axis=1) == self.labels
        if progress.fold == len(plan.folds) - 1:
            with self.phases("writing signals"):
                yield Evaluation(
                    evaluation=number,
                    step=progress.step,
                    epoch=progress.step / plan.steps_per_epoch,
                    train_loss=progress.losses[number] / plan.steps_before(number),
                    accuracy=float(right.mean()),
                    seconds=progress.seconds[number],
                    logits=logits,
                )
        if self.online:
            self.kept[:] = 0
        if plan.holds_out and progress.step == plan.steps:
            yield FoldTrained(progress.fold, len(plan.folds), len(evaluated), float(right[evaluated].mean()))
        return False

    def _step(self) -> Generator[Event, None, bool]:
        """A step; whether it is asked to stop."""
        plan, progress = self.plan, self.progress
        epoch, batch = plan.batch(progress.step, progress.fold)
        rate = float(self.trainer.optimizer.get_lr())
        with self.phases("training"):
            seed = plan.steps_of_all(progress)  # another one in each fold
            loss, right, stopping = self.trainer.step(seed, batch, self.kept[0] if self.online else None, self.stop)
            if not math.isfinite(loss):
                raise _diverged(f"step {progress.step + 1}: the loss is {loss}", self.ids.gather(batch))
            self.trainer.update()
        progress.losses[bisect.bisect_right(plan.evaluate_after, progress.step)] += loss
        progress.step += 1
        progress.right, progress.seen = progress.right + right, progress.seen + len(batch)
        yield Step(plan.steps_of_all(progress), epoch, loss, progress.right / progress.seen, rate)
        return stopping

    def _checkpoint(self) -> Checkpoint:
        if self.online:
            merged = self.processes.total(self.kept[0])
            self.kept[0] = merged if self.processes.rank == 0 else 0
        return Checkpoint(self.plan.steps_of_all(self.progress), self.trainer.saving(self.progress, self.kept))


class Phases:
    """Seconds spent in each phase, in the order they began."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


# ------------------------------------------------------------------------------------------------- plan


@dataclass(frozen=True)
class Plan:
    """Which examples each step takes, and after which steps something is due; a pure function of the configuration."""

    folds: list[Fold]
    """A model is trained for each; one fold of all examples where nothing is held out."""
    batch_size: int
    """Examples of a step, over all processes and batches accumulated."""
    seed: int
    steps: int
    steps_per_epoch: int
    evaluate_after: list[int]
    """Numbers of done steps, ascending."""
    checkpoint_every: int
    """Steps; 0: never."""

    @classmethod
    def of(cls, config: Config, labels: NDArray[np.int64], processes: int) -> Plan:
        """For examples with these labels (class indices). Raises DatamapError where folds or evaluations do not fit."""
        batch_size = config.train.batch_size * config.train.gradient_accumulation * processes
        folds = hold_out(labels, config.train.folds, config.train.seed)
        # the same for all folds, though some hold out one example more: their evaluations belong together
        steps_per_epoch = -(-len(folds[0].trained) // batch_size)
        steps = min(steps_per_epoch * config.train.epochs, config.train.max_steps or 10**18)
        every = config.train.checkpoint_steps
        return cls(
            folds,
            batch_size,
            config.train.seed,
            steps,
            steps_per_epoch,
            evaluation_steps(config.signals, steps_per_epoch, steps),
            steps_per_epoch if every is None else every,
        )

    def batch(self, step: int, fold: int = 0) -> tuple[int, NDArray[np.int64]]:
        """The epoch and the examples of the step after `step` done ones of this fold's model."""
        epoch, place = divmod(step, self.steps_per_epoch)
        trained = self.folds[fold].trained
        order = _order(len(trained), self.seed, epoch, fold)[: len(self.folds[0].trained)]
        return epoch, trained[order[place * self.batch_size : (place + 1) * self.batch_size]]

    def steps_of_all(self, progress: Progress) -> int:
        """Steps done, those of the folds before among them."""
        return progress.fold * self.steps + progress.step

    @property
    def holds_out(self) -> bool:
        return len(self.folds) > 1

    def evaluated(self, progress: Progress) -> int:
        """Evaluations that are complete: with folds all become so while the last is trained."""
        last = progress.fold == len(self.folds) - 1
        return bisect.bisect_left(self.evaluate_after, progress.step) if last else 0

    def steps_before(self, evaluation: int) -> int:
        """Steps since the evaluation before, of all folds."""
        first = self.evaluate_after[evaluation - 1] if evaluation else 0
        return (self.evaluate_after[evaluation] - first) * len(self.folds)

    def checkpoint_due(self, step: int) -> bool:
        return self.checkpoint_every > 0 and (step % self.checkpoint_every == 0 or step == self.steps)


def evaluation_steps(signals: SignalsConfig, steps_per_epoch: int, steps: int) -> list[int]:
    """Numbers of done steps after which all examples are evaluated, ascending.

    The last step is among them, but for online signals where it does not end an epoch. Raises DatamapError where an
    epoch has fewer steps than evaluations, and where no epoch is finished.
    """
    if signals.mode == "online":
        if steps < steps_per_epoch:
            raise DatamapError(
                f"train.max_steps: {steps}: an epoch has {steps_per_epoch} steps, and signals.mode: online "
                "collects whole epochs; expected no less, or signals.mode: evaluate"
            )
        return [*range(steps_per_epoch, steps + 1, steps_per_epoch)]
    if signals.every_steps is not None:
        return [*range(signals.every_steps, steps, signals.every_steps), steps]
    if signals.per_epoch > steps_per_epoch:
        raise DatamapError(
            f"signals.per_epoch: {signals.per_epoch}: an epoch has only {steps_per_epoch} steps of "
            "train.batch_size examples; expected no more evaluations than steps"
        )
    ends = (
        epoch * steps_per_epoch + part * steps_per_epoch // signals.per_epoch
        for epoch in range(-(-steps // steps_per_epoch))
        for part in range(1, signals.per_epoch + 1)
    )
    return [*(end for end in ends if end < steps), steps]


@dataclass(frozen=True)
class Fold:
    """Indices of the examples a model is trained on, and of those it is asked about."""

    trained: NDArray[np.int64]
    evaluated: NDArray[np.int64]


def hold_out(labels: NDArray[np.int64], count: int | None, seed: int) -> list[Fold]:
    """`count` folds that hold out every example once, those of each label in equal parts; None: one, of all in both.

    The first holds out the most; the sizes differ by one at most. Raises DatamapError for more folds than examples.
    """
    everything = np.arange(len(labels))
    if count is None:
        return [Fold(everything, everything)]
    if count > len(labels):
        raise DatamapError(f"train.folds: {count}: there are only {len(labels)} examples; expected no more")
    mixed = np.random.default_rng([seed, count]).permutation(len(labels))
    by_label = mixed[np.argsort(labels[mixed], kind="stable")]
    fold_of = np.empty(len(labels), np.int64)
    fold_of[by_label] = everything % count
    return [Fold(everything[fold_of != fold], everything[fold_of == fold]) for fold in range(count)]


@functools.lru_cache(maxsize=1)
def _order(count: int, seed: int, epoch: int, fold: int) -> NDArray[np.int64]:
    """The examples in the order of an epoch: a pure function, so that no checkpoint needs to hold it."""
    return np.random.default_rng([seed, epoch, fold]).permutation(count)


# ---------------------------------------------------------------------------------------------- trainer


@dataclass(frozen=True)
class Trainer:
    """The model and what changes it: one step, one pass, the state to save."""

    settings: TrainConfig
    classifier: Classifier
    parallel: Classifier
    """The same, with gradients that become the mean over the processes."""
    tokens: Tokens
    labels: NDArray[np.int64]
    classes: int
    processes: Processes
    optimizer: Any
    schedule: Any
    scaler: Any

    @classmethod
    def of(
        cls,
        settings: TrainConfig,
        classifier: Classifier,
        tokens: Tokens,
        labels: NDArray[np.int64],
        classes: int,
        processes: Processes,
        steps: int,
    ) -> Trainer:
        optimizer, schedule = _optimizer(settings, classifier.model, steps)
        classifier.model.train()
        return cls(
            settings,
            classifier,
            replace(classifier, model=processes.parallel(classifier.model)),
            tokens,
            labels,
            classes,
            processes,
            optimizer,
            schedule,
            # bf16 has the range of single precision and needs no scaling
            paddle.amp.GradScaler(enable=settings.amp == "fp16"),
        )

    def step(
        self, number: int, batch: NDArray[np.int64], online: Logits | None, stop: Callable[[], bool]
    ) -> tuple[float, int, bool]:
        """The gradients of the step after `number` done ones, over the examples of `batch`; `online` keeps the logits.

        Returns, over all processes, the mean loss, how many were predicted right, and whether one is asked to stop.
        """
        share = self.processes.share(batch)
        size = self.settings.batch_size
        parts = [share[start : start + size] for start in range(0, len(share), size)]
        loss_sum = right = 0.0
        _seed(number, self.settings.seed, self.processes.rank)
        for part in parts or [batch[:1]]:  # who has no example takes part with one that does not count
            last = part is parts[-1] if parts else True
            with contextlib.nullcontext() if last or self.processes.count == 1 else self.parallel.model.no_sync():
                with self._precision():
                    logits = self.parallel.logits(self.tokens, part).astype("float32")
                loss = cross_entropy(logits, paddle.to_tensor(self.labels[part]), reduction="sum")
                # the gradients of several processes are averaged, and the loss is the mean over all examples
                loss = loss * (self.processes.count / len(batch) if parts else 0.0)
                self.scaler.scale(loss).backward()
            if parts:
                outputs = logits.numpy()
                loss_sum += float(loss) / self.processes.count
                right += float((outputs.argmax(axis=1) == self.labels[part]).sum())
                if online is not None:
                    online[part] = outputs
        loss_sum, right, asked = self.processes.total(np.array([loss_sum, right, stop()]))
        return float(loss_sum), int(right), bool(asked)

    def update(self) -> None:
        """Applies the gradients."""
        # the first step names the optimizer's state: as it would in a process that trains no other model
        with paddle.utils.unique_name.guard():
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.clear_grad()
        self.schedule.step()

    def evaluate(
        self, rows: NDArray[np.int64], budget: int, stop: Callable[[], bool]
    ) -> Generator[EvaluationProgress, None, Logits | None]:
        """Logits of the examples with these indices without dropout, (rows, C); None if it was asked to stop.

        `budget` bounds the padded tokens of a batch. Each process takes its share of the batches.
        """
        self.classifier.model.eval()
        count, done = len(rows), 0
        logits = np.zeros((count, self.classes), np.float32)
        batches = list(evaluation_batches(self.tokens.lengths[rows], budget))
        for first in range(0, len(batches), self.processes.count):
            if self.processes.any(stop()):
                return None
            together = batches[first : first + self.processes.count]
            if self.processes.rank < len(together):
                batch = together[self.processes.rank]
                with paddle.no_grad(), self._precision():
                    logits[batch] = self.classifier.logits(self.tokens, rows[batch]).astype("float32").numpy()
            done += sum(len(batch) for batch in together)
            yield EvaluationProgress(done, count)
        self.classifier.model.train()
        return self.processes.total(logits)

    def saving(self, progress: Progress, kept: Logits) -> Callable[[Path], None]:
        """What writes the state of now to a directory; to be called before the next step."""
        return functools.partial(
            checkpoints.save,
            progress=progress,
            model=self.classifier.model,
            optimizer=self.optimizer,
            scaler=self.scaler,
            logits=kept,
        )

    def _precision(self) -> Any:
        if self.settings.amp == "none":
            return contextlib.nullcontext()
        return paddle.amp.auto_cast(level="O1", dtype=_AMP_TYPES[self.settings.amp])


def _select_device(train: TrainConfig) -> str:
    """Makes `train.device` Paddle's and returns its name, cpu or gpu:N.

    Raises DatamapError where it is not there, or cannot compute in `train.amp`.
    """
    device = train.device
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    if device == "auto":
        device = "gpu" if gpus else "cpu"
    index = int(device.partition(":")[2] or 0)
    if device != "cpu" and index >= gpus:
        found = f"{gpus} GPUs found" if paddle.is_compiled_with_cuda() else "the installed Paddle is for CPUs"
        raise DatamapError(f"train.device: {device}: {found}; expected auto or cpu, or gpu:N with a GPU N")
    if device == "cpu" and "FLAGS_use_stride_kernel" not in os.environ:
        paddle.set_flags({"FLAGS_use_stride_kernel": False})  # strided views are slow to compute on there
    paddle.set_device(device)
    if train.amp != "none":
        able = paddle.amp.is_bfloat16_supported() if train.amp == "bf16" else paddle.amp.is_float16_supported()
        if not able:
            raise DatamapError(f"train.amp: {train.amp}: {paddle.get_device()} cannot compute in it; expected none")
    return str(paddle.get_device())


def _seed(*numbers: int) -> None:
    """Seeds all that draws at random, by a function of the numbers."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)


def _optimizer(train: TrainConfig, model: Any, steps: int) -> tuple[Any, Any]:
    """AdamW and its schedule: a linear rise from 0 over the warm-up, then a linear fall towards 0."""
    schedule = LinearDecayWithWarmup(train.learning_rate, steps, int(train.warmup_proportion * steps))
    decayed = {
        parameter.name for name, parameter in model.named_parameters() if "bias" not in name and "norm" not in name
    }
    optimizer = paddle.optimizer.AdamW(
        learning_rate=schedule,
        parameters=model.parameters(),
        weight_decay=train.weight_decay,
        apply_decay_param_fun=decayed.__contains__,
    )
    return optimizer, schedule


def _check_token_ids(name: str, classifier: Classifier, tokens: Tokens) -> None:
    """Raises DatamapError where the vocabulary belongs to another model: Paddle would read past the weights."""
    rows = classifier.model.get_input_embeddings().weight.shape[0]
    if tokens.flat.max() >= rows:
        raise DatamapError(
            f"model.name: {name}: the vocabulary has a token {tokens.flat.max()}, the weights only {rows} tokens; "
            "expected the vocabulary the model was trained with"
        )


def _truncation_note(tokens: Tokens, max_seq_len: int) -> Iterator[str]:
    if tokens.truncated:
        yield f"{tokens.truncated} of {len(tokens.lengths)} examples truncated to {max_seq_len} tokens"


def _cut_epoch_note(config: Config, plan: Plan) -> Iterator[str]:
    if config.signals.mode == "online" and plan.steps % plan.steps_per_epoch:
        yield "train.max_steps ends within an epoch: that epoch gives no online signals"


def _folds_note(plan: Plan) -> Iterator[str]:
    if plan.holds_out:
        yield (
            f"{len(plan.folds)} folds: a model for each, trained on the others; signals come with the last one, "
            "of examples held out"
        )


def _diverged(what: str, ids: pl.Series) -> Diverged:
    """The error of a training that ran away: `what` happened to the examples with these ids."""
    named = ", ".join(str(id_) for id_ in ids.head(64)) + (", …" if len(ids) > 64 else "")
    return Diverged(f"{what} for {len(ids)} examples (id {named}); a lower train.learning_rate usually helps")
