"""The training loop: steps, between them checkpoints and the evaluations of all examples."""

from __future__ import annotations

import bisect
import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from datamap_cli.config import Config
from datamap_cli.errors import DatamapError
from datamap_cli.signals import quality
from datamap_cli.text import counted, listed
from datamap_cli.train import checkpoint as checkpoints
from datamap_cli.train import pretrained
from datamap_cli.train.batches import Tokens, distinct, tokenize
from datamap_cli.train.events import (
    Checkpoint,
    Dev,
    Diverged,
    Embeddings,
    Evaluation,
    EvaluationProgress,
    Event,
    FoldTrained,
    Predicted,
    Started,
    Step,
    Stopped,
    Trained,
)
from datamap_cli.train.model import Classifier, build
from datamap_cli.train.plan import Plan, Progress
from datamap_cli.train.processes import connect
from datamap_cli.train.trainer import Logits, Trainer, seed_all, select_device

# padded tokens in a batch of an evaluation: larger ones are no faster on a CPU
TOKENS_ON_CPU = 2_048
TOKENS_ON_GPU = 32_768
# bytes of embeddings that are kept, in half precision
MOST_EMBEDDINGS = 2**30


def train(
    config: Config,
    examples: pl.DataFrame,
    classes: list[str],
    dev: pl.DataFrame | None,
    checkpoint: Path | None,
    stop: Callable[[], bool],
    *,
    loading: float,
) -> Iterator[Event]:
    """What `datamap_cli.train.run` documents; Paddle is imported by now, which took `loading` seconds."""
    training = Training(config, examples, classes, dev, stop, Phases({"loading Paddle": loading}))
    if checkpoint is not None:
        training.go_on_from(checkpoint)
    yield training.started()
    yield from training.run()


def predict(
    config: Config, examples: pl.DataFrame, classes: list[str], others: pl.DataFrame
) -> Iterator[Step | EvaluationProgress | Predicted]:
    """What `datamap_cli.train.predict` documents; Paddle is imported by now."""
    training = Training(config, examples, classes, others, lambda: False, Phases({}))
    yield from training.predict()


