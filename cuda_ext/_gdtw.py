"""Continuous-time warps on a device: the launches, the memory that they need, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._runtime import Argument, Buffer, Runtime
from ._sources import KernelSpec

if TYPE_CHECKING:
    from sktime_sdtw.alignment._problem import Problem

# As in gdtw_problem.cuh, gdtw_grid.cuh and gdtw_polish.cuh.
THREADS, GRID_ROOM, AT_ONCE, LINK_ROOM, SHORT_PAIR, FAR_LEAP = 256, 2056, 8, 4, 8192, 32
NO_ROOM = 2
# Points of the boxes that the search looks at, at most.
LEAST_GRID = 257
# Blocks on a multiprocessor, and the share of the free memory that they may have.
RESIDENT, MOST_MEMORY = 2, 0.25
# Joints of a chain for each knot: seldom more, and where it is more a second launch has room for all.
USUAL_JOINTS = 256
# What has a gradient, in the order of the kernel's parameters.
GRADIENTS = (
    "x",
    "x_times",
    "x_slopes",
    "y",
    "times",
    "low",
    "high",
    "slope_min",
    "slope_max",
    "reg",
    "cumulative",
)


class UnsolvedPairError(ValueError):
    """A pair that cannot be solved: its number, and what is wrong as gdtw_setup.cuh numbers it."""

    def __init__(self, pair: int, status: int) -> None:
        super().__init__(f"Pair {pair} cannot be solved: status {status}.")
        self.pair, self.status = pair, status

    def moved(self, by: int) -> UnsolvedPairError:
        """The same for pairs that others come before."""
        return UnsolvedPairError(self.pair + by, self.status)


@dataclass(frozen=True)
class Settings:
    """What all pairs have in common; losses as numbers of cpu_ext/gdtw/problem.hpp."""

    is_endpoint: bool
    loss: int
    delta: float
    penalty: int
    penalty_delta: float


@dataclass(frozen=True)
class Warping:
    """Pairs of signals on a device, in float64.

    Pair b has `x_lengths[b]` samples from row `x_starts[b]` of `x` and so on, and `lengths[b]` knots from row
    `starts[b]` of `y`: so they may lie one after the other or in a padded table.
    """

    x: Buffer
    x_times: Buffer
    x_slopes: Buffer | None
    x_starts: Buffer
    x_lengths: Buffer
    y: Buffer
    times: Buffer
    starts: Buffer
    lengths: Buffer
    low: Buffer
    high: Buffer
    slope_min: Buffer
    slope_max: Buffer
    reg: Buffer
    cumulative: Buffer

    def __len__(self) -> int:
        return self.reg.count

    @property
    def n_features(self) -> int:
        """Of a sample."""
        return self.x.count // self.x_times.count

    @property
    def arrays(self) -> list[Argument]:
        """In the order of the kernels' parameters."""
        return [getattr(self, name) for name in self.__dataclass_fields__]


@dataclass(frozen=True)
class Room:
    """The longest signals; `width` is that of the rows of a padded table, 0 where there is none."""

    longest_x: int
    longest: int
    width: int = 0


@dataclass(frozen=True)
class Found:
    """Warps and what holds their knots, by knot; objective and residual by pair."""

    warp: Buffer
    cell: Buffer
    holds: Buffer
    ties: Buffer
    objective: Buffer
    residual: Buffer


def make_gdtw_spec(entry: str, general: bool, wide: bool = False) -> KernelSpec:
    """The kernel for squared losses and linear interpolation, or the one for everything."""
    return KernelSpec.of(entry, GENERAL=int(general), WIDE_GRID=int(wide), REAL="double")


def is_general(warping: Warping, settings: Settings) -> bool:
    """Which of the two kernels a problem needs."""
    return bool(settings.loss or settings.penalty or warping.x_slopes is not None)


