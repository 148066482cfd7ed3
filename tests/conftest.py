"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings

# how long an example may take says more of the machine than of the code
settings.register_profile("datamap", deadline=None)
settings.load_profile("datamap")


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: exit code, standard output, standard error."""
    from datamap_cli.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        code = exit_info.value.code
        assert code is None or isinstance(code, int)
        return code or 0, captured.out, captured.err

    return run
