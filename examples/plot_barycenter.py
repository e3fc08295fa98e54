"""
Barycenters
===========

The mean of series whose features come at different times has none of these features. A soft-DTW barycenter is
an average that follows the warping. ``gamma`` decides how smooth it is.
"""

import matplotlib.pyplot as plt
import numpy as np

from sktime_sdtw import BarycenterDisplay, TimeSeriesResampler
from sktime_sdtw.datasets import make_warped

# %%
# Series of one shape, warped, of different lengths.
X, _ = make_warped(12, length=(60, 90), n_classes=1, warp=0.9, noise=0.03, random_state=0)
X = [np.sign(x) * np.abs(x) ** 3 for x in X]  # narrower peaks

# %%
# The mean, after resampling to one length, is flatter than every single series; the barycenters are not. The
# length of a barycenter may be chosen.
figure, axes = plt.subplots(3, 1, figsize=(6.5, 7), sharex=True, layout="constrained")
mean = TimeSeriesResampler(length=75).fit_transform(X).mean(axis=0)
BarycenterDisplay(X, mean).plot(axes[0], barycenter_kw={"label": "mean"})
for ax, gamma in zip(axes[1:], [0.01, 1.0], strict=True):
    BarycenterDisplay.from_series(X, gamma=gamma, length=75, ax=ax)
    ax.set_title(f"gamma = {gamma}")
plt.show()
