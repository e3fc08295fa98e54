"""
Continuous-time warping
=======================

``gdtw`` finds the warp of one signal onto another, and ``DecDTW`` learns what to look at while warping: here
one feature carries the signal and the other only noise, and the warps of the training pairs are known.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from sktime_sdtw import GDTWAligner, WarpDisplay, time_error
from sktime_sdtw.nn import DecDTW

# %%
# A warp, and a band around it: the source is read at warped times and follows the target.
t = np.linspace(0, 1, 120)
truth = t + 0.09 * np.sin(2 * np.pi * t)
source, target = np.sin(9 * t) + t, np.sin(9 * truth) + truth
WarpDisplay.from_signals(source, target, reg=1e-3, band=0.2, truth=truth)

# %%
# Many series: the mean of the aligned series is the template, and each has its warp.
X = np.array([np.exp(-(((t - place) / 0.08) ** 2)) + 0.5 * t for place in np.linspace(0.3, 0.7, 9)])
aligner = GDTWAligner(reg=1e-2).fit(X)
figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
axes[0].plot(t, X.T, color="0.6", lw=0.8)
axes[1].plot(t, aligner.transform(X).T, color="0.6", lw=0.8)
axes[1].plot(t, aligner.template_, lw=2)
axes[0].set_title("series")
axes[1].set_title("aligned, and the template")
WarpDisplay.from_estimator(aligner, ax=axes[2])

# %%
# Learning: the loss is the distance of the warp from the true one, and its gradient turns the noise down.
torch.manual_seed(0)
true = torch.tensor(truth[::3], dtype=torch.float32)
s = torch.tensor(t[::3], dtype=torch.float32)
x = torch.stack([torch.sin(9 * s).expand(4, -1), torch.randn(4, 40)], 2)
y = torch.stack([torch.sin(9 * true).expand(4, -1), torch.randn(4, 40)], 2)
scales = torch.ones(2, requires_grad=True)
layer, optimizer, history = DecDTW(reg=0.01), torch.optim.Adam([scales], lr=0.05), []
for _ in range(40):
    loss = time_error(layer(x * scales, y * scales), true.expand(4, -1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    history.append(loss.item())
print(f"time error {history[0]:.3f} before, {history[-1]:.3f} after; scales {scales.detach().tolist()}")
plt.show()
