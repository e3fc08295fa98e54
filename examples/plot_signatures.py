"""
Signatures as features
======================

Signatures of windows as features of a linear classifier, with depth and windows found by a search, beside the
nearest neighbour under DTW.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktime_sdtw import (
    LogSignatureTransformer,
    SignatureTransformer,
    SoftDTWKNeighborsClassifier,
    TimeSeriesScaler,
)
from sktime_sdtw.datasets import load_trace, make_cylinder_bell_funnel

# %%
# Trace, of the UCR archive: readings of instruments in four kinds of failure, in its split. And three
# classes of very noisy shapes, a plateau, a ramp up and a ramp down, which begin and end at random.
X, y = make_cylinder_bell_funnel(120, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
trace = load_trace()
data = {
    "Trace": (trace.X_train, trace.X_test, trace.y_train, trace.y_test),
    "noisy shapes": (X_train, X_test, y_train, y_test),
}

# %%
# The time of each step is a channel of its own, without which a signature would not see speed. Dyadic windows
# are the whole series, its halves, its quarters, and so on. The search looks at the training series alone.
depths, levels = [1, 2, 3, 4], [1, 2, 3, 4, 5]


def make_search(transformer):
    """Return a search over depth and windows of the features of a linear classifier."""
    model = make_pipeline(
        TimeSeriesScaler(), transformer, StandardScaler(), RidgeClassifierCV(np.logspace(-3, 4, 8))
    )
    name = model.steps[1][0]
    grid = {f"{name}__depth": depths, f"{name}__windows": [("dyadic", n) for n in levels]}
    return GridSearchCV(model, grid, cv=5)


# %%
# Accuracies on series that no search has seen. A linear classifier on signatures needs no distances to the
# training series, but on the noisy shapes, which differ in where they stretch, the neighbour is better.
scores = {}
for name, (X_train, X_test, y_train, y_test) in data.items():
    models = {
        "signatures": make_search(SignatureTransformer()),
        "log-signatures": make_search(LogSignatureTransformer()),
        "1-NN, DTW": make_pipeline(
            TimeSeriesScaler(), SoftDTWKNeighborsClassifier(n_neighbors=1, metric="dtw")
        ),
    }
    for label, model in models.items():
        begin = time.perf_counter()
        model.fit(X_train, y_train)
        middle = time.perf_counter()
        accuracy = model.score(X_test, y_test)
        end = time.perf_counter()
        print(
            f"{name:12}  {label:14}  {accuracy:.2f}  fit {middle - begin:.2f} s, score {end - middle:.3f} s",
            end="",
        )
        print("", *getattr(model, "best_params_", {}).values())
    found = models["log-signatures"].cv_results_["mean_test_score"]
    scores[name] = np.reshape(found, (len(depths), len(levels)))

# %%
# What the search saw: the accuracy in cross-validation for each depth and number of levels of windows.
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
for ax, (name, table) in zip(axes, scores.items(), strict=True):
    image = ax.imshow(table, cmap="viridis", aspect="auto", vmin=0.3, vmax=1)
    for (row, column), value in np.ndenumerate(table):
        ax.text(
            column, row, f"{value:.2f}", ha="center", va="center", color="white" if value < 0.8 else "black"
        )
    ax.set(title=name, xlabel="levels of windows", xticks=range(len(levels)), xticklabels=levels)
axes[0].set(ylabel="depth", yticks=range(len(depths)), yticklabels=depths)
fig.colorbar(image, ax=axes, label="accuracy of log-signatures")
plt.show()
