"""Where a pretrained model comes from, checked before anything heavy is imported or downloaded."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from datamap_cli.errors import DatamapError

TINY = "tiny"
CONFIGS = ("config.json", "model_config.json")
# the weights in one file; in several, its name with .index.json lists them; the first that is there is read
FILES = ("model.safetensors", "model_state.pdparams", "pytorch_model.bin")
WEIGHTS = (*FILES, *(f"{name}.index.json" for name in FILES))
VOCABULARIES = (
    "vocab.txt",
    "vocab.json",
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
OTHERWISE = "a local directory with a whole model works, and model.name: tiny needs no download"
CONNECT_SECONDS = 10


def check(name: str) -> None:
    """Returns where `model.name` can be loaded: tiny, a whole directory, a cached model, a reachable hub.

    Raises DatamapError, within CONNECT_SECONDS, where it cannot.
    """
    if name == TINY:
        return
    directory = Path(name)
    if directory.is_dir():
        _check_directory(directory)
    elif directory.exists() or name.startswith(("/", "./", "../", "~")):
        raise DatamapError(
            f"model.name: {name}: no such directory; give the directory of a model, a PaddleNLP name, or tiny"
        )
    elif not any((_cache() / name / file).is_file() for file in WEIGHTS):
        _check_hub(name)


def _check_directory(directory: Path) -> None:
    missing = [
        what
        for what, names in (
            ("a configuration (config.json)", CONFIGS),
            ("weights (model_state.pdparams)", WEIGHTS),
            ("a vocabulary (vocab.txt)", VOCABULARIES),
        )
        if not any((directory / name).is_file() for name in names)
    ]
    if missing:
        raise DatamapError(f"model.name: {directory}: the directory lacks {', '.join(missing)}")


def _cache() -> Path:
    """Where PaddleNLP keeps downloaded models, a directory per name."""
    return Path(os.environ.get("PPNLP_HOME", Path.home() / ".paddlenlp")) / "models"


def _check_hub(name: str) -> None:
    """Raises DatamapError where the hub cannot be reached.

    PaddleNLP itself would try each file of the model in turn, with ten seconds for each address.
    """
    import requests  # what PaddleNLP downloads with: the same proxies and certificates

    hub = os.environ.get("PPNLP_ENDPOINT", "https://bj.bcebos.com/paddlenlp")
    answers: list[str] = []

    def ask() -> None:
        try:
            requests.head(hub, timeout=CONNECT_SECONDS / 2)
            answers.append("")
        except requests.RequestException as error:
            answers.append(type(error).__name__)

    # a thread, since no timeout bounds the look-up of a host name
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    problem = answers[0] if answers else f"no answer in {CONNECT_SECONDS} s"
    if problem:
        raise DatamapError(
            f"model.name: {name}: no such directory, not in {_cache()}, and {hub} cannot be reached "
            f"({problem}); {OTHERWISE}"
        )
