"""Types of the compiled engine; cpu_ext/engine.hpp says what the functions mean."""

from typing import Any

from numpy.typing import NDArray

def instruction_set() -> str: ...
def forward(
    x: NDArray[Any],
    x_offsets: NDArray[Any],
    y: NDArray[Any],
    y_offsets: NDArray[Any],
    costs: NDArray[Any] | None,
    pairing: int,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
    gammas: NDArray[Any],
    out: NDArray[Any],
    n_threads: int,
) -> None: ...
def gradient(
    x: NDArray[Any],
    x_offsets: NDArray[Any],
    y: NDArray[Any],
    y_offsets: NDArray[Any],
    costs: NDArray[Any] | None,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
    gamma: float,
    value: NDArray[Any] | None,
    expected_cost: NDArray[Any] | None,
    entropy: NDArray[Any] | None,
    x_gradient: NDArray[Any] | None,
    y_gradient: NDArray[Any] | None,
    alignment: NDArray[Any] | None,
    n_threads: int,
) -> None: ...
def optimal_path(
    x: NDArray[Any],
    x_offsets: NDArray[Any],
    y: NDArray[Any],
    y_offsets: NDArray[Any],
    costs: NDArray[Any] | None,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
    path: NDArray[Any],
) -> tuple[int, float]: ...
def padded_gradient_f32(*arguments: float) -> None: ...
def padded_gradient_f64(*arguments: float) -> None: ...
def padded_pairwise_f32(*arguments: float) -> None: ...
def padded_pairwise_f64(*arguments: float) -> None: ...
def padded_second_order_f32(*arguments: float) -> None: ...
def padded_second_order_f64(*arguments: float) -> None: ...

# cpu_ext/signature_kernel/engine.hpp says what they mean.

MOST_KERNEL_DEPTH: int

def signature_kernel(
    x: NDArray[Any],
    y: NDArray[Any] | None,
    x_lengths: NDArray[Any] | None,
    y_lengths: NDArray[Any] | None,
    pairing: int,
    kind: int,
    scale: float,
    x_refinement: int,
    y_refinement: int,
    depth: int,
    out: NDArray[Any],
    n_threads: int,
) -> None: ...
def signature_kernel_gradient(
    x: NDArray[Any],
    y: NDArray[Any] | None,
    x_lengths: NDArray[Any] | None,
    y_lengths: NDArray[Any] | None,
    pairing: int,
    kind: int,
    scale: float,
    x_refinement: int,
    y_refinement: int,
    depth: int,
    weights: NDArray[Any],
    x_gradient: NDArray[Any] | None,
    y_gradient: NDArray[Any] | None,
    n_threads: int,
) -> None: ...

# Signatures; cpu_ext/signatures/engine.hpp says what they mean.

MOST_DEPTH: int

def take_points(points: NDArray[Any], index: NDArray[Any], out: NDArray[Any], first_channel: int) -> None: ...
def signature(
    points: NDArray[Any],
    basepoints: NDArray[Any] | None,
    lengths: NDArray[Any] | None,
    windows: NDArray[Any] | None,
    depth: int,
    stream: bool,
    initial: NDArray[Any] | None,
    out: NDArray[Any],
    n_threads: int,
) -> None: ...
def signature_gradient(
    points: NDArray[Any],
    basepoints: NDArray[Any] | None,
    lengths: NDArray[Any] | None,
    windows: NDArray[Any] | None,
    depth: int,
    stream: bool,
    initial: NDArray[Any] | None,
    out: NDArray[Any] | None,
    gradient: NDArray[Any],
    points_gradient: NDArray[Any],
    basepoints_gradient: NDArray[Any] | None,
    initial_gradient: NDArray[Any] | None,
    n_threads: int,
) -> None: ...
def tensor_product(
    a: NDArray[Any], b: NDArray[Any], channels: int, depth: int, out: NDArray[Any], n_threads: int
) -> None: ...
def tensor_product_gradient(
    a: NDArray[Any],
    b: NDArray[Any],
    gradient: NDArray[Any],
    channels: int,
    depth: int,
    a_gradient: NDArray[Any],
    b_gradient: NDArray[Any],
    n_threads: int,
) -> None: ...
def tensor_series(
    x: NDArray[Any], coefficients: NDArray[Any], channels: int, out: NDArray[Any], n_threads: int
) -> None: ...
def tensor_series_gradient(
    x: NDArray[Any],
    gradient: NDArray[Any],
    coefficients: NDArray[Any],
    channels: int,
    x_gradient: NDArray[Any],
    n_threads: int,
) -> None: ...
def gdtw(
    x: NDArray[Any],
    x_times: NDArray[Any],
    x_slopes: NDArray[Any] | None,
    x_offsets: NDArray[Any],
    y: NDArray[Any],
    times: NDArray[Any],
    y_offsets: NDArray[Any],
    low: NDArray[Any],
    high: NDArray[Any],
    slope_min: NDArray[Any],
    slope_max: NDArray[Any],
    reg: NDArray[Any],
    cumulative: NDArray[Any],
    fixed_ends: bool,
    data: int,
    data_delta: float,
    penalty: int,
    penalty_delta: float,
    points: int,
    warp: NDArray[Any],
    cell: NDArray[Any],
    holds: NDArray[Any],
    ties: NDArray[Any],
    objective: NDArray[Any],
    residual: NDArray[Any],
    status: NDArray[Any],
    n_threads: int,
) -> None: ...
def gdtw_gradient(
    x: NDArray[Any],
    x_times: NDArray[Any],
    x_slopes: NDArray[Any] | None,
    x_offsets: NDArray[Any],
    y: NDArray[Any],
    times: NDArray[Any],
    y_offsets: NDArray[Any],
    low: NDArray[Any],
    high: NDArray[Any],
    slope_min: NDArray[Any],
    slope_max: NDArray[Any],
    reg: NDArray[Any],
    cumulative: NDArray[Any],
    fixed_ends: bool,
    data: int,
    data_delta: float,
    penalty: int,
    penalty_delta: float,
    warp: NDArray[Any],
    cell: NDArray[Any],
    holds: NDArray[Any],
    ties: NDArray[Any],
    upstream: NDArray[Any],
    x_gradient: NDArray[Any],
    x_times_gradient: NDArray[Any],
    x_slopes_gradient: NDArray[Any] | None,
    y_gradient: NDArray[Any],
    times_gradient: NDArray[Any],
    low_gradient: NDArray[Any],
    high_gradient: NDArray[Any],
    slope_min_gradient: NDArray[Any],
    slope_max_gradient: NDArray[Any],
    reg_gradient: NDArray[Any],
    cumulative_gradient: NDArray[Any],
    n_threads: int,
) -> None: ...
