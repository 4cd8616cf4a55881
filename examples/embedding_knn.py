"""Which loss, and how many dimensions, make the best neighbours: a grid search over LinearEmbedding, on digits.

An embedding is trained, and the five nearest neighbours in it vote. The leaderboard shows every combination of loss and
number of dimensions, and below it what the vote is worth on columns that are merely scaled, or rotated by PCA or LDA::

    python examples/embedding_knn.py
"""

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklosses import LinearEmbedding
from sklosses.losses import NTXent, SupCon

GRID = {
    "embedding__loss": ["nca", "triplet", "contrastive", "cosine", "center", SupCon(temperature=0.1),
                        NTXent(temperature=0.1)],
    "embedding__n_components": [2, 4, 9, 16],
}
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)


def search(X, y):
    """Try every combination; the embedding standardises by itself."""
    steps = Pipeline([
        ("embedding", LinearEmbedding(max_iter=100, tol=0.02, random_state=0)),
        ("neighbours", KNeighborsClassifier()),
    ])
    return GridSearchCV(steps, GRID, cv=FOLDS).fit(X, y)


def leaderboard(searched):
    """One row a loss, one column a number of dimensions: mean accuracy over the folds, best loss first."""
    results = pd.DataFrame(searched.cv_results_)
    table = results.assign(loss=results["param_embedding__loss"].astype(str)).pivot_table(
        index="loss", columns="param_embedding__n_components", values="mean_test_score")
    table.columns = [f"{n} dims" for n in table.columns]
    seconds = results.groupby(results["param_embedding__loss"].astype(str))["mean_fit_time"].mean()
    return table.assign(seconds=seconds).loc[table.max(axis=1).sort_values(ascending=False).index]


def baselines(X, y):
    """The same vote without an embedding of ours."""
    before = {
        "scaled columns": [StandardScaler()],
        "PCA, 16 dims": [StandardScaler(), PCA(16, random_state=0)],
        "LDA, 9 dims": [StandardScaler(), LinearDiscriminantAnalysis()],
    }
    return {name: cross_val_score(make_pipeline(*steps, KNeighborsClassifier()), X, y, cv=FOLDS).mean()
            for name, steps in before.items()}


def main():
    """Search on two thirds of the digits, and try the winner on the rest."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)
    searched = search(X, y)
    with pd.option_context("display.float_format", "{:.4f}".format, "display.width", 120):
        print(leaderboard(searched).to_string())
    print()
    for name, score in baselines(X, y).items():
        print(f"{name:30s} {score:.4f}")
    best = searched.best_params_
    print(f"\nbest: {best['embedding__loss']} in {best['embedding__n_components']} dimensions; "
          f"on {len(y_test)} rows it never saw: {np.mean(searched.predict(X_test) == y_test):.4f}")


if __name__ == "__main__":
    main()
