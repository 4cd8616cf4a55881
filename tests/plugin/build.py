"""Compile a Cython module against the installed package as a third party would: setuptools, Cython, our .pxd files."""

import subprocess
import sys
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location

SETUP = """
from pathlib import Path

import sklosses
from Cython.Build import cythonize
from setuptools import Extension, setup

# Cython finds the .pxd files of an installed package by itself; only an editable install needs to be told.
packages = str(Path(sklosses.__file__).parents[1])
headers = packages + "/sklosses/losses"
setup(
    name="{name}",
    ext_modules=cythonize(
        [Extension("{name}", ["{name}.pyx"], extra_compile_args={flags!r}, include_dirs=[headers])],
        include_path=[packages],
        language_level=3,
        quiet=True,
    ),
)
"""


def build(source, folder, flags=()):
    """Build the module of this .pyx in a folder, and import it."""
    name = source.stem
    (folder / source.name).write_text(source.read_text())
    (folder / "setup.py").write_text(SETUP.format(name=name, flags=list(flags)))
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    spec = spec_from_file_location(name, folder / (name + sysconfig.get_config_var("EXT_SUFFIX")))
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