class Training:
    """A plan being carried out: steps, evaluations and checkpoints, fold after fold."""

    def __init__(
        self,
        config: Config,
        examples: pl.DataFrame,
        classes: list[str],
        dev: pl.DataFrame | None,
        stop: Callable[[], bool],
        phases: Phases,
    ) -> None:
        self.config, self.stop, self.phases = config, stop, phases
        self.device = select_device(config.train)
        self.processes = connect()
        self.ids, self.labels, self.classes = examples["id"], examples["label"].to_numpy(), len(classes)
        self.texts = _texts(examples)
        self.plan = Plan.of(config, self.labels, self.processes.count)
        self.online = config.signals.mode == "online"
        self.budget = config.train.eval_batch_tokens or (TOKENS_ON_CPU if self.device == "cpu" else TOKENS_ON_GPU)

        classifier = self._build(fold=0)
        with phases("tokenizing"):
            self.tokens = _tokens(config, classifier, self.texts)
            self.dev = None if dev is None else _DevSet(dev, _tokens(config, classifier, _texts(dev)))
        self.trainer = self._trainer(classifier)
        wanted = config.signals.embeddings == "auto" and config.model.name != pretrained.TINY
        self.embedding_bytes = 2 * len(self.texts) * len(self.labels) * classifier.width if wanted else 0
        self.embeds = 0 < self.embedding_bytes <= MOST_EMBEDDINGS
        self.progress = Progress.of(self.plan.steps, len(self.plan.evaluate_after))
        # logits of evaluations that are not yet whole: online of the one that is going on, with folds of all
        pending = 1 if self.online else len(self.plan.evaluate_after) if self.plan.holds_out else 0
        self.kept = np.zeros((pending, len(self.labels), self.classes), np.float32)
        # with folds, what the models so far say of the dev set: logarithms of summed probabilities
        held = len(self.plan.evaluate_after) if self.plan.holds_out and self.dev is not None else 0
        self.kept_dev = np.zeros((held, 0 if self.dev is None else len(self.dev.labels), self.classes), np.float32)
        self.best: checkpoints.Tensors = {}

    def go_on_from(self, checkpoint: Path) -> None:
        """Brings everything to the state that was saved there."""
        with self.phases("loading the checkpoint"):
            self.progress, further = checkpoints.load(
                checkpoint,
                self.plan.steps,
                self.trainer.classifier.model,
                self.trainer.optimizer,
                self.trainer.scaler,
                self._further(),
            )
            self.kept = further["logits"].get("logits", self.kept)
            self.kept_dev = further["dev"].get("logits", self.kept_dev)
            self.best = further["best"]
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
                *_dev_note(self.dev, self.config.model.max_seq_len),
                *_cut_epoch_note(self.config, plan),
                *_folds_note(plan),
                *_embeddings_note(self.embedding_bytes),
            ],
        )

    def run(self) -> Iterator[Event]:
        """From where it stands to the end, or until it is asked to stop."""
        if self.embeds and not self.plan.steps_of_all(self.progress):
            with self.phases("embedding the texts"):
                stopping = yield from self._embed()
            if stopping:
                yield from self._stop()
                return
        while True:
            stopping = False
            # a checkpoint is saved before the evaluation that is due with it: a training that goes on begins with that
            if self.progress.step in self.plan.evaluate_after:
                stopping = yield from self._evaluate(self.plan.evaluate_after.index(self.progress.step))
            if not stopping:
                if self.progress.step == self.plan.steps and self.progress.fold == len(self.plan.folds) - 1:
                    self.processes.any(False)  # nobody leaves while another still needs what was shared
                    yield self._trained()
                    return
                if self.progress.step == self.plan.steps:
                    self._begin_fold(self.progress.fold + 1)
                stopping = yield from self._step()
            if stopping:
                yield from self._stop()
                return
            if self.plan.checkpoint_due(self.progress.step):
                with self.phases("checkpoints"):
                    yield self._checkpoint()

    def predict(self) -> Iterator[Step | EvaluationProgress | Predicted]:
        """All steps, and then what the model says of the dev set."""
        assert self.dev is not None
        while self.progress.step < self.plan.steps:
            yield from self._step()
        rows = np.arange(len(self.dev.labels))
        logits = yield from self.trainer.evaluate(self.dev.tokens, rows, self.budget, self.stop)
        assert logits is not None
        self._refuse_infinite(logits, self.dev.ids)
        yield Predicted(logits.argmax(axis=1))

    def _build(self, fold: int) -> Classifier:
        seed_all(self.config.train.seed, fold)
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

    def _stop(self) -> Iterator[Event]:
        with self.phases("checkpoints"):
            yield self._checkpoint()
        yield Stopped(self.plan.steps_of_all(self.progress))

    def _embed(self) -> Generator[Event, None, bool]:
        """The vectors of the texts, each different one computed once; whether it is asked to stop, and they are not."""
        texts, text_of = distinct(pl.concat(self.texts))
        tokens = tokenize(self.trainer.classifier.tokenizer, texts, None, self.config.model.max_seq_len)
        found = yield from self.trainer.embed(tokens, self.budget, self.stop)
        if found is None:
            return True
        vectors = found.astype(np.float16)
        yield Embeddings([vectors[rows] for rows in np.split(text_of, len(self.texts))])
        return False

    def _evaluate(self, number: int) -> Generator[Event, None, bool]:
        """The evaluation of this index; whether it is asked to stop, and the evaluation was not made."""
        plan, progress, evaluated = self.plan, self.progress, self.plan.folds[self.progress.fold].evaluated
        started = time.perf_counter()
        if self.online:
            logits = self.processes.total(self.kept[0])
        else:
            with self.phases("evaluations"):
                found = yield from self.trainer.evaluate(self.tokens, evaluated, self.budget, self.stop)
            if found is None:
                return True
            logits = found
            progress.seconds[number] += time.perf_counter() - started
        self._refuse_infinite(logits, self.ids.gather(evaluated))
        dev = None
        if self.dev is not None:
            with self.phases("dev set"):
                dev = yield from self._evaluate_dev(number, self.dev)
            if dev is None:
                return True  # nothing is counted yet: a training that goes on evaluates anew
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
                    dev=dev,
                )
        if self.online:
            self.kept[:] = 0
        if plan.holds_out and progress.step == plan.steps:
            yield FoldTrained(progress.fold, len(plan.folds), len(evaluated), float(right[evaluated].mean()))
        return False

    def _evaluate_dev(self, number: int, dev: _DevSet) -> Generator[Event, None, Dev | None]:
        """What the model says of the dev set at this evaluation; None if it was asked to stop."""
        progress, folds = self.progress, len(self.plan.folds)
        logits = yield from self.trainer.evaluate(dev.tokens, np.arange(len(dev.labels)), self.budget, self.stop)
        if logits is None:
            return None
        self._refuse_infinite(logits, dev.ids)
        if folds > 1:
            scores = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
            before = self.kept_dev[number]
            self.kept_dev[number] = np.logaddexp(before, scores) if progress.fold else scores
            logits = self.kept_dev[number] - np.float32(np.log(progress.fold + 1))
        found = quality(logits, dev.labels)
        if self.config.train.keep == "best" and progress.better(number, found.macro_f1):
            self.best = checkpoints.arrays(self.trainer.classifier.model)
        return Dev(logits, found)

    def _refuse_infinite(self, logits: Logits, ids: pl.Series) -> None:
        bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(bad):
            what = f"evaluation after step {self.progress.step}: the model's output is not finite"
            raise _diverged(what, ids.gather(bad))

    def _trained(self) -> Trained:
        classifier = self.trainer.classifier
        if self.best:
            checkpoints.put(classifier.model, self.best)
        save = None if self.plan.holds_out else classifier.save
        return Trained(save, self.progress.best_evaluation, self.phases.seconds)

    def _step(self) -> Generator[Step, None, bool]:
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
        return Checkpoint(self.plan.steps_of_all(self.progress), self.trainer.saving(self.progress, self._further()))

    def _further(self) -> dict[str, checkpoints.Tensors]:
        """What a checkpoint has besides the state of the model and of what changes it."""
        return {
            "logits": {"logits": self.kept} if len(self.kept) else {},
            "dev": {"logits": self.kept_dev} if len(self.kept_dev) else {},
            "best": self.best,
        }


