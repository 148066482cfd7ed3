"""Runs datamap commands in children of one process that has imported Paddle: the import is paid once, and a child can be
killed. Reads a job a line, writes a result a line, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any


class Forker:
    """The process, from the outside."""

    def __init__(self, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.forking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, **environment},
        )

    def run(self, *arguments: str, **how: Any) -> dict[str, Any]:
        """Runs `datamap ARGUMENTS`; returns status (as os.waitstatus_to_exitcode), and the talk (stderr).

        `at_batch`, counted from 0, of those of steps and passes: when the model takes it, `signal` is sent; without
        `signal`, the kernel ends the process (SIGALRM, not handled) `later` after that, in durations of a batch, of which
        there must have been one. `at_write`: it kills itself (SIGKILL) in the course of that many-th file's being
        written, counted from 0.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"arguments": arguments, **how}) + "\n")
        self.process.stdin.flush()
        result: dict[str, Any] = json.loads(self.process.stdout.readline())
        return result

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def _serve() -> None:
    from datamap_cli.train import environment

    environment.load_paddle()
    from datamap_cli.commands import summarize, train  # noqa: F401
    from datamap_cli.train import loop  # noqa: F401

    for line in sys.stdin:
        job = json.loads(line)
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(out)
            os.dup2(into, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            _work(job)
        os.close(into)
        talk = ""
        with os.fdopen(out) as file:
            for line in file:
                talk += line
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"status": status, "talk": talk}), flush=True)


def _work(job: dict[str, Any]) -> None:
    from datamap_cli.cli import main
    from datamap_cli.run import files

    if "at_batch" in job:
        _end_at_batch(job)
    if "at_write" in job:
        left = job["at_write"]
        sync = files.sync

        def dying(path: Path) -> None:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            sync(path)

        files.sync = dying
    code: Any = 1
    try:
        main(job["arguments"])
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(code)


def _end_at_batch(job: dict[str, Any]) -> None:
    from datamap_cli.train.model import Classifier

    batches, shortest, before = 0, float("inf"), float("-inf")
    logits = Classifier.logits

    def counting(self: Classifier, *arguments: Any) -> Any:
        nonlocal batches, shortest, before
        now = time.perf_counter()
        # measured, since a fixed time may be longer than the whole training on a fast machine
        shortest, before = min(shortest, now - before), now
        if batches == job["at_batch"]:
            if "signal" in job:
                os.kill(os.getpid(), getattr(signal, job["signal"]))
            else:
                signal.setitimer(signal.ITIMER_REAL, max(job["later"] * shortest, 1e-6))
        batches += 1
        return logits(self, *arguments)

    setattr(Classifier, "logits", counting)  # noqa: B010  mypy takes an assignment for a mistake


if __name__ == "__main__":
    _serve()
