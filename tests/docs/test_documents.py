"""The documents are true: their Python runs, their links lead somewhere, the README begins with its two commands."""

import re
from ast import literal_eval
from pathlib import Path

import pytest

from sklosses.losses import EMBEDDING_LOSSES, LOSSES, MULTICLASS_LOSSES, get_loss

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(document, language):
    """Fenced blocks of a language, each with the number of its first line."""
    text = document.read_text()
    for match in FENCE.finditer(text):
        if match[1] == language:
            yield text.count("\n", 0, match.start(2)), match[2]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(document):
    namespace = {}
    for line, source in blocks(document, "python"):
        exec(compile("\n" * line + source, str(document), "exec"), namespace)


def test_readme_shows_every_deliberate_difference_in_code():
    section = (ROOT / "README.md").read_text().split("\n## What differs")[1].split("\n## ")[0]
    claims = re.split(r"\n(?=\*\*)", section)[1:]
    assert len(claims) >= 4
    assert [claim.splitlines()[0] for claim in claims if "```python" not in claim] == []


def test_readme_begins_with_the_main_job_and_the_tests():
    first, second = [source for _, source in blocks(ROOT / "README.md", "sh")][:2]
    for command in (first, second):
        assert command.count("\n") == 1
        steps = command.strip().split(" && ")
        assert steps[0] == "python3 -m venv .venv"
        assert steps[1].startswith('.venv/bin/pip install ".[')
    assert "examples/leaderboard.py" in first
    assert second.strip().endswith("pytest")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", document.read_text())):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], target


def test_readme_counts_the_losses():
    assert f"**Losses**: {len(LOSSES)} of them" in (ROOT / "README.md").read_text()


def test_table_of_losses_is_complete():
    before, embeddings = (ROOT / "docs" / "losses.md").read_text().split("\n## Embeddings\n")
    assert re.findall(r"^\| `(\w+)`", embeddings, re.MULTILINE) == list(EMBEDDING_LOSSES)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in before.splitlines() if line.startswith("| `")]
    assert sorted(re.match(r"`(\w+)`", row[0])[1] for row in rows) == sorted(LOSSES | MULTICLASS_LOSSES)
    for row in rows:
        name = re.match(r"`(\w+)`", row[0])[1]
        stated = dict(re.findall(r"(\w+)=([\w.]+)", row[0]))
        assert {key: literal_eval(value) for key, value in stated.items()} == get_loss(name).get_params()
        for alias in re.findall(r"`([^`]+)`", row[-1]):
            with pytest.raises(ValueError, match=f"Did you mean '{name}'"):
                get_loss(alias)


def test_table_of_losses_states_convexity_and_probabilities():
    text = (ROOT / "docs" / "losses.md").read_text()
    column = {"## Regression": ("convex", "convex"), "## Classification": ("predict_proba", "has_probability")}
    for heading, (_, trait) in column.items():
        section = text.split(heading + "\n")[1].split("\n## ")[0]
        for line in section.splitlines():
            if line.startswith("| `"):
                cells = [cell.strip() for cell in line.split("|")[1:-1]]
                name = re.match(r"`(\w+)`", cells[0])[1]
                assert getattr(get_loss(name).traits, trait) == (cells[2] == "yes"), name
