"""What `sktime_sdtw.signatures` offers, as functions of a batch of paths (..., length, 2), length >= 6."""

from __future__ import annotations

import math

import numpy as np

from sktime_sdtw.signatures import (
    Path,
    extract_signature_term,
    extract_words,
    invert_signature,
    logsignature,
    logsignature_to_signature,
    multi_signature_combine,
    signature,
    signature_combine,
    signature_to_logsignature,
    transform_path,
)


def lengths(x):
    """Of paths: 2, 3, … points, as the batch goes on."""
    shape = tuple(x.shape[:-2])
    return (2 + np.arange(math.prod(shape)) % (x.shape[-2] - 1)).reshape(shape)


def own_windows(x):
    start = np.minimum(lengths(x)[..., None] - 2, [0, x.shape[-2] - 3])
    return np.stack([start, start + np.array([3, 2])], axis=-1)


def grown(x):
    path = Path(x, 3, basepoint=x[..., 1, :])
    path.update(x)
    return path.signature(2, 2 * x.shape[-2] - 1)


CALLS = {
    "signature": lambda x: signature(x, 3, inverse=True, scalar_term=True),
    "stream": lambda x: signature(x, 3, True, basepoint=True, initial=signature(x, 3)),
    "initial": lambda x: signature(x, 2, basepoint=x[..., -1, :], initial=signature(x, 2), inverse=True),
    "lengths": lambda x: signature(x, 3, lengths=lengths(x)),
    "stream of lengths": lambda x: signature(x, 3, stream=True, lengths=lengths(x)),
    "sliding": lambda x: signature(x, 3, windows=("sliding", 4, 2), lengths=lengths(x)),
    "expanding": lambda x: signature(x, 3, windows=("expanding", 3, 2)),
    "dyadic": lambda x: logsignature(x, 3, windows=("dyadic", 2)),
    "intervals": lambda x: signature(x, 3, windows=np.array([[0, 3], [2, 6]])),
    "windows of each": lambda x: signature(x, 3, windows=own_windows(x), lengths=lengths(x)),
    "forward fill": lambda x: signature(x, 3, nan_policy="ffill"),
    "skip": lambda x: logsignature(x, 3, nan_policy="skip"),
    "log words": lambda x: logsignature(x, 3, basepoint=True),
    "log brackets": lambda x: logsignature(x, 3, stream=True, mode="brackets", lengths=lengths(x)),
    "log expand": lambda x: signature_to_logsignature(
        signature(x, 3, scalar_term=True), 2, 3, mode="expand", scalar_term=True
    ),
    "back": lambda x: logsignature_to_signature(logsignature(x, 3), 2, 3),
    "back from brackets": lambda x: logsignature_to_signature(
        logsignature(x, 3, mode="brackets"), 2, 3, mode="brackets"
    ),
    "combine": lambda x: signature_combine(signature(x, 3), signature(x, 3, inverse=True) * 2, 2, 3),
    "combine many": lambda x: multi_signature_combine([signature(x, 3)] * 3, 2, 3, inverse=True),
    "invert": lambda x: invert_signature(signature(x, 3), 3, 2, x[..., 0, :]),
    "term": lambda x: extract_signature_term(signature(x, 3), 2, 2),
    "words": lambda x: extract_words(signature(x, 3), [(0,), (0, 1), (1, 1, 0)], 2),
    "transforms": lambda x: transform_path(
        x,
        ["cumulative_sum", "time", "scale", "lead_lag", "basepoint", "invisibility_reset"],
        lag=2,
        scale=0.5,
    ),
    "ragged transforms": lambda x: transform_path(
        x, ["time", "lead_lag"], lengths=lengths(x), nan_policy="ffill"
    )[0],
    "path": lambda x: Path(x, 3, basepoint=True, scalar_term=True).logsignature(1, 5, mode="brackets"),
    "path that grows": grown,
    "path of lengths": lambda x: Path(x, 3, True, lengths=lengths(x)).logsignature(1, 5),
}
