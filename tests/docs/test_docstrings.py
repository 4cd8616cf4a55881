"""Every public object documents its parameters, and the examples in the docstrings run."""

import doctest
import importlib
import inspect
import re

import numpy as np
import pytest

MODULES = [
    "sklosses",
    "sklosses.data",
    "sklosses.embedding",
    "sklosses.exceptions",
    "sklosses.linear_model",
    "sklosses.losses",
    "sklosses.model_selection",
    "sklosses.penalties",
    "sklosses.solvers",
]


def public_objects():
    """Every public class and function of the public modules, once, by its shortest dotted name."""
    found = {}
    for module in MODULES:
        contents = vars(importlib.import_module(module))
        names = contents.get("__all__") or [name for name in contents if not name.startswith("_")]
        for name in names:
            thing = getattr(importlib.import_module(module), name)
            if inspect.isclass(thing) or callable(thing):
                found.setdefault(id(thing), (f"{module}.{name}", thing))
    return list(found.values())


OBJECTS = public_objects()
METHODS = [
    (f"{path}.{name}", getattr(thing, name))
    for path, thing in OBJECTS
    if inspect.isclass(thing)
    for name in vars(thing)
    if not name.startswith("_") and callable(getattr(thing, name))
]


def sections(thing):
    """Headings of a numpydoc docstring with their text."""
    parts = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def parameters(thing):
    """Names of a callable's parameters, without self and stars; None where it has no signature."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return None
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, p in signature.parameters.items() if p.kind not in stars and name != "self"]


def documented(thing):
    """Names in the Parameters section."""
    lines = re.findall(r"^(\*{0,2}\w[\w, *]*?)(?: :.*)?$", sections(thing).get("Parameters", ""), re.MULTILINE)
    return [name.strip() for line in lines for name in line.split(",") if not name.strip().startswith("*")]


@pytest.mark.parametrize(("path", "thing"), [pytest.param(*pair, id=pair[0]) for pair in OBJECTS + METHODS])
def test_docstring_examples_run(path, thing):
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(thing) or "", {"np": np}, path, None, 0)
    report = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize(("path", "thing"), [pytest.param(*pair, id=pair[0]) for pair in OBJECTS])
def test_public_objects_are_documented(path, thing):
    """Functions and classes that users construct show parameters and an example; records and bases their attributes."""
    lines = (inspect.getdoc(thing) or "").splitlines()
    assert lines, "no docstring"
    assert lines[0].endswith("."), lines[0]
    found = sections(thing)
    if inspect.isclass(thing) and "Parameters" not in found:
        return
    if parameters(thing):
        assert documented(thing)[: len(parameters(thing))] == parameters(thing)
    assert "Examples" in found, "no example"
    if not inspect.isclass(thing):
        assert "Returns" in found


@pytest.mark.parametrize(("path", "method"), [pytest.param(*pair, id=pair[0]) for pair in METHODS])
def test_public_methods_are_documented(path, method):
    """By a docstring of their own, or one that a base class gives."""
    module, cls, name = path.rsplit(".", 2)
    bases = inspect.getmro(getattr(importlib.import_module(module), cls))
    assert any(inspect.getdoc(vars(base).get(name)) for base in bases if name in vars(base)), "no docstring"


def entries(thing, section):
    """What a section says of each name."""
    parts = re.split(r"^(\w[\w, ]*?)(?: : |$)", sections(thing)[section], flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


#: Classes whose docstrings repeat each other, and what each says in its own way.
TWINS = {
    ("GridSearchCV", "RandomizedSearchCV"): set(),
    ("SGDClassifierCV", "SGDRegressorCV"): {
        "loss", "cv", "scoring", "epsilon", "alpha_", "coef_", "coef_path_", "intercept_", "intercept_path_",
        "t_, objective_, gap_, gap_kind_, history_, solver_"},
    ("SGDClassifier", "SGDRegressor"): {
        "loss", "epsilon", "learning_rate", "eta0", "power_t", "early_stopping", "coef_", "intercept_", "n_iter_",
        "objective_", "history_", "gap_"},
}


@pytest.mark.parametrize(("names", "own"), TWINS.items(), ids=["-".join(names) for names in TWINS])
def test_what_is_said_twice_is_the_same(names, own):
    """Docstrings are read where they stand, so that they are repeated; this is why they cannot drift apart."""
    one, other = (next(thing for path, thing in OBJECTS if path.endswith(f".{name}")) for name in names)
    differing = set()
    for section in ("Parameters", "Attributes"):
        said, again = entries(one, section), entries(other, section)
        differing |= {name for name in said.keys() & again.keys() if said[name] != again[name]}
    assert differing == own
