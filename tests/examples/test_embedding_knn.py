"""The search over losses of embeddings runs, and its leaderboard has every candidate."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_leaderboard(monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import embedding_knn

    monkeypatch.setattr(embedding_knn, "GRID", {
        "embedding__loss": ["nca", "triplet"], "embedding__n_components": [2, 9]})
    embedding_knn.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["2", "dims", "9", "dims", "seconds"]
    assert {line.split()[0] for line in printed[2:4]} == {"nca", "triplet"}
    assert all(0.5 < float(number) < 1 for line in printed[2:4] for number in line.split()[1:3])
    assert "LDA" in "".join(printed)
    assert float(printed[-1].split()[-1]) > 0.9
