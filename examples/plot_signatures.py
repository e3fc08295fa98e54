"""
Signatures as features
======================

Signatures of windows as features of a linear classifier, with depth and windows found by a search, beside the
nearest neighbour under DTW.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sktime_sdtw import SignatureTransformer, SoftDTWKNeighborsClassifier, TimeSeriesScaler
from sktime_sdtw.datasets import load_trace, make_cylinder_bell_funnel

# %%
# Trace, of the UCR archive: readings of instruments in four kinds of failure, in its split. And three
# classes of very noisy shapes, a plateau, a ramp up and a ramp down, which begin and end at random.
trace = load_trace()
X, y = make_cylinder_bell_funnel(120, random_state=0)
data = {
    "Trace": (trace.X_train, trace.X_test, trace.y_train, trace.y_test),
    "noisy shapes": (X[:60], X[60:], y[:60], y[60:]),
}

# %%
# The time of each step is a channel of its own, without which a signature would not see speed. Dyadic windows
# are the whole series, its halves, its quarters, and so on. The search looks at the training series alone.
depths, levels = [1, 2, 3, 4], [1, 2, 3, 4, 5]
grid = {"signature__depth": depths, "signature__windows": [("dyadic", n) for n in levels]}
linear = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-3, 4, 8)))
pipeline = Pipeline(
    [("scale", TimeSeriesScaler()), ("signature", SignatureTransformer()), ("linear", linear)]
)
neighbour = make_pipeline(TimeSeriesScaler(), SoftDTWKNeighborsClassifier(n_neighbors=1, metric="dtw"))

# %%
# Accuracies on series that no search has seen. A linear classifier on signatures needs no distances to the
# training series, but on the noisy shapes, which differ in where they stretch, the neighbour is better.
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
for ax, (name, (X_train, X_test, y_train, y_test)) in zip(axes, data.items(), strict=True):
    search = GridSearchCV(pipeline, grid, cv=5).fit(X_train, y_train)
    print(f"{name}: signatures {search.score(X_test, y_test):.2f}, found {search.best_params_};", end=" ")
    print(f"nearest neighbour under DTW {neighbour.fit(X_train, y_train).score(X_test, y_test):.2f}")
    table = search.cv_results_["mean_test_score"].reshape(len(depths), len(levels))
    image = ax.imshow(table, aspect="auto", vmin=0.3, vmax=1)
    ax.set(title=name, xlabel="levels of windows", xticks=range(len(levels)), xticklabels=levels)
axes[0].set(ylabel="depth", yticks=range(len(depths)), yticklabels=depths)
fig.colorbar(image, ax=axes, label="accuracy in cross-validation")
plt.show()
