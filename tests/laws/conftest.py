"""How many examples: 100 for each law, 1000 where the run is selected by the laws' marker (pytest -m full)."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
TOLERATED = [HealthCheck.too_slow, HealthCheck.data_too_large]
COMMON = {"deadline": None, "suppress_health_check": TOLERATED}

settings.register_profile("default", max_examples=100, derandomize=True, **COMMON)
settings.register_profile("full", max_examples=1000, **COMMON)


def pytest_configure(config):
    config.addinivalue_line("markers", "full: the laws; selecting them by it (-m full) runs 1000 examples of each")
    if not config.getoption("--hypothesis-profile", default=None):
        settings.load_profile("full" if config.getoption("-m") == "full" else "default")


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.full)
