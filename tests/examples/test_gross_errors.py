"""The example on gross errors runs, prints its table, draws its picture, and shows what it says."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_it_shows_what_it_says(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "gross_errors", raising=False)
    import gross_errors

    monkeypatch.setattr(gross_errors, "SHARES", (0.0, 0.1))
    out = tmp_path / "results" / "picture.png"
    found = gross_errors.main(["--splits", "2", "--out", str(out)])
    assert out.stat().st_size > 50_000
    printed = capsys.readouterr().out
    assert all(name in printed for name in gross_errors.LOSSES)
    clean, spoiled = ({name: scores[row].mean() for name, scores in found.items()} for row in (0, 1))
    assert max(clean.values()) < 1.1 * min(clean.values())
    assert spoiled["squared_error"] > 2 * clean["squared_error"]
    for name in ("huber", "quantile", "cauchy"):
        assert spoiled[name] < 1.15 * clean[name]
