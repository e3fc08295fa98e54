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
