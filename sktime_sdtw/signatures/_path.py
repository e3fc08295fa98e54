"""A path that answers for any of its intervals."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ._arguments import check_array, check_lengths, check_same, operators, with_scalar
from ._blocks import BlockTree
from ._logsignature import check_mode, signature_to_logsignature
from ._words import check_depth, logsignature_channels, signature_channels


class Path:
    """Signatures and log-signatures of any interval of a path, which may grow.

    Parameters
    ----------
    path : ndarray or torch.Tensor of shape (..., length, channels)
        Points that are joined by straight lines.
    depth : int
        Longest words.
    basepoint : bool or array of shape (..., channels), default=False
        A point before the first one, which then counts as point 0; True is the origin.
    remember_path : bool, default=True
        Whether `path` gives the points back.
    scalar_term : bool, default=False
        Put the constant 1 in front of signatures.
    lengths : array of int of shape (...), default=None
        How many points of each path count. After them it stands still, until points are appended.

    Attributes
    ----------
    depth : int
        Longest words.
    remember_path : bool
        Whether `path` gives the points back.

    Notes
    -----
    Signatures of blocks of steps are kept, and products of 2, 4, 8, … of them. A query multiplies some of
    these and never divides, so that its error is that of its own interval; it costs at most two blocks of
    steps and a number of products that grows with the logarithm of the length. Where gradients are wanted, a
    query's go to the points of its interval only. With a learned layer before it, make a new Path in each
    forward pass.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import Path
    >>> path = Path(np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [0.0, 2.0]]]), depth=2)
    >>> path.signature(0, 3)
    array([[1. , 2. , 0.5, 2. , 0. , 2. ]])
    >>> path.update(np.array([[[0.0, 0.0]]]))
    >>> path.signature().shape
    (1, 6)
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        path: Any,
        depth: int,
        basepoint: Any = False,
        remember_path: bool = True,
        scalar_term: bool = False,
        *,
        lengths: Any = None,
    ) -> None:
        ops = operators(path, basepoint)
        path = self._check(path, ops)
        if lengths is not None:
            last = check_lengths(lengths, path, ops, least=1)[..., None] - 1
            path = ops.take_points(path, ops.host_index(np.arange(path.shape[-2])).clip(max=last))
        self.depth = check_depth(depth)
        self.remember_path = bool(remember_path)
        self.scalar_term = bool(scalar_term)
        self._pieces = [path]
        *leading, _, channels = path.shape
        if basepoint is True:
            self._pieces.insert(0, ops.zeros(path, (*leading, 1, channels)))
        elif basepoint is not False and basepoint is not None:
            point = check_same(basepoint, "basepoint", path, (*leading, channels), ops)
            self._pieces.insert(0, point[..., None, :])
        self._numbers: Any = None
        self._whole: Any = None
        self._levels: list[Any] = []
        self._grow()

    @staticmethod
    def _check(path: Any, ops: Any) -> Any:
        path = check_array(path, "path", ops)
        if path.ndim < 2 or 0 in path.shape[-2:]:
            raise ValueError(f"path must have the shape (..., length, channels). Got {tuple(path.shape)}.")
        return path

    def _join(self) -> None:
        ops = operators(self._pieces[0])
        self._whole = self._pieces[0] if len(self._pieces) == 1 else ops.concatenate(self._pieces, -2)
        numbers = self._whole.detach() if hasattr(self._whole, "detach") else self._whole
        self._numbers = ops.cast(numbers, ops.working_dtype(numbers.dtype))

    def _grow(self) -> None:
        self._join()
        tree = self._tree()
        tree.grow(self._numbers)
        self._levels = tree.levels

    def _tree(self) -> BlockTree:
        tree = BlockTree(self.depth, operators(self._pieces[0]))
        tree.levels = self._levels
        return tree

    # --- queries

    def signature(self, start: int | None = None, end: int | None = None) -> Any:
        """Signature of the points start … end - 1.

        Parameters
        ----------
        start, end : int, default=None
            As in a slice: negative numbers count from the end, what lies outside is cut off.

        Returns
        -------
        ndarray or torch.Tensor of shape (..., signature_channels)
        """
        begin, stop, _ = slice(start, end).indices(self._whole.shape[-2])
        if stop - begin == 1:
            raise ValueError(
                f"The interval [{begin}, {stop}) holds one point; a signature needs at least two."
            )
        if stop - begin < 1:
            raise ValueError(f"The interval [{begin}, {stop}) holds no points; a signature needs two.")
        ops = operators(self._whole)
        out = self._tree().query(self._numbers, begin, stop)
        if ops.is_followed(self._whole):
            from ._torch_signature import known_signature_call

            piece = ops.cast(self._whole[..., begin:stop, :], out.dtype)
            out = known_signature_call(piece, out, self.depth)
        return ops.cast(with_scalar(out, self.scalar_term, ops), self._whole.dtype)

    def logsignature(self, start: int | None = None, end: int | None = None, mode: str = "words") -> Any:
        """Log-signature of the points start … end - 1.

        Parameters
        ----------
        start, end : int, default=None
            As in a slice.
        mode : {"words", "brackets", "expand"}, default="words"
            As in `logsignature`.

        Returns
        -------
        ndarray or torch.Tensor of shape (..., logsignature_channels)
        """
        check_mode(mode)
        found = self.signature(start, end)
        return signature_to_logsignature(
            found, self.channels(), self.depth, mode=mode, scalar_term=self.scalar_term
        )

    def update(self, path: Any) -> None:
        """Append points.

        Parameters
        ----------
        path : ndarray or torch.Tensor of shape (..., length, channels)
            With the same leading dimensions, channels and dtype.
        """
        ops = operators(self._pieces[0], path)
        path = self._check(path, ops)
        *leading, _, channels = self._whole.shape
        path = check_same(path, "path", self._whole, (*leading, path.shape[-2], channels), ops)
        self._pieces.append(path)
        self._levels = list(self._levels)  # a copy of this object keeps its own
        self._grow()

    # --- what it is

    @property
    def path(self) -> list[Any]:
        """The pieces of the path: the basepoint as (..., 1, channels), the first points, all updates."""
        if not self.remember_path:
            raise RuntimeError("This Path was made with remember_path=False.")
        return list(self._pieces)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the path, the basepoint counted; a ``torch.Size`` where it is a tensor."""
        shape: tuple[int, ...] = self._whole.shape
        return shape

    def size(self, index: int | None = None) -> Any:
        """`shape`, or one number of it."""
        return self.shape if index is None else self.shape[index]

    def channels(self) -> int:
        """Channels of the path."""
        return int(self._whole.shape[-1])

    def signature_channels(self) -> int:
        """Numbers of a signature."""
        return signature_channels(self.channels(), self.depth, self.scalar_term)

    def _shape_of_stream(self, numbers: int) -> tuple[int, ...]:
        *leading, length, _ = self.shape
        shape: tuple[int, ...] = type(self.shape)((*leading, length - 1, numbers))
        return shape

    @property
    def signature_shape(self) -> tuple[int, ...]:
        """Shape of the signatures of all beginnings."""
        return self._shape_of_stream(self.signature_channels())

    def signature_size(self, index: int | None = None) -> Any:
        """`signature_shape`, or one number of it."""
        return self.signature_shape if index is None else self.signature_shape[index]

    def logsignature_channels(self) -> int:
        """Numbers of a log-signature in the modes "words" and "brackets"."""
        return logsignature_channels(self.channels(), self.depth)

    @property
    def logsignature_shape(self) -> tuple[int, ...]:
        """Shape of the log-signatures of all beginnings."""
        return self._shape_of_stream(self.logsignature_channels())

    def logsignature_size(self, index: int | None = None) -> Any:
        """`logsignature_shape`, or one number of it."""
        return self.logsignature_shape if index is None else self.logsignature_shape[index]

    # --- batches

    def _select(self, index: Any) -> Path:
        other = copy.copy(self)
        other._pieces = [piece[index] for piece in self._pieces]
        other._whole, other._numbers = self._whole[index], self._numbers[index]
        other._levels = [level[index] for level in self._levels]
        return other

    def __len__(self) -> int:
        if self._whole.ndim < 3:
            raise TypeError("This Path is a single path: it has no batch.")
        return int(self._whole.shape[0])

    def __getitem__(self, index: Any) -> Path:
        if self._whole.ndim < 3:
            raise IndexError("This Path is a single path: it has no batch to choose from.")
        ops = operators(self._whole)
        if isinstance(index, slice):
            chosen = np.arange(len(self))[index]
            if len(chosen) and (index.step or 1) > 0:
                return self._select(index)
        else:
            if hasattr(index, "detach"):
                index = ops.to_numpy(index)
            elif isinstance(index, bool) or not isinstance(index, (int, np.integer, list, np.ndarray)):
                raise IndexError(
                    f"A Path is indexed by an int, a slice, a list or a 1-D array. Got {index!r}."
                )
            numbers = np.atleast_1d(np.asarray(index))
            if numbers.ndim != 1 or numbers.dtype.kind not in "iub":
                raise IndexError("A Path is indexed along its batch, by integers or a mask in one dimension.")
            chosen = np.arange(len(self))[numbers]
        if not len(chosen):
            raise IndexError("The index leaves no path.")
        return self._select(ops.index(chosen, self._whole))

    def shuffle(self) -> tuple[Path, Any]:
        """Return a Path with the batch in random order, and that order."""
        return copy.copy(self).shuffle_()

    def shuffle_(self) -> tuple[Path, Any]:
        """Bring the batch into random order; return this Path, and that order."""
        if hasattr(self._whole, "detach"):
            import torch

            order: Any = torch.randperm(len(self), device=self._whole.device)
        else:
            order = np.random.default_rng().permutation(len(self))
        self.__dict__.update(self._select(operators(self._whole).index(order, self._whole)).__dict__)
        return self, order

    def __copy__(self) -> Path:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._pieces = list(self._pieces)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Path:
        other = copy.copy(self)
        other._pieces, other._levels = ([_own(x) for x in xs] for xs in (self._pieces, self._levels))
        other._join()
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in {"_whole", "_numbers"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._join()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Path):
            return NotImplemented
        mine = (self.depth, self.scalar_term, self.remember_path, self.shape, self._whole.dtype)
        theirs = (other.depth, other.scalar_term, other.remember_path, other.shape, other._whole.dtype)
        if mine != theirs or type(self._whole) is not type(other._whole):
            return False
        return bool((self._whole == other._whole).all())

    def __repr__(self) -> str:
        return f"Path(shape={self.shape}, depth={self.depth})"


def _own(x: Any) -> Any:
    """Return a copy; of a tensor one without a graph, which wants a gradient where the tensor does."""
    return x.detach().clone().requires_grad_(x.requires_grad) if hasattr(x, "detach") else x.copy()
