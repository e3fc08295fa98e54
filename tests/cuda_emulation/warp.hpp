// The host's twin of cuda_ext/kernels/warp.cuh: each thread of a block is a fiber, and collectives, barriers and pause()
// are where fibers change. Stands in the place of warp.cuh when a kernel is built for the emulation.
#include "scheduler.hpp"

#define KERNEL extern "C" __attribute__((visibility("default")))
#define DEVICE inline
#define __launch_bounds__(...)

typedef long long int64;
typedef unsigned char uint8;

// The mathematical functions that NVRTC knows without a header, declared by hand: <cmath> would cost more to compile than
// most kernels.
extern "C" {
double fabs(double), sqrt(double), exp(double), exp2(double), expm1(double), log(double), log2(double), log1p(double);
double rint(double), floor(double), ceil(double), trunc(double), fmin(double, double), fmax(double, double);
double ldexp(double, int), scalbn(double, int), frexp(double, int *), fma(double, double, double), pow(double, double);
double copysign(double, double);
float fabsf(float), sqrtf(float), expf(float), exp2f(float), expm1f(float), logf(float), log2f(float), log1pf(float);
float rintf(float), floorf(float), ceilf(float), truncf(float), fminf(float, float), fmaxf(float, float);
float ldexpf(float, int), scalbnf(float, int), frexpf(float, int *), fmaf(float, float, float), powf(float, float);
float copysignf(float, float);
}
#define EMULATION_OVERLOAD(name) \
    [[maybe_unused]] static inline float name(float x) { return name##f(x); }
EMULATION_OVERLOAD(fabs)
EMULATION_OVERLOAD(sqrt)
EMULATION_OVERLOAD(exp)
EMULATION_OVERLOAD(exp2)
EMULATION_OVERLOAD(log)
EMULATION_OVERLOAD(log2)
EMULATION_OVERLOAD(rint)
EMULATION_OVERLOAD(floor)
EMULATION_OVERLOAD(ceil)
EMULATION_OVERLOAD(trunc)
#undef EMULATION_OVERLOAD
[[maybe_unused]] static inline float ldexp(float x, int e) { return ldexpf(x, e); }
[[maybe_unused]] static inline float scalbn(float x, int e) { return scalbnf(x, e); }
template <class T> static inline bool isnan(T x) { return x != x; }
template <class T> static inline bool isfinite(T x) { return x - x == 0; }
template <class T> static inline bool isinf(T x) { return x == x && x - x != 0; }

// ── Shared memory ────────────────────────────────────────────────────────────────────────────────────────────────────
namespace emulation {

// Where an array lies in the shared memory of every block; given out when the first thread of all comes by.
static int shared_used = 0;
struct SharedPlace {
    const char *name;
    int offset;
    int reserve(int bytes) {
        if (offset < 0) {
            offset = (shared_used + 15) & ~15;
            if (offset + bytes > SHARED_BYTES)
                fail("the shared array %s brings the block to %d bytes of shared memory; it may have %d", name,
                     offset + bytes, SHARED_BYTES);
            shared_used = offset + bytes;
        }
        return offset;
    }
};

}  // namespace emulation

template <class T> class SharedPointer {
  public:
    SharedPointer(T *data, int64 first, int64 last, const char *name)
        : data_(data), first_(first), last_(last), name_(name) {}

    T &operator[](int64 index) const {
        if (index < first_ || index >= last_) [[unlikely]]
            emulation::fail("shared array %s of %lld elements: access to element %lld", name_, last_ - first_,
                            index - first_);
        return data_[index];
    }
    T &operator*() const { return (*this)[0]; }
    SharedPointer operator+(int64 step) const { return {data_ + step, first_ - step, last_ - step, name_}; }
    SharedPointer operator-(int64 step) const { return *this + -step; }
    operator SharedPointer<const T>() const { return {data_, first_, last_, name_}; }

  private:
    T *data_;
    int64 first_, last_;
    const char *name_;
};

#define SHARED_ARRAY(type, name, count)                                                           \
    static emulation::SharedPlace name##_place{#name, -1};                                        \
    const SharedPointer<type> name(                                                               \
        reinterpret_cast<type *>(emulation::current->warp->block->shared +                        \
                                 name##_place.reserve(static_cast<int>(sizeof(type)) * (count))), \
        0, (count), #name)

// ── Where a thread is ────────────────────────────────────────────────────────────────────────────────────────────────
DEVICE int thread_index() { return emulation::current->thread; }
DEVICE int block_index() { return emulation::current->warp->block->index; }
DEVICE int block_size() { return emulation::current->warp->block->threads; }
DEVICE int blocks_in_grid() { return emulation::current->warp->block->blocks; }
DEVICE int lane() { return emulation::current->lane; }
DEVICE int warp_index() { return (block_index() * block_size() + thread_index()) >> 5; }
DEVICE int warps_in_grid() { return (blocks_in_grid() * block_size()) >> 5; }

// ── Collectives ──────────────────────────────────────────────────────────────────────────────────────────────────────
// The defaults of `file` and `line` are those of the call: lanes that meet at different calls are an error.
#define EMULATION_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emulation {

DEVICE Warp *arrive(int operation, const char *file, int line) {
    Warp *warp = current->warp;
    if (warp->arrived == 0) {
        if (warp->alive != WARP) [[unlikely]]
            diverged(operation, file, line);
        warp->operation = operation;
        warp->line = line;
        warp->file = file;
    } else if (operation != warp->operation || line != warp->line) [[unlikely]] {
        diverged(operation, file, line);
    }
    return warp;
}

DEVICE void meet(Warp *warp) {
    current->waits_for = warp->generation + 1;
    if (++warp->arrived == WARP) {
        warp->arrived = 0;
        ++warp->generation;
    } else {
        park();
    }
}

template <class T> DEVICE T exchange(int operation, T value, int source, const char *file, int line) {
    Warp *warp = arrive(operation, file, line);
    unsigned long long *slots = warp->slots[warp->generation & 1];
    if constexpr (sizeof(T) == 4)
        slots[current->lane] = __builtin_bit_cast(unsigned, value);
    else
        slots[current->lane] = __builtin_bit_cast(unsigned long long, value);
    meet(warp);
    if constexpr (sizeof(T) == 4)
        return __builtin_bit_cast(T, static_cast<unsigned>(slots[source]));
    else
        return __builtin_bit_cast(T, slots[source]);
}

template <class T> constexpr bool exchangeable = false;
template <> inline constexpr bool exchangeable<int> = true;
template <> inline constexpr bool exchangeable<unsigned> = true;
template <> inline constexpr bool exchangeable<int64> = true;
template <> inline constexpr bool exchangeable<float> = true;
template <> inline constexpr bool exchangeable<double> = true;

DEVICE void check_width(int width) {
    if (width < 1 || width > WARP || (width & (width - 1)) != 0) [[unlikely]]
        fail("a shuffle of width %d; it must be a power of two up to 32", width);
}

}  // namespace emulation

template <class T> DEVICE T shuffle(T value, int source, int width = 32, EMULATION_SITE) {
    static_assert(emulation::exchangeable<T>);
    emulation::check_width(width);
    const int segment = lane() & ~(width - 1);
    return emulation::exchange(emulation::SHUFFLE, value, segment | (source & (width - 1)), file, line);
}
template <class T> DEVICE T shuffle_up(T value, int delta, int width = 32, EMULATION_SITE) {
    static_assert(emulation::exchangeable<T>);
    emulation::check_width(width);
    const int place = lane() & (width - 1);
    const int source = delta >= 0 && place >= delta ? lane() - delta : lane();
    return emulation::exchange(emulation::SHUFFLE_UP, value, source, file, line);
}
template <class T> DEVICE T shuffle_down(T value, int delta, int width = 32, EMULATION_SITE) {
    static_assert(emulation::exchangeable<T>);
    emulation::check_width(width);
    const int place = lane() & (width - 1);
    const int source = delta >= 0 && delta < width - place ? lane() + delta : lane();
    return emulation::exchange(emulation::SHUFFLE_DOWN, value, source, file, line);
}
template <class T> DEVICE T shuffle_xor(T value, int mask, EMULATION_SITE) {
    static_assert(emulation::exchangeable<T>);
    if (mask < 0 || mask > 31) [[unlikely]]
        emulation::fail("shuffle_xor with mask %d", mask);
    return emulation::exchange(emulation::SHUFFLE_XOR, value, lane() ^ mask, file, line);
}
DEVICE bool any(bool condition, EMULATION_SITE) {
    emulation::Warp *warp = emulation::arrive(emulation::ANY, file, line);
    bool &vote = warp->any[warp->generation & 1];
    vote = condition || (warp->arrived != 0 && vote);
    emulation::meet(warp);
    return vote;
}
DEVICE bool all(bool condition, EMULATION_SITE) {
    emulation::Warp *warp = emulation::arrive(emulation::ALL, file, line);
    bool &vote = warp->all[warp->generation & 1];
    vote = condition && (warp->arrived == 0 || vote);
    emulation::meet(warp);
    return vote;
}
DEVICE int leading_lanes(bool condition, EMULATION_SITE) {
    emulation::Warp *warp = emulation::arrive(emulation::LEADING_LANES, file, line);
    int &first = warp->leading[warp->generation & 1];
    if (warp->arrived == 0) first = emulation::WARP;
    if (!condition) first = first < lane() ? first : lane();
    emulation::meet(warp);
    return first;
}
DEVICE void sync_warp(EMULATION_SITE) { emulation::meet(emulation::arrive(emulation::SYNC_WARP, file, line)); }
DEVICE void sync_block(EMULATION_SITE) {
    emulation::Warp *warp = emulation::arrive(emulation::SYNC_BLOCK, file, line);
    emulation::current->waits_for = warp->generation + 1;
    if (++warp->arrived == emulation::WARP)
        emulation::complete_block_barrier(file, line);
    else
        emulation::park();
}
DEVICE bool any_of_block(bool condition, EMULATION_SITE) {
    emulation::Block *block = emulation::current->warp->block;
    bool &vote = block->votes[block->barriers & 1];
    vote = vote || condition;
    sync_block(file, line);
    return vote;
}

// ── Between warps and blocks ─────────────────────────────────────────────────────────────────────────────────────────
template <class T> DEVICE T atomic_add(T *address, T value) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    const T before = *address;
    *address = before + value;
    emulation::events += value != 0;
    return before;
}
DEVICE int load_acquire(const int *address) {
    if (++emulation::polls == 10'000'000) [[unlikely]]
        emulation::fail("load_acquire in a loop without pause()");
    return *const_cast<const volatile int *>(address);
}
DEVICE void store_release(int *address, int value) {
    *const_cast<volatile int *>(address) = value;
    ++emulation::events;
}
DEVICE void pause() {
    emulation::current->paused = true;
    emulation::park();
}

// ── Arithmetic ───────────────────────────────────────────────────────────────────────────────────────────────────────
DEVICE int as_bits(float value) { return __builtin_bit_cast(int, value); }
DEVICE int64 as_bits(double value) { return __builtin_bit_cast(int64, value); }
DEVICE float from_bits(int bits) { return __builtin_bit_cast(float, bits); }
DEVICE double from_bits(int64 bits) { return __builtin_bit_cast(double, bits); }

namespace emulation {

// In [-1, 1), from the bits of the argument: what the special function unit may be off by, the same in every run.
DEVICE double deviation(float x) {
    unsigned bits = __builtin_bit_cast(unsigned, x) * 0x9E3779B1u;
    bits = (bits ^ (bits >> 15)) * 0x85EBCA77u;
    return static_cast<int>(bits ^ (bits >> 13)) * 0x1p-31;
}
DEVICE float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x; }

}  // namespace emulation

