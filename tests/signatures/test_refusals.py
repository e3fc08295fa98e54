"""What is refused at once, by the name of the argument: containers, settings, numbers that are too large."""

from __future__ import annotations

import numpy as np
import pytest

from sktime_sdtw.signatures import (
    Path,
    all_words,
    logsignature,
    logsignature_channels,
    lyndon_brackets,
    lyndon_words,
    signature,
    signature_channels,
    signature_kernel,
    signature_kernel_gram,
    signature_mmd,
    transform_path,
)

X = np.random.default_rng(0).normal(size=(3, 6, 2))
CALLS = {
    "path of signature": lambda x: signature(x, 2),
    "path of logsignature": lambda x: logsignature(x, 2),
    "path of transform_path": lambda x: transform_path(x, "time"),
    "path of Path": lambda x: Path(x, 2),
    "x of signature_kernel": lambda x: signature_kernel(x, x),
    "X of signature_kernel_gram": signature_kernel_gram,
}


@pytest.mark.parametrize("call", CALLS)
def test_paths_that_are_no_array(call):
    name = call.split()[0]
    with pytest.raises(ValueError, match=f"{name} must be one array: pad paths"):
        CALLS[call]([np.zeros((3, 2)), np.zeros((4, 2))])
    torch = pytest.importorskip("torch")
    nested = torch.nested.nested_tensor([torch.zeros(3, 2), torch.zeros(4, 2)], layout=torch.jagged)
    sparse = torch.zeros(3, 6, 2).to_sparse()
    for x, kind in ((nested, "nested"), (sparse, "sparse")):
        with pytest.raises(TypeError, match=f"{name} must be a dense tensor, padded .* Got a {kind} tensor"):
            CALLS[call](x)


def test_any_container_of_the_same_numbers():
    expected = logsignature(X, 3)
    for x in (X.tolist(), tuple(map(tuple, X.tolist())), X.astype(">f8"), np.asfortranarray(X)):
        np.testing.assert_array_equal(logsignature(x, 3), expected)
    kernel = signature_kernel(X, X)
    np.testing.assert_array_equal(signature_kernel(X, X.astype(">f8")), kernel)
    torch = pytest.importorskip("torch")
    lengths = np.array([2, 3, 4], ">i4")
    np.testing.assert_array_equal(
        signature(torch.tensor(X), 2, lengths=lengths).numpy(), signature(X, 2, lengths=[2, 3, 4])
    )


HUGE = 2**70


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signature_channels(2, HUGE), "too many words"),
        (lambda: logsignature_channels(2, 10**6), "too many words"),
        (lambda: all_words(1, HUGE), "depth must be at most"),
        (lambda: all_words(2, 40), "There are .* words: 2 channels to depth 40. Lists hold"),
        (lambda: lyndon_words(3, 30), "There are .* words: 3 channels"),
        (lambda: lyndon_brackets(10**6, 2), "There are .* words"),
        (lambda: logsignature(X, 64), "too many words"),
        (lambda: signature(X, 2, windows=("dyadic", HUGE)), r"windows=\('dyadic', .* too short"),
        (lambda: signature(X, 2, windows=[[0, 1]]), "windows must be intervals"),
        (lambda: logsignature(X, 2, mode=["words"]), "mode must be one of"),
        (lambda: signature_kernel(X, X, static_kernel=["rbf"]), "static_kernel must be one of"),
        (lambda: signature_mmd(X, X, y_lengths=[1, 2]), "y_lengths must have the shape"),
        (lambda: transform_path(X, "scale", scale=None), "scale must be a number or one for each"),
        (lambda: transform_path(X, "scale", scale="2x"), "scale must be made of numbers"),
        (lambda: transform_path(X, "time", times=list("abcdef")), "times must be made of numbers"),
    ],
)
def test_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_large_numbers_that_mean_something():
    assert logsignature_channels(1, HUGE) == 1
    assert signature(X, 2, windows=("sliding", HUGE)).shape == (3, 0, 6)
    np.testing.assert_array_equal(
        signature(X, 2, windows=("sliding", 3, HUGE)), signature(X, 2, windows=("sliding", 3, 6))
    )
    np.testing.assert_array_equal(
        transform_path(X, "lead_lag", lag=HUGE), transform_path(X, "lead_lag", lag=5)
    )


@pytest.mark.parametrize("static_kernel", ["linear", "rbf"])
@pytest.mark.parametrize("depth", [None, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_numbers_of_tensors_are_seen_in_their_own_pairs(static_kernel, depth, bad):
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.float64):
        x, y = torch.tensor(X, dtype=dtype), torch.tensor(X[::-1].copy(), dtype=dtype)
        expected = signature_kernel(x, y, depth=depth, static_kernel=static_kernel)
        x[1, 2, 0] = bad
        for found in (
            signature_kernel(x, y, depth=depth, static_kernel=static_kernel),
            signature_kernel(y, x, depth=depth, static_kernel=static_kernel),
        ):
            if np.isnan(bad):  # a point at infinity is far from all others
                assert found.isnan().tolist() == [False, True, False]
            torch.testing.assert_close(found[0], expected[0])