class _DevSet:
    """Examples that are only ever asked about."""

    def __init__(self, examples: pl.DataFrame, tokens: Tokens) -> None:
        self.ids, self.labels, self.tokens = examples["id"], examples["label"].to_numpy(), tokens


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


def _texts(examples: pl.DataFrame) -> list[pl.Series]:
    return [examples["text_a"], *([] if examples["text_b"].null_count() else [examples["text_b"]])]


def _tokens(config: Config, classifier: Classifier, texts: list[pl.Series]) -> Tokens:
    """The texts as the model reads them.

    Raises DatamapError where the vocabulary belongs to another model: Paddle would read past the weights.
    """
    text_b = texts[1] if len(texts) > 1 else None
    tokens = tokenize(classifier.tokenizer, texts[0], text_b, config.model.max_seq_len)
    rows = classifier.model.get_input_embeddings().weight.shape[0]
    if tokens.flat.max() >= rows:
        raise DatamapError(
            f"model.name: {config.model.name}: the vocabulary has a token {tokens.flat.max()}, the weights only {rows} "
            "tokens; expected the vocabulary the model was trained with"
        )
    return tokens


def _truncation_note(tokens: Tokens, max_seq_len: int) -> Iterator[str]:
    if tokens.truncated:
        yield f"{tokens.truncated} of {len(tokens.lengths)} examples truncated to {max_seq_len} tokens"


def _dev_note(dev: _DevSet | None, max_seq_len: int) -> Iterator[str]:
    if dev is not None:
        yield from (f"dev set: {text}" for text in _truncation_note(dev.tokens, max_seq_len))


def _cut_epoch_note(config: Config, plan: Plan) -> Iterator[str]:
    if config.signals.mode == "online" and plan.steps % plan.steps_per_epoch:
        yield "train.max_steps ends within an epoch: that epoch gives no online signals"


def _folds_note(plan: Plan) -> Iterator[str]:
    if plan.holds_out:
        yield (
            f"{len(plan.folds)} folds: a model for each, trained on the others; signals come with the last one, "
            "of examples held out"
        )


def _embeddings_note(size: int) -> Iterator[str]:
    if size > MOST_EMBEDDINGS:
        yield f"no embeddings of the texts: they would take {size / 1e9:.1f} GB, more than {MOST_EMBEDDINGS / 1e9:.1f}"


def _diverged(what: str, ids: pl.Series) -> Diverged:
    """The error of a training that ran away: `what` happened to the examples with these ids."""
    named = listed(ids, most=64)
    return Diverged(
        f"{what} for {counted(len(ids), 'example')} (id {named}); a lower train.learning_rate usually helps"
    )
