"""
Signatures as features
======================

Log-signatures of windows as features of a linear classifier, with depth and windows found by a search.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktime_sdtw import LogSignatureTransformer, SoftDTWKNeighborsClassifier, TimeSeriesScaler
from sktime_sdtw.datasets import make_cylinder_bell_funnel

# %%
# Three classes of noisy shapes, a plateau, a ramp up and a ramp down, which begin and end at random times.
X, y = make_cylinder_bell_funnel(120, random_state=0)
X = TimeSeriesScaler().fit_transform(X)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

# %%
# The time of each step is a channel of its own, without which a signature would not see speed. Dyadic windows
# are the whole series, its halves, its quarters, and so on.
model = make_pipeline(LogSignatureTransformer(transforms=("time",)), StandardScaler(), RidgeClassifierCV())
depths, levels = [1, 2, 3, 4], [1, 2, 3, 4, 5]
grid = {
    "logsignaturetransformer__depth": depths,
    "logsignaturetransformer__windows": [("dyadic", n) for n in levels],
}
search = GridSearchCV(model, grid, cv=5).fit(X_train, y_train)
scores = np.reshape(search.cv_results_["mean_test_score"], (len(depths), len(levels)))
fig, ax = plt.subplots(figsize=(5, 3.5))
image = ax.imshow(scores, cmap="viridis", aspect="auto")
ax.set(xlabel="levels of windows", ylabel="depth", xticks=range(len(levels)), yticks=range(len(depths)))
ax.set_xticklabels(levels)
ax.set_yticklabels(depths)
fig.colorbar(image, label="accuracy in cross-validation")
plt.show()

# %%
# Beside it the nearest neighbour under DTW, on the same split. On these noisy shapes, which differ in where
# they stretch, it is the better of the two.
neighbor = SoftDTWKNeighborsClassifier(n_neighbors=1, metric="dtw").fit(X_train, y_train)
print(f"log-signatures: {search.score(X_test, y_test):.2f}, with {search.best_params_}")
print(f"1-NN under DTW: {neighbor.score(X_test, y_test):.2f}")
