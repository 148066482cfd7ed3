"""`datamap init`: a configuration to start from, and on request the bundled example data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from datamap_cli import config as configuration
from datamap_cli import examples
from datamap_cli.errors import DatamapError
from datamap_cli.run import files


def init(path: Path, *, example: bool, schema: bool, overwrite: bool) -> None:
    """Writes a commented YAML to `path`; with `example` for the bundled data, copied beside it; all files or none."""
    values: dict[str, Any] = {"data.train": "data/train.tsv"}
    contents: dict[Path, str] = {}
    if example:
        data = path.with_name(examples.PATH.name)
        values = {**examples.SETTINGS, "data.train": str(data)}
        contents[data] = examples.PATH.read_text(encoding="utf-8")
    if schema:
        contents[path.with_name("datamap.schema.json")] = configuration.json_schema()
    contents[path] = configuration.template(values, schema="datamap.schema.json" if schema else None)
    existing = [str(file) for file in contents if file.exists()]
    if existing and not overwrite:
        raise DatamapError(f"{', '.join(existing)}: there already; give another path, or --overwrite to replace it")
    for file, content in contents.items():
        files.write_bytes(file, content.encode())
        typer.echo(file)
    talk = f"next: datamap run -c {path}" if example else f"next: set data.train in {path}, then datamap run -c {path}"
    typer.echo(talk, err=True)
