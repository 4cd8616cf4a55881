"""The main job: tables come in whole, the two searches are compared fairly, what is printed and drawn is there."""

import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
CREDIT = """@relation credit-tiny
@attribute duration numeric
@attribute purpose {car,'radio tv',repairs}
@attribute owner {TRUE,FALSE}
@attribute empty numeric
@attribute class {good,bad}
@data
"""
WAGES = """@relation wages-tiny
@attribute age numeric
@attribute sector {Other,Construction}
@attribute wage numeric
@data
"""


@pytest.fixture
def example(monkeypatch):
    """Import a module from the examples folder, which is a folder of scripts and no package."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return lambda name: __import__(name)


def write_cache(folder, did, name, target, arff):
    """Lay a table into scikit-learn's download cache as if fetch_openml had just fetched it."""
    lines = [line.split(maxsplit=2) for line in arff.splitlines() if line.startswith("@attribute")]
    features = [
        {
            "index": str(i),
            "name": column,
            "data_type": "numeric" if kind == "numeric" else "nominal",
            "is_target": str(column == target).lower(),
            "is_ignore": "false",
            "is_row_identifier": "false",
            "number_of_missing_values": "0",
        }
        for i, (_, column, kind) in enumerate(lines)
    ]
    dataset = {"did": did, "name": name, "version": 1, "status": "active", "format": "ARFF", "file_id": did}
    description = {
        "id": str(did),
        "description": "made up for a test",
        "name": name,
        "version": "1",
        "format": "ARFF",
        "file_id": str(did),
        "default_target_attribute": target,
        "status": "active",
        "url": f"https://www.openml.org/data/v1/download/{did}/{name}.arff",
        "md5_checksum": hashlib.md5(arff.encode()).hexdigest(),
    }
    api = folder / "openml" / "openml.org" / "api" / "v1" / "json" / "data"
    found = api / "list" / "data_name" / name / "limit" / "2" / "status" / "active" / ".gz"
    files = {
        found: {"data": {"dataset": [dataset]}},
        api / f"{did}.gz": {"data_set_description": description},
        api / "features" / f"{did}.gz": {"data_features": {"feature": features}},
        api / "qualities" / f"{did}.gz": {"data_qualities": {"quality": []}},
        folder / "openml" / "openml.org" / "data" / "v1" / "download" / str(did) / f"{name}.arff.gz": arff,
    }
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress((content if isinstance(content, str) else json.dumps(content)).encode()))


@pytest.fixture
def cache(tmp_path):
    """A download cache with one table to classify and one number to predict."""
    rng = np.random.default_rng(0)
    credit, wages = [], []
    for _ in range(120):
        duration, age = int(rng.integers(6, 60)), int(rng.integers(18, 65))
        purpose = rng.choice(["car", "'radio tv'", "?"])
        credit.append(f"{duration},{purpose},{rng.choice(['TRUE', 'FALSE'])},?,{'bad' if duration > 30 else 'good'}")
        wages.append(f"{age},{rng.choice(['Other', 'Construction'])},{age / 4 + rng.normal():.3f}")
    write_cache(tmp_path, 31, "credit-tiny", "class", CREDIT + "\n".join(credit))
    write_cache(tmp_path, 534, "wages-tiny", "wage", WAGES + "\n".join(wages))
    return tmp_path


def test_embedded_table_keeps_strings_and_missing_values(example):
    tables = example("tables")
    table = tables.embedded_table()
    assert table.X.shape == (12_000, 14)
    assert table.task == "classification"
    assert set(table.y) == {"<=50K", ">50K"}
    assert table.X.isna().any().sum() == 3
    assert [name for name in table.X if tables.is_number(table.X[name])] == [
        "age",
        "fnlwgt",
        "education-num",
        "capital-gain",
        "capital-loss",
        "hours-per-week",
    ]
    assert (EXAMPLES / "data" / "adult_sample.csv.gz").stat().st_size <= 300_000


