// The thin surface between the kernels and the machine: everything that differs between a GPU and the host emulation of
// tests/cuda_emulation, which replaces this file by its twin there. Kernels call nothing of CUDA but what stands here,
// __launch_bounds__, __restrict__, #pragma unroll, and the mathematical functions of C (fabsf, sqrt, rint, ldexp …).
//
// Collectives (shuffle*, any, all, leading_lanes, sync_warp, add_products) need all 32 lanes of a warp at the same call, sync_block
// and any_of_block all threads of the block: threads that have no work of their own still take part. Threads of a block: a multiple of 32.
//
// Data that another warp writes during the same launch must not be read through `const … *__restrict__`: the compiler
// may take such loads through the read-only cache, which knows nothing of flags.
#pragma nv_diag_suppress 177  // "declared but never referenced": no kernel uses all of the headers

#define KERNEL extern "C" __global__
#define DEVICE __device__ __forceinline__  // functions, and member functions of structs

typedef long long int64;
typedef unsigned char uint8;

// Shared memory of the block. A function takes it as SharedPointer<type>: a plain pointer here, a checked one on the host.
#define SHARED_ARRAY(type, name, count) __shared__ __align__(16) type name[count]
template <class T> using SharedPointer = T *;

// ── Where a thread is ────────────────────────────────────────────────────────────────────────────────────────────────
DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
DEVICE int block_index() { return static_cast<int>(blockIdx.x); }
DEVICE int block_size() { return static_cast<int>(blockDim.x); }
DEVICE int blocks_in_grid() { return static_cast<int>(gridDim.x); }
DEVICE int lane() { return thread_index() & 31; }
DEVICE int warp_index() { return (block_index() * block_size() + thread_index()) >> 5; }  // in the grid
DEVICE int warps_in_grid() { return (blocks_in_grid() * block_size()) >> 5; }

// ── Collectives; T is int, int64, float or double, width 32, 16, 8, 4 or 2 ───────────────────────────────────────────
constexpr unsigned ALL_LANES = 0xFFFFFFFFu;

template <class T> DEVICE T shuffle(T value, int source, int width = 32) {
    return __shfl_sync(ALL_LANES, value, source, width);
}
template <class T> DEVICE T shuffle_up(T value, int delta, int width = 32) {
    return __shfl_up_sync(ALL_LANES, value, static_cast<unsigned>(delta), width);
}
template <class T> DEVICE T shuffle_down(T value, int delta, int width = 32) {
    return __shfl_down_sync(ALL_LANES, value, static_cast<unsigned>(delta), width);
}
template <class T> DEVICE T shuffle_xor(T value, int mask) { return __shfl_xor_sync(ALL_LANES, value, mask); }
DEVICE bool any(bool condition) { return __any_sync(ALL_LANES, condition) != 0; }
DEVICE bool all(bool condition) { return __all_sync(ALL_LANES, condition) != 0; }
// How many lanes, from the first one on, meet a condition.
DEVICE int leading_lanes(bool condition) {
    return __clz(static_cast<int>(__brev(~__ballot_sync(ALL_LANES, condition))));
}
DEVICE void sync_warp() { __syncwarp(); }
DEVICE void sync_block() { __syncthreads(); }
DEVICE bool any_of_block(bool condition) { return __syncthreads_or(condition) != 0; }  // a sync_block too

// ── Between warps and blocks ─────────────────────────────────────────────────────────────────────────────────────────
DEVICE int atomic_add(int *address, int value) { return atomicAdd(address, value); }
DEVICE int64 atomic_add(int64 *address, int64 value) {
    return static_cast<int64>(
        atomicAdd(reinterpret_cast<unsigned long long *>(address), static_cast<unsigned long long>(value)));
}
// What the warp wrote before its store_release is seen by whoever read the new value by load_acquire. Both order only
// the calling lane: sync_warp() stands between it and the other lanes' reads or writes.
DEVICE int load_acquire(const int *address) {
    int value;
    asm volatile("ld.acquire.gpu.s32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
    return value;
}
DEVICE void store_release(int *address, int value) {
    asm volatile("st.release.gpu.s32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
}
// In every loop that waits for another warp: the host runs the others meanwhile.
DEVICE void pause() { __nanosleep(20); }

// ── Arithmetic ───────────────────────────────────────────────────────────────────────────────────────────────────────
// Approximations of the special function unit: relative error 2^-22 (ex2), 2^-23 (reciprocal); log2_ is off by 2^-22
// relative, absolute between 0.5 and 2. ex2 and reciprocal take and give subnormal numbers as zero. ex2(0) is 1.
DEVICE float ex2(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
DEVICE float reciprocal(float x) {
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
DEVICE double reciprocal(double x) { return 1.0 / x; }
DEVICE float log2_(float x) {
    float result;
    asm("lg2.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
DEVICE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
DEVICE double fused(double a, double b, double c) { return __fma_rn(a, b, c); }

DEVICE int as_bits(float value) { return __float_as_int(value); }
DEVICE int64 as_bits(double value) { return __double_as_longlong(value); }
DEVICE float from_bits(int bits) { return __int_as_float(bits); }
DEVICE double from_bits(int64 bits) { return __longlong_as_double(bits); }

// Of a warp: c += a·b for a of 16 x 8, b of 8 x 8 numbers of 11 bits (the 13 low bits of each are 0), on tensor cores;
// sm_80 and later. With g = lane / 4 and t = lane % 4, a lane has a[g][t], a[g + 8][t], a[g][t + 4], a[g + 8][t + 4];
// b[t][g], b[t + 4][g]; and c[g][2 t], c[g][2 t + 1], c[g + 8][2 t], c[g + 8][2 t + 1]. Products are exact; in a sum they
// may be cut off at 2^-23 of the largest, and the sum is cut off to a float.
DEVICE void add_products(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(as_bits(a[0])), "r"(as_bits(a[1])), "r"(as_bits(a[2])), "r"(as_bits(a[3])), "r"(as_bits(b[0])),
                   "r"(as_bits(b[1])));
}

// Of a NaN and a number: the number.
DEVICE int minimum(int a, int b) { return min(a, b); }
DEVICE int64 minimum(int64 a, int64 b) { return min(a, b); }
DEVICE float minimum(float a, float b) { return fminf(a, b); }
DEVICE double minimum(double a, double b) { return fmin(a, b); }
DEVICE int maximum(int a, int b) { return max(a, b); }
DEVICE int64 maximum(int64 a, int64 b) { return max(a, b); }
DEVICE float maximum(float a, float b) { return fmaxf(a, b); }
DEVICE double maximum(double a, double b) { return fmax(a, b); }
