// Vectors of one register's width, and the dozen operations that the kernels need beyond + - * /.
//
// Everything is written with the compiler's vector extension, so the same source serves SSE, AVX2, AVX-512 and NEON;
// an intrinsic stands only where an instruction exists that the extension cannot say.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define SDTW_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define SDTW_VECTOR_BYTES 32
#else
#define SDTW_VECTOR_BYTES 16
#endif

namespace sdtw::SDTW_ISA {

#define SDTW_INLINE inline __attribute__((always_inline))
#define SDTW_INLINE_LAMBDA __attribute__((always_inline))

constexpr int vector_bytes = SDTW_VECTOR_BYTES;
// A sweep keeps two scaled numbers a row: eight rows fit 32 registers, four fit 16.
constexpr int sweep_rows = vector_bytes == 64 ? 8 : 4;

template <class T> struct Lanes;
template <> struct Lanes<float> {
    using V = float __attribute__((vector_size(SDTW_VECTOR_BYTES)));
    using I = std::int32_t __attribute__((vector_size(SDTW_VECTOR_BYTES)));
    static constexpr int mantissa_bits = 23, bias = 127;
    static constexpr float magic = 0x1.8p23f, integer_tag = 0x1p23f;
    static constexpr float headroom = 60, lowest_shift = -122;  // where a shared exponent puts what comes in
};
template <> struct Lanes<double> {
    using V = double __attribute__((vector_size(SDTW_VECTOR_BYTES)));
    using I = std::int64_t __attribute__((vector_size(SDTW_VECTOR_BYTES)));
    static constexpr int mantissa_bits = 52, bias = 1023;
    static constexpr double magic = 0x1.8p52, integer_tag = 0x1p52;
    static constexpr double headroom = 500, lowest_shift = -1000;
};
template <class T> using Vec = typename Lanes<T>::V;
template <class T> using Mask = typename Lanes<T>::I;
template <class T> constexpr int lane_count = vector_bytes / static_cast<int>(sizeof(T));

template <class T> SDTW_INLINE Vec<T> splat(T value) { return Vec<T>{} + value; }
template <class T> SDTW_INLINE Vec<T> load(const T *p) {
    Vec<T> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T> SDTW_INLINE void store(T *p, Vec<T> v) { std::memcpy(p, &v, sizeof v); }
template <class T> SDTW_INLINE Mask<T> bits(Vec<T> v) {
    Mask<T> i;
    std::memcpy(&i, &v, sizeof i);
    return i;
}
template <class T> SDTW_INLINE Vec<T> from_bits(Mask<T> i) {
    Vec<T> v;
    std::memcpy(&v, &i, sizeof v);
    return v;
}
template <class T> SDTW_INLINE Vec<T> select(Mask<T> mask, Vec<T> yes, Vec<T> no) { return mask ? yes : no; }
template <class T> SDTW_INLINE bool any(Mask<T> mask) {
#if SDTW_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4)
        return _mm512_movepi32_mask((__m512i)mask) != 0;
    else
        return _mm512_movepi64_mask((__m512i)mask) != 0;
#elif SDTW_VECTOR_BYTES == 32
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    std::int64_t half[2];
    std::memcpy(half, &mask, sizeof half);
    return (half[0] | half[1]) != 0;
#endif
}

#if SDTW_VECTOR_BYTES == 64
#define SDTW_PICK(name, ...)                            \
    if constexpr (sizeof(T) == 4)                       \
        return (Vec<T>)_mm512_##name##_ps(__VA_ARGS__); \
    else                                                \
        return (Vec<T>)_mm512_##name##_pd(__VA_ARGS__)
#elif SDTW_VECTOR_BYTES == 32
#define SDTW_PICK(name, ...)                            \
    if constexpr (sizeof(T) == 4)                       \
        return (Vec<T>)_mm256_##name##_ps(__VA_ARGS__); \
    else                                                \
        return (Vec<T>)_mm256_##name##_pd(__VA_ARGS__)
#elif defined(__x86_64__)
#define SDTW_PICK(name, ...)                         \
    if constexpr (sizeof(T) == 4)                    \
        return (Vec<T>)_mm_##name##_ps(__VA_ARGS__); \
    else                                             \
        return (Vec<T>)_mm_##name##_pd(__VA_ARGS__)
#endif

template <class T> SDTW_INLINE Vec<T> maximum(Vec<T> a, Vec<T> b) {
#ifdef SDTW_PICK
    SDTW_PICK(max, a, b);
#else
    return a > b ? a : b;
#endif
}
template <class T> SDTW_INLINE Vec<T> minimum(Vec<T> a, Vec<T> b) {
#ifdef SDTW_PICK
    SDTW_PICK(min, a, b);
#else
    return a < b ? a : b;
#endif
}
template <class T> SDTW_INLINE Vec<T> square_root(Vec<T> a) {
#ifdef SDTW_PICK
    SDTW_PICK(sqrt, a);
#else
    for (int l = 0; l < lane_count<T>; ++l) a[l] = sizeof(T) == 4 ? __builtin_sqrtf(a[l]) : __builtin_sqrt(a[l]);
    return a;
#endif
}
// a·b + c, in one rounding where the machine has it.
template <class T> SDTW_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if SDTW_VECTOR_BYTES == 64 || defined(__FMA__)
    SDTW_PICK(fmadd, a, b, c);
#else
    return a * b + c;
#endif
}
template <class T> SDTW_INLINE Vec<T> absolute(Vec<T> a) { return from_bits<T>(bits<T>(a) & ~bits<T>(-Vec<T>{})); }

// The nearest integer, for |a| < 2^22 (float) or 2^51 (double); beyond, a nearby integer.
template <class T> SDTW_INLINE Vec<T> nearest(Vec<T> a) { return (a + Lanes<T>::magic) - Lanes<T>::magic; }

// a·2^e for an integer e; an exponent below the range of T gives 0.
template <class T> SDTW_INLINE Vec<T> scale(Vec<T> a, Vec<T> e) {
#if SDTW_VECTOR_BYTES == 64
    SDTW_PICK(scalef, a, e);
#else
    constexpr T bias = Lanes<T>::bias;
    Vec<T> clamped = minimum<T>(maximum<T>(e, splat<T>(-bias)), splat<T>(bias + 1));
    return a * from_bits<T>(bits<T>(clamped + (Lanes<T>::magic + bias)) << Lanes<T>::mantissa_bits);
#endif
}

// z = m·2^e with m in [1, 2), for a normal z > 0.
template <class T> SDTW_INLINE void normalise(Vec<T> z, Vec<T> &m, Vec<T> &e) {
#if SDTW_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4) {
        e = (Vec<T>)_mm512_getexp_ps(z);
        m = (Vec<T>)_mm512_getmant_ps(z, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    } else {
        e = (Vec<T>)_mm512_getexp_pd(z);
        m = (Vec<T>)_mm512_getmant_pd(z, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    }
#else
    using Lane = Lanes<T>;
    Mask<T> raw = bits<T>(z);
    Vec<T> tagged = from_bits<T>((raw >> Lane::mantissa_bits) | bits<T>(splat<T>(Lane::integer_tag)));
    e = tagged - (Lane::integer_tag + Lane::bias);
    Mask<T> fraction = ((Mask<T>{} + 1) << Lane::mantissa_bits) - 1;
    m = from_bits<T>((raw & fraction) | bits<T>(splat<T>(T(1))));
#endif
}

// 1/a for a normal a, within one or two units in the last place; scales exactly with powers of two.
template <class T> SDTW_INLINE Vec<T> reciprocal(Vec<T> a) {
#if SDTW_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4) {
        Vec<T> r = (Vec<T>)_mm512_rcp14_ps(a);
        return fma<T>(r, fma<T>(-a, r, splat<T>(1)), r);
    }
#endif
    return splat<T>(1) / a;
}

// (2^f − 1)/f for |f| <= 1/2; 1 + f·P(f) has relative error 3e-9 (float), 2e-17 (double): minimax, Remez in 60 digits.
template <class T> SDTW_INLINE Vec<T> exp2_slope(Vec<T> f) {
    auto horner = [f](auto... c) {
        const T list[] = {static_cast<T>(c)...};
        Vec<T> p = splat<T>(list[0]);
        for (unsigned k = 1; k < sizeof...(c); ++k) p = fma<T>(p, f, splat<T>(list[k]));
        return p;
    };
    if constexpr (sizeof(T) == 4)
        return horner(1.5594678161326619324e-4, 1.3406643902351759246e-3, 9.6176929729930623181e-3,
                      5.5503105510137971734e-2, 2.402265278288773743e-1, 6.931472149680278995e-1);
    else
        return horner(4.078071929588336665e-10, 7.0725704128144235096e-9, 1.0180647659234138888e-7,
                      1.3215442675329822143e-6, 1.5252727385193868197e-5, 1.540353044157213033e-4,
                      1.3333558153439964747e-3, 9.6181291076070023796e-3, 5.5504108664790394552e-2,
                      2.4022650695910098007e-1, 6.9314718055994569675e-1);
}

}  // namespace sdtw::SDTW_ISA
