"""
Distances and nearest neighbours
================================

A matrix of soft-DTW divergences between all series of a set, and a classifier that uses them.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sktime_sdtw import (
    GramDisplay,
    SoftDTWKNeighborsClassifier,
    TimeSeriesScaler,
    pairwise_soft_dtw_divergence,
)
from sktime_sdtw.datasets import make_cylinder_bell_funnel

# %%
# Three classes of noisy shapes, a plateau, a ramp up and a ramp down, which begin and end at random times.
X, y = make_cylinder_bell_funnel(90, random_state=0)
X = TimeSeriesScaler().fit_transform(X)

# %%
# All pairs of series. Rows and columns are sorted by class.
D = pairwise_soft_dtw_divergence(X, gamma=1.0, n_jobs=-1)
GramDisplay.from_matrix(D, y, name="soft-DTW divergence")
plt.show()

# %%
# The classifier computes the distances it needs itself, and fits into a pipeline.
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.8, stratify=y, random_state=0)
elastic = make_pipeline(TimeSeriesScaler(), SoftDTWKNeighborsClassifier(n_neighbors=1, gamma=1.0, n_jobs=-1))
rigid = make_pipeline(TimeSeriesScaler(), KNeighborsClassifier(n_neighbors=1))
for name, model in [("soft-DTW", elastic), ("Euclidean", rigid)]:
    print(f"accuracy of 1-NN, {name}: {model.fit(X_train, y_train).score(X_test, y_test):.2f}")
