"""Mutation test of the losses: break one sign or operator in every loss, and see whether the laws notice.

    python tools/mutate.py [--builds 0] [--only huber,focal] [--examples 60]

In a scratch copy of the package one mutant of every loss is put into the kernel source, that one module is compiled at
the baseline level, and tests/laws runs, for each loss until its first failure. The next build takes the next
mutant of each, of value, gradient, hessian, conjugate and prox in turn. The score is the share of mutants that some law
killed; survivors are printed with their lines. Without any mutant all laws must hold, which is tried first. Not part of
CI: a build and its laws take some minutes.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import sklosses
from sklosses import _build, _cpu
from sklosses.losses import LOSSES, _loss

ROOT = Path(__file__).parents[1]
PACKAGE = Path(sklosses.__file__).parent
FORMULAS = ("_value", "_gradient", "_hessian", "conjugate_at", "prox_at")
FLAGS = ["-O1", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-w"]

PROFILE = """
from hypothesis import HealthCheck, Phase, settings

settings.register_profile("mutants", max_examples={examples}, deadline=None, database=None, derandomize=True,
                          phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
"""
RUN = """
import json, sys

scratch, output, names = sys.argv[1], sys.argv[2], set(sys.argv[3].split(","))
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
sys.path.insert(0, scratch)
import pytest

import sklosses

assert sklosses.__file__.startswith(scratch), sklosses.__file__
first = {}


def of(item):
    return item.callspec.params.get("name") if getattr(item, "callspec", None) else None


class UntilFirstFailure:
    def pytest_collection_modifyitems(self, items):
        items[:] = sorted((item for item in items if of(item) in names), key=lambda item: "formulas" not in item.nodeid)

    def pytest_runtest_protocol(self, item):
        return True if of(item) in first else None

    def pytest_runtest_makereport(self, item, call):
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            first.setdefault(of(item), item.originalname)


code = pytest.main(sys.argv[4:], plugins=[UntilFirstFailure()])
with open(output, "w") as file:
    json.dump(first if code in (0, 1) else None, file)
"""


@dataclass(frozen=True)
class Mutant:
    """One change of one line: the class and formula it is in, where, and what becomes of it."""

    loss: str
    formula: str
    line: int
    column: int
    old: str
    new: str


# Operators ------------------------------------------------------------------------------------------------------------

SIGNS = {" + ": " - ", " - ": " + ", " * ": " / ", " / ": " * "}
COMPARISONS = {" < ": " > ", " > ": " < ", " <= ": " > ", " >= ": " < "}
UNARY = re.compile(r"(?:(?<=[(=,] )|(?<=\()|(?<=return )|(?<=else ))-(?=[\w(])")


def mutants_of_line(line):
    """(column, old, new) for every operator and sign of a line of code, and for what it returns."""
    code = line.split("#")[0]
    for old, new in (SIGNS | COMPARISONS).items():
        for match in re.finditer(re.escape(old), code):
            yield match.start(), old, new
    for match in UNARY.finditer(code):
        yield match.start(), "-", ""
    for match in re.finditer(r"return (?=[\w(])", code):
        yield match.start(), "return ", "return 1.0 + " if code.strip() == "return 0.0" else "return -"


def mutants(lines):
    """{loss name: its mutants in the order of the source}."""
    names = {cls.__name__: name for name, cls in LOSSES.items()}
    found, loss, formula = {name: [] for name in LOSSES}, None, None
    for number, line in enumerate(lines):
        if match := re.match(r"cdef class (\w+)", line):
            loss, formula = names.get(match.group(1)), None
        elif match := re.match(r"    cdef (?:inline )?double (\w+)\(", line):
            formula = match.group(1) if match.group(1) in FORMULAS else None
        elif re.match(r"\S", line) or re.match(r"    (@|def )", line):
            formula = None
            loss = loss if line.startswith("    ") else None
        elif loss and formula and line.strip():
            found[loss] += [Mutant(loss, formula, number, *change) for change in mutants_of_line(line)]
    return {name: in_turn(of_loss) for name, of_loss in found.items()}


def in_turn(of_loss):
    """The mutants of one loss, a formula after the other by turns."""
    by_formula = [[mutant for mutant in of_loss if mutant.formula == formula] for formula in FORMULAS]
    return [mutant for turn in zip_longest(*by_formula) for mutant in turn if mutant]


def broken(lines, chosen):
    """The source with these mutants in it, one a loss."""
    lines = list(lines)
    for mutant in chosen:
        line = lines[mutant.line]
        assert line[mutant.column :].startswith(mutant.old)
        lines[mutant.line] = line[: mutant.column] + mutant.new + line[mutant.column + len(mutant.old) :]
    return "\n".join(lines) + "\n"


# Builds ---------------------------------------------------------------------------------------------------------------


def scratch_package(folder):
    """A copy of the installed package with the baseline level alone; its kernels are compiled here."""
    package = folder / "sklosses"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.so", "build"))
    shutil.copy(_cpu.__file__, package)
    shutil.copy(_loss.__file__, package / "losses")
    (package / "_build.py").write_text(
        re.sub(r"LEVELS = .*", 'LEVELS = ("baseline",)', Path(_build.__file__).read_text())
    )
    (package / "__init__.py").write_text("")        # the laws need no solvers
    (folder / "run.py").write_text(RUN)
    for module in sorted((package / "losses").glob("*.pyx")):
        if module.stem not in ("_loss", "_kernels"):
            compile_module(folder, f"sklosses/losses/{module.stem}")
    return package


def compile_module(folder, module):
    """Cython and C compiler on one module of the copy."""
    cython = [sys.executable, "-m", "cython", "-3", "-X", "boundscheck=False", "-X", "wraparound=False",
              "-X", "cdivision=True", "-X", "initializedcheck=False", f"{module}.pyx", "-o", f"{module}.c"]
    include = [f"-I{sysconfig.get_path('include')}", f"-I{folder / 'sklosses/losses'}"]
    compiler = [os.environ.get("CC", "cc"), *FLAGS, *include, f"{module}.c", "-lm", "-o",
                f"{module}{sysconfig.get_config_var('EXT_SUFFIX')}"]
    for command in (cython, compiler):
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def first_failures(folder, names, examples):
    """{name: the law that failed first} for the losses that some law is broken for."""
    (folder / "profile.py").write_text(PROFILE.format(examples=examples))
    arguments = [str(ROOT / "tests/laws"), "-q", "--tb=no", "-W", "ignore", f"--rootdir={ROOT}",
                 "-p", "profile", "--hypothesis-profile=mutants", "-p", "no:cacheprovider"]
    environment = dict(os.environ, SKLOSSES_ISA="baseline", PYTHONPATH=str(folder))
    output = folder / "failures.json"
    output.unlink(missing_ok=True)
    command = [sys.executable, str(folder / "run.py"), str(folder), str(output), ",".join(names), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    failures = json.loads(output.read_text()) if output.exists() else None
    if failures is None:
        raise RuntimeError(done.stdout + done.stderr)
    return failures


def described(mutant, law, lines):
    """One line of the report."""
    change = f"{mutant.old.strip()} -> {mutant.new.strip() or 'nothing'}"
    verdict = law or f"SURVIVED: {lines[mutant.line].strip()}"
    return f"{mutant.loss:28} {mutant.formula:13} {change:22} line {mutant.line + 1:4}: {verdict}"


def main():
    """Run the builds that were asked for and print the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--builds", type=int, default=0, help="at most this many (0: until no mutant is left)")
    parser.add_argument("--only", default="", help="names of losses, separated by commas")
    parser.add_argument("--examples", type=int, default=60, help="examples of each law")
    arguments = parser.parse_args()
    lines = (PACKAGE / "losses/_kernels.pyx").read_text().splitlines()
    wanted = set(filter(None, arguments.only.split(","))) or set(LOSSES)
    each = {name: found for name, found in mutants(lines).items() if name in wanted}
    builds = max(map(len, each.values()))
    laws, start = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        package = scratch_package(folder)
        compile_module(folder, "sklosses/losses/_kernels")
        if failures := first_failures(folder, each, 10):
            raise SystemExit(f"These laws fail without any mutant: {failures}.")
        print("All laws hold without mutants.", flush=True)
        for build in range(min(builds, arguments.builds or builds)):
            chosen = [found[build] for found in each.values() if build < len(found)]
            (package / "losses/_kernels.pyx").write_text(broken(lines, chosen))
            compile_module(folder, "sklosses/losses/_kernels")
            failures = first_failures(folder, [mutant.loss for mutant in chosen], arguments.examples)
            for mutant in chosen:
                laws.append(failures.get(mutant.loss))
                print(described(mutant, laws[-1], lines), flush=True)
    dead = sum(law is not None for law in laws)
    print(f"{dead} of {len(laws)} killed: {dead / len(laws):.1%}, in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
