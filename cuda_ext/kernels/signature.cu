// Signatures of units of paths: S = initial ⊗ exp(z_1) ⊗ … ⊗ exp(z_n), one launch for all steps.
//
// Work: SLOTS threads for a unit, UNITS units in a block or PARTS blocks for a unit (see signature.cuh); state in
// registers. STREAM 0: `out` has a row of words for each unit. STREAM 1: a row for each step, (n_rows, steps, words), so
// that chunks of one path write side by side; `before` then holds what chunk i - 1 ends with, row for row of units.
// Shared memory: increments of STEPS steps, and where the units lie. A unit reads its points once for each of its blocks.

constexpr int PACK = CHANNELS % 4 == 0 ? 4 : CHANNELS % 2 == 0 ? 2 : 1;
struct alignas(PACK * sizeof(REAL) > 16 ? 16 : PACK * sizeof(REAL)) Pack {
    REAL v[PACK];
};

KERNEL void __launch_bounds__(THREADS)
    signature(const REAL *__restrict__ points, const REAL *__restrict__ basepoints, const int64 *__restrict__ lengths,
              const int64 *__restrict__ windows, int64 n_windows, int64 n_rows, int64 n_points, int64 chunks,
              int64 chunk_steps, const REAL *__restrict__ initial, const REAL *__restrict__ before, REAL *out) {
    SHARED_ARRAY(REAL, tile, STEPS * CHANNELS * UNIT_STRIDE);
    SHARED_ARRAY(int64, point, UNITS);
    SHARED_ARRAY(int64, base, UNITS);
    SHARED_ARRAY(int64, target, UNITS);
    SHARED_ARRAY(int, steps, UNITS);
    const Paths paths{points, basepoints, lengths, windows, n_windows, n_rows, n_points, chunks, chunk_steps};
    const Sources sources{point, base, target, steps};
    const Place p = place_of(paths);
    int longest = find_sources(paths, sources, 0);
    int letters[PREFIX + 1];
    find_letters(p, letters);

    REAL low[PREFIX + 1], owned[OWNED];
#pragma unroll
    for (int k = 0; k <= PREFIX; ++k) low[k] = 0;
#pragma unroll
    for (int i = 0; i < OWNED; ++i) owned[i] = 0;
    const REAL *start = nullptr;
    if (p.chunk == 0 && initial) start = initial + p.row * WORDS;
    if (p.chunk > 0 && before) start = before + (p.index - 1) * WORDS;
    if (start)
        over_words<OWN>(p, [&](int i, int at) {
            if (i < 0)
                low[-i] = start[at];
            else
                owned[i] = start[at];
        });

    const int64 row_steps = paths.steps();
    int64 rows = 0;  // of this unit, in streams
    if (STREAM) {
        rows = minimum(row_steps - p.chunk * chunk_steps, chunk_steps);
        longest = static_cast<int>(minimum(chunk_steps, row_steps));
    }
    REAL *to = out + (STREAM ? p.row * row_steps + p.chunk * chunk_steps : p.index) * WORDS;
    const auto store = [&] {
        over_words<OWN - 1>(p, [&](int i, int at) {
            if (i >= 0)
                to[at] = owned[i];
            else if (stands_for(p, -i))
                to[at] = low[-i];
        });
        // The last level: neighbours in memory.
        const int at = Count<CHANNELS, DEPTH - 1>::value + p.prefix * (Power<CHANNELS, OWN>::value) +
                       (TILES > 1 ? p.tile * LETTERS : 0);
#pragma unroll
        for (int i = 0; i < OWNED - SHORT; i += PACK) {
            if (TILES > 1 && p.tile * LETTERS + i >= CHANNELS) continue;
            Pack pack;
#pragma unroll
            for (int v = 0; v < PACK; ++v) pack.v[v] = owned[SHORT + i + v];
            *reinterpret_cast<Pack *>(to + at + i) = pack;
        }
    };

    for (int first = 0; first < longest; first += STEPS) {
        load_tile(paths, sources, first, tile);
        const int count = minimum(STEPS, longest - first);
        for (int s = 0; s < count; ++s) {
            Increment z;
            z.load(p, letters, s, tile);
            advance<OWN>(z, low, owned);
            if (STREAM) {
                if (p.busy && first + s < rows) store();
                to += WORDS;
            }
        }
    }
    if (!STREAM && p.busy) store();
}
