"""scikit-learn's own tests of its searches, run against ours.

The source is that of the installed scikit-learn; its GridSearchCV, RandomizedSearchCV and SGDClassifier are replaced
by ours. A test that fails for a reason is named in `DIFFERENT`, and must fail.
"""

import importlib.util
import pathlib
import re

import pytest

import sklosses
from sklosses.model_selection import GridSearchCV, RandomizedSearchCV

DIFFERENT = {
    "test_custom_run_search": "compares all attributes with those of a search of its own, which has no search_plan_",
}

LEAST_PASSING = 140


def _their_tests():
    """The namespace of scikit-learn's test module, made with our classes."""
    path = importlib.util.find_spec("sklearn.model_selection.tests.test_search").origin
    source = pathlib.Path(path).read_text(encoding="utf-8")
    ours = {"GridSearchCV": GridSearchCV, "RandomizedSearchCV": RandomizedSearchCV,
            "SGDClassifier": sklosses.SGDClassifier}
    for name in ours:
        source, times = re.subn(rf"^    {name},\n", "", source, flags=re.MULTILINE)
        assert times == 1, f"scikit-learn's test module imports {name} in a new way"
    namespace = {"__name__": __name__, "__file__": path, **ours}
    exec(compile(source, path, "exec"), namespace)
    # With the classes and data that the tests use, so that pickle finds the classes here.
    return {name: value for name, value in namespace.items() if not name.startswith("__")}


globals().update(_their_tests())


def test_enough_pass(request):
    """With every other test of this file green, this many of scikit-learn's pass."""
    path = request.node.path
    mine = [item for item in request.session.items if item.path == path and item is not request.node]
    if any("::" in argument for argument in request.config.args) or request.config.option.keyword:
        pytest.skip("counts only when the whole file is collected")
    assert {item.name for item in mine} >= DIFFERENT.keys(), "a test listed as different does not exist"
    assert len(mine) - len(DIFFERENT) >= LEAST_PASSING
