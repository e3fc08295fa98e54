// Pairs of series: their lengths, and the columns of each row that the band admits.
// The twin of cpu_ext/pairs.hpp. BAND says whether there is a band; which one, a BandKind, the caller says.

#define BAND_SAKOE_CHIBA 1
#define BAND_RELATIVE 2
#define BAND_ITAKURA 3

// The rows of a chunk's table are padded to whole tiles, and so are its columns: no tile looks beyond its end. What is
// there repeats the last row or column.
#define TABLE_STEP 8
DEVICE int64 padded(int64 length) { return (length + TABLE_STEP - 1) / TABLE_STEP * TABLE_STEP; }

DEVICE int64 series_length(const int64 *offsets, int64 index) { return offsets[index + 1] - offsets[index]; }

// The largest k with offsets[k] <= at; offsets[0] is 0.
DEVICE int64 find_interval(const int64 *offsets, int64 count, int64 at) {
    int64 low = 0, high = count;
    while (high - low > 1) {
        const int64 middle = (low + high) / 2;
        if (offsets[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

// Whether a gamma asks for one of the methods whose bits are set in `needed`.
DEVICE bool is_needed(const uint8 *methods, int64 n_pairs, int n_gammas, int needed, int64 pair) {
    for (int g = 0; g < n_gammas; ++g) {
        const int method = methods[g * n_pairs + pair];
        if (method < 8 && (needed >> method & 1)) return true;
    }
    return false;
}

// ── Chunks of rows ───────────────────────────────────────────────────────────────────────────────────────────────────
// A table is computed in chunks: of rows begin <= i < end, or, with a skew, of parallelograms: each strip of columns has
// rows that lie `skew` higher than those of the strip before it, as far as there are such rows. A wavefront that crosses
// such a chunk waits for nothing at its beginning and its end but what is there in one strip.
//
// Where there is a skew, a strip's part of the chunk lies by itself in memory; else whole rows do. `strip_places` says
// where each strip begins; those of all pairs follow each other there, as `column_tiles` counts them.
#define STRIP_COLS 128  // of all chunks with a skew, and of the blocks that compute tables

struct ChunkRows {
    int64 begin, end;  // none where begin >= end
};

DEVICE ChunkRows rows_of_strip(int64 row_begin, int64 row_end, int64 skew, int64 strip, int64 n) {
    return {maximum(row_begin - skew * strip, int64(0)), minimum(row_end - skew * strip, n)};
}

// What a row has from the first column of a strip's part on: its columns, or those of the table.
DEVICE int64 columns_in_row(int64 m, int64 skew, int64 strip) {
    return skew > 0 ? minimum(m - strip * STRIP_COLS, int64(STRIP_COLS)) : m;
}

// Columns begin <= j < end of a row; empty where begin >= end.
struct BandRow {
    int64 begin, end;
};

// The band of one pair: what its rows share.
struct PairBand {
    int64 n, m;
    int kind;
    // Sakoe-Chiba: row i has the columns i + low <= j < i + high. Itakura: the bits of the slopes of the lines, in cells.
    int64 low, high;
    DEVICE double flat() const { return from_bits(low); }
    DEVICE double steep() const { return from_bits(high); }
};

DEVICE int64 band_radius(int kind, double parameter, int64 n, int64 m) {
    if (kind == BAND_SAKOE_CHIBA) return static_cast<int64>(minimum(parameter, 1e15));
    // 0.29 of 100 is 28.999999999999996: the small term gives the 29 that was meant.
    return static_cast<int64>(floor(parameter * static_cast<double>(maximum(n, m)) + 1e-9));
}

DEVICE PairBand make_band(int kind, double parameter, int64 n, int64 m) {
    if (kind == BAND_ITAKURA) {
        const double last_i = static_cast<double>(n - 1), last_j = static_cast<double>(m - 1);  // not used where n == 1
        return {n, m, kind, as_bits(last_j / (parameter * last_i)), as_bits(parameter * last_j / last_i)};
    }
    const int64 radius = band_radius(kind, parameter, n, m);
    return {n, m, kind, minimum(int64(0), m - n) - radius, maximum(int64(0), m - n) + radius + 1};
}

DEVICE BandRow band_row(const PairBand &band, int64 i) {
    if (band.kind != BAND_ITAKURA) return {maximum(int64(0), i + band.low), minimum(band.m, i + band.high)};
    if (band.n == 1) return {0, band.m};
    // Between lines of slope s and 1/s (of the table's diagonal) through both corners. The small shift keeps cells
    // that lie on a line inside, whatever the rounding.
    const double last_i = static_cast<double>(band.n - 1), last_j = static_cast<double>(band.m - 1);
    const double row = static_cast<double>(i), shift = 1e-9;
    const double lowest = maximum(band.flat() * row, last_j - band.steep() * (last_i - row));
    const double highest = minimum(band.steep() * row, last_j - band.flat() * (last_i - row));
    return {maximum(int64(0), static_cast<int64>(ceil(lowest - shift))),
            minimum(band.m, static_cast<int64>(floor(highest + shift)) + 1)};
}
