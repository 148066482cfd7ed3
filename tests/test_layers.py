"""The house plan, held: imports point one way, and a command loads nothing heavy before it must."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "datamap_cli"

# room -> the rooms it may import, besides itself
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "text": set(),
    "examples": set(),
    "config": {"errors", "text"},
    "where": {"errors", "text"},
    "signals": {"errors", "text", "config"},
    "data": {"errors", "text", "config"},
    "dynamics": {"errors", "text", "config", "data"},
    "analysis": {"errors", "text", "where", "signals"},
    "run": {"errors", "text", "config", "where", "signals", "analysis"},
    "plot": {"errors", "text", "config", "where", "signals"},
    "review": {"errors", "text", "analysis"},
    "train": {"errors", "text", "config", "signals"},
    "doctor": {"errors", "text", "config", "plot", "train"},
    "terminal": {"errors", "text", "config", "signals", "analysis", "run", "train", "doctor"},
    "commands": {
        *("errors", "text", "config", "where", "signals", "data", "dynamics", "analysis", "run", "plot", "train"),
        *("examples", "doctor", "terminal", "review"),
    },
    "cli": {"errors", "config", "run", "doctor", "terminal", "commands"},
    "__main__": {"cli"},
    "__init__": {"errors", "run"},
}
ROOMS = set(ALLOWED) - {"__init__", "__main__"}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module and every name imported from one, dotted, wherever in the file the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def rooms_imported(path: Path) -> set[str]:
    parts = [name.split(".") for name in imported(path) if name.startswith("datamap_cli.")]
    return {part[1] for part in parts if part[1] in ROOMS} - {room(path)}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    assert set() == rooms_imported(path) - ALLOWED[room(path)]


def test_the_check_sees_an_import_that_points_back(tmp_path: Path) -> None:
    module = tmp_path / "x.py"
    module.write_text("def f():\n    from datamap_cli import run\n    import datamap_cli.plot.figure\n")
    assert {"datamap_cli.run", "datamap_cli.plot.figure"} <= imported(module)


def test_only_the_training_room_names_paddle() -> None:
    users = {room(path) for path in PACKAGE.rglob("*.py") if any(n.startswith("paddle") for n in imported(path))}
    assert {"train"} == users


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], ["paddle", "polars", "plotly", "numpy", "pydantic", "yaml", "kaleido"]),
        (["plot", "--help"], ["paddle", "polars", "plotly", "numpy", "yaml", "kaleido"]),  # Typer loads pydantic
        (["signals"], ["paddle", "plotly", "kaleido"]),
    ],
)
def test_a_command_loads_nothing_heavy_before_it_must(arguments: list[str], absent: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('loaded', [m for m in {absent!r} if m in sys.modules]))\n"
        "from datamap_cli.cli import main\n"
        f"main({arguments!r})\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded []" == result.stdout.splitlines()[-1]
