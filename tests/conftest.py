"""What all tests share: what they import is the installed package, and helpers beside them are found by name."""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parent

# `python -m pytest` puts the checkout first, whose kernels are not compiled; `from oracle.sgd import ...` needs tests/.
sys.path[:] = [str(TESTS), *(entry for entry in sys.path if Path(entry).resolve() != TESTS.parent)]
# Likewise in processes that tests start, for which the current directory would come first.
os.environ["PYTHONSAFEPATH"] = "1"
