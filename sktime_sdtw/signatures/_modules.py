"""The transforms as modules of torch, and a layer that learns channels along a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ._logsignature import check_mode, logsignature, signature_to_logsignature
from ._signature import signature
from ._words import check_depth, check_size, lyndon_index, words_to_brackets


class Signature(nn.Module):
    """`signature` as a module.

    Parameters
    ----------
    depth : int
        Longest words.
    stream : bool, default=False
        Return the signatures of all beginnings.
    inverse : bool, default=False
        Return inverse signatures.
    scalar_term : bool, default=False
        Put the constant 1 in front.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.signatures import Signature
    >>> Signature(depth=3)(torch.rand(8, 10, 2)).shape
    torch.Size([8, 14])
    """

    def __init__(
        self, depth: int, stream: bool = False, inverse: bool = False, scalar_term: bool = False
    ) -> None:
        super().__init__()
        self.depth = check_depth(depth)
        self.stream = stream
        self.inverse = inverse
        self.scalar_term = scalar_term

    def forward(
        self,
        path: Tensor,
        basepoint: Any = False,
        initial: Tensor | None = None,
        *,
        lengths: Any = None,
        windows: Any = None,
        nan_policy: str = "propagate",
    ) -> Tensor:
        """Signature of a path (..., length, channels), and further arguments of `signature`."""
        return signature(
            path,
            self.depth,
            self.stream,
            basepoint,
            self.inverse,
            initial,
            self.scalar_term,
            lengths=lengths,
            windows=windows,
            nan_policy=nan_policy,
        )

    def extra_repr(self) -> str:
        """Describe the arguments."""
        flags = f"stream={self.stream}, inverse={self.inverse}, scalar_term={self.scalar_term}"
        return f"depth={self.depth}, {flags}"


class LogSignature(nn.Module):
    """`logsignature` as a module.

    Parameters
    ----------
    depth : int
        Longest words.
    stream : bool, default=False
        Return the log-signatures of all beginnings.
    inverse : bool, default=False
        Of inverse signatures.
    mode : {"words", "brackets", "expand"}, default="words"
        As in `logsignature`.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.signatures import LogSignature
    >>> LogSignature(depth=3)(torch.rand(8, 10, 2)).shape
    torch.Size([8, 5])
    """

    def __init__(self, depth: int, stream: bool = False, inverse: bool = False, mode: str = "words") -> None:
        super().__init__()
        self.depth = check_depth(depth)
        self.stream = stream
        self.inverse = inverse
        self.mode = check_mode(mode)

    def forward(
        self,
        path: Tensor,
        basepoint: Any = False,
        *,
        lengths: Any = None,
        windows: Any = None,
        nan_policy: str = "propagate",
    ) -> Tensor:
        """Log-signature of a path (..., length, channels), and further arguments of `logsignature`."""
        return logsignature(
            path,
            self.depth,
            self.stream,
            basepoint,
            self.inverse,
            self.mode,
            lengths=lengths,
            windows=windows,
            nan_policy=nan_policy,
        )

    def prepare(self, in_channels: int) -> None:
        """Compute what depends on the number of channels, so that the first call is as fast as the others."""
        prepare(in_channels, self.depth, self.mode)

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return f"depth={self.depth}, stream={self.stream}, inverse={self.inverse}, mode={self.mode!r}"


class SignatureToLogSignature(nn.Module):
    """`signature_to_logsignature` as a module.

    Parameters
    ----------
    channels : int
        Channels of the path.
    depth : int
        Depth of the signatures.
    stream : bool, default=False
        Whether signatures of all beginnings are given.
    mode : {"words", "brackets", "expand"}, default="words"
        As in `logsignature`.
    scalar_term : bool, default=False
        Whether the constant 1 stands in front.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.signatures import SignatureToLogSignature
    >>> SignatureToLogSignature(channels=2, depth=3)(torch.rand(8, 14)).shape
    torch.Size([8, 5])
    """

    def __init__(
        self, channels: int, depth: int, stream: bool = False, mode: str = "words", scalar_term: bool = False
    ) -> None:
        super().__init__()
        self.channels = check_size(channels, "channels")
        self.depth = check_depth(depth)
        self.stream = stream
        self.mode = check_mode(mode)
        self.scalar_term = scalar_term
        prepare(self.channels, self.depth, mode)

    def forward(self, signature: Tensor) -> Tensor:
        """Log-signature from a signature (..., signature_channels)."""
        return signature_to_logsignature(
            signature, self.channels, self.depth, self.stream, self.mode, self.scalar_term
        )

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return f"channels={self.channels}, depth={self.depth}, stream={self.stream}, mode={self.mode!r}"


def prepare(channels: int, depth: int, mode: str) -> None:
    """Fill the caches that a mode needs."""
    if mode != "expand":
        lyndon_index(channels, depth)
    if mode == "brackets":
        words_to_brackets(channels, depth)


class Augment(nn.Module):
    """Channels that are learned along a stream, beside the original ones and time.

    Parameters
    ----------
    in_channels : int
        Channels of the stream.
    layer_sizes : int or sequence of int
        Channels of each layer, an int for one; the first sees `kernel_size` points, the others one.
    kernel_size : int
        Points that are seen at a time.
    stride, padding, dilation : int, default=1, 0, 1
        Of the first layer, as in ``torch.nn.Conv1d``. The original points are those at the last place that
        the kernel sees; where that lies in the padding, the nearest point.
    bias : bool, default=True
        Whether layers add a bias.
    activation : callable, default=torch.nn.functional.relu
        Between layers, not after the last one.
    include_original : bool, default=True
        Whether the original channels come first.
    include_time : bool, default=True
        Whether a channel of time follows, from 0 to 1.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.signatures import Augment
    >>> Augment(in_channels=2, layer_sizes=(8, 3), kernel_size=4)(torch.rand(5, 10, 2)).shape
    torch.Size([5, 7, 6])
    """

    def __init__(
        self,
        in_channels: int,
        layer_sizes: int | Sequence[int],
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] = nn.functional.relu,
        include_original: bool = True,
        include_time: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels = check_size(in_channels, "in_channels")
        self.layer_sizes = (layer_sizes,) if isinstance(layer_sizes, int) else tuple(layer_sizes)
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.bias = bias
        self.activation = activation
        self.include_original = include_original
        self.include_time = include_time
        layers: list[nn.Module] = []
        before = self.in_channels
        for i, size in enumerate(self.layer_sizes):
            if i == 0:
                layers.append(
                    nn.Conv1d(
                        before,
                        size,
                        kernel_size,
                        stride=stride,
                        padding=padding,
                        dilation=dilation,
                        bias=bias,
                    )
                )
            else:
                layers.append(nn.Conv1d(before, size, 1, bias=bias))
            before = size
        self.convs = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., new length, channels) for a stream (..., length, channels)."""
        if x.ndim < 2:
            raise RuntimeError(
                f"Augment takes a stream of shape (..., length, channels). Got {tuple(x.shape)}."
            )
        *leading, length, channels = x.shape
        reach = self.dilation * (self.kernel_size - 1)
        steps = (length + 2 * self.padding - reach - 1) // self.stride + 1
        if steps < 1:
            raise RuntimeError(f"A stream of {length} points is shorter than the kernel, {reach + 1}.")
        parts = []
        last = torch.arange(steps, device=x.device) * self.stride + reach - self.padding
        last = last.clamp(0, length - 1)
        if self.include_original:
            parts.append(x.index_select(-2, last))
        if self.include_time:
            time = torch.linspace(0, 1, steps, dtype=x.dtype, device=x.device)
            parts.append(time[:, None].expand(*leading, steps, 1))
        if len(self.convs):
            out = x.reshape(-1, length, channels).transpose(1, 2)
            for i, layer in enumerate(self.convs):
                out = layer(self.activation(out) if i else out)
            parts.append(out.transpose(1, 2).reshape(*leading, steps, out.shape[1]))
        if not parts:
            raise RuntimeError("Augment has neither layers nor original channels nor time.")
        return torch.cat(parts, dim=-1)
