"""What `pip install` puts on disk: everything that others need, nothing that they do not, and not much of it."""

from importlib import metadata

import pytest

DISTRIBUTION = metadata.distribution("sklosses")
FILES = [path for path in DISTRIBUTION.files or [] if not path.name.endswith(".pyc")]
EDITABLE = not any(path.parts[:2] == ("sklosses", "losses") for path in FILES)


@pytest.mark.skipif(EDITABLE, reason="an editable build leaves the files in the checkout")
def test_installed_files():
    names = {str(path) for path in FILES}
    for name in ("_loss.pxd", "_math.pxd", "_math.h"):  # what a loss outside the package is compiled against
        assert f"sklosses/losses/{name}" in names
    assert sum(path.locate().stat().st_size for path in FILES) <= 15e6
    folders = {path.parts[0] for path in FILES}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"sklosses"}


def test_metadata():
    assert DISTRIBUTION.metadata["License-Expression"] == "BSD-3-Clause"
    assert {"examples", "test", "lint"} <= set(DISTRIBUTION.metadata.get_all("Provides-Extra"))