def solve(
    runtime: Runtime,
    warping: Warping,
    settings: Settings,
    room: Room,
    grid: int = 0,
    look: bool = True,
) -> Found:
    """Solve all pairs, as `_core.gdtw`.

    Parameters
    ----------
    runtime : Runtime
    warping : Warping
    settings : Settings
    room : Room
    grid : int
        Points of the first grid; 0 chooses.
    look : bool
        Whether to wait until the device says what is wrong with the input. Otherwise such pairs are NaN.

    Raises
    ------
    UnsolvedPairError
        For the first pair that cannot be solved, where `look`.
    """
    size, knots = len(warping), warping.times.count
    out = Found(
        runtime.empty(knots, np.float64),
        *(runtime.empty(knots, np.int32) for _ in range(3)),
        *(runtime.empty(size, np.float64) for _ in range(2)),
    )
    status = runtime.empty(size, np.int32)
    general = is_general(warping, settings)
    points = max(grid or first_grid(room), LEAST_GRID) + 1
    spec = make_gdtw_spec("gdtw", general, points > GRID_ROOM)
    for joints in joint_rooms(room, general, warping.n_features, look):
        numbers, integers = scratch(room, general, warping.n_features, points, joints)
        blocks = resident_blocks(runtime, size, 8 * numbers + 4 * integers)
        arguments: list[Argument] = [
            *_problem(warping, settings),
            np.int32(grid),
            *(np.int64(number) for number in (room.longest_x, room.longest, points, joints)),
            runtime.empty(blocks * numbers, np.float64),
            np.int64(numbers),
            runtime.empty(blocks * integers, np.int32),
            np.int64(integers),
            np.int64(room.width),
            *(getattr(out, name) for name in out.__dataclass_fields__),
            status,
        ]
        runtime.launch(spec, blocks, THREADS, arguments)
        if not look:
            return out
        codes = runtime.download(status, (size,))
        if not (codes == NO_ROOM).any():
            break
    if codes.any():
        pair = int(np.flatnonzero(codes)[0])
        raise UnsolvedPairError(pair, int(codes[pair]))
    return out


def gradient(
    runtime: Runtime, warping: Warping, settings: Settings, room: Room, found: Found, upstream: Buffer
) -> dict[str, Buffer]:
    """Gradients of the inner product of the warps with `upstream`, as `_core.gdtw_gradient`."""
    size = len(warping)
    out: dict[str, Buffer] = {}
    for name in GRADIENTS:
        like = getattr(warping, name)
        if like is not None:
            out[name] = runtime.zeros(like.count, np.float64)
    general = is_general(warping, settings)
    numbers, integers = backward_scratch(room, warping.n_features, warping.x_slopes is not None)
    blocks = resident_blocks(runtime, size, 8 * numbers + 4 * integers)
    arguments: list[Argument] = [
        *_problem(warping, settings),
        found.warp,
        found.cell,
        found.holds,
        found.ties,
        upstream,
        *(np.int64(number) for number in (room.longest_x, room.longest, room.width)),
        runtime.empty(blocks * numbers, np.float64),
        np.int64(numbers),
        runtime.empty(blocks * integers, np.int32),
        np.int64(integers),
        *(out.get(name) for name in GRADIENTS),
    ]
    runtime.launch(make_gdtw_spec("gdtw_backward", general), blocks, THREADS, arguments)
    return out


def _problem(warping: Warping, settings: Settings) -> list[Argument]:
    """The first arguments of both kernels."""
    return [
        *warping.arrays,
        np.int64(len(warping)),
        np.int64(warping.n_features),
        np.int32(settings.is_endpoint),
        np.int32(settings.loss),
        np.float64(settings.delta),
        np.int32(settings.penalty),
        np.float64(settings.penalty_delta),
    ]


# --- arrays