DEVICE float ex2(float x) {
    if (emulation::flushed(x) == 0) return 1;
    if (x < -126) return 0;  // the host takes long for results that small
    // exp2f is itself off by 2^-24.
    const double error = (0x1p-22 - 0x1p-24) * emulation::deviation(x);
    return emulation::flushed(static_cast<float>(static_cast<double>(exp2f(x)) * (1 + error)));
}
DEVICE float reciprocal(float x) {
    const double exact = 1.0 / static_cast<double>(emulation::flushed(x));
    return emulation::flushed(static_cast<float>(exact * (1 + 0x1p-23 * emulation::deviation(x))));
}
DEVICE double reciprocal(double x) { return 1.0 / x; }
DEVICE float log2_(float x) {
    const double exact = ::log2(static_cast<double>(x)), error = 0x1p-22 * emulation::deviation(x);
    return static_cast<float>(x > 0.5f && x < 2 ? exact + error : exact * (1 + error));
}
DEVICE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
DEVICE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

DEVICE int minimum(int a, int b) { return b < a ? b : a; }
DEVICE int64 minimum(int64 a, int64 b) { return b < a ? b : a; }
DEVICE float minimum(float a, float b) { return b < a || a != a ? b : a; }
DEVICE double minimum(double a, double b) { return b < a || a != a ? b : a; }
DEVICE int maximum(int a, int b) { return b > a ? b : a; }
DEVICE int64 maximum(int64 a, int64 b) { return b > a ? b : a; }
DEVICE float maximum(float a, float b) { return b > a || a != a ? b : a; }
DEVICE double maximum(double a, double b) { return b > a || a != a ? b : a; }

