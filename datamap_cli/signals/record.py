"""Signal records: what one evaluation says of each training example."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.signals.side_by_side import TINY

REQUIRED = ("id", "label", "pred_label", "correct", "probs", "label_probs")
FIELDS = (*REQUIRED, "loss", "s_label")


def records(examples: pl.DataFrame, probs: npt.NDArray[np.float64], loss: npt.NDArray[np.float64]) -> pl.DataFrame:
    """The signal records of one evaluation: N examples, probs (N, C), loss (N,) in nats, in the same order."""
    label = examples["label"].to_numpy()
    predicted = probs.argmax(axis=1)
    frame = examples.select("id", "label").with_columns(
        pred_label=pl.Series(predicted, dtype=pl.Int64),
        correct=pl.Series(predicted == label),
        loss=pl.Series(loss, dtype=pl.Float64),
        probs=pl.Series(probs, dtype=pl.Array(pl.Float64, probs.shape[1])),
        label_probs=pl.Series(probs[np.arange(len(label)), label], dtype=pl.Float64),
    )
    has_s_label = examples["s_label"].null_count() < examples.height
    return frame.with_columns(examples["s_label"]) if has_s_label else frame


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