def solve_arrays(runtimes: Sequence[Runtime], problem: Problem, grid: int) -> dict[str, NDArray[Any]]:
    """Solve pairs in the memory of the host, shared among devices; the fields of `Found` by name."""
    cuts = np.linspace(0, len(problem.sources), len(runtimes) + 1).astype(np.int64)
    shares = [(r, int(a), int(b)) for r, a, b in zip(runtimes, cuts[:-1], cuts[1:], strict=True) if a < b]

    def work(share: tuple[Runtime, int, int]) -> dict[str, NDArray[Any]]:
        runtime, first, last = share
        warping, room = upload(runtime, problem, first, last)
        settings = Settings(
            problem.is_endpoint,
            problem.data.code,
            problem.data.delta,
            problem.penalty.code,
            problem.penalty.delta,
        )
        try:
            found = solve(runtime, warping, settings, room, grid)
        except UnsolvedPairError as error:
            raise error.moved(first) from None
        return {
            name: runtime.download(getattr(found, name), (getattr(found, name).count,))
            for name in found.__dataclass_fields__
        }

    if len(shares) == 1:  # on the stream of this thread
        return work(shares[0])
    with ThreadPoolExecutor(len(shares)) as pool:
        parts = list(pool.map(work, shares))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def upload(runtime: Runtime, problem: Problem, first: int, last: int) -> tuple[Warping, Room]:
    """Pairs first <= b < last on the device, one after the other."""
    sources, targets = problem.sources, problem.targets
    rows = slice(int(sources.offsets[first]), int(sources.offsets[last]))
    knots = slice(int(targets.offsets[first]), int(targets.offsets[last]))
    n, m = sources.lengths[first:last], targets.lengths[first:last]

    def put(array: NDArray[Any], part: slice) -> Buffer:
        return runtime.upload(np.ascontiguousarray(array[part]))

    pairs = slice(first, last)
    warping = Warping(
        x=put(sources.values, rows),
        x_times=put(sources.times, rows),
        x_slopes=None if problem.slopes is None else put(problem.slopes, rows),
        x_starts=runtime.upload(sources.offsets[first:last] - rows.start),
        x_lengths=runtime.upload(np.ascontiguousarray(n)),
        y=put(targets.values, knots),
        times=put(targets.times, knots),
        starts=runtime.upload(targets.offsets[first:last] - knots.start),
        lengths=runtime.upload(np.ascontiguousarray(m)),
        low=put(problem.low, knots),
        high=put(problem.high, knots),
        slope_min=put(problem.slope_min, knots),
        slope_max=put(problem.slope_max, knots),
        reg=put(problem.reg, pairs),
        cumulative=put(problem.cumulative, pairs),
    )
    return warping, Room(int(n.max()), int(m.max()))


# --- memory


def first_grid(room: Room) -> int:
    """Points of the first grid at most, as gdtw.cu chooses them."""
    return min(max(2 * room.longest_x, 1025), 2049)


def curve_rooms(room: Room, general: bool, n_features: int) -> tuple[int, int]:
    """Corners of the curve of one knot, and of those of all knots of a pair, at most."""
    corners, short = (2 * n_features + 4, 4 * SHORT_PAIR) if general else (2, 2 * SHORT_PAIR)
    whole = (room.longest_x - 1) * corners
    node = min(whole, max(short // 2, 2 * FAR_LEAP * corners))
    return node, min(room.longest * whole, max(short, room.longest * 2 * FAR_LEAP * corners))


def joint_rooms(room: Room, general: bool, n_features: int, look: bool) -> Iterator[int]:
    """How many joints a chain has room for, at the first launch and at the next where that was too little."""
    node, nodes = curve_rooms(room, general, n_features)
    most = (nodes + room.longest * (LINK_ROOM + 2)) * (room.longest + 1) // 2 + node
    if look and USUAL_JOINTS * room.longest < most:
        yield USUAL_JOINTS * room.longest
    yield most


def scratch(room: Room, general: bool, n_features: int, points: int, joints: int) -> tuple[int, int]:
    """How many numbers and integers a block needs, as `set_up` in gdtw_setup.cuh hands them out."""
    m, (node, nodes) = room.longest, curve_rooms(room, general, n_features)
    events = THREADS * (2 * n_features + 2) if general else 0
    numbers = 15 * m + 2 * (nodes + m * LINK_ROOM) + 3 * events + 4 * (joints + node + 2) + 4 * joints
    numbers += room.longest_x * (n_features + AT_ONCE + 1) + points * (6 if points > GRID_ROOM else 4)
    return numbers, 12 * m + m * points + points


def backward_scratch(room: Room, n_features: int, smooth: bool) -> tuple[int, int]:
    """How many numbers and integers a block of the gradient needs, as gdtw_backward.cu hands them out."""
    return room.longest * (13 + n_features * (4 if smooth else 2)), 3 * room.longest


def resident_blocks(runtime: Runtime, size: int, bytes_each: int) -> int:
    """How many blocks share the pairs: as many as run side by side and have room."""
    fit = int(MOST_MEMORY * runtime.free_memory()) // max(bytes_each, 1)
    return max(1, min(size, RESIDENT * runtime.multiprocessors, fit))
