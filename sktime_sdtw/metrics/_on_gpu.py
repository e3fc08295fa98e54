"""Series that lie on a GPU stay there: the functions of arrays hand them to `sktime_sdtw.functional`.

Found by their type alone, so that torch is imported only by those who pass such arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from .._series import is_list, lies_on_gpu, to_float_array
from ._arguments import check_gamma, check_gammas

if TYPE_CHECKING:
    from torch import Tensor


def on_gpu(*containers: Any) -> bool:
    """Whether any of the arrays, or of the first elements of lists, lies on a CUDA device."""
    return any(lies_on_gpu(X[0] if is_list(X) and len(X) else X) for X in containers)


def values(
    name: str, X: Any, Y: Any, *, gamma: Any, device: Any, single: bool = False, **settings: Any
) -> Any:
    """What a function of `sktime_sdtw.functional` gives for one or several gammas, as the kind that came.

    Parameters
    ----------
    name : str
    X, Y : arrays or lists of arrays on one GPU
    gamma : float or array-like
    single : bool
        Whether X and Y are single series: the value is an array without axes then, and gamma one number.
    """
    import torch

    gammas, one = ([check_gamma(gamma)], True) if single else check_gammas(gamma)
    function, batches = _function(name, X, Y, device, single, settings)
    results = [function(*batches, gamma=float(g), **settings) for g in gammas]
    result = results[0] if one else torch.stack(results)
    return _as(X, result[0] if single else result)


def kernel(
    name: str, X: Any, Y: Any, *, sigma: Any, device: Any, single: bool = False, **settings: Any
) -> Any:
    """exp(-value) for one or several bandwidths, as `values`; of the cost "gak" with gamma = 1."""
    import torch

    sigmas = to_float_array(sigma, "sigma")
    function, batches = _function(name, X, Y, device, single, settings)
    results = [
        function(*batches, gamma=1.0, cost="gak", sigma=float(s), **settings).neg().exp()
        for s in sigmas.reshape(-1)
    ]
    result = torch.stack(results) if sigmas.ndim else results[0]
    return _as(X, result[0] if single else result)


def alignment(X: Any, Y: Any, *, gamma: Any, device: Any, **settings: Any) -> tuple[Any, Any]:
    """As `soft_dtw_alignment`; the value is an array without axes."""
    function, batches = _function("soft_dtw_alignment", X, Y, device, True, settings)
    value, found = function(*batches, gamma=check_gamma(gamma), **settings)
    return _as(X, value[0]), _as(X, found[0])


def gradient(
    X: Any, Y: Any, *, gamma: Any, wrt: Collection[str], device: Any, single: bool = False, **settings: Any
) -> tuple[Any, Any, Any, Any]:
    """Values and derivatives for x, y and gamma, as `paired_soft_dtw_gradient`; None: not wanted."""
    import torch

    gamma = check_gamma(gamma)
    function, (x, y) = _function("soft_dtw", X, Y, device, single, settings)
    leaves = {"x": x.detach(), **({} if y is None else {"y": y.detach()})}
    series = dict(leaves)
    leaves["gamma"] = torch.full((len(x),), gamma, dtype=torch.float64, device=x.device)
    names = [name for name in leaves if name in wrt and (name != "gamma" or gamma > 0)]
    for name in names:
        leaves[name].requires_grad_()
    smooth = leaves["gamma"] if "gamma" in names else gamma
    value = function(*series.values(), gamma=smooth, **settings)
    found = dict(zip(names, torch.autograd.grad(value.sum(), [leaves[name] for name in names]), strict=True))
    if "gamma" in wrt:  # at gamma = 0 nothing spreads
        found["gamma"] = found.get("gamma", leaves["gamma"]).to(value.dtype)

    def of_samples(part: Tensor | None) -> Any:
        return None if part is None else _as(X, part[0] if single else part)

    def of_series(name: str, container: Any) -> Any:
        if name not in found:
            return None
        return _shaped(container, found[name], settings[f"{name}_lengths"], single)

    slopes = of_series("x", X), of_series("y", Y), of_samples(found.get("gamma"))
    return of_samples(value.detach()), *slopes


def _function(
    name: str, X: Any, Y: Any, device: Any, single: bool, settings: dict[str, Any]
) -> tuple[Any, tuple[Tensor, Tensor | None]]:
    """The function and its batches; the settings get its names of the arguments, and the lengths."""
    from .. import functional

    x, settings["x_lengths"] = _read([X] if single else X, "x" if single else "X", device)
    y, settings["y_lengths"] = (None, None)
    if Y is not None:
        y, settings["y_lengths"] = _read([Y] if single else Y, "y" if single else "Y", device)
    settings["bandwidth"] = settings.pop("sakoe_chiba_radius")
    return getattr(functional, name), (x, y)


def _read(X: Any, name: str, device: Any) -> tuple[Tensor, list[int] | None]:
    """A padded batch (n, t, d), and the lengths where they differ."""
    import torch

    lengths = None
    if is_list(X):
        series = [_tensor(element, f"{name}[{i}]") for i, element in enumerate(X)]
        series = [element[:, None] if element.dim() == 1 else element for element in series]
        lengths = [len(element) for element in series]
        batch = torch.nn.utils.rnn.pad_sequence(series, batch_first=True)
    else:
        batch = _tensor(X, name)
        batch = batch[:, :, None] if batch.dim() == 2 else batch
    wanted = torch.device(device) if isinstance(device, str) and device not in ("auto", "cuda:all") else None
    if wanted is not None and (
        wanted.type != batch.device.type or wanted.index not in (None, batch.device.index)
    ):
        raise ValueError(
            f"{name} lies on {batch.device}, and device={device!r}. Leave device at 'auto', or move {name}."
        )
    return batch, lengths


def _tensor(X: Any, name: str) -> Tensor:
    import torch

    if isinstance(X, torch.Tensor):
        return X
    if hasattr(X, "__dlpack__"):
        return torch.from_dlpack(X)
    raise TypeError(f"{name} must lie on the GPU too. Got {type(X).__name__}.")


def _as(container: Any, result: Tensor) -> Any:
    """A tensor as the kind of array that came, in the same memory."""
    first = container[0] if is_list(container) else container
    if type(first).__module__.split(".")[0] == "torch":
        return result
    if hasattr(first, "__array_namespace__"):
        library = first.__array_namespace__()
    else:  # CuPy before version 14
        library = sys.modules[type(first).__module__.split(".")[0]]
    return library.from_dlpack(result)


def _shaped(container: Any, gradient: Tensor, lengths: list[int] | None, single: bool) -> Any:
    """A derivative in the shape of what came: one array, or a list where lengths differ."""
    if single:
        return _as(container, gradient[0].reshape(tuple(container.shape)))
    if not is_list(container):
        return _as(container, gradient.reshape(tuple(container.shape)))
    parts = [
        part[:length].reshape(tuple(element.shape))
        for part, length, element in zip(gradient, lengths or (), container, strict=True)
    ]
    if len({tuple(part.shape) for part in parts}) == 1:
        return _as(container, gradient.reshape(len(parts), *parts[0].shape))
    return [_as(container, part) for part in parts]