namespace emulation {

// A sum as tensor cores form it, at their worst: each term is cut off at 2^-23 of the power of two below the largest, and
// so is the sum.
DEVICE float cut_sum(const double (&terms)[9]) {
    int largest = -1000;
    for (double term : terms) {
        int exponent;
        frexp(term, &exponent);
        if (term != 0 && exponent > largest) largest = exponent;
    }
    double sum = 0;
    for (double term : terms) sum += ldexp(trunc(ldexp(term, 24 - largest)), largest - 24);
    const float nearest = static_cast<float>(sum);
    const bool away = fabs(static_cast<double>(nearest)) > fabs(sum);
    return away ? __builtin_bit_cast(float, __builtin_bit_cast(int, nearest) - 1) : nearest;
}

}  // namespace emulation

DEVICE void add_products(float (&c)[4], const float (&a)[4], const float (&b)[2], EMULATION_SITE) {
    emulation::Warp *warp = emulation::arrive(emulation::ADD_PRODUCTS, file, line);
    float (&factors)[emulation::WARP][6] = warp->factors[warp->generation & 1];
    for (int k = 0; k < 6; ++k) {
        const float factor = k < 4 ? a[k] : b[k - 4];
        if (__builtin_bit_cast(int, factor) & 0x1fff) [[unlikely]]
            emulation::fail("add_products with %.9g, which has more than 11 bits", static_cast<double>(factor));
        factors[lane()][k] = factor;
    }
    emulation::meet(warp);
    for (int q = 0; q < 4; ++q) {
        const int row = lane() / 4, col = 2 * (lane() % 4) + q % 2;
        double terms[9] = {static_cast<double>(c[q])};
        for (int k = 0; k < 8; ++k)
            terms[1 + k] = static_cast<double>(factors[4 * row + k % 4][q / 2 + k / 4 * 2]) *
                           static_cast<double>(factors[4 * col + k % 4][4 + k / 4]);
        c[q] = emulation::cut_sum(terms);
    }
}

