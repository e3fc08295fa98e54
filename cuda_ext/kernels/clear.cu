// Gradients with respect to the series of each pair begin as 0; as NaN where the costs of the pair overflow.
//
// Work: one block for a part of a pair's series; either gradient may be null.

KERNEL void clear(const uint8 *methods, const int64 *x_offsets, const int64 *y_offsets, int64 n_pairs, int64 n_features,
                  int parts, STORE *grad_x, STORE *grad_y) {
    for (int64 task = block_index(); task < 2 * n_pairs * parts; task += blocks_in_grid()) {
        const int64 pair = task / 2 / parts, part = task / 2 % parts;
        STORE *const gradient = task % 2 ? grad_y : grad_x;
        if (!gradient) continue;
        const int64 *const offsets = task % 2 ? y_offsets : x_offsets;
        const int64 first = offsets[pair] * n_features, count = series_length(offsets, pair) * n_features;
        const STORE value = methods[pair] == 255 ? STORE(from_bits(int64(0x7ff8000000000000))) : STORE(0);
        const int64 end = count * (part + 1) / parts;
        for (int64 k = count * part / parts + thread_index(); k < end; k += block_size()) gradient[first + k] = value;
    }
}
