// The range of every feature of every series, to bound the costs of a pair without looking at its cells.
//
// Work: one block for each part of a series; a long series is cut into `parts`, so that few of them still fill the
// device. A thread sees one feature only: it walks through the part with a stride of whole time steps. A NaN makes the
// range of its feature infinite: costs that overflow, as those of an infinite number do.
// Shared memory: low and high, one of each for a thread.

#define THREADS 256
#define INFINITE from_bits(int64(0x7ff0000000000000))

KERNEL void ranges(const STORE *values, const int64 *offsets, int64 n_series, int64 n_features, int parts, STORE *low,
                   STORE *high) {
    SHARED_ARRAY(STORE, lows, THREADS);
    SHARED_ARRAY(STORE, highs, THREADS);
    const int thread = thread_index();
    for (int64 task = block_index(); task < n_series * parts; task += blocks_in_grid()) {
        const int64 series = task / parts, part = task % parts;
        const int64 first = offsets[series], length = offsets[series + 1] - first;
        int64 begin = length * part / parts, end = length * (part + 1) / parts;
        if (begin == end) begin = 0, end = 1;  // more parts than time steps: the first one once more
        for (int64 k0 = 0; k0 < n_features; k0 += THREADS) {
            const int width = static_cast<int>(minimum(int64(THREADS), n_features - k0));
            int groups = THREADS / width;
            const int group = thread / width;
            if (group < groups) {
                const STORE *at = values + first * n_features + k0 + thread % width;
                STORE lowest = at[begin * n_features], highest = lowest;
                bool valid = lowest == lowest;
                for (int64 t = begin + group; t < end; t += groups) {
                    const STORE value = at[t * n_features];
                    lowest = minimum(lowest, value);
                    highest = maximum(highest, value);
                    valid = valid && value == value;
                }
                lows[thread] = valid ? lowest : STORE(-INFINITE);
                highs[thread] = valid ? highest : STORE(INFINITE);
            }
            sync_block();
            while (groups > 1) {
                const int half = (groups + 1) / 2;
                if (group < groups - half) {
                    lows[thread] = minimum(lows[thread], lows[thread + half * width]);
                    highs[thread] = maximum(highs[thread], highs[thread + half * width]);
                }
                groups = half;
                sync_block();
            }
            if (thread < width) {
                low[task * n_features + k0 + thread] = lows[thread];
                high[task * n_features + k0 + thread] = highs[thread];
            }
            sync_block();
        }
    }
}
