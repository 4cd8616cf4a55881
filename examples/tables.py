"""The tables the examples train on: an embedded one, and any on OpenML by its name."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn.datasets import fetch_openml

EMBEDDED = "adult (embedded sample)"
_ADULT = Path(__file__).parent / "data" / "adult_sample.csv.gz"


@dataclass(frozen=True)
class Table:
    """Features as a data frame, a target, and whether that target is a class or a number."""

    name: str
    X: pd.DataFrame
    y: pd.Series
    task: str

    def __str__(self):
        """Say in one line what is in the table."""
        text = sum(not is_number(self.X[name]) for name in self.X)
        missing = int(self.X.isna().to_numpy().sum())
        return (
            f"{self.name}: {self.task} of {self.y.name!r}, {len(self.X)} rows x {self.X.shape[1]} columns, "
            f"{text} of them text or categories, {missing} values missing"
        )


def is_number(column):
    """Tell whether a column holds quantities (a bool is a category with two names)."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def embedded_table():
    """Return the sample of UCI Adult that lies beside this file; it needs no network."""
    frame = pd.read_csv(_ADULT)
    y = frame.pop("income")
    return Table(EMBEDDED, frame, y, "classification")


def openml_table(name, version="active", max_rows=20_000, data_home=None):
    """Fetch an OpenML table by name and make its columns what the pipeline expects.

    Parameters
    ----------
    name : str
        Name on OpenML, for example ``"credit-g"`` or ``"diamonds"``.
    version : int or "active", default="active"
        Version on OpenML; ``"active"`` takes the oldest that is still active.
    max_rows : int, default=20_000
        Larger tables are cut to a random sample of this many rows (seed 0).
    data_home : str, default=None
        Folder of scikit-learn's download cache; None means scikit-learn's own.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If the table declares no default target, or more than one.
    """
    # The parser by pandas is faster, but stumbles over categories called TRUE and FALSE.
    bunch = fetch_openml(name, version=version, data_home=data_home, as_frame=True, parser="liac-arff")
    X, y = bunch.data, bunch.target
    if not isinstance(y, pd.Series):
        found = "none" if y is None else f"{y.shape[1]}: {list(y.columns)}"
        raise ValueError(f"{name!r} must have exactly one default target on OpenML, it has {found}")
    labelled = y.notna()
    X, y = X[labelled], y[labelled]
    if len(X) > max_rows:
        X = X.sample(max_rows, random_state=0)
        y = y.loc[X.index]
    X = X.loc[:, X.nunique() > 1]  # a constant column says nothing, an empty one cannot be imputed
    text = [column for column in X if not is_number(X[column])]
    X = X.astype(dict.fromkeys(text, object))
    task = "regression" if is_number(y) else "classification"
    return Table(name, X, y if task == "regression" else y.astype(str), task)
