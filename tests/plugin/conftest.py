from pathlib import Path

import pytest

from plugin.build import build


@pytest.fixture(scope="session")
def theirs(tmp_path_factory):
    """The third party's module, compiled against the installed package."""
    return build(Path(__file__).parent / "their_losses.pyx", tmp_path_factory.mktemp("their_losses"))
