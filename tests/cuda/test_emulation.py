"""The emulation of CUDA kernels: it computes what a GPU would, and says what a GPU would not."""

from __future__ import annotations

import gc
import shutil

import numpy as np
import pytest
from cuda_emulation import EmulationError, build
from cuda_emulation._build import compiler
from cuda_emulation._runtime import EmulatedRuntime
from kernel_text import ORDERS, Text, run

pytestmark = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="needs a C++ compiler")


@pytest.fixture(params=ORDERS)
def order(request):
    return request.param


LANES = np.arange(32)


@pytest.mark.parametrize(
    ("code", "dtype"), [("int", np.int32), ("int64", np.int64), ("float", np.float32), ("double", np.float64)]
)
@pytest.mark.parametrize(
    ("call", "source"),
    [
        ("shuffle(v, 5)", np.full(32, 5)),
        ("shuffle(v, 31 - lane())", 31 - LANES),
        ("shuffle(v, 3, 8)", LANES // 8 * 8 + 3),
        ("shuffle(v, 35)", np.full(32, 3)),
        ("shuffle_up(v, 1)", np.maximum(LANES - 1, 0)),
        ("shuffle_up(v, 3, 16)", np.where(LANES % 16 >= 3, LANES - 3, LANES)),
        ("shuffle_down(v, 1)", np.minimum(LANES + 1, 31)),
        ("shuffle_down(v, 5, 8)", np.where(LANES % 8 + 5 < 8, LANES + 5, LANES)),
        ("shuffle_xor(v, 12)", LANES ^ 12),
    ],
)
def test_shuffles(code, dtype, call, source, order):
    values = np.random.default_rng(0).normal(size=32).astype(dtype) + np.arange(32, dtype=dtype) * 1000
    out = values.copy()
    run(f"{code} *a", f"const {code} v = a[lane()]; a[lane()] = {call};", out, order=order)
    np.testing.assert_array_equal(out, values[source])


def test_shuffles_keep_all_bits():
    values = np.array([np.nan, -np.nan, np.inf, -0.0] * 8)
    values.view(np.int64)[4] = -5  # a NaN that carries something
    out = values.copy()
    run("double *a", "a[lane()] = shuffle_xor(a[lane()], 4);", out)
    np.testing.assert_array_equal(out.view(np.int64), values[LANES ^ 4].view(np.int64))


def test_many_shuffles_one_after_the_other(order):
    # Lanes run ahead of each other by up to one collective: each must still read the values of its own.
    out = np.arange(64, dtype=np.int64)
    body = """
    int64 v = a[thread_index()];
    for (int i = 0; i < 1000; ++i)
        v = shuffle(v, (lane() + 1) & 31) + (any(i % 7 == lane()) ? shuffle_xor(v, 1) % 5 : 1);
    a[thread_index()] = v;"""
    run("int64 *a", body, out, threads=64, order=order)
    v = np.arange(64, dtype=np.int64).reshape(2, 32)
    for _ in range(1000):
        v = v[:, (LANES + 1) % 32] + v[:, LANES ^ 1] % 5
    np.testing.assert_array_equal(out, v.ravel())


def test_votes(order):
    body = """
    for (int i = 0; i < 34; ++i) {
        const bool some = any(lane() == i), each = all(lane() < i);
        if (lane() == i % 32) out[i] = 2 * some + each;
    }"""
    out = np.zeros(34, np.int32)
    run("int *out", body, out, order=order)
    np.testing.assert_array_equal(out, [2] * 32 + [1] * 2)


def test_leading_lanes(order):
    body = """
    for (int i = 0; i < 34; ++i) {
        const int first = leading_lanes(lane() < i || lane() > i + 3), none = leading_lanes(lane() > i);
        if (lane() == i % 32) out[i] = first + 100 * none;
    }"""
    out = np.zeros(34, np.int32)
    run("int *out", body, out, order=order)
    np.testing.assert_array_equal(out, np.minimum(np.arange(34), 32))


def test_places():
    out = np.zeros((3 * 64, 7), np.int32)
    body = """
    int *o = out + 7 * (block_index() * block_size() + thread_index());
    o[0] = thread_index(), o[1] = block_index(), o[2] = block_size(), o[3] = blocks_in_grid();
    o[4] = lane(), o[5] = warp_index(), o[6] = warps_in_grid();"""
    run("int *out", body, out, blocks=3, threads=64, resident=2)
    thread = np.arange(3 * 64)
    expected = [
        thread % 64,
        thread // 64,
        0 * thread + 64,
        0 * thread + 3,
        thread % 32,
        thread // 32,
        0 * thread + 6,
    ]
    np.testing.assert_array_equal(out, np.transpose(expected))


def test_shared_memory_and_barriers(order):
    body = """
    SHARED_ARRAY(float, row, 96);
    SHARED_ARRAY(double, other, 96);
    const int t = thread_index();
    for (int i = 0; i < 20; ++i) {
        row[t] = a[t];
        sync_block();
        SharedPointer<const float> reversed = row + 95;
        other[t] = *(reversed - t);
        sync_block();
        a[t] = static_cast<float>(other[(t + 1) % 96]);
    }"""
    out = np.arange(96, dtype=np.float32)
    run("float *a", body, out, threads=96, order=order)
    expected = np.arange(96, dtype=np.float32)
    for _ in range(20):
        expected = np.roll(expected[::-1], -1)
    np.testing.assert_array_equal(out, expected)


def test_votes_of_a_block(order):
    body = """
    int sum = 0;
    for (int i = 0; i < 100; ++i) {
        if (i % 3 == 0) sync_block();
        sum += any_of_block(i % 7 == 0 && thread_index() == i % 96) ? i : 0;
    }
    a[block_index() * 96 + thread_index()] = sum;"""
    out = np.zeros(5 * 96, np.int32)
    run("int *a", body, out, blocks=5, threads=96, order=order)
    np.testing.assert_array_equal(out, sum(range(0, 100, 7)))


def test_shared_memory_is_of_one_block_and_starts_with_nan():
    body = """
    SHARED_ARRAY(float, one, 1);
    if (lane() == 0) a[block_index()] = one[0] != one[0] ? 1 : 0;
    sync_warp();
    if (lane() == 0) one[0] = 1;"""
    out = np.zeros(5, np.float32)
    run("float *a", body, out, blocks=5)
    np.testing.assert_array_equal(out, 1)


def test_a_missing_barrier_shows_in_the_order_of_execution():
    def once(order):
        out = np.zeros(32, np.float32)
        run(
            "float *a",
            "SHARED_ARRAY(float, s, 32); s[lane()] = 1; a[lane()] = s[lane() ^ 1];",
            out,
            order=order,
        )
        return np.isnan(out).tobytes()

    assert len({once(order) for order in ORDERS}) > 1


@pytest.mark.parametrize("resident", [1, 2, 5])
def test_tickets_hand_out_work_once(resident, order):
    body = """
    for (;;) {
        int task = 0;
        if (lane() == 0) task = atomic_add(ticket, 1);
        task = shuffle(task, 0);
        if (task >= 100) return;
        if (lane() == 0) atomic_add(done + task, int64(block_index() + 1));
    }"""
    ticket, done = np.zeros(1, np.int32), np.zeros(100, np.int64)
    run("int *ticket, int64 *done", body, ticket, done, blocks=4, threads=64, resident=resident, order=order)
    assert ticket[0] == 100 + 8
    assert (done > 0).all()
    assert (done <= 4).all()


CHAIN = """
    // Each warp waits for the one before it, of this block or of another.
    int place = 0;
    if (lane() == 0) {
        place = atomic_add(ticket, 1);
        while (load_acquire(flags + place) == 0) pause();
    }
    place = shuffle(place, 0);
    sync_warp();
    values[32 * (place + 1) + lane()] = values[32 * place + (lane() + 1) % 32] + 1;
    sync_warp();
    if (lane() == 0) store_release(flags + place + 1, 1);
    """


@pytest.mark.parametrize("resident", [1, 2, 6])
def test_blocks_that_wait_for_each_other(resident, order):
    ticket, flags = np.zeros(1, np.int32), np.zeros(13, np.int32)
    flags[0] = 1
    values = np.zeros((13, 32), np.int32)
    values[0] = LANES
    parameters = "int *ticket, int *flags, volatile int *values"
    grid = {"blocks": 6, "threads": 64, "resident": resident, "order": order}
    run(parameters, CHAIN, ticket, flags, values, **grid)
    np.testing.assert_array_equal(values[12], (LANES + 12) % 32 + 12)


def test_blocks_that_wait_for_one_that_never_starts():
    body = """
    if (block_index() == 0 && lane() == 0) while (load_acquire(flag) == 0) pause();
    if (block_index() == 3) store_release(flag, 1);"""
    run("int *flag", body, np.zeros(1, np.int32), blocks=4, resident=2)  # 1 and 2 end, and make room for 3
    body = """
    if (block_index() < 2 && lane() == 0) while (load_acquire(flag) == 0) pause();
    if (block_index() == 3) store_release(flag, 1);"""
    with pytest.raises(EmulationError, match=r"trial: nothing moves any more \(2 of 4 blocks.*lanes 0 pause"):
        run("int *flag", body, np.zeros(1, np.int32), blocks=4, resident=2)


def test_a_spin_without_end():
    with pytest.raises(EmulationError, match=r"nothing moves any more.*block 0, warp 0; lanes 0-31 pause"):
        run("int *flag", "while (load_acquire(flag) == 0) pause();", np.zeros(1, np.int32))
    with pytest.raises(
        EmulationError, match=r"nothing moves any more.*lanes 1-31 wait in all.*lanes 0 pause"
    ):
        run("int *flag", "if (lane() == 0) for (;;) pause(); all(true);", np.zeros(1, np.int32))
    with pytest.raises(EmulationError, match=r"load_acquire in a loop without pause\(\)"):
        run("int *flag", "while (load_acquire(flag) == 0);", np.zeros(1, np.int32))


def test_a_long_wait_is_no_spin_without_end():
    body = """
    if (warp_index() == 0) {
        for (int i = 0; i < 20'000; ++i) { pause(); if (lane() == 0) store_release(flag + 1, i); }
        store_release(flag, 1);
    } else {
        while (load_acquire(flag) == 0) pause();
    }"""
    run("int *flag", body, np.zeros(2, np.int32), threads=64)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "if (lane() < 5) sync_warp();",
            "lane 5 ended while others wait for it; lanes 0-4 wait in sync_warp",
        ),
        ("if (lane() > 4) sync_warp();", "lane 5 came to sync_warp .*; lanes 0-4 have ended"),
        (
            "if (lane() != 7) any(true);\nelse any(true);",
            r"lane 7 came to any .*cu:3\); lanes 0-6 wait.*cu:2\)",
        ),
        (
            "if (lane() & 1) shuffle(1, 0); else shuffle_up(1, 0);",
            "lane 1 came to shuffle .*0 wait in shuffle_up",
        ),
        (
            "if (lane() < 8) all(true); else sync_block();",
            "lane 8 came to sync_block .*lanes 0-7 wait in all",
        ),
        ("if (lane() < 8) return; sync_block();", "lane 8 came to sync_block .*; lanes 0-7 have ended"),
        ("if (warp_index() == 1) return; sync_block();", "(ended|have ended)"),
        ("if (warp_index() == 0) return; sync_block();", "(ended|have ended)"),
        (
            "if (warp_index() == 0) sync_block();\nelse sync_block();",
            "came to sync_block .*while other warps",
        ),
        ("shuffle(1, 0, 12);", "a shuffle of width 12; it must be a power of two up to 32"),
        ("shuffle_xor(1, 32);", "shuffle_xor with mask 32"),
    ],
)
def test_collectives_that_not_all_take_part_in(body, message):
    with pytest.raises(EmulationError, match=rf"kernel trial, block 0, warp \d.*{message}"):
        run("", body, threads=64)


