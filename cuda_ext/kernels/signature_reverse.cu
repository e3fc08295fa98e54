// Gradients of the increments of units, given those of their signatures (from 1, without initial ones).
//
// Work: as in signature.cu. A thread takes the gradients of its words back through the steps. It needs the numbers before
// each step, of all levels but the last, which are computed forward again and never divided out: states every STEPS steps
// are kept in `kept` for `spacing` stretches of them, and one more for each such group of stretches; within a stretch they
// stay in shared memory. Slots that share a beginning of words each hold a part of its gradient, as the step back is
// linear in it; one of them starts with all of it. Only gradients of increments are summed over slots, always in the same
// order; `partial` is (PARTS, n_rows, row_steps, CHANNELS).
// kept: (groups + spacing, STATE) numbers of each thread of the grid, neighbours those of neighbours.

#define STATE (PREFIX + SHORT)

KERNEL void __launch_bounds__(THREADS)
    signature_reverse(const REAL *__restrict__ points, const REAL *__restrict__ basepoints,
                      const int64 *__restrict__ lengths, const int64 *__restrict__ windows, int64 n_windows,
                      int64 n_rows, int64 n_points, int64 chunks, int64 chunk_steps, const REAL *__restrict__ gradients,
                      REAL *kept, int groups, int spacing, int64 row_steps, REAL *partial) {
    SHARED_ARRAY(REAL, tile, STEPS * CHANNELS * UNIT_STRIDE);
    SHARED_ARRAY(REAL, sums, STEPS * SUM_ROWS * SUM_STRIDE);
    SHARED_ARRAY(REAL, states, STEPS * STATE * THREADS + 1);
    SHARED_ARRAY(int64, point, UNITS);
    SHARED_ARRAY(int64, base, UNITS);
    SHARED_ARRAY(int64, target, UNITS);
    SHARED_ARRAY(int, steps, UNITS);
    const Paths paths{points, basepoints, lengths, windows, n_windows, n_rows, n_points, chunks, chunk_steps};
    const Sources sources{point, base, target, steps};
    const Place p = place_of(paths);
    const int longest = find_sources(paths, sources, row_steps), stretches = (longest + STEPS - 1) / STEPS;
    int letters[PREFIX + 1];
    find_letters(p, letters);

    REAL low[PREFIX + 1], owned[SHORT + 1], low_gradient[PREFIX + 1], gradient[OWNED];
#pragma unroll
    for (int k = 0; k <= PREFIX; ++k) low[k] = low_gradient[k] = 0;
#pragma unroll
    for (int i = 0; i <= SHORT; ++i) owned[i] = 0;
#pragma unroll
    for (int i = 0; i < OWNED; ++i) gradient[i] = 0;
    const REAL *const from = gradients + p.index * WORDS;
    over_words<OWN>(p, [&](int i, int at) {
        if (i >= 0)
            gradient[i] = from[at];
        else if (stands_for(p, -i))
            low_gradient[-i] = from[at];
    });

    const int64 threads = static_cast<int64>(blocks_in_grid()) * THREADS;
    REAL *const own_kept = kept + static_cast<int64>(block_index()) * THREADS + thread_index();
    const auto keep = [&](int64 number) {
        REAL *const to = own_kept + number * STATE * threads;
#pragma unroll
        for (int k = 1; k <= PREFIX; ++k) to[(k - 1) * threads] = low[k];
#pragma unroll
        for (int i = 0; i < SHORT; ++i) to[(PREFIX + i) * threads] = owned[i];
    };
    const auto restore = [&](int64 number) {
        const REAL *const at = own_kept + number * STATE * threads;
#pragma unroll
        for (int k = 1; k <= PREFIX; ++k) low[k] = at[(k - 1) * threads];
#pragma unroll
        for (int i = 0; i < SHORT; ++i) owned[i] = at[(PREFIX + i) * threads];
    };
    const auto run = [&](int stretch) {  // forward through STEPS steps, all but the last level
        load_tile(paths, sources, stretch * STEPS, tile);
#pragma unroll 1
        for (int s = 0; s < STEPS; ++s) {
            Increment z;
            z.load(p, letters, s, tile);
            advance<OWN - 1>(z, low, owned);
        }
    };

    const int used = (stretches + spacing - 1) / spacing;
    for (int group = 0; group < used; ++group) {
        keep(group);
        for (int i = 0; i < spacing && group + 1 < used; ++i) run(group * spacing + i);
    }
    for (int group = used - 1; group >= 0; --group) {
        const int first = group * spacing, last = minimum(first + spacing, stretches);
        restore(group);
        for (int i = first; i < last; ++i) {
            keep(groups + i - first);
            if (i + 1 < last) run(i);
        }
        for (int i = last - 1; i >= first; --i) {
            restore(groups + i - first);
            load_tile(paths, sources, i * STEPS, tile);
#pragma unroll 1
            for (int s = 0; s < STEPS; ++s) {
#pragma unroll
                for (int k = 1; k <= PREFIX; ++k) states[(s * STATE + k - 1) * THREADS + thread_index()] = low[k];
#pragma unroll
                for (int n = 0; n < SHORT; ++n) states[(s * STATE + PREFIX + n) * THREADS + thread_index()] = owned[n];
                if (s + 1 < STEPS) {
                    Increment z;
                    z.load(p, letters, s, tile);
                    advance<OWN - 1>(z, low, owned);
                }
            }
#pragma unroll 1
            for (int s = STEPS - 1; s >= 0; --s) {
#pragma unroll
                for (int k = 1; k <= PREFIX; ++k) low[k] = states[(s * STATE + k - 1) * THREADS + thread_index()];
#pragma unroll
                for (int n = 0; n < SHORT; ++n) owned[n] = states[(s * STATE + PREFIX + n) * THREADS + thread_index()];
                Increment z, z_back;
                z.load(p, letters, s, tile);
                retreat(z, low, owned, low_gradient, gradient, z_back);
                keep_sums(z_back, letters, s, sums);
            }
            add_up(sources, i * STEPS, sums, partial);
        }
    }
}
