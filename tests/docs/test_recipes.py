"""The two pages about losses of one's own, carried out as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sklosses
from sklosses._isa import level

ROOT = Path(__file__).parents[2]
PACKAGE = Path(sklosses.__file__).parent

SETUP = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup

package, name = sys.argv.pop(1), sys.argv.pop(1)
extension = Extension(name, [name.rpartition(".")[2] + ".pyx"], include_dirs=[package, package + "/sklosses/losses"],
                      extra_compile_args=[] if sys.platform == "win32" else ["-O1", "-w"])
directives = {"language_level": 3, "cdivision": True, "boundscheck": False, "wraparound": False,
              "initializedcheck": False}
setup(name="recipe", ext_modules=cythonize([extension], include_path=[package], compiler_directives=directives))
"""

# The kernel module with the recipe's loss takes the place of the one that is installed; nothing else changes.
RECIPE = """
import doctest
import glob
import importlib.util
import sys

import numpy as np
import pytest

laws, kernel = sys.argv[1:]


class Replacement:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == kernel:
            return importlib.util.spec_from_file_location(name, glob.glob(name.rpartition(".")[2] + ".*[od]")[0])


sys.meta_path.insert(0, Replacement)

from sklosses import SGDRegressor
from sklosses.losses import check_loss, get_loss

check_loss("geman_mcclure", verbose=False)
loss = get_loss("geman_mcclure", scale=2.0)
p = np.linspace(-9, 9, 1001)
step = 1e-5
y, up, down = 0 * p, p + step, p - step
assert np.allclose(loss.gradient(y, p), (loss.value(y, up) - loss.value(y, down)) / (2 * step))
assert np.allclose(loss.hessian(y, p), (loss.gradient(y, up) - loss.gradient(y, down)) / (2 * step))
example = doctest.DocTestParser().get_doctest(type(loss).__doc__, {}, "geman_mcclure", None, 0)
assert doctest.DocTestRunner().run(example).failed == 0

rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 3))
y = X @ [1.0, -2.0, 0.5]
y[::10] += 100  # gross outliers, which this loss ignores
model = SGDRegressor(loss="geman_mcclure", scale=2.0, random_state=0).fit(X, y)
assert np.allclose(model.coef_, [1.0, -2.0, 0.5], atol=0.1), model.coef_

sys.exit(pytest.main([laws, "-q", "-k", "geman_mcclure or references", "-p", "no:cacheprovider"]))
"""

CUSTOM = """
import pickle

import numpy as np
from arctan import Arctan
from sklearn.base import clone
from sklosses import SGDRegressor

r = np.array([-2.0, 0.0, 1.0])
assert np.allclose(Arctan().value(0 * r, r), r * np.arctan(r) - np.log1p(r**2) / 2)
assert np.allclose(Arctan().gradient(0 * r, r), np.arctan(r))
rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 3))
y = X @ [1.0, -2.0, 0.5]
for loss in (Arctan, Arctan()):
    model = clone(SGDRegressor(loss=loss, random_state=0)).fit(X, y)
    assert np.allclose(model.coef_, [1.0, -2.0, 0.5], atol=0.05), model.coef_
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
"""


def cython_blocks(page):
    """The fenced Cython blocks of a page."""
    return re.findall(r"^```cython\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)


def run(folder, *arguments):
    """Run this Python in a folder; its output is shown when it fails."""
    here = os.environ | {"PYTHONSAFEPATH": ""}      # what the folder holds is what is to be found
    finished = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=900, env=here
    )
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-4000:]


def build(folder, name, source):
    """Compile a Cython module against the package that is installed."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    (folder / f"{name.rpartition('.')[2]}.pyx").write_text(source)
    (folder / "setup.py").write_text(SETUP)
    run(folder, "setup.py", str(PACKAGE.parent), name, "-q", "build_ext", "--build-lib", ".", "--build-temp", "temp")


def test_a_loss_is_added_as_the_page_says(tmp_path):
    paragraph, line = cython_blocks("adding_a_loss.md")
    source = (ROOT / "sklosses" / "losses" / "_kernels.pyx").read_text()
    source, paragraphs = re.subn(r"^# The registry", f"{paragraph}\n\n# The registry", source, flags=re.MULTILINE)
    source, lines = re.subn(r"^(ctypedef fused Residual:\n)", rf"\1{line}", source, flags=re.MULTILINE)
    assert (paragraphs, lines) == (1, 1)
    kernel = "sklosses.losses._kernels" + ("" if level() == "baseline" else f"_{level()}")
    build(tmp_path, kernel, source)
    (tmp_path / "recipe.py").write_text(RECIPE)
    run(tmp_path / "sklosses" / "losses", str(tmp_path / "recipe.py"), str(ROOT / "tests" / "laws"), kernel)


def test_a_loss_outside_the_package_compiles_and_trains(tmp_path):
    (source,) = cython_blocks("compiled_losses.md")
    build(tmp_path, "arctan", source)
    (tmp_path / "custom.py").write_text(CUSTOM)
    run(tmp_path, "custom.py")
