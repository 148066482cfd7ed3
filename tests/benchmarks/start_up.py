"""Start-up against named baselines, each in processes of its own, in turn.

`datamap --help` against a bare Typer application with one command, whole process: median of ten. PaddleNLP as training imports
it against the plain import, both after Paddle and told by the process itself: median of five.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

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

PLAIN_PADDLENLP = """
import time
import paddle
start = time.perf_counter()
import paddlenlp.transformers
print(time.perf_counter() - start)
"""
OUR_PADDLENLP = """
import time
import paddle
from datamap_cli.train import environment
start = time.perf_counter()
environment.load_paddle()
print(time.perf_counter() - start)
"""
PADDLENLP_RUNS = 5


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, check=True)
    return time.perf_counter() - start


def told(code: str) -> float:
    """Seconds that the process prints on its last line."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return float(ran.stdout.splitlines()[-1])


def medians(measure: Callable[[str], float], baseline: str, ours: str, runs: int) -> tuple[float, float]:
    """Median seconds of the baseline and of ours."""
    for code in (baseline, ours):  # warm-up: byte code and disk cache
        measure(code)
    times = [(measure(baseline), measure(ours)) for _ in range(runs)]
    first, second = (statistics.median(column) for column in zip(*times, strict=True))
    return first, second


def main() -> None:
    bare, ours = medians(seconds, BARE, OURS, RUNS)
    print(f"datamap --help  {ours:.3f} s; bare Typer {bare:.3f} s; ratio {ours / bare:.2f} (at most 1.5)")
    plain, ours = medians(told, PLAIN_PADDLENLP, OUR_PADDLENLP, PADDLENLP_RUNS)
    print(f"import of PaddleNLP  {ours:.2f} s (at most 2.5); plain {plain:.2f} s; ratio {ours / plain:.2f}")


if __name__ == "__main__":
    main()
