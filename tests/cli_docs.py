"""docs/cli.md, made from the commands themselves: `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from datamap_cli.cli import app

HEAD = """\
# The commands

Every command with its options, as `--help` tells them. Written by `make docs` from the commands themselves.

Results go to standard output, talk and progress to standard error. Exit 0: done; 1: a mistake that can be mended, in one
line that says where, what, and what would be accepted; 2: wrong usage.
"""


def commands() -> dict[str, Any]:
    """Every command by its name, in the order of their groups."""
    group: Any = typer.main.get_command(app)
    panels = list(dict.fromkeys(command.rich_help_panel for command in group.commands.values()))
    return dict(sorted(group.commands.items(), key=lambda item: panels.index(item[1].rich_help_panel)))


def markdown() -> str:
    """The whole document."""
    lines = [HEAD]
    panel = None
    for name, command in commands().items():
        if command.rich_help_panel != panel:
            panel = command.rich_help_panel
            lines.append(f"## {panel}\n")
        lines += _command(name, command)
    return "\n".join(lines)


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    words = [word if (word := _metavar(argument)) and argument.required else f"[{word}]" for argument in arguments]
    yield f"### datamap {name}\n"
    yield f"    {' '.join(['datamap', name, *words, '[OPTIONS]'])}\n"
    for paragraph in command.help.split("\n\n"):
        yield " ".join(paragraph.split()) + "\n"
    if command.params:
        yield "| option | default | |"
        yield "|---|---|---|"
    for parameter in command.params:
        takes = "" if parameter.param_type_name == "argument" else _metavar(parameter)
        shown = _metavar(parameter) if parameter.param_type_name == "argument" else ", ".join(parameter.opts)
        yield f"| `{f'{shown} {takes}'.strip()}` | {_default(parameter)} | {parameter.help.replace('|', chr(92) + '|')} |"
    yield ""


def _metavar(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return ""
    kind = parameter.type_descriptor.annotation
    return str(parameter.metavar or {int: "N", float: "X"}.get(kind, parameter.name.upper()))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return f"`{parameter.show_default}`" if " " not in parameter.show_default else parameter.show_default
    if parameter.default is None or parameter.default is False:
        return "–"
    return f"`{parameter.default}`"


if __name__ == "__main__":
    print(markdown(), end="")
