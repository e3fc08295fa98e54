// Scaled numbers: m·2^e whose exponent e is a variable of its own, so that nothing overflows or is lost for any gamma.
//
// A cell of the soft table is Z = exp(-R/gamma); m = 0 means that no path leads there. Defines: REAL, WIDE (REAL is
// double), HARD (a cell is R itself, "no path" is infinity, and exponents are not used).

#if WIDE
typedef double EXPONENT;  // an integer; double counts far enough, exactly
#define NOTHING (-0x1p1000)
#else
typedef int EXPONENT;
#define NOTHING (-(1 << 29))
#endif

// Between tiles m lies in [1, 2). Inside a tile it drifts, in a cell by a factor between 0.7 and 4.3: over the 15 cells of
// the longest way far less than what would make an alignment lose anything.
struct Number {
    REAL m;
    EXPONENT e;
};

DEVICE REAL infinity() {
#if WIDE
    return from_bits((int64)0x7ff0000000000000);
#else
    return from_bits(0x7f800000);
#endif
}

DEVICE Number no_path() { return {HARD ? infinity() : REAL(0), NOTHING}; }

// 2^e for e <= 0; 0 where it leaves the range of REAL.
DEVICE REAL alignment_factor(EXPONENT e) {
#if WIDE
    return from_bits((int64)(maximum(e, -1023.0) + 1023.0) << 52);
#else
    return from_bits((maximum(e, -127) + 127) << 23);
#endif
}

DEVICE void normalise(Number &z) {
#if !HARD
#if BAND
    if (!(z.m > 0)) {
        z = no_path();
        return;
    }
#endif
#if WIDE
    const int64 bits = as_bits(z.m);
    z.e += (EXPONENT)((int)(bits >> 52) - 1023);
    z.m = from_bits((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
#else
    const int bits = as_bits(z.m);
    z.e += (bits >> 23) - 127;
    z.m = from_bits((bits & 0x007fffff) | 0x3f800000);
#endif
#endif
}

// 2^(cost·factor) with m in [0.7, 1.5).
DEVICE Number kernel_value(REAL cost, REAL factor) {
#if WIDE
    const double q = rint(cost * factor), f = fused(cost, factor, -q);
    // 2^f = 1 + f·P(f), minimax, relative error 2e-17.
    double p = 4.078071929588336665e-10;
    p = fused(p, f, 7.0725704128144235096e-9);
    p = fused(p, f, 1.0180647659234138888e-7);
    p = fused(p, f, 1.3215442675329822143e-6);
    p = fused(p, f, 1.5252727385193868197e-5);
    p = fused(p, f, 1.540353044157213033e-4);
    p = fused(p, f, 1.3333558153439964747e-3);
    p = fused(p, f, 9.6181291076070023796e-3);
    p = fused(p, f, 5.5504108664790394552e-2);
    p = fused(p, f, 2.4022650695910098007e-1);
    p = fused(p, f, 6.9314718055994569675e-1);
    return {fused(p, f, 1.0), q};
#else
    // Added to 1.5·2^23, a number is rounded to an integer, which also stands in the low bits of the sum.
    const float tagged = fused(cost, factor, 12582912.0f);
    return {ex2(fused(cost, factor, 12582912.0f - tagged)), as_bits(tagged) - 0x4b400000};
#endif
}

// −gamma·log(z), or the cell of a hard table.
DEVICE double cell_value(Number z, double gamma) {
#if HARD
    return (double)z.m;
#else
    if (isinf(gamma)) return 0.0;  // R has no limit there; only its derivatives are of use
    if (!(z.m > 0)) return from_bits((int64)0x7ff0000000000000);
    normalise(z);
    double mantissa = (double)z.m, exponent = (double)z.e;
    if (mantissa > 1.41421356237309504880) {  // around 1, where no digits of a small result are lost
        mantissa *= 0.5;
        exponent += 1.0;
    }
    return -gamma * 0.69314718055994530942 * (exponent + log2(mantissa));
#endif
}
