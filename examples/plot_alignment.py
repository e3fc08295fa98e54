"""
Alignment of two series
=======================

Soft-DTW averages over all alignments of two series, with weights that depend on ``gamma``. The expected
alignment says with which probability a time step of one series is matched with a time step of the other.
"""

import matplotlib.pyplot as plt
import numpy as np

from sktime_sdtw import AlignmentDisplay, dtw, soft_dtw, soft_dtw_divergence

# %%
# Two bumps, the second one later and wider.
t = np.arange(80)
x = np.exp(-0.5 * ((t - 25) / 6) ** 2)
y = np.exp(-0.5 * ((t - 45) / 10) ** 2)

# %%
# The distance by which the shapes differ, timing left aside, is small. Soft-DTW lies below DTW, and may be
# negative: it counts how many alignments are good as well. The divergence corrects for that; it is zero
# between equal series.
print("squared Euclidean:", np.sum((x - y) ** 2).round(3))
print("DTW:", round(dtw(x, y), 3))
print("soft-DTW:", round(soft_dtw(x, y, gamma=0.1), 3))
print("soft-DTW divergence:", round(soft_dtw_divergence(x, y, gamma=0.1), 3))

# %%
# Where one alignment is much better than the others, it has all the weight. In the flat parts many alignments
# are equally good and share it, the more so the larger ``gamma`` is.
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.6), layout="constrained")
for ax, gamma in zip(axes, [0.001, 0.1], strict=True):
    AlignmentDisplay.from_series(x, y, gamma=gamma, ax=ax)
plt.show()
