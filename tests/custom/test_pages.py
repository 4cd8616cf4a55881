"""The page on choosing a loss: every loss has its place and its picture, and its formula is that of its docstring."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sklosses.losses import LOSSES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "choosing_a_loss.md").read_text()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_its_section_and_picture(name):
    (section,) = re.findall(rf"^### {name}\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert f"(pictures/{name}.svg)" in section
    assert (DOCS / "pictures" / f"{name}.svg").stat().st_size > 1000
    for part in ("- Estimates", "- Against gross errors", "- When", "| PyTorch | Keras | XGBoost | LightGBM |"):
        assert part in section


def test_every_picture_is_shown():
    shown = {name for page in DOCS.glob("*.md") for name in re.findall(r"\(pictures/(\w+)\.svg\)", page.read_text())}
    assert {path.stem for path in (DOCS / "pictures").iterdir()} == shown


def test_pictures_can_be_drawn_again(tmp_path):
    pytest.importorskip("matplotlib")
    script = tmp_path / "make_pictures.py"
    script.write_text((DOCS / "make_pictures.py").read_text())
    names = ("huber", "log_loss", "search", "path")
    subprocess.run([sys.executable, script, *names], check=True, cwd=tmp_path)
    for name in names:
        drawn = (tmp_path / "pictures" / f"{name}.svg").read_text()
        assert drawn.count("<path") == (DOCS / "pictures" / f"{name}.svg").read_text().count("<path")
