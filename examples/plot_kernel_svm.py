"""
A kernel for a support vector machine
=====================================

`SoftDTWKernel` turns series into a kernel matrix for anything that takes a precomputed kernel. Its parameters
are searched over like any others.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from sktime_sdtw import GramDisplay, PairCache, SoftDTWKernel, TimeSeriesScaler
from sktime_sdtw.datasets import make_cylinder_bell_funnel

X, y = make_cylinder_bell_funnel(120, noise=1.5, random_state=1)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

# %%
# The cache knows the values of ``gamma`` that will be asked for: every pair of series is compared once, for
# all of them together, however many folds it is in and whatever the other parameters are.
gammas = [0.1, 1.0, 10.0, 100.0]
model = Pipeline(
    [
        ("scaler", TimeSeriesScaler()),
        ("kernel", SoftDTWKernel(cache=PairCache(gammas), n_jobs=-1)),
        ("svc", SVC(kernel="precomputed")),
    ]
)
search = GridSearchCV(model, {"kernel__gamma": gammas, "svc__C": [1.0, 10.0, 100.0]}, cv=5)
search.fit(X_train, y_train)
print("best parameters:", search.best_params_)
print(f"accuracy, 5-fold: {search.best_score_:.2f}")
print(f"accuracy, test:   {search.score(X_test, y_test):.2f}")
print(search.best_estimator_["kernel"].cache.info())

# %%
# The kernel between the test series (rows) and the training series (columns), sorted by class.
best = search.best_estimator_
GramDisplay.from_estimator(best["kernel"], best["scaler"].transform(X_test), y_test, y_columns=y_train)
plt.show()
