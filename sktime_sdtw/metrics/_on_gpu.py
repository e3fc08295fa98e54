"""Series that lie on a GPU stay there: the functions of arrays hand them to `sktime_sdtw.functional`.

Found by their type alone, so that torch is imported only by those who pass such arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._series import is_list
from ._arguments import check_gammas

if TYPE_CHECKING:
    from torch import Tensor

_CUDA = 2  # kDLCUDA


def on_gpu(*containers: Any) -> bool:
    """Whether any of the arrays, or of the first elements of lists, lies on a CUDA device."""
    return any(_is_on_gpu(X[0] if is_list(X) and len(X) else X) for X in containers)


def _is_on_gpu(X: Any) -> bool:
    module = type(X).__module__.split(".")[0]
    if module == "numpy":
        return False
    if module == "torch" and hasattr(X, "is_cuda"):
        return bool(X.is_cuda)
    return hasattr(X, "__dlpack_device__") and int(X.__dlpack_device__()[0]) == _CUDA


def pairwise(X: Any, Y: Any, **arguments: Any) -> Any:
    """`pairwise_soft_dtw` of arrays on one GPU."""
    from ..functional import cdist_soft_dtw

    return _values(cdist_soft_dtw, X, Y, **arguments)


def paired(X: Any, Y: Any, **arguments: Any) -> Any:
    """`paired_soft_dtw` of arrays on one GPU."""
    from ..functional import soft_dtw

    return _values(soft_dtw, X, Y, **arguments)


def _values(
    function: Any, X: Any, Y: Any, *, gamma: Any, sakoe_chiba_radius: Any, device: Any, **settings: Any
) -> Any:
    """What a function of tensors says for one or several gammas, as the kind of array that came."""
    import torch

    x, x_lengths = _read(X, "X", device)
    y, y_lengths = (None, None) if Y is None else _read(Y, "Y", device)
    settings |= {"bandwidth": sakoe_chiba_radius, "x_lengths": x_lengths, "y_lengths": y_lengths}
    gammas, single = check_gammas(gamma)
    results = [function(x, y, gamma=float(g), **settings) for g in gammas]
    result = results[0] if single else torch.stack(results)
    first = X[0] if is_list(X) else X
    if isinstance(first, torch.Tensor):
        return result
    return first.__array_namespace__().from_dlpack(result)


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
