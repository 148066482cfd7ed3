"""A tokenizer and a classifier from a model's name."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddlenlp.transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BasicTokenizer,
    ErnieConfig,
    ErnieForSequenceClassification,
    ErnieTokenizer,
)
from paddlenlp.transformers.auto.tokenizer import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

from datamap_cli.config import ModelConfig
from datamap_cli.errors import DatamapError
from datamap_cli.train import pretrained
from datamap_cli.train.batches import Tokens
from datamap_cli.train.environment import quiet

VOCABULARY_SIZE = 20_000
SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]")


@dataclass(frozen=True)
class Classifier:
    model: Any
    tokenizer: Any
    notes: list[str]
    """What is worth telling about how it came to be."""

    def logits(self, tokens: Tokens, batch: NDArray[np.int64]) -> Any:
        """The model's output for the examples with these indices, a (B, C) tensor."""
        # no attention mask: PaddleNLP's models see the padding by its id
        ids, types = tokens.pad(batch, self.tokenizer.pad_token_id, self.tokenizer.pad_token_type_id)
        inputs = {"input_ids": paddle.to_tensor(ids)}
        if "token_type_ids" in self.tokenizer.model_input_names:
            inputs["token_type_ids"] = paddle.to_tensor(types)
        return self.model(**inputs)

    def save(self, directory: Path) -> None:
        """Writes weights, configuration and tokenizer in PaddleNLP's layout."""
        with quiet():
            self.model.save_pretrained(str(directory))
            self.tokenizer.save_pretrained(str(directory))


def build(config: ModelConfig, classes: int, texts: Iterable[str]) -> Classifier:
    """The classifier that `model.name` means; tiny takes its vocabulary from `texts`.

    Raises DatamapError where the model cannot be loaded or does not take sequences of max_seq_len.
    """
    # the optimizer knows parameters by names that Paddle counts up
    with paddle.utils.unique_name.guard(), quiet():
        if config.name == pretrained.TINY:
            classifier = _tiny(classes, texts, config.max_seq_len)
        else:
            classifier = _pretrained(config.name, classes)
    positions = getattr(classifier.model.config, "max_position_embeddings", None)
    if positions is not None and positions < config.max_seq_len:
        raise DatamapError(f"model.max_seq_len: {config.max_seq_len}: {config.name} takes at most {positions} tokens")
    return classifier


def _pretrained(name: str, classes: int) -> Classifier:
    with _warnings_of_paddlenlp() as messages:
        try:
            model = _load_model(name, classes)
            tokenizer = _load_tokenizer(name, model.config.model_type)
        # what PaddleNLP raises for files that are missing, unreadable, or of a model it does not know
        except (OSError, ValueError, RuntimeError, AttributeError, AssertionError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            hint = "" if Path(name).is_dir() else f"; {pretrained.OTHERWISE}"
            raise DatamapError(f"model.name: {name}: PaddleNLP cannot load it: {reason}{hint}") from error
    mentioned = set(re.findall(r"[\w.]+", " ".join(messages)))
    new = [parameter for parameter, _ in model.named_parameters() if parameter in mentioned]
    listed = ", ".join(new[:4]) + (f" and {len(new) - 4} more" if len(new) > 4 else "")
    return Classifier(model, tokenizer, [f"newly initialized, not in the checkpoint: {listed}"] if new else [])


def _load_model(name: str, classes: int) -> Any:
    """PaddleNLP's classifier of that name; weights for another number of classes are initialized anew."""
    load = functools.partial(
        AutoModelForSequenceClassification.from_pretrained, num_classes=classes, ignore_mismatched_sizes=True
    )
    if not pretrained.is_torch(Path(name)):
        return load(name)
    with tempfile.TemporaryDirectory() as view:  # PaddleNLP would write converted weights beside the originals
        for file in Path(name).resolve().iterdir():
            (Path(view) / file.name).symlink_to(file)
        try:
            return load(view, convert_from_torch=True)
        except NotImplementedError:
            raise DatamapError(
                f"model.name: {name}: PaddleNLP cannot convert PyTorch weights of this architecture; expected "
                "its own format, model_state.pdparams"
            ) from None


def _load_tokenizer(name: str, model_type: str) -> Any:
    told = not Path(name).is_dir() or (Path(name) / "tokenizer_config.json").is_file()
    if told or model_type not in TOKENIZER_MAPPING_NAMES:
        return AutoTokenizer.from_pretrained(name)
    # AutoTokenizer insists on that file of a directory; the type of the model names the class as well
    class_name = TOKENIZER_MAPPING_NAMES[model_type]
    while isinstance(class_name, tuple):  # (slow, fast), and slow itself may be a choice
        class_name = class_name[0]
    return tokenizer_class_from_name(class_name).from_pretrained(name)


@contextlib.contextmanager
def _warnings_of_paddlenlp() -> Iterator[list[str]]:
    """Collects the warnings of PaddleNLP's logger: the one place where it names newly initialized weights."""
    logger = logging.getLogger("PaddleNLP")
    level, handlers = logger.level, logger.handlers
    messages: list[str] = []
    collector = logging.Handler(logging.WARNING)
    collector.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger.handlers = [collector]
    logger.setLevel(logging.WARNING)
    try:
        yield messages
    finally:
        logger.handlers = handlers
        logger.setLevel(level)


def _tiny(classes: int, texts: Iterable[str], max_seq_len: int) -> Classifier:
    """An untrained ERNIE of two layers, which learns a small data set in seconds on a CPU."""
    tokens = vocabulary(texts)
    directory = tempfile.mkdtemp()
    path = Path(directory) / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    tokenizer = ErnieTokenizer(str(path))
    # a tokenizer is saved by copying the file it was read from
    weakref.finalize(tokenizer, shutil.rmtree, directory)
    config = ErnieConfig(
        vocab_size=len(tokens),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=max_seq_len,
        type_vocab_size=2,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=classes,
    )
    return Classifier(ErnieForSequenceClassification(config), tokenizer, [])


def vocabulary(texts: Iterable[str]) -> list[str]:
    """A WordPiece vocabulary in which every word of the texts can be written, while there is room.

    Special tokens, then single characters (inside a word as ##c), then the words that occur twice or more,
    each by frequency. Chinese characters are words of their own.
    """
    split = BasicTokenizer(do_lower_case=True).tokenize
    words = Counter(word for text in texts for word in split(text))
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in (word[0], *(f"##{rest}" for rest in word[1:])):
            characters[character] += count
    frequent = Counter({word: count for word, count in words.items() if count > 1})
    ranked = (sorted(group, key=lambda token: (-group[token], token)) for group in (characters, frequent))
    tokens = dict.fromkeys(token for group in (SPECIAL_TOKENS, *ranked) for token in group)
    return list(tokens)[:VOCABULARY_SIZE]