@pytest.mark.parametrize(
    ("name", "task", "columns"),
    [
        ("credit-tiny", "classification", ["duration", "purpose", "owner"]),
        ("wages-tiny", "regression", ["age", "sector"]),
    ],
)
def test_openml_table_by_name_from_the_cache(example, cache, name, task, columns):
    table = example("tables").openml_table(name, data_home=str(cache))
    assert table.task == task
    assert list(table.X.columns) == columns  # the empty column is dropped, categories and missing values are kept
    assert len(table.X) == len(table.y) == 120
    assert name in str(table)
    if task == "classification":
        assert 20 < table.X["purpose"].isna().sum() < 60
        assert set(table.y) == {"good", "bad"}
    assert len(example("tables").openml_table(name, max_rows=50, data_home=str(cache)).X) == 50


def test_openml_table_without_one_target_is_refused(example, monkeypatch):
    tables = example("tables")
    bunch = type("Bunch", (), {"data": tables.embedded_table().X, "target": None})
    monkeypatch.setattr(tables, "fetch_openml", lambda *_, **__: bunch)
    with pytest.raises(ValueError, match="exactly one default target"):
        tables.openml_table("no-target")


@pytest.mark.parametrize("name", ["credit-tiny", "wages-tiny", None])
def test_comparison_from_table_to_picture(example, cache, tmp_path, monkeypatch, capsys, name):
    leaderboard = example("leaderboard")
    monkeypatch.setattr(leaderboard, "ALPHAS", np.array([1e-3, 1e-2]))
    monkeypatch.setattr(leaderboard, "PENALTIES", ["l2", "l1"])
    if name is None:
        table = example("tables").embedded_table()
        table = replace(table, X=table.X[:1500], y=table.y[:1500])
    else:
        table = example("tables").openml_table(name, data_home=str(cache))
    out = tmp_path / "new folder" / "picture.png"
    ours, theirs = leaderboard.compare(table, out, n_folds=3, rows=5)

    shared, more = leaderboard.LOSSES[table.task]
    assert ours.fits == 3 * 2 * 2 * len(shared + more)
    assert theirs.fits == 3 * 2 * 2 * len(shared)
    for outcome in (ours, theirs):
        assert outcome.failed == 0
        assert np.isfinite(outcome.candidates["score"]).all()
        assert (outcome.candidates["seconds"] > 0).all()
        assert leaderboard.folds_seconds(outcome, slice(None)) < outcome.wall_seconds
        assert outcome.best["score"] == outcome.candidates["score"].max()
    both = ours.candidates.merge(theirs.candidates, on=["loss", "penalty", "alpha"])
    assert len(both) == len(theirs.candidates)
    assert np.median(np.abs(both["score_x"] - both["score_y"])) < 0.05  # same updates, rows in another order

    printed = capsys.readouterr().out
    assert str(table) in printed
    everything = leaderboard.leaderboard(ours, theirs, "score", rows=len(ours.candidates))
    assert "not available" in everything
    assert f"{len(ours.candidates):3}  " in everything
    assert f"{theirs.fits} fits" in printed
    assert "Same grid, seconds of all fits" in printed
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size > 50_000


def test_fits_that_run_out_of_epochs_are_counted(example, tmp_path, monkeypatch, capsys):
    leaderboard, tables = example("leaderboard"), example("tables")
    monkeypatch.setattr(leaderboard, "ALPHAS", np.array([1e-3]))
    monkeypatch.setattr(leaderboard, "PENALTIES", ["l2"])
    original = leaderboard.search
    monkeypatch.setattr(
        leaderboard, "search", lambda cls, model, *rest: original(cls, model.set_params(max_iter=2), *rest)
    )
    table = tables.embedded_table()
    ours, theirs = leaderboard.compare(replace(table, X=table.X[:800], y=table.y[:800]), tmp_path / "x.png", n_folds=2)
    assert 0 < ours.not_converged <= ours.fits      # some minima are a step away
    assert theirs.not_converged == theirs.fits
    assert f"{theirs.fits} did not converge" in capsys.readouterr().out


def test_command_line(example, monkeypatch, cache, tmp_path):
    leaderboard = example("leaderboard")
    seen = {}
    monkeypatch.setattr(leaderboard, "compare", lambda table, *rest: seen.update(table=table, rest=rest))
    leaderboard.main([])
    assert seen["table"].name == example("tables").EMBEDDED
    assert seen["rest"] == (Path("results/leaderboard.png"), 5, 15)
    leaderboard.main(["--dataset", "wages-tiny", "--data-home", str(cache), "--out", str(tmp_path / "w.png")])
    assert seen["table"].task == "regression"
