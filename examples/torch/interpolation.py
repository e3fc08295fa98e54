"""Draw the barycenters between two series: weighted means in the sense of Soft-DTW, and of Euclid.

    python examples/torch/interpolation.py --output interpolation.png
    python examples/torch/interpolation.py --steps 3 --length 40

All barycenters are found in one call, as several sets with weights of their own. Where the two series do
the same at different times, the Euclidean mean does it twice, by half; the barycenter does it once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from sktime_sdtw.functional import soft_dtw_barycenter


def shapes(length: int) -> Tensor:
    """Two series, (2, length, 1): two bumps, and a plateau with a bump, later."""
    t = torch.linspace(0, 1, length, dtype=torch.float64)
    bumps = torch.exp(-(((t - 0.3) / 0.07) ** 2)) + 0.5 * torch.exp(-(((t - 0.6) / 0.06) ** 2))
    plateau = torch.sigmoid((t - 0.3) / 0.015) - torch.sigmoid((t - 0.55) / 0.015)
    return torch.stack([bumps, plateau + 0.8 * torch.exp(-(((t - 0.75) / 0.05) ** 2))])[..., None]


def main(arguments: Sequence[str] | None = None) -> Tensor:
    """Return the barycenters, (steps, length, 1)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--length", type=int, default=120)
    parser.add_argument("--gamma", type=float, default=0.02)
    parser.add_argument("--output", help="a file for the picture")
    options = parser.parse_args(arguments)

    series = shapes(options.length)
    part = torch.linspace(0, 1, options.steps, dtype=torch.float64)
    weights = torch.stack([1 - part, part], dim=1)
    sets = series.expand(options.steps, -1, -1, -1)
    between = soft_dtw_barycenter(sets, weights=weights, gamma=options.gamma)
    euclidean = (weights[:, :, None, None] * sets).sum(1)
    if options.output:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(2, options.steps, figsize=(2.4 * options.steps, 4), sharey=True)
        for row, (name, curves) in enumerate([("Soft-DTW", between), ("Euclid", euclidean)]):
            axes[row, 0].set_ylabel(name)
            for column, curve in enumerate(curves):
                axes[row, column].plot(curve[:, 0])
                axes[0, column].set_title(f"{part[column]:.2f}")
        figure.tight_layout()
        figure.savefig(options.output, dpi=150)
    return between


if __name__ == "__main__":
    main()
