"""The training loop: steps, and between them a pass over all examples."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import paddle
import polars as pl
from numpy.typing import NDArray
from paddle.nn.functional import cross_entropy
from paddlenlp.transformers import LinearDecayWithWarmup

from datamap_cli.config import Config, SignalsConfig, TrainConfig
from datamap_cli.errors import DatamapError
from datamap_cli.train.batches import Tokens, evaluation_batches, tokenize, training_batches
from datamap_cli.train.events import Evaluation, EvaluationProgress, Event, Started, Step, Trained
from datamap_cli.train.model import Classifier, build

# padded tokens in a batch of an evaluation: larger ones are no faster on a CPU
TOKENS_ON_CPU = 2_048
TOKENS_ON_GPU = 32_768


def train(config: Config, examples: pl.DataFrame, classes: list[str]) -> Iterator[Event]:
    """What `datamap_cli.train.run` documents; Paddle is imported by now."""
    labels = examples["label"].to_numpy()
    text_a = examples["text_a"].to_list()
    text_b = None if examples["text_b"].null_count() else examples["text_b"].to_list()
    steps_per_epoch = -(-len(labels) // config.train.batch_size)
    steps = steps_per_epoch * config.train.epochs
    evaluate_after = evaluation_steps(config.signals, steps_per_epoch, config.train.epochs)

    device = _select_device(config.train.device)
    _seed(config.train.seed)
    classifier = build(config.model, len(classes), [*text_a, *(text_b or ())])
    tokens = tokenize(classifier.tokenizer, text_a, text_b, config.model.max_seq_len)
    _check_token_ids(config.model.name, classifier, tokens)
    optimizer, schedule = _optimizer(config.train, classifier.model, steps)
    yield Started(
        device=device,
        model=f"{config.model.name} ({type(classifier.model).__name__})",
        parameters=sum(int(parameter.size) for parameter in classifier.model.parameters()),
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        evaluations=len(evaluate_after),
        notes=[*classifier.notes, *_truncation_note(tokens, config.model.max_seq_len)],
    )

    step = evaluation = 0
    losses: list[float] = []  # since the last evaluation, as are the other two
    right = seen = 0
    classifier.model.train()
    for epoch in range(config.train.epochs):
        for batch in training_batches(len(labels), config.train.batch_size, config.train.seed, epoch):
            rate = float(optimizer.get_lr())
            logits = classifier.logits(tokens, batch)
            loss = cross_entropy(logits, paddle.to_tensor(labels[batch]))
            losses.append(float(loss))
            if not math.isfinite(losses[-1]):
                raise _diverged(f"step {step + 1}: the loss is {losses[-1]}", examples["id"].gather(batch))
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            schedule.step()
            step += 1
            right += int((logits.numpy().argmax(axis=1) == labels[batch]).sum())
            seen += len(batch)
            yield Step(step, epoch, losses[-1], right / seen, rate)
            if step in evaluate_after:
                started = time.perf_counter()
                outputs = yield from evaluate(classifier, tokens, TOKENS_ON_CPU if device == "cpu" else TOKENS_ON_GPU)
                bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
                if len(bad):
                    what = f"evaluation after step {step}: the model's output is not finite"
                    raise _diverged(what, examples["id"].gather(bad))
                yield Evaluation(
                    evaluation=evaluation,
                    step=step,
                    epoch=step / steps_per_epoch,
                    train_loss=float(np.mean(losses)),
                    accuracy=float((outputs.argmax(axis=1) == labels).mean()),
                    seconds=time.perf_counter() - started,
                    logits=outputs,
                )
                evaluation += 1
                losses, right, seen = [], 0, 0
    yield Trained(classifier.save)


def evaluation_steps(signals: SignalsConfig, steps_per_epoch: int, epochs: int) -> set[int]:
    """Numbers of done steps after which all examples are evaluated; the last step is among them.

    Raises DatamapError where an epoch has fewer steps than evaluations.
    """
    steps = steps_per_epoch * epochs
    if signals.every_steps is not None:
        return {*range(signals.every_steps, steps, signals.every_steps), steps}
    if signals.per_epoch > steps_per_epoch:
        raise DatamapError(
            f"signals.per_epoch: {signals.per_epoch}: an epoch has only {steps_per_epoch} steps of "
            "train.batch_size examples; expected no more evaluations than steps"
        )
    return {
        epoch * steps_per_epoch + part * steps_per_epoch // signals.per_epoch
        for epoch in range(epochs)
        for part in range(1, signals.per_epoch + 1)
    }


def evaluate(
    classifier: Classifier, tokens: Tokens, budget: int
) -> Generator[EvaluationProgress, None, NDArray[np.float64]]:
    """Logits of all examples without dropout, (N, C) in their order; leaves the model in training mode.

    `budget` bounds the padded tokens of a batch.
    """
    classifier.model.eval()
    count, done = len(tokens.lengths), 0
    parts: list[NDArray[np.float32]] = []
    batches = list(evaluation_batches(tokens.lengths, budget))
    for batch in batches:
        with paddle.no_grad():
            parts.append(classifier.logits(tokens, batch).numpy())
        done += len(batch)
        yield EvaluationProgress(done, count)
    classifier.model.train()
    logits = np.empty((count, parts[0].shape[1]), np.float64)
    logits[np.concatenate(batches)] = np.concatenate(parts)
    return logits


def _select_device(device: str) -> str:
    """Makes `train.device` Paddle's and returns its name, cpu or gpu:N."""
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
    return str(paddle.get_device())


def _seed(seed: int) -> None:
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


def _diverged(what: str, ids: pl.Series) -> DatamapError:
    """The error of a training that ran away: `what` happened to the examples with these ids."""
    named = ", ".join(str(id_) for id_ in ids.head(5)) + (", …" if len(ids) > 5 else "")
    return DatamapError(f"{what} for {len(ids)} examples (id {named}); a lower train.learning_rate usually helps")
