"""A tokenizer and a classifier from a model's name."""

from __future__ import annotations

import contextlib
import json
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
import polars as pl
from numpy.typing import NDArray
from paddlenlp.transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BasicTokenizer,
    BertForSequenceClassification,
    ErnieConfig,
    ErnieForSequenceClassification,
    ErnieTokenizer,
    RobertaForSequenceClassification,
)
from paddlenlp.transformers.auto.tokenizer import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

from datamap_cli.config import ModelConfig
from datamap_cli.errors import DatamapError
from datamap_cli.train import pretrained, weights
from datamap_cli.train.batches import Tokens, pieces
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
        return self.model(**self._inputs(tokens, batch))

    def vectors(self, tokens: Tokens, batch: NDArray[np.int64]) -> Any:
        """The mean of the last hidden states over each one's tokens, of length 1, a (B, D) tensor."""
        base = getattr(self.model, self.model.base_model_prefix)
        states = base(**self._inputs(tokens, batch))
        states = states[0] if isinstance(states, (tuple, list)) else states
        within = np.arange(states.shape[1]) < tokens.lengths[batch, None]
        sums = (states.astype("float32") * paddle.to_tensor(within[..., None], dtype="float32")).sum(axis=1)
        return paddle.nn.functional.normalize(sums, axis=1)  # of a sum as of a mean

    @property
    def width(self) -> int:
        """D, of the vectors."""
        return int(self.model.config.hidden_size)

    def _inputs(self, tokens: Tokens, batch: NDArray[np.int64]) -> dict[str, Any]:
        # no attention mask: PaddleNLP's models see the padding by its id
        ids, types = tokens.pad(batch, self.tokenizer.pad_token_id, self.tokenizer.pad_token_type_id)
        inputs = {"input_ids": paddle.to_tensor(ids)}
        if "token_type_ids" in self.tokenizer.model_input_names:
            inputs["token_type_ids"] = paddle.to_tensor(types)
        return inputs

    def save(self, directory: Path) -> None:
        """Writes weights, configuration and tokenizer in PaddleNLP's layout."""
        with quiet():
            self.model.save_pretrained(str(directory))
            self.tokenizer.save_pretrained(str(directory))


def build(config: ModelConfig, classes: int, texts: Iterable[pl.Series]) -> Classifier:
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
    if positions is not None and isinstance(classifier.model, RobertaForSequenceClassification):
        positions -= classifier.model.config.pad_token_id + 1  # it counts positions from there
    if positions is not None and positions < config.max_seq_len:
        raise DatamapError(f"model.max_seq_len: {config.max_seq_len}: {config.name} takes at most {positions} tokens")
    return classifier


def _pretrained(name: str, classes: int) -> Classifier:
    directory = Path(name)
    try:
        return _from_directory(directory, classes) if directory.is_dir() else _from_hub(name, classes)
    # what PaddleNLP raises for files that are missing, unreadable, or of a model it does not know
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        hint = "" if directory.is_dir() else f"; {pretrained.OTHERWISE}"
        raise DatamapError(f"model.name: {name}: PaddleNLP cannot load it: {reason}{hint}") from error


def _from_hub(name: str, classes: int) -> Classifier:
    """PaddleNLP's classifier of that name; weights for another number of classes are initialized anew."""
    with _warnings_of_paddlenlp() as messages:
        model = AutoModelForSequenceClassification.from_pretrained(
            name, num_classes=classes, ignore_mismatched_sizes=True
        )
    mentioned = set(re.findall(r"[\w.]+", " ".join(messages)))
    new = [parameter for parameter, _ in model.named_parameters() if parameter in mentioned]
    return Classifier(model, AutoTokenizer.from_pretrained(name), _notes(new, []))


def _from_directory(directory: Path, classes: int) -> Classifier:
    """The classifier in a directory of PaddleNLP's or Hugging Face's layout, with a head for so many classes.

    Raises DatamapError where its weights are not those its configuration describes.
    """
    # in full precision, and with logits as its one output
    outputs = dict.fromkeys(("return_dict", "use_cache", "output_attentions", "output_hidden_states"), False)
    config = AutoConfig.from_pretrained(str(directory), num_labels=classes, dtype="float32", **outputs)
    model = AutoModelForSequenceClassification.from_config(config)
    checkpoint = weights.read(directory)
    found = _to_paddle(checkpoint.weights, model) if checkpoint.torch else checkpoint.weights
    prefix = f"{model.base_model_prefix}."
    if not any(name.startswith(prefix) for name in found):  # saved without a head
        found = {prefix + name: weight for name, weight in found.items()}
    expected = model.state_dict()
    fitting = {name: found[name] for name in expected if name in found and [*found[name].shape] == expected[name].shape}
    misfits = [name for name in expected if name in found and name not in fitting and name.startswith(prefix)]
    if misfits or not any(name.startswith(prefix) for name in fitting):
        what = f"{misfits[0]} has another size than" if misfits else "none of the weights is one that"
        raise DatamapError(
            f"model.name: {directory}: {what} config.json asks for; expected the weights and config.json of one model"
        )
    for name, weight in fitting.items():
        expected[name].set_value(np.ascontiguousarray(weight, expected[name].numpy().dtype))
    new = [name for name in expected if name not in fitting]
    unused = [name for name in found if name not in fitting]
    return Classifier(model, _load_tokenizer(directory, config.model_type), _notes(new, unused))


