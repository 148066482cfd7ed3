"""PaddleNLP without the parts that no classifier uses; each of them loads when it is used after all."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

# the one release whose __init__ imports what stands here
_VERSION = "3.0.0b4"
# what it imports whole: of the first use the standard library's LazyLoader takes care
_WHOLE = (
    *("dataaug", "datasets", "embeddings", "experimental", "layers", "losses", "mergekit", "metrics", "ops", "peft"),
    *("prompt", "quantization", "seq2vec", "trainer", "trl"),
)
# what it takes a name from, which would be the first use
_NAMES = {"server": "SimpleServer", "taskflow": "Taskflow"}


def import_paddlenlp() -> None:
    """Imports paddlenlp.transformers, and of the rest of PaddleNLP what that needs.

    The import is the plain one where PaddleNLP is imported already, is of another version, or is otherwise than this
    expects; what the plain one raises passes.
    """
    if "paddlenlp" not in sys.modules and _installed() == _VERSION:
        try:
            with _in_front(_Finder()):
                importlib.import_module("paddlenlp.transformers")
            _replace_placeholders(sys.modules["paddlenlp"])
        # what an import raises that lacks something; if the cause is another, the plain one raises it again
        except (ImportError, AttributeError, TypeError):
            for name in [name for name in sys.modules if name.partition(".")[0] == "paddlenlp"]:
                del sys.modules[name]
    importlib.import_module("paddlenlp.transformers")


def _installed() -> str | None:
    try:
        return metadata.version("paddlenlp")
    except metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def _in_front(finder: MetaPathFinder) -> Iterator[None]:
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Finds the parts that are left out, as modules that are empty so far."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, part = fullname.partition(".")
        if package != "paddlenlp" or part not in (*_WHOLE, *_NAMES):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Placeholder(_NAMES[part]) if part in _NAMES else LazyLoader(spec.loader)
        return spec


class _Placeholder(Loader):
    """Makes a module of nothing but a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, self.name, None)


def _replace_placeholders(package: ModuleType) -> None:
    """Has the package import the real modules when it is first asked for them or for their names."""
    parts = {attribute: part for part, name in _NAMES.items() for attribute in (part, name)}
    for attribute, part in parts.items():
        delattr(package, attribute)
        sys.modules.pop(f"paddlenlp.{part}", None)

    def missing(attribute: str) -> Any:  # what a module's __getattr__ is: PEP 562
        if attribute not in parts:
            raise AttributeError(f"module {package.__name__!r} has no attribute {attribute!r}")
        part = parts[attribute]
        module = importlib.import_module(f"paddlenlp.{part}")
        setattr(package, _NAMES[part], getattr(module, _NAMES[part]))
        return getattr(package, attribute)

    package.__getattr__ = missing  # type: ignore[method-assign]
