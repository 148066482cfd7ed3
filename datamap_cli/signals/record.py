"""Signal records: what one evaluation says of each training example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.signals.side_by_side import TINY

Kept = Literal["all", "label"]

FIELDS = (
    "id",
    "label",
    "pred_label",
    "correct",
    "loss",
    "probs",
    "label_probs",
    "runner_up",
    "runner_up_probs",
    "s_label",
)
_REQUIRED = ("id", "label", "pred_label", "correct", "label_probs")


def has_all_probs(schema: pl.Schema) -> bool:
    """Whether records with these columns have the probabilities of all classes; else the runner-up stands for them."""
    return "probs" in schema or "runner_up_probs" not in schema


def required(*, all_probs: bool) -> tuple[str, ...]:
    """The columns that the signals are computed from."""
    return (*_REQUIRED, "probs" if all_probs else "runner_up_probs")


def fields(
    probs: npt.NDArray[np.float64], label: npt.NDArray[np.int64], loss: npt.NDArray[np.float64], keep: Kept = "all"
) -> dict[str, npt.NDArray[Any]]:
    """What the records of B examples say, by field, from probs (B, C), label (B,) and loss (B,) in nats.

    With `keep` "label" the runner-up, the most probable class besides the label, and its probability stand for probs.
    Of equally probable classes the lowest counts.
    """
    rows = np.arange(len(label))
    predicted = probs.argmax(axis=1)
    kept: dict[str, npt.NDArray[Any]] = {"pred_label": predicted, "correct": predicted == label, "loss": loss}
    if keep == "all":
        kept["probs"] = probs
    kept["label_probs"] = probs[rows, label]
    if keep == "label":
        others = probs.copy()
        others[rows, label] = -1
        kept["runner_up"] = others.argmax(axis=1)
        kept["runner_up_probs"] = probs[rows, kept["runner_up"]]
    return kept


def frame(examples: pl.DataFrame, values: Mapping[str, npt.NDArray[Any]]) -> pl.DataFrame:
    """The signal records of one evaluation of N examples, from `values` by field, (N, …) in the same order."""
    records = examples.select("id", "label").with_columns(pl.Series(name, value) for name, value in values.items())
    has_s_label = examples["s_label"].null_count() < examples.height
    return records.with_columns(examples["s_label"]) if has_s_label else records


def records(
    examples: pl.DataFrame, probs: npt.NDArray[np.float64], loss: npt.NDArray[np.float64], keep: Kept = "all"
) -> pl.DataFrame:
    """The signal records of one evaluation: N examples, probs (N, C), loss (N,) in nats, in the same order."""
    return frame(examples, fields(probs, examples["label"].to_numpy(), loss, keep))


def probabilities(
    logits: npt.NDArray[np.float64], label: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Softmax over the classes, (N, C), and −log p(label), (N,), nats, exact where p underflows."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.exp(shifted - log_sum), (log_sum - np.take_along_axis(shifted, label[:, None], axis=1))[:, 0]


def loss(probs: npt.NDArray[np.float64], label: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """−log p(label), (N,), nats, of probs (N, C); finite where a probability underflowed to 0."""
    p = np.take_along_axis(probs, label[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.maximum(p, TINY)))
