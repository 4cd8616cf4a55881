"""Small data sets, made once."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    return X, X @ rng.normal(size=5) + 0.1 * rng.normal(size=200)


@pytest.fixture(scope="session")
def counts():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 4))
    return X, rng.poisson(np.exp(0.4 * X @ [1.0, -1.0, 0.5, 0.0] + 0.5)).astype(float)


@pytest.fixture(scope="session")
def binary():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 5))
    return X, np.where(X @ rng.normal(size=5) + 0.5 * rng.normal(size=200) > 0.3, "yes", "no")


@pytest.fixture(scope="session")
def multiclass():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(240, 5))
    scores = X @ rng.normal(size=(5, 3)) + 0.3 * rng.normal(size=(240, 3))
    return X, np.array(["a", "b", "c"])[np.argmax(scores, axis=1)]
