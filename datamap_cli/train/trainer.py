"""The model and what changes it: one step, one pass over examples, the state to save."""

from __future__ import annotations

import contextlib
import functools
import os
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle.nn.functional import cross_entropy
from paddlenlp.transformers import LinearDecayWithWarmup

from datamap_cli.config import TrainConfig
from datamap_cli.errors import DatamapError
from datamap_cli.train import checkpoint as checkpoints
from datamap_cli.train.batches import Tokens, evaluation_batches
from datamap_cli.train.events import EvaluationProgress
from datamap_cli.train.model import Classifier
from datamap_cli.train.plan import Progress
from datamap_cli.train.processes import Processes

_AMP_TYPES = {"bf16": "bfloat16", "fp16": "float16"}

Logits = NDArray[np.float32]


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
        seed_all(number, self.settings.seed, self.processes.rank)
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
        self, tokens: Tokens, rows: NDArray[np.int64], budget: int, stop: Callable[[], bool]
    ) -> Generator[EvaluationProgress, None, Logits | None]:
        """Logits of the examples with these indices without dropout, (rows, C); None if it was asked to stop.

        `budget` bounds the padded tokens of a batch. Each process takes its share of the batches.
        """
        return self._outputs(self.classifier.logits, self.classes, tokens, rows, budget, stop)

    def embed(
        self, texts: Tokens, budget: int, stop: Callable[[], bool]
    ) -> Generator[EvaluationProgress, None, Logits | None]:
        """The vectors of N texts by themselves, (N, D), as `evaluate` gives logits."""
        rows = np.arange(len(texts.lengths))
        return self._outputs(self.classifier.vectors, self.classifier.width, texts, rows, budget, stop)

    def _outputs(
        self,
        forward: Callable[[Tokens, NDArray[np.int64]], Any],
        width: int,
        tokens: Tokens,
        rows: NDArray[np.int64],
        budget: int,
        stop: Callable[[], bool],
    ) -> Generator[EvaluationProgress, None, Logits | None]:
        self.classifier.model.eval()
        count, done = len(rows), 0
        outputs = np.zeros((count, width), np.float32)
        batches = list(evaluation_batches(tokens.lengths[rows], budget))
        for first in range(0, len(batches), self.processes.count):
            if self.processes.any(stop()):
                return None
            together = batches[first : first + self.processes.count]
            if self.processes.rank < len(together):
                batch = together[self.processes.rank]
                with paddle.no_grad(), self._precision():
                    outputs[batch] = forward(tokens, rows[batch]).astype("float32").numpy()
            done += sum(len(batch) for batch in together)
            yield EvaluationProgress(done, count)
        self.classifier.model.train()
        return self.processes.total(outputs)

    def saving(self, progress: Progress, further: Mapping[str, checkpoints.Tensors]) -> Callable[[Path], None]:
        """What writes the state of now to a directory; to be called before the next step."""
        return functools.partial(
            checkpoints.save,
            progress=progress,
            model=self.classifier.model,
            optimizer=self.optimizer,
            scaler=self.scaler,
            further=further,
        )

    def _precision(self) -> Any:
        if self.settings.amp == "none":
            return contextlib.nullcontext()
        return paddle.amp.auto_cast(level="O1", dtype=_AMP_TYPES[self.settings.amp])


def select_device(train: TrainConfig) -> str:
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


def seed_all(*numbers: int) -> None:
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
