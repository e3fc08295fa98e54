// Which arithmetic each pair and gamma needs: the rule of cpu_ext/pairs.hpp, from the ranges of the features.
//
// Work: one thread for a pair. `paired`: pair k is x[k], y[k], or what the lists pair_x and pair_y say; methods
// [gamma][pair]. Otherwise all n_x * n_y pairs; methods [gamma][i][j]. A pair whose costs overflow is answered here, by
// NaN in `out`.

#define METHOD_OWN 0
#define METHOD_WIDE 1
#define METHOD_HARD 2
#define METHOD_WIDE_HARD 3
#define METHOD_OVERFLOW 255

// One end of the range of a feature of a series, over the parts that it was computed in.
DEVICE double lowest_of(const STORE *low, int64 series, int parts, int64 n_features, int64 k) {
    const STORE *at = low + series * parts * n_features + k;
    STORE value = *at;
    for (int part = 1; part < parts; ++part) value = minimum(value, at[part * n_features]);
    return static_cast<double>(value);
}
DEVICE double highest_of(const STORE *high, int64 series, int parts, int64 n_features, int64 k) {
    const STORE *at = high + series * parts * n_features + k;
    STORE value = *at;
    for (int part = 1; part < parts; ++part) value = maximum(value, at[part * n_features]);
    return static_cast<double>(value);
}

DEVICE int method_of(double bound, double gamma, int cost, int band_kind, double band_parameter, int64 n, int64 m) {
    const double path = static_cast<double>(n + m);
    if (!(bound * path < 1e300)) return METHOD_OVERFLOW;
    const bool finite = gamma < 1e300, hard = gamma == 0;
    const double bits = hard || !finite ? 0.0 : bound / gamma * 1.4426950408889634;
    bool one_path = n == 1 || m == 1;
    // With one path the value is the sum of its costs, which 1 - D/gamma would lose in its rounding at large gamma.
    if (band_kind == BAND_SAKOE_CHIBA || band_kind == BAND_RELATIVE)
        one_path = one_path || (n == m && band_radius(band_kind, band_parameter, n, m) == 0);
    if (bits > 0x1p50 || (one_path && finite)) return METHOD_WIDE_HARD;
    if (sizeof(STORE) == 8) return hard ? METHOD_WIDE_HARD : METHOD_OWN;
    const bool outside = bound * path > 1e37 || bound < 1e-30;
    // The cells of a likely path lie further below the bound when costs are squares.
    const double limit = cost == COST_EUCLIDEAN || cost == COST_MANHATTAN ? 0x1p11 : 0x1p14;
    const bool inexact = hard ? n + m > 4096 : bits > limit || bits * path > 0x1p23;
    if (outside || inexact) return hard ? METHOD_WIDE_HARD : METHOD_WIDE;
    return hard ? METHOD_HARD : METHOD_OWN;
}

KERNEL void classify(const STORE *x_low, const STORE *x_high, const STORE *y_low, const STORE *y_high, int x_parts,
                     int y_parts, const int64 *x_offsets, const int64 *y_offsets, const int64 *pair_x,
                     const int64 *pair_y, int64 n_x, int64 n_y, int64 n_features, const double *gammas, int n_gammas,
                     int paired, int cost, double scale, int band_kind, double band_parameter, uint8 *methods,
                     int *seen, STORE *out) {
    const int64 count = paired ? n_x : n_x * n_y, step = static_cast<int64>(blocks_in_grid()) * block_size();
    for (int64 at = static_cast<int64>(block_index()) * block_size() + thread_index(); at < count; at += step) {
        int64 i = at, j = at;
        if (!paired) i = at / n_y, j = at % n_y;
        if (pair_x) i = pair_x[at], j = pair_y[at];
        const int64 n = series_length(x_offsets, i), m = series_length(y_offsets, j);
        double squares = 0.0, sum = 0.0;
        for (int64 k = 0; k < n_features; ++k) {
            const double low = lowest_of(x_low, i, x_parts, n_features, k);
            const double high = highest_of(x_high, i, x_parts, n_features, k);
            const double reach = cost == COST_PRECOMPUTED
                                     ? maximum(absolute(low), absolute(high))
                                     : maximum(high - lowest_of(y_low, j, y_parts, n_features, k),
                                               highest_of(y_high, j, y_parts, n_features, k) - low);
            squares += reach * reach;
            sum += reach;
        }
        double bound = squares * scale;
        if (cost == COST_EUCLIDEAN) bound = square_root(squares);
        if (cost == COST_MANHATTAN || cost == COST_PRECOMPUTED) bound = sum;
        if (cost == COST_GAK) bound += 0.6931471805599453;
        for (int g = 0; g < n_gammas; ++g) {
            const int method = method_of(bound, gammas[g], cost, band_kind, band_parameter, n, m);
            methods[g * count + at] = static_cast<uint8>(method);
            seen[method == METHOD_OVERFLOW ? 4 : method] = 1;  // many threads, one value
            if (method == METHOD_OVERFLOW && out)
                out[g * count + at] = static_cast<STORE>(from_bits(int64(0x7ff8000000000000)));
        }
    }
}
