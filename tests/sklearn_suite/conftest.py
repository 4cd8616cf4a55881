"""What scikit-learn's own conftest gives its tests, and the marks of those that may fail here."""

import pytest


def pytest_configure(config):
    for mark in ("no_check_spmatrix", "thread_unsafe"):
        config.addinivalue_line("markers", f"{mark}: a mark of scikit-learn's tests, of no meaning here")


@pytest.fixture
def global_random_seed():
    return 42


def pytest_collection_modifyitems(items):
    for item in items:
        reasons = getattr(item.module, "DIFFERENT", {}) if hasattr(item, "module") else {}
        if item.name in reasons:
            item.add_marker(pytest.mark.xfail(reason=reasons[item.name], strict=True))