@pytest.mark.parametrize("index", [-1, 40, 1000])
@pytest.mark.parametrize("how", ["s[{}] = 1", "float f = s[{}]; if (f == 1) s[0] = 2", "*(s + {}) = 1"])
def test_access_beyond_a_shared_array(how, index):
    statement = how.format(index)
    body = f"SHARED_ARRAY(float, s, 40);\nif (block_index() == 1 && thread_index() == 33) {{ {statement}; }}"
    message = f"block 1, warp 1, lane 1: shared array s of 40 elements: access to element {index}"
    with pytest.raises(EmulationError, match=message):
        run("", body, threads=64, blocks=2)


def test_too_much_shared_memory():
    run("", "SHARED_ARRAY(double, s, 6144); s[6143] = 1;")
    with pytest.raises(
        EmulationError, match="t brings the block to 49156 bytes of shared memory; it may have 49152"
    ):
        run("", "SHARED_ARRAY(double, s, 6144); SHARED_ARRAY(float, t, 1); s[0] = t[0];")


@pytest.mark.parametrize("count", [1, 7, 5000])
@pytest.mark.parametrize("how", ["a[n] = 1", "a[0] = a[n + 3]"])
def test_access_beyond_a_buffer(how, count):
    with pytest.raises(
        EmulationError, match=rf"lane 3: access \d+ bytes beyond the end of a buffer of {4 * count} bytes"
    ):
        run("float *a, int n", f"if (lane() == 3) {how};", np.zeros(count, np.float32), np.int32(count))


