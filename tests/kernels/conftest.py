from pathlib import Path

import pytest

from plugin.build import build


@pytest.fixture(scope="session")
def probe(tmp_path_factory):
    """A compiled module that calls the contract's slots."""
    return build(Path(__file__).parent / "probe.pyx", tmp_path_factory.mktemp("probe"))