def _to_paddle(found: dict[str, NDArray[Any]], model: Any) -> dict[str, NDArray[Any]]:
    """PyTorch's weights as the model names them; PaddleNLP's own tables lack ERNIE, and BERT's last bias."""
    like_bert = BertForSequenceClassification, ErnieForSequenceClassification, RobertaForSequenceClassification
    if isinstance(model, like_bert):
        return weights.to_paddle(found)
    try:
        mappings = model._get_name_mappings(model.config)
    except NotImplementedError:
        raise ValueError(
            f"no conversion of PyTorch weights for {model.base_model_prefix}; expected model_state.pdparams"
        ) from None
    return {
        each.target_name: each.run(found, each.source_name) for each in mappings if each.source_name in found
    } | found


def _notes(new: list[str], unused: list[str]) -> list[str]:
    """One line each for what is initialized anew and what is left aside."""
    groups = (("newly initialized, not in the checkpoint", new), ("in the checkpoint, not loaded", unused))
    return [
        f"{what}: {', '.join(names[:4])}" + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        for what, names in groups
        if names
    ]


def _load_tokenizer(directory: Path, model_type: str) -> Any:
    """The tokenizer whose class tokenizer_config.json names, as far as PaddleNLP has it; else the model's usual one."""
    file = directory / "tokenizer_config.json"
    named = json.loads(file.read_bytes()).get("tokenizer_class") if file.is_file() else None
    files = _vocabulary_files(directory)
    # what Hugging Face calls fast reads the same vocabulary
    class_name = str(named).removesuffix("Fast")
    if model_type == "roberta":
        byte_level = (files / "merges.txt").is_file()
        class_name = "RobertaBPETokenizer" if byte_level else "RobertaChineseTokenizer"
    elif tokenizer_class_from_name(class_name) is None:
        class_name = TOKENIZER_MAPPING_NAMES[model_type]
        while isinstance(class_name, tuple):  # (slow, fast), and slow itself may be a choice
            class_name = class_name[0]
    tokenizer = tokenizer_class_from_name(class_name).from_pretrained(str(files))
    if files != directory:
        _remove_with(tokenizer, files)
    return tokenizer


def _vocabulary_files(directory: Path) -> Path:
    """A directory with the vocabulary in the files PaddleNLP reads: that one, or one made from its tokenizer.json."""
    file = directory / "tokenizer.json"
    if not file.is_file() or any((directory / name).is_file() for name in pretrained.VOCABULARIES if name != file.name):
        return directory
    model = json.loads(file.read_bytes())["model"]
    made = Path(tempfile.mkdtemp())
    if model["type"] == "WordPiece":
        tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
        (made / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    elif model["type"] == "BPE":
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        (made / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
        (made / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    if (directory / "tokenizer_config.json").is_file():
        shutil.copy(directory / "tokenizer_config.json", made)
    return made


def _remove_with(tokenizer: Any, directory: Path) -> None:
    """Removes the directory a tokenizer was read from together with it: it is saved by copying its files."""
    weakref.finalize(tokenizer, shutil.rmtree, directory)


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


def _tiny(classes: int, texts: Iterable[pl.Series], max_seq_len: int) -> Classifier:
    """An untrained ERNIE of two layers, which learns a small data set in seconds on a CPU."""
    tokens = vocabulary(texts)
    directory = Path(tempfile.mkdtemp())
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    tokenizer = ErnieTokenizer(str(directory / "vocab.txt"))
    _remove_with(tokenizer, directory)
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


def vocabulary(texts: Iterable[pl.Series]) -> list[str]:
    """A WordPiece vocabulary in which every word of the texts can be written, while there is room.

    Special tokens, then single characters (inside a word as ##c), then the words that occur twice or more,
    each by frequency. Chinese characters are words of their own.
    """
    split = BasicTokenizer(do_lower_case=True).tokenize
    counts = Counter(piece for series in texts for text in series for piece in pieces(text))
    words: Counter[str] = Counter()
    for piece, count in counts.items():
        for word in split(piece):
            words[word] += count
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in (word[0], *(f"##{rest}" for rest in word[1:])):
            characters[character] += count
    frequent = Counter({word: count for word, count in words.items() if count > 1})
    ranked = (sorted(group, key=lambda token: (-group[token], token)) for group in (characters, frequent))
    tokens = dict.fromkeys(token for group in (SPECIAL_TOKENS, *ranked) for token in group)
    return list(tokens)[:VOCABULARY_SIZE]
