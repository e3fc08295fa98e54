// Local costs of two time steps: a sum over the features, then what each cost makes of the sum.
// The twin of cpu_ext/costs.hpp; COST is a CostKind.

#define COST_SQEUCLIDEAN 0
#define COST_EUCLIDEAN 1
#define COST_MANHATTAN 2
#define COST_GAK 3
#define COST_PRECOMPUTED 4

// By overloads: one source serves both types, and no float is taken through double.
DEVICE float square_root(float v) { return sqrtf(v); }
DEVICE double square_root(double v) { return sqrt(v); }
DEVICE float absolute(float v) { return fabsf(v); }
DEVICE double absolute(double v) { return fabs(v); }
DEVICE float exp_minus_1(float v) { return expm1f(v); }
DEVICE double exp_minus_1(double v) { return expm1(v); }
DEVICE float log_of_1_plus(float v) { return log1pf(v); }
DEVICE double log_of_1_plus(double v) { return log1p(v); }

// The sum over the features, one more feature.
DEVICE REAL add_feature(REAL sum, REAL x, REAL y) {
    const REAL difference = x - y;
#if COST == COST_MANHATTAN
    return sum + absolute(difference);
#else
    return fused(difference, difference, sum);
#endif
}

// The cost, from the sum over the features.
DEVICE REAL finish_cost(REAL sum, REAL scale) {
#if COST == COST_SQEUCLIDEAN
    return sum * scale;
#elif COST == COST_EUCLIDEAN
    return square_root(sum);
#elif COST == COST_GAK
    // u + log(2 - exp(-u)), accurate for small u too.
    const REAL u = sum * scale;
    return u + log_of_1_plus(-exp_minus_1(-u));
#else
    return sum;
#endif
}

// dD/dx_k = cost_slope(sum) * direction(x_k - y_k), and dD/dy_k the opposite. In a kink the slope is 0.
DEVICE REAL cost_slope(REAL sum, REAL scale) {
#if COST == COST_SQEUCLIDEAN
    return 2 * scale;
#elif COST == COST_EUCLIDEAN
    return sum > 0 ? 1 / square_root(sum) : REAL(0);
#elif COST == COST_GAK
    return 4 * scale / (1 - exp_minus_1(-sum * scale));
#else
    return 1;
#endif
}

DEVICE REAL direction(REAL difference) {
#if COST == COST_MANHATTAN
    return difference > 0 ? REAL(1) : difference < 0 ? REAL(-1) : REAL(0);
#else
    return difference;
#endif
}
