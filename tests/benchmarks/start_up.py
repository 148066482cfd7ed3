"""`datamap --help` against a bare Typer application with one command: median of ten, whole process, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

BARE = """
import typer
app = typer.Typer()

@app.command()
def hello(name: str = "x") -> None:
    \"\"\"Say hello.\"\"\"

app()
"""
OURS = "from datamap_cli.cli import main; main()"
RUNS = 10


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    for code in (BARE, OURS):  # warm-up: byte code and disk cache
        seconds(code)
    times = [(seconds(BARE), seconds(OURS)) for _ in range(RUNS)]
    bare, ours = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"datamap --help  {ours:.3f} s; bare Typer {bare:.3f} s; ratio {ours / bare:.2f} (at most 1.5)")


if __name__ == "__main__":
    main()
