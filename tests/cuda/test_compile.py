"""Every kernel compiles for every architecture, and takes no more registers and memory than it may."""

from __future__ import annotations

import itertools

import cuda_variants
import pytest
from cuda_checks import BANDS, EVERYTHING, forward, gradient, series
from cuda_emulation import EmulatedRuntime
from cuda_variants import ARCHITECTURES, FAMILIES, budget, product, resources, typical, within
from sktime_sdtw.cuda_ext._compile import CompileError, supported_architectures

from sktime_sdtw import _engine


def missing() -> str:
    """Why nothing can be compiled here; empty where it can be."""
    try:
        absent = [name for name in ARCHITECTURES if int(name[3:]) not in supported_architectures()]
    except CompileError as error:
        return str(error)
    return f"this NVRTC does not know {', '.join(absent)}" if absent else ""


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


@pytest.mark.parametrize("name", typical())
def test_typical_variants(name):
    spec = typical()[name]
    assert within(resources(spec, "sm_90"), budget(spec)), (resources(spec, "sm_90"), budget(spec))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "architecture"), [(family, name) for family in FAMILIES for name in family.architectures]
)
def test_all_values_of_all_choices(family, architecture):
    specs = [spec for spec, on in family.covering() if on == architecture]
    found = [(str(spec), resources(spec, architecture), budget(spec)) for spec in specs]
    assert not [(name, taken, limit) for name, taken, limit in found if not within(taken, limit)]


def test_the_choice_of_variants_covers_all_pairs():
    axes = [(0, 1, 2, 3, 4), "abc", (True, False), "xyzw"]
    rows = list(cuda_variants.covering(axes))
    assert len(rows) <= 24
    for a in range(4):
        for b in range(a):
            assert {(row[a], row[b]) for row in rows} == {(i, j) for i in axes[a] for j in axes[b]}
    for family in FAMILIES:
        chosen = {spec for spec, _ in family.covering()}
        assert chosen <= set(family.all())
        assert {architecture for _, architecture in family.covering()} == set(family.architectures)
        # Whatever a definition can be in this family, it is in one that gets compiled.
        assert {d for s in chosen for d in s.defines} == {d for s in family.all() for d in s.defines}


def test_every_kernel_has_a_family_and_a_budget():
    from importlib.resources import files

    folder = files("sktime_sdtw.cuda_ext") / "kernels"
    kernels = {path.name.removesuffix(".cu") for path in folder.iterdir() if path.name.endswith(".cu")}
    assert kernels == {spec.entry for family in FAMILIES for spec in family.all()}
    assert all(budget(spec) for family in FAMILIES for spec in family.all())


class Noting(EmulatedRuntime):
    """Runs nothing, and says that there are pairs for every method."""

    def __init__(self):
        super().__init__(multiprocessors=1)
        self.specs = set()

    def launch(self, spec, blocks, threads, arguments):
        self.specs.add(spec)

    def download(self, buffer, shape, out=None):
        found = super().download(buffer, shape, out)
        if shape == (5,):  # which methods there are
            found[:4] = 1
        return found


def test_no_more_and_no_less_than_the_engine_launches():
    noting = Noting()
    choices = list(
        itertools.product(("float32", "float64"), ("sqeuclidean", "euclidean", "manhattan"), BANDS[:2])
    )
    # Strips that share a warp, one of a pair, several.
    for dtype, cost, band in choices:
        for d, (count, length) in itertools.product(range(1, 9), ((46, 9), (2, 9), (2, 300))):
            x = series([length] * count, d, dtype)
            forward(noting, x, x, "full", cost, band)
        for d, (count, length) in itertools.product(range(1, 5), ((64, 9), (2, 9), (2, 150))):
            x = series([length] * count, d, dtype)
            for wanted in ({"x", "y"}, EVERYTHING):
                gradient(noting, _engine.Pairs(x, x), wanted, cost, band)
    launched = {spec for spec in noting.specs if spec.entry in ("sweep", "reverse")}
    assert launched == {spec for spec in product("sm_90") if spec.entry in ("sweep", "reverse")}
    assert noting.specs <= set(product("sm_90"))
