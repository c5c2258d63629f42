"""`viewpair methods`: all of the registry, in words that compose back to the same config."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from core.compose import compose, to_trial
from core.methods.base import METHODS
from viewpair import cli


def test_every_method_is_listed_with_its_line_source_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods"]) == 0
    paragraphs = {text.partition(":")[0]: text for text in capsys.readouterr().out.strip().split("\n\n")}
    assert list(paragraphs) == METHODS.names()
    for entry in METHODS.entries():
        first, source, *lines = paragraphs[entry.name].splitlines()
        assert first == f"{entry.name}: {entry.line}"
        assert len(entry.line) > 20
        assert source.startswith(f"  source: {entry.source}")
        words = dict(line.split(maxsplit=1) for line in lines)
        assert all(words.values())
        assert [word.partition("=")[0] for word in words] == [
            f"method.{name}" for name in asdict(entry.config()) if name != "name"
        ]
        composed = to_trial(compose([f"method={entry.name}", "data.reports=true", *words]))
        assert asdict(composed.method) == asdict(entry.config())


def test_what_a_method_brings_along_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods", "--brief"]) == 0
    out = capsys.readouterr().out
    assert "source: Caron et al. 2021, arXiv 2104.14294; brings pairing=same_view_augmented optim=dino\n" in out
    assert "method." not in out
