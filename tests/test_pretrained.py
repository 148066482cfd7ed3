"""Models from directories: both layouts, the three families, what is told, and what is refused."""

from __future__ import annotations

import http.server
import importlib
import io
import json
import math
import pickle
import re
import shutil
import socket
import struct
import sys
import threading
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from datamap_cli.config import ModelConfig
from datamap_cli.errors import DatamapError
from datamap_cli.train import batches, environment, pretrained, weights

pytestmark = pytest.mark.paddle

Weights = dict[str, NDArray[Any]]

TEXT_A = pl.Series(["ab c", "c", "ab ab c ab"])
TEXT_B = pl.Series(["c", "ab ab c", "ab"])
SHAPE = {
    "vocab_size": 12,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 26,
    "type_vocab_size": 2,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "ernie": {"use_task_id": True, "task_type_vocab_size": 3},
    "roberta": {"type_vocab_size": 1, "pad_token_id": 1},
}
# a layer's name in PyTorch, and in Paddle; q, k and v stand for themselves
LAYER = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}


@pytest.fixture(scope="module", autouse=True)
def _paddle() -> None:
    environment.load_paddle()


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A classifier of each family in PaddleNLP's layout, with random weights for three classes."""
    return {family: make(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


def make(family: str, directory: Path) -> Path:
    import paddle
    from paddlenlp import transformers

    paddle.seed(3)
    name = family.capitalize()
    config = getattr(transformers, f"{name}Config")(**(SHAPE | FAMILIES[family]), num_labels=3)
    model = getattr(transformers, f"{name}ForSequenceClassification")(config)
    for parameter in model.parameters():
        parameter.set_value(paddle.normal(0, 0.4, parameter.shape))
    with environment.quiet():
        model.save_pretrained(str(directory))
    write_vocabulary(family, directory)
    return directory


def write_vocabulary(family: str, directory: Path) -> None:
    if family == "roberta":
        tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "c", "Ġ", "ab", "Ġc", "Ġab"]
        (directory / "vocab.json").write_text(json.dumps({token: row for row, token in enumerate(tokens)}))
        (directory / "merges.txt").write_text("#version: 0.2\na b\nĠ c\nĠ ab\n")
    else:
        (directory / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nab\n##b\n##c\n!\n")


def build(directory: Path, classes: int = 3, max_seq_len: int = 24) -> Any:
    from datamap_cli.train.model import build as build_classifier

    return build_classifier(ModelConfig(name=str(directory), max_seq_len=max_seq_len), classes, [])


def logits(classifier: Any) -> NDArray[np.float32]:
    import paddle

    tokens = batches.tokenize(classifier.tokenizer, TEXT_A, TEXT_B, 24)
    assert "unk" not in str(classifier.tokenizer.convert_ids_to_tokens(tokens.flat.tolist())).lower()
    classifier.model.eval()
    with paddle.no_grad():
        result: NDArray[np.float32] = classifier.logits(tokens, np.arange(3)).numpy()
    return result


def saved_weights(directory: Path) -> Weights:
    return weights.read(directory).weights


def as_torch(paddle_weights: Weights) -> Weights:
    """The weights as PyTorch's classes of the same family name them and lay them out."""
    result = {}
    for name, weight in paddle_weights.items():
        layers = re.fullmatch(r"(\w+)\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
        linear = weight.ndim == 2 and "embeddings" not in name
        if layers:
            torch_name = {paddle: torch for torch, paddle in LAYER.items()}[layers[3]]
            name = f"{layers[1]}.encoder.layer.{layers[2]}.{torch_name}.{layers[4]}"
        name = name.replace("embeddings.layer_norm", "embeddings.LayerNorm")
        result[name] = np.ascontiguousarray(weight.T if linear else weight)
    return result


# ------------------------------------------------------------------------ files as PyTorch writes them, without it


def write_safetensors(torch_weights: Weights, directory: Path) -> None:
    from safetensors.numpy import save_file

    save_file(torch_weights, directory / "model.safetensors", metadata={"format": "pt"})


def write_shards(torch_weights: Weights, directory: Path) -> None:
    from safetensors.numpy import save_file

    names = list(torch_weights)
    parts = {"model-1.safetensors": names[:7], "model-2.safetensors": names[7:]}
    for part, held in parts.items():
        save_file({name: torch_weights[name] for name in held}, directory / part, metadata={"format": "pt"})
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def as_bfloat16(torch_weights: Weights) -> Weights:
    """The upper halves of float32, cut and not rounded."""
    return {name: (weight.view(np.uint32) >> 16).astype(np.uint16) for name, weight in torch_weights.items()}


def write_bfloat16(torch_weights: Weights, directory: Path) -> None:
    header, content = {}, b""
    for name, half in as_bfloat16(torch_weights).items():
        end = len(content) + half.nbytes
        header[name] = {"dtype": "BF16", "shape": half.shape, "data_offsets": [len(content), end]}
        content += half.tobytes()
    described = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(described)) + described + content)


class _Pickler(pickle.Pickler):
    """Pickles arrays as torch.save does tensors: a call of torch's own function on a storage told apart by a key."""

    def __init__(self, stream: io.BytesIO, legacy: bool) -> None:
        super().__init__(stream, protocol=2)
        self.legacy, self.storages = legacy, dict[str, NDArray[Any]]()

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, np.ndarray):
            value = _View(_Storage(value), 0, value.shape, tuple(step // value.itemsize for step in value.strides))
        if not isinstance(value, _View):
            return NotImplemented
        arguments: Any = (value.numbers, value.offset, value.size, value.stride, False, OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments

    def persistent_id(self, value: object) -> Any:
        if not isinstance(value, _Storage):
            return None
        key = str(len(self.storages))
        self.storages[key] = value.array
        kind = getattr(sys.modules["torch"], "BFloat16Storage" if value.array.dtype == np.uint16 else "FloatStorage")
        return ("storage", kind, key, "cpu", value.array.size, *([None] if self.legacy else []))


class _Storage:
    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array


@dataclass(frozen=True)
class _View:
    """A tensor of that offset, size and stride, in numbers, upon those of a storage, or upon another tensor."""

    numbers: _Storage | _View
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@pytest.fixture
def torch_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of PyTorch's names with what a pickle of it mentions."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2() -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    for name in ("FloatStorage", "BFloat16Storage"):
        monkeypatch.setattr(torch, name, type(name, (), {"__module__": "torch"}), raising=False)
    monkeypatch.setattr(utils, "_rebuild_tensor_v2", _rebuild_tensor_v2, raising=False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def write_bin(torch_weights: Mapping[str, NDArray[Any] | _View], directory: Path) -> None:
    stream = io.BytesIO()
    pickler = _Pickler(stream, legacy=False)
    pickler.dump(OrderedDict(torch_weights))
    with zipfile.ZipFile(directory / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        for key, array in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())


def write_legacy_bin(torch_weights: Mapping[str, NDArray[Any] | _View], directory: Path) -> None:
    stream = io.BytesIO()
    for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(header, stream, protocol=2)
    pickler = _Pickler(stream, legacy=True)
    pickler.dump(OrderedDict(torch_weights))
    pickle.dump(list(pickler.storages), stream, protocol=2)
    for array in pickler.storages.values():
        stream.write(struct.pack("<q", array.size) + array.tobytes())
    (directory / "pytorch_model.bin").write_bytes(stream.getvalue())


def hugging_face(family: str, original: Path, directory: Path, write: Callable[[Weights, Path], None]) -> Weights:
    """A directory as Hugging Face lays it out, of the same model; returns its weights."""
    torch_weights = as_torch(saved_weights(original))
    write(torch_weights, directory)
    architecture = f"{family.capitalize()}ForSequenceClassification"
    # what their configurations carry along, and PaddleNLP would heed
    told = {"model_type": family, "architectures": [architecture], "use_cache": True, "return_dict": True}
    (directory / "config.json").write_text(json.dumps(SHAPE | FAMILIES[family] | told | {"torch_dtype": "float16"}))
    write_vocabulary(family, directory)
    return torch_weights


# ------------------------------------------------------------------------------------------------- both layouts


@pytest.mark.parametrize("family", FAMILIES)
def test_a_directory_of_paddlenlp_is_loaded_whole(family: str, originals: dict[str, Path]) -> None:
    from paddlenlp.transformers import AutoModelForSequenceClassification

    classifier = build(originals[family])
    assert [] == classifier.notes
    with environment.quiet():
        classifier_of_paddlenlp = AutoModelForSequenceClassification.from_pretrained(str(originals[family]))
    own = logits(classifier)
    object.__setattr__(classifier, "model", classifier_of_paddlenlp)
    np.testing.assert_array_equal(logits(classifier), own)


@pytest.mark.parametrize("write", [write_safetensors, write_shards, write_bin, write_legacy_bin])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("torch_names")
def test_a_directory_of_hugging_face_gives_the_same_model_and_is_left_as_it_was(
    family: str, write: Callable[[Weights, Path], None], originals: dict[str, Path], tmp_path: Path
) -> None:
    hugging_face(family, originals[family], tmp_path, write)
    before = sorted(path.name for path in tmp_path.iterdir())
    pretrained.check(str(tmp_path))
    classifier = build(tmp_path)
    assert [] == classifier.notes
    np.testing.assert_array_equal(logits(build(originals[family])), logits(classifier))
    assert before == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_forward_is_that_of_the_published_architecture(family: str, originals: dict[str, Path]) -> None:
    classifier = build(originals[family])
    tokens = batches.tokenize(classifier.tokenizer, TEXT_A, TEXT_B, 24)
    torch_weights = as_torch(saved_weights(originals[family]))
    expected = [
        forward(family, torch_weights, tokens.flat[start:end], tokens.types[start:end])
        for start, end in zip(tokens.offsets, tokens.offsets[1:], strict=False)
    ]
    np.testing.assert_allclose(expected, logits(classifier), rtol=0, atol=2e-5)


def forward(family: str, named: Weights, ids: NDArray[Any], token_types: NDArray[Any]) -> NDArray[np.float64]:
    """Logits of one sequence by the equations, from PyTorch's names and layout, without padding."""

    def linear(name: str, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(x @ named[f"{name}.weight"].T + named[f"{name}.bias"])

    def norm(name: str, x: NDArray[Any]) -> NDArray[Any]:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return np.asarray(scaled * named[f"{name}.weight"] + named[f"{name}.bias"])

    def softmax(x: NDArray[Any]) -> NDArray[Any]:
        exponentials = np.exp(x - x.max(-1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))

    def gelu(x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(x * np.vectorize(lambda value: 0.5 * (1 + math.erf(value / math.sqrt(2))))(x))

    embeddings = f"{family}.embeddings"
    first_position = 2 if family == "roberta" else 0
    x = named[f"{embeddings}.word_embeddings.weight"][ids].astype(np.float64)
    x += named[f"{embeddings}.position_embeddings.weight"][first_position : first_position + len(ids)]
    x += named[f"{embeddings}.token_type_embeddings.weight"][token_types]
    if family == "ernie":
        x += named[f"{embeddings}.task_type_embeddings.weight"][0]
    x = norm(f"{embeddings}.LayerNorm", x)
    for row in range(2):
        layer = f"{family}.encoder.layer.{row}"
        q, k, v = (
            linear(f"{layer}.attention.self.{part}", x).reshape(-1, 2, 4).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        mixed = (softmax(q @ k.swapaxes(1, 2) / 2) @ v).swapaxes(0, 1).reshape(-1, 8)
        x = norm(f"{layer}.attention.output.LayerNorm", x + linear(f"{layer}.attention.output.dense", mixed))
        inner = gelu(linear(f"{layer}.intermediate.dense", x))
        x = norm(f"{layer}.output.LayerNorm", x + linear(f"{layer}.output.dense", inner))
    if family == "roberta":
        return linear("classifier.out_proj", np.tanh(linear("classifier.dense", x[0])))
    return linear("classifier", np.tanh(linear(f"{family}.pooler.dense", x[0])))


@pytest.mark.parametrize(
    "write",
    [
        write_bfloat16,
        lambda torch_weights, directory: write_bin(as_bfloat16(torch_weights), directory),
        lambda torch_weights, directory: write_legacy_bin(as_bfloat16(torch_weights), directory),
    ],
    ids=["safetensors", "bin", "legacy bin"],
)
@pytest.mark.usefixtures("torch_names")
def test_bfloat16_is_read(write: Callable[[Weights, Path], None], originals: dict[str, Path], tmp_path: Path) -> None:
    exact = hugging_face("bert", originals["bert"], tmp_path, write)
    for name, weight in saved_weights(tmp_path).items():
        assert np.float32 == weight.dtype
        np.testing.assert_allclose(exact[name], weight, rtol=2**-7)
    assert (3, 3) == logits(build(tmp_path)).shape


def test_the_vocabulary_in_tokenizer_json_will_do(originals: dict[str, Path], tmp_path: Path) -> None:
    for family in ("bert", "roberta"):
        directory = Path(shutil.copytree(originals[family], tmp_path / family))
        if family == "bert":
            words = (directory / "vocab.txt").read_text().split()
            model: dict[str, Any] = {"type": "WordPiece", "vocab": {word: row for row, word in enumerate(words)}}
        else:
            merges = [line.split() for line in (directory / "merges.txt").read_text().splitlines()[1:]]
            vocabulary = json.loads((directory / "vocab.json").read_text())
            model = {"type": "BPE", "vocab": vocabulary, "merges": merges}
        for name in ("vocab.txt", "vocab.json", "merges.txt"):
            (directory / name).unlink(missing_ok=True)
        (directory / "tokenizer.json").write_text(json.dumps({"model": model}))
        (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
        classifier = build(directory)
        np.testing.assert_array_equal(logits(build(originals[family])), logits(classifier))
        classifier.save(tmp_path / f"{family}-again")
        np.testing.assert_array_equal(logits(classifier), logits(build(tmp_path / f"{family}-again")))


def test_a_chinese_roberta_is_a_bert(originals: dict[str, Path], tmp_path: Path) -> None:
    hugging_face("bert", originals["bert"], tmp_path, write_safetensors)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertForMaskedLM"]}))
    # as the hub's have it: no class named
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"init_inputs": []}))
    classifier = build(tmp_path)
    assert ["BertForSequenceClassification", "BertTokenizer"] == [
        type(part).__name__ for part in (classifier.model, classifier.tokenizer)
    ]
    np.testing.assert_array_equal(logits(build(originals["bert"])), logits(classifier))


# ------------------------------------------------------------------------------------------------ what is told


def test_another_number_of_classes_makes_a_new_head_and_says_so(originals: dict[str, Path]) -> None:
    classifier = build(originals["bert"], classes=5)
    assert (3, 5) == logits(classifier).shape
    assert [
        "newly initialized, not in the checkpoint: classifier.weight, classifier.bias",
        "in the checkpoint, not loaded: classifier.weight, classifier.bias",
    ] == classifier.notes


def test_an_encoder_alone_gets_a_head_and_other_heads_are_left(originals: dict[str, Path], tmp_path: Path) -> None:
    def write(torch_weights: Weights, directory: Path) -> None:
        encoder = {n.removeprefix("bert."): weight for n, weight in torch_weights.items() if n.startswith("bert.")}
        write_safetensors(encoder, directory)

    hugging_face("bert", originals["bert"], tmp_path, write)
    assert ["newly initialized, not in the checkpoint: classifier.weight, classifier.bias"] == build(tmp_path).notes

    def write_with_old_names(torch_weights: Weights, directory: Path) -> None:
        encoder = {
            re.sub(
                r"LayerNorm\.weight$", "LayerNorm.gamma", re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", name)
            ): weight
            for name, weight in torch_weights.items()
            if name.startswith("bert.")
        }
        write_safetensors(encoder | {"cls.predictions.bias": np.zeros(12, np.float32)}, directory)

    hugging_face("bert", originals["bert"], tmp_path, write_with_old_names)
    assert [
        "newly initialized, not in the checkpoint: classifier.weight, classifier.bias",
        "in the checkpoint, not loaded: cls.predictions.bias",
    ] == build(tmp_path).notes


def test_a_directory_without_a_tokenizer_configuration_will_do(originals: dict[str, Path], tmp_path: Path) -> None:
    classifier = build(originals["ernie"])
    classifier.save(tmp_path / "saved")
    (tmp_path / "saved" / "tokenizer_config.json").unlink()
    np.testing.assert_array_equal(logits(classifier), logits(build(tmp_path / "saved")))


# ---------------------------------------------------------------------------------------------- what is refused


class _Harmful:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return Path.touch, (self.proof,)


@pytest.mark.parametrize("name", ["model_state.pdparams", "pytorch_model.bin"])
def test_a_pickle_that_would_run_something_is_refused(name: str, originals: dict[str, Path], tmp_path: Path) -> None:
    directory = Path(shutil.copytree(originals["bert"], tmp_path / "model"))
    (directory / "model_state.pdparams").unlink()
    harmful = pickle.dumps({"bert.pooler.dense.weight": _Harmful(tmp_path / "proof")})
    if name == "pytorch_model.bin":
        with zipfile.ZipFile(directory / name, "w") as archive:
            archive.writestr("archive/data.pkl", harmful)
    else:
        (directory / name).write_bytes(harmful)
    with pytest.raises(
        DatamapError, match=r"it holds more than weights \(pathlib.*expected model.safetensors"
    ) as error:
        build(directory)
    assert not (tmp_path / "proof").exists()
    assert "\n" not in str(error.value)


FOUR = _Storage(np.arange(4, dtype=np.float32))


@pytest.mark.parametrize("write", [write_bin, write_legacy_bin])
@pytest.mark.usefixtures("torch_names")
def test_a_tensor_is_a_view_of_its_numbers(write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    write({"whole": _View(FOUR, 0, (2, 2), (1, 2)), "part": _View(FOUR, 1, (2,), (2,))}, tmp_path)
    assert {"whole": [[0, 2], [1, 3]], "part": [1, 3]} == {
        name: weight.tolist() for name, weight in weights.read(tmp_path).weights.items()
    }


@pytest.mark.parametrize("write", [write_bin, write_legacy_bin])
@pytest.mark.parametrize(
    ("tensor", "refusal"),
    [
        (_View(FOUR, 1, (4,), (1,)), "larger than its numbers"),
        (_View(FOUR, 0, (2, 2), (4, 1)), "larger than its numbers"),
        (_View(FOUR, -1, (1,), (1,)), "of impossible shape"),
        (_View(FOUR, 0, (2,), (-1,)), "of impossible shape"),
        (_View(FOUR, 0, (2,), ()), "of impossible shape"),
        (_View(_View(FOUR, 0, (99,), (0,)), 0, (9,), (1,)), "of a tensor"),
    ],
)
@pytest.mark.usefixtures("torch_names")
def test_a_tensor_beyond_its_numbers_is_refused(
    write: Callable[[Any, Path], None], tensor: _View, refusal: str, tmp_path: Path
) -> None:
    write({"weight": tensor}, tmp_path)
    with pytest.raises(DatamapError, match=rf"pytorch_model.bin cannot be read: a tensor {refusal}$"):
        weights.read(tmp_path)


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    header = json.dumps({"weight": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\x38\x40")
    with pytest.raises(DatamapError, match=r"cannot be read: weight is float8_e4m3fn; expected weights that are not q"):
        weights.read(tmp_path)


@pytest.mark.parametrize("write", [write_safetensors, write_bin, write_legacy_bin])
@pytest.mark.usefixtures("torch_names")
def test_a_damaged_file_is_one_line(
    write: Callable[[Weights, Path], None], originals: dict[str, Path], tmp_path: Path
) -> None:
    hugging_face("bert", originals["bert"], tmp_path, write)
    file = next(tmp_path / name for name in pretrained.FILES if (tmp_path / name).is_file())
    whole = file.read_bytes()
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(DatamapError, match=rf"^model.name: .*{file.name} cannot be read: ") as error:
            build(tmp_path)
        assert "\n" not in str(error.value)


def test_weights_of_another_model_are_refused(originals: dict[str, Path], tmp_path: Path) -> None:
    wrong = Path(shutil.copytree(originals["bert"], tmp_path / "wrong"))
    shutil.copy(originals["ernie"] / "model_state.pdparams", wrong)
    with pytest.raises(DatamapError, match=r"none of the weights is one that config.json asks for"):
        build(wrong)
    config = json.loads((originals["bert"] / "config.json").read_text())
    shutil.copy(originals["bert"] / "model_state.pdparams", wrong)
    (wrong / "config.json").write_text(json.dumps(config | {"vocab_size": 13}))
    with pytest.raises(
        DatamapError, match=r"bert.embeddings.word_embeddings.weight has another size than config.json asks for"
    ):
        build(wrong)


@pytest.mark.parametrize(
    ("removed", "missing"),
    [
        ("config.json", "a configuration (config.json)"),
        ("model_state.pdparams", "weights (model_state.pdparams)"),
        ("vocab.txt", "a vocabulary (vocab.txt)"),
    ],
)
def test_a_directory_without_a_whole_model_is_refused(
    originals: dict[str, Path], tmp_path: Path, removed: str, missing: str
) -> None:
    directory = Path(shutil.copytree(originals["bert"], tmp_path / "model"))
    (directory / removed).unlink()
    with pytest.raises(DatamapError) as error:
        pretrained.check(str(directory))
    assert f"model.name: {directory}: the directory lacks {missing}" == str(error.value)


@pytest.mark.parametrize("config", [{"architectures": ["Nonesuch"]}, {}, [], {"model_type": "nonesuch"}])
def test_a_broken_configuration_is_refused_in_one_line(
    config: object, originals: dict[str, Path], tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(originals["bert"], tmp_path / "model"))
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(DatamapError, match=r"^model.name: .*PaddleNLP cannot load it") as error:
        build(directory)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("family", "most"), [("bert", 26), ("roberta", 24)])
def test_sequences_longer_than_the_model_takes_are_refused(family: str, most: int, originals: dict[str, Path]) -> None:
    build(originals[family], max_seq_len=most)
    with pytest.raises(DatamapError, match=rf"^model.max_seq_len: {most + 1}: .* takes at most {most} tokens"):
        build(originals[family], max_seq_len=most + 1)


# ----------------------------------------------------------------------------------------------------- the hub


@pytest.mark.parametrize("name", ["ernie-3.0-base-zh", "ernie-3.0-bsae-zh", "someone/some-model"])
def test_an_unreachable_hub_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PPNLP_HOME", str(tmp_path))
    monkeypatch.setenv("PPNLP_ENDPOINT", "http://127.0.0.1:9/hub")
    with pytest.raises(DatamapError) as error:
        pretrained.check(name)
    expected = (
        f"model.name: {name}: no such directory, not in {tmp_path}/models, and http://127.0.0.1:9/hub cannot "
        "be reached (ConnectionError); a local directory with a whole model works, and model.name: tiny needs "
        "no download"
    )
    assert expected == str(error.value)


def test_a_hub_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pretrained, "CONNECT_SECONDS", 1)
    monkeypatch.setenv("PPNLP_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PPNLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DatamapError, match="cannot be reached"):
            pretrained.check("ernie-3.0-base-zh")


def test_a_cached_model_needs_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PPNLP_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained, "_check_hub", pytest.fail)
    weights = tmp_path / "models" / "ernie-3.0-nano-zh" / "model_state.pdparams"
    weights.parent.mkdir(parents=True)
    weights.touch()
    pretrained.check("ernie-3.0-nano-zh")


@pytest.fixture
def empty_hub() -> Iterator[str]:
    """A hub that has no model at all."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_name_the_hub_does_not_know_is_one_line(
    empty_hub: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.load_paddle()
    bos_download = importlib.import_module("paddlenlp.utils.download.bos_download")
    template = empty_hub + "/{repo_type}/{repo_id}/{filename}"
    monkeypatch.setattr(bos_download, "BOS_URL_TEMPLATE_WITHOUT_REVISION", template)
    monkeypatch.setenv("PPNLP_ENDPOINT", empty_hub)
    monkeypatch.setenv("PPNLP_HOME", str(tmp_path))
    with pytest.raises(DatamapError, match=r"^model.name: ernie-3.0-bsae-zh: .*local directory") as error:
        build(Path("ernie-3.0-bsae-zh"))
    assert "\n" not in str(error.value)