// ── The way in: calls a kernel with the parameters that an array of addresses points to ──────────────────────────────
namespace emulation {

template <class T> constexpr char code = '?';
template <class T> constexpr char code<const T> = code<T>;
template <class T> constexpr char code<volatile T> = code<T>;
template <> inline constexpr char code<int> = 'i';
template <> inline constexpr char code<int64> = 'q';
template <> inline constexpr char code<uint8> = 'B';
template <> inline constexpr char code<float> = 'f';
template <> inline constexpr char code<double> = 'd';

template <int... I> struct Indices {};
template <int N, int... I> struct Count : Count<N - 1, N - 1, I...> {};
template <int... I> struct Count<0, I...> {
    using type = Indices<I...>;
};

template <class F> struct Kernel;
template <class... P> struct Kernel<void(P...)> {
    template <void (*function)(P...), int... I> static void unpack(void **arguments, Indices<I...>) {
        function(*static_cast<P *>(arguments[I])...);
    }
    template <void (*function)(P...)> static void body(void **arguments) {
        unpack<function>(arguments, typename Count<sizeof...(P)>::type());
    }
    // A letter for each scalar; P and a letter for each pointer; what is none of ours is '?'.
    template <class T> struct Code {
        static constexpr char first = ' ', second = code<T>;
    };
    template <class T> struct Code<T *> {
        static constexpr char first = 'P', second = code<T>;
    };
    static constexpr char signature[] = {Code<P>::first..., Code<P>::second..., 0};
};

}  // namespace emulation

#define EMULATED_KERNEL(name)                                                                                    \
    extern "C" __attribute__((visibility("default"))) const char *emulation_signature() {                        \
        return emulation::Kernel<decltype(name)>::signature;                                                     \
    }                                                                                                            \
    extern "C" __attribute__((visibility("default"))) int emulation_launch(                                      \
        int blocks, int threads, void **arguments, int resident, unsigned order, char *message, int size) {      \
        return emulation::run({#name, emulation::Kernel<decltype(name)>::template body<name>, arguments, blocks, \
                               threads, resident, order, message, size});                                        \
    }