def test_access_far_before_a_buffer():
    with pytest.raises(EmulationError, match="access 40000 bytes before the start of a buffer of 20 bytes"):
        run("float *a", "a[0] = a[-10'000];", np.zeros(5, np.float32))


def test_access_far_from_any_buffer():
    with pytest.raises(EmulationError, match=r"lane 0: access to address .* which belongs to no buffer"):
        run("float *a", "a[0] = 1;", None)


def test_write_before_a_buffer():
    with pytest.raises(
        EmulationError, match="trial wrote 8 bytes before the start of buffer 0, of 5 float32"
    ):
        run("float *a", "a[-2] = 1;", np.zeros(5, np.float32))


def test_write_to_a_constant():
    runtime = EmulatedRuntime()
    constant, out = runtime.constant(np.arange(5.0)), runtime.zeros(1, np.float64)
    parameters = "double *a, double *out"
    runtime.launch(Text(parameters, "out[0] = a[4];"), 1, 32, [constant, out])
    assert out.array[0] == 4
    message = "lane 6: write to a buffer of 40 bytes that is a constant"
    with pytest.raises(EmulationError, match=message):
        runtime.launch(Text(parameters, "if (lane() == 6) a[2] = 1;"), 1, 32, [constant, out])


def test_errors_leave_the_emulation_usable():
    for _ in range(3):
        with pytest.raises(EmulationError):
            run("float *a", "a[100'000] = 1;", np.zeros(5, np.float32))
        with pytest.raises(EmulationError):
            run("", "if (lane() < 5) sync_warp();")
        out = np.zeros(32, np.int32)
        run("int *a", "a[lane()] = shuffle(lane(), 4);", out)
        np.testing.assert_array_equal(out, 4)


