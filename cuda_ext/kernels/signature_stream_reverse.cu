// Gradients of the increments of streams, given those of the signatures of all beginnings, (n_rows, steps, words).
//
// Work: as in signature.cu, with OWN = 1. A thread adds the gradient of a beginning when it comes to its step, and takes
// the sum back through the step. The numbers before the step are read from `out`, the stream itself.
// ends: gradients behind each chunk, row for row of units, from the chunks that follow; or null: nothing follows.
// partial: (PARTS, n_rows, row_steps, CHANNELS) of the increments, or null.
// lows, starts: gradients at the beginning of each chunk, or null. starts has the rows that ends has, one earlier, as the
// chunk in front ends where this one begins; first_starts those of first chunks, or null. Words of the last level are
// written there; of the others, lows gets the parts of the slots, (units, SLOTS, PREFIX), which signature_starts adds up.

KERNEL void __launch_bounds__(THREADS)
    signature_stream_reverse(const REAL *__restrict__ points, const REAL *__restrict__ basepoints,
                             const int64 *__restrict__ lengths, int64 n_rows, int64 n_points, int64 chunks,
                             int64 chunk_steps, const REAL *__restrict__ initial, const REAL *__restrict__ out,
                             const REAL *__restrict__ gradients, const REAL *__restrict__ ends, REAL *partial,
                             REAL *lows, REAL *starts, REAL *first_starts) {
    SHARED_ARRAY(REAL, tile, STEPS * CHANNELS * UNIT_STRIDE);
    SHARED_ARRAY(REAL, sums, STEPS * SUM_ROWS * SUM_STRIDE);
    SHARED_ARRAY(int64, point, UNITS);
    SHARED_ARRAY(int64, base, UNITS);
    SHARED_ARRAY(int64, target, UNITS);
    SHARED_ARRAY(int, steps, UNITS);
    const Paths paths{points, basepoints, lengths, nullptr, 1, n_rows, n_points, chunks, chunk_steps};
    const Sources sources{point, base, target, steps};
    const Place p = place_of(paths);
    find_sources(paths, sources, paths.steps());
    int letters[PREFIX + 1];
    find_letters(p, letters);

    REAL low[PREFIX + 1], owned[OWNED], low_gradient[PREFIX + 1], gradient[OWNED];
#pragma unroll
    for (int k = 0; k <= PREFIX; ++k) low[k] = low_gradient[k] = 0;
#pragma unroll
    for (int i = 0; i < OWNED; ++i) owned[i] = gradient[i] = 0;
    const auto add = [&](const REAL *row) {
        over_words<OWN>(p, [&](int i, int at) {
            if (i >= 0)
                gradient[i] += row[at];
            else if (stands_for(p, -i))
                low_gradient[-i] += row[at];
        });
    };
    if (ends) add(ends + p.index * WORDS);

    const int64 row_steps = paths.steps();
    const int64 begin = p.chunk * chunk_steps, before = p.row * row_steps + begin;
    const int rows = static_cast<int>(minimum(row_steps - begin, chunk_steps));
    const int longest = static_cast<int>(minimum(chunk_steps, row_steps));
    for (int first = (longest - 1) / STEPS * STEPS; first >= 0; first -= STEPS) {
        load_tile(paths, sources, first, tile);
#pragma unroll 1
        for (int s = STEPS - 1; s >= 0; --s) {
            const int t = first + s;
            Increment z, z_back;
            z.load(p, letters, s, tile);
            if (t < rows) {
                add(gradients + (before + t) * WORDS);
                const REAL *state = initial ? initial + p.row * WORDS : nullptr;
                if (begin + t > 0) state = out + (before + t - 1) * WORDS;
                over_words<OWN - 1>(p, [&](int i, int at) { low[-i] = state ? state[at] : REAL(0); });
                retreat(z, low, owned, low_gradient, gradient, z_back);
            } else {
#pragma unroll
                for (int c = 0; c < LETTERS; ++c) z_back.own[c] = 0;
#pragma unroll
                for (int k = 1; k <= PREFIX; ++k) z_back.low[k] = 0;
            }
            keep_sums(z_back, letters, s, sums);
        }
        if (partial) add_up(sources, first, sums, partial);
    }
    if (!lows || !p.busy) return;
    REAL *const own_lows = lows + (p.index * SLOTS + p.slot) * PREFIX;
    REAL *row = p.chunk > 0 ? starts + (p.index - 1) * WORDS : first_starts;
    if (p.chunk == 0 && row) row += p.row * WORDS;
    over_words<OWN>(p, [&](int i, int at) {
        if (i < 0)
            own_lows[-i - 1] = low_gradient[-i];
        else if (row)
            row[at] = gradient[i];
    });
}
