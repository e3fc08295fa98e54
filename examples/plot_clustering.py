"""
Clustering
==========

k-means with soft-DTW barycenters as centres, on series with two features.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from sktime_sdtw import ClusterDisplay, SoftDTWKMeans
from sktime_sdtw.datasets import make_warped

# %%
# Three shapes, strongly warped.
X, y = make_warped(60, length=80, n_classes=3, n_features=2, warp=0.95, noise=0.1, random_state=0)

# %%
# The clusters found agree with the shapes; those of k-means with the Euclidean distance less so.
km = SoftDTWKMeans(n_clusters=3, gamma=0.1, metric="soft_dtw", random_state=0, n_jobs=-1).fit(X)
euclidean = KMeans(n_clusters=3, n_init=10, random_state=0).fit(X.reshape(len(X), -1))
print("adjusted Rand index, soft-DTW: ", round(adjusted_rand_score(y, km.labels_), 2))
print("adjusted Rand index, Euclidean:", round(adjusted_rand_score(y, euclidean.labels_), 2))

# %%
# A column for each cluster, a row for each feature; the colours are the true shapes.
ClusterDisplay.from_estimator(km, X, y)
plt.show()