@pytest.mark.parametrize(
    "statement", ["a[1] = 1 << a[0]", "a[1] = a[0] + 2147483647", "int b[4]; a[1] = b[a[0]]"]
)
def test_undefined_behaviour_can_be_an_error(statement):
    with pytest.raises(
        EmulationError, match="block 0, warp 0, lane 0: an operation that C\\+\\+ leaves undefined"
    ):
        run("int *a", f"{statement};", np.array([40, 0], np.int32), sanitize=True)


def test_division_by_zero():
    with pytest.raises(EmulationError, match="division of an integer by zero"):
        run("int *a", "a[1] = a[1] / a[0];", np.zeros(2, np.int32))


def test_deep_stack():
    body = "volatile char big[200'000]; for (int i = 199'999; i >= 0; i -= 100) big[i] = 1;"
    with pytest.raises(EmulationError, match="bytes of local variables"):
        run("", body)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([np.zeros(1, np.float32)], r"has 3 parameters. Got 1 arguments"),
        ([np.zeros(1), np.int32(1), np.int64(1)], "argument 0 is a pointer to float32"),
        ([np.int64(0), np.int32(1), np.int64(1)], "argument 0 is a pointer to float32"),
        ([None, np.int64(1), np.int64(1)], "argument 1 is of type int32"),
        ([None, 1, np.int64(1)], "argument 1 is of type int32"),
        ([None, None, np.int64(1)], "argument 1 is of type int32"),
        ([None, np.int32(1), np.float64(1)], "argument 2 is of type int64"),
    ],
)
def test_arguments_are_of_the_types_of_the_parameters(arguments, message):
    with pytest.raises(EmulationError, match=message):
        run("const float *a, int b, int64 c", "", *arguments)


