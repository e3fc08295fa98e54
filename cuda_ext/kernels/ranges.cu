// The range of every feature of every series, to bound the costs of a pair without looking at its cells.
//
// Of one batch, or of two. Work: one block for each part of a series; a long series is cut into parts, so that few of
// them still fill the device. A thread sees one feature only: it walks through the part with a stride of whole time
// steps. A NaN makes the range of its feature infinite: costs that overflow, as those of an infinite number do.
// Shared memory: low and high, one of each for a thread.

#define THREADS 256
#define INFINITE from_bits(int64(0x7ff0000000000000))

KERNEL void ranges(const STORE *x, const int64 *x_offsets, int64 n_x, int x_parts, STORE *x_low, STORE *x_high,
                   const STORE *y, const int64 *y_offsets, int64 n_y, int y_parts, STORE *y_low, STORE *y_high,
                   int64 n_features) {
    SHARED_ARRAY(STORE, lows, THREADS);
    SHARED_ARRAY(STORE, highs, THREADS);
    const int thread = thread_index();
    const int64 tasks_of_x = n_x * x_parts;
    for (int64 at_all = block_index(); at_all < tasks_of_x + n_y * y_parts; at_all += blocks_in_grid()) {
        const bool of_y = at_all >= tasks_of_x;
        const STORE *const values = of_y ? y : x;
        const int64 *const offsets = of_y ? y_offsets : x_offsets;
        STORE *const low = of_y ? y_low : x_low, *const high = of_y ? y_high : x_high;
        const int parts = of_y ? y_parts : x_parts;
        const int64 task = of_y ? at_all - tasks_of_x : at_all, series = task / parts, part = task % parts;
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
