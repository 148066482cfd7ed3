"""`datamap doctor` says what works, and fails only where the main job cannot run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from datamap_cli import doctor, plot
from datamap_cli.errors import DatamapError
from datamap_cli.train import environment, pretrained

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws no PNG and asks no hub."""
    monkeypatch.setattr(plot, "images", lambda *_: [])
    monkeypatch.setattr(plot, "missing_fonts", lambda _: None)
    monkeypatch.setattr(pretrained, "check", lambda _: None)


def refuse(message: str) -> Callable[..., None]:
    def raises(*_: object) -> None:
        raise DatamapError(message)

    return raises


def test_without_paddle_it_fails_with_the_remedy(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "require_paddle", refuse("pip install it"))
    code, out, _ = run_cli("doctor")
    assert 1 == code
    assert ["ok", "ok", "NO", "ok", "ok"] == [line[:2] for line in out.splitlines() if line[:2].strip()]
    assert "pip install it" in out


def test_a_paddle_that_does_not_start_is_broken(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "require_paddle", lambda: None)
    monkeypatch.setattr(doctor, "_TRY_PADDLE", "raise ImportError('libpaddle.so: no such file')")
    code, out, _ = run_cli("doctor")
    assert 1 == code
    assert "libpaddle.so: no such file" in " ".join(out.split())
    assert "pip install --force-reinstall" in " ".join(out.split())


def test_a_missing_browser_font_or_hub_is_told_and_no_failure(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "require_paddle", lambda: None)
    monkeypatch.setattr(doctor, "_TRY_PADDLE", 'print(\'{"paddle": "3.3.1", "paddlenlp": "3.0.0b4", "gpus": 2}\')')
    monkeypatch.setattr(plot, "images", refuse("apt-get install chromium"))
    monkeypatch.setattr(plot, "missing_fonts", lambda _: "apt-get install fonts-noto-cjk")
    monkeypatch.setattr(pretrained, "check", refuse("cannot be reached"))
    code, out, _ = run_cli("doctor")
    assert 0 == code
    assert 3 == sum(line.startswith("--") for line in out.splitlines())
    assert all(text in out for text in ("2 GPU", "apt-get install chromium", "fonts-noto-cjk", "cannot be reached"))


def test_the_settings_are_shown_with_who_chose_them(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "require_paddle", lambda: None)
    monkeypatch.setattr(doctor, "_TRY_PADDLE", 'print(\'{"paddle": "3.3.1", "paddlenlp": "3.0.0b4", "gpus": 0}\')')
    values = [("OMP_NUM_THREADS", "3", "you"), ("GLOG_minloglevel", "2", "datamap"), ("FLAGS_a", "0", "datamap")]
    monkeypatch.setattr(environment, "settings", lambda: [environment.Setting(*value) for value in values])  # type: ignore[arg-type]
    code, out, _ = run_cli("doctor")
    assert 0 == code
    assert "set by datamap: GLOG_minloglevel=2, FLAGS_a=0; set by you: OMP_NUM_THREADS=3" in " ".join(out.split())


@pytest.mark.paddle
def test_it_tries_paddle_for_real(run_cli: Cli) -> None:
    code, out, _ = run_cli("doctor")
    assert 0 == code
    assert "paddlepaddle 3." in out
    assert "paddlenlp 3.0.0b4" in out