@pytest.mark.parametrize(("blocks", "threads"), [(0, 32), (1, 0), (1, 33), (1, 1056)])
def test_impossible_grids(blocks, threads):
    with pytest.raises(EmulationError, match=f"{blocks} blocks of {threads} threads"):
        run("", "", blocks=blocks, threads=threads)


def test_all_scalars_arrive():
    out = np.zeros(4)
    body = "out[0] = a; out[1] = b; out[2] = c; out[3] = d;"
    run("double *out, int a, int64 b, float c, double d", body, out, *map(lambda t, v: t(v),
        (np.int32, np.int64, np.float32, np.float64), (-3, 2**40, 0.5, 1e300)))  # fmt: skip
    np.testing.assert_array_equal(out, [-3, 2**40, 0.5, 1e300])


def test_new_memory_is_nothing_to_rely_on():
    runtime = EmulatedRuntime()
    assert np.isnan(runtime.empty(9, np.float32).array).all()
    assert np.isnan(runtime.empty(9, np.float64).array).all()
    assert (runtime.empty(9, np.int64).array == -1).all()
    assert (runtime.zeros(9, np.int64).array == 0).all()
    assert runtime.empty(0, np.int64).count == 0


def test_variables_without_a_value_are_nan():
    out = np.zeros(64, np.float32)
    run("float *a", "volatile float v[256]; a[thread_index()] = v[lane() + 100];", out, threads=64)
    assert np.isnan(out).all()


def test_memory_is_limited_and_freed():
    runtime = EmulatedRuntime(memory=1000)
    first = runtime.empty(100, np.float64)
    assert runtime.free_memory() == 200
    with pytest.raises(MemoryError, match="400 bytes asked of 200 that are free"):
        runtime.empty(100, np.float32)
    del first
    gc.collect()
    assert runtime.free_memory() == 1000


def test_copies():
    runtime = EmulatedRuntime()
    values = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)
    buffer = runtime.upload(values)
    assert buffer.count == 24
    np.testing.assert_array_equal(runtime.download(buffer, (4, 2, 3)), values)
    out = np.zeros((4, 2))
    assert runtime.download(buffer, (4, 2), out) is out
    np.testing.assert_array_equal(out.ravel(), values.ravel()[:8])


def test_errors_of_the_compiler_name_the_file():
    with pytest.raises(
        EmulationError, match=r"trial does not compile for the host(.|\n)*trial.cu:2:.*nonsense"
    ):
        build(Text("", "nonsense();"))
