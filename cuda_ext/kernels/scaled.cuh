// Scaled numbers: values m·2^e whose exponent e has a variable of its own, so that nothing overflows for any gamma.
//
// A cell of the soft table is Z = exp(-R/gamma); 0 means that no path leads there. Defines: REAL, WIDE (REAL is double),
// HARD (a cell is R itself, "no path" is infinity, and exponents are not used).

#if WIDE
typedef double EXPONENT;  // an integer; double counts far enough, exactly
#define NOTHING (-0x1p1000)
#define LEAST_VALUE 0x1p-900  // a value below it sends its tile to the slow sweep
#define MOST_VALUE 0x1p1000   // and so does a tile's last value above this
#define LEAST_SHIFT (-120.0)  // LEAST_VALUE·2^LEAST_SHIFT is still a normal number
#define MOST_SPAN 600.0       // exponents that lie closer together share one
#else
typedef int EXPONENT;
#define NOTHING (-(1 << 30))
#define LEAST_VALUE 0x1p-76f
#define MOST_VALUE 0x1p120f
#define LEAST_SHIFT (-50)
#define MOST_SPAN 60
#endif

DEVICE REAL infinity() {
#if WIDE
    return from_bits((int64)0x7ff0000000000000);
#else
    return from_bits(0x7f800000);
#endif
}

// 2^e, where anything below the range of REAL is 0.
DEVICE REAL power_of_two(EXPONENT e) {
#if WIDE
    return e < -1022.0 ? 0.0 : from_bits((int64)(minimum(e, 1022.0) + 1023.0) << 52);
#else
    return e < -126 ? 0.0f : from_bits((minimum(e, 126) + 127) << 23);
#endif
}

// The exponent of a normal number z > 0.
DEVICE EXPONENT exponent_of(REAL z) {
#if WIDE
    return (EXPONENT)((int)(as_bits(z) >> 52) - 1023);
#else
    return (as_bits(z) >> 23) - 127;
#endif
}

#if WIDE
// 2^f for |f| <= 1/2: 1 + f·P(f), minimax, relative error 2e-17.
DEVICE double power_of_fraction(double f) {
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
    return fused(p, f, 1.0);
}
#endif

// 2^(cost·factor) as a plain number: 0 or infinity where it leaves the range.
DEVICE REAL kernel_value(REAL cost, REAL factor) {
#if WIDE
    const double q = rint(cost * factor), r = maximum(minimum(q, 1023.0), -1023.0);
    const double power = power_of_fraction(fused(cost, factor, -q));
    return q < -1021.0 ? 0.0 : q > 1022.0 ? infinity() : from_bits(as_bits(power) + ((int64)r << 52));
#else
    return ex2(cost * factor);
#endif
}

// The same as a mantissa and an exponent, for any size.
DEVICE REAL kernel_parts(REAL cost, REAL factor, EXPONENT *e) {
    const REAL q = rint(cost * factor), f = fused(cost, factor, -q);
    *e = (EXPONENT)q;
#if WIDE
    return power_of_fraction(f);
#else
    return ex2(f);
#endif
}

// −gamma·log(m·2^e), or the cell of a hard table.
DEVICE double cell_value(REAL m, EXPONENT e, double gamma) {
#if HARD
    return (double)m;
#else
    if (isinf(gamma)) return 0.0;  // R has no limit there; only its derivatives are of use
    if (!(m > 0)) return infinity();
    const EXPONENT shift = exponent_of(m);
    double mantissa = (double)(m * power_of_two(-shift)), exponent = (double)e + (double)shift;
    if (mantissa > 1.41421356237309504880) {  // around 1, where no digits of a small result are lost
        mantissa *= 0.5;
        exponent += 1.0;
    }
    return -gamma * 0.69314718055994530942 * (exponent + log2(mantissa));
#endif
}
