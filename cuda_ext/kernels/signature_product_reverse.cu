// The adjoint of signature_product.cu: gradients of a and b, at the places where they were read; either may be null.
// With add_a (add_b) they are added to what is there. levels: of the words of `gradient`, whose place i is i + g_shift of
// count_g.
//
// Work: items of a warp. An item is 32 words of the last two levels, of which few sums of CHANNELS products are taken, a
// lane for each; or one word of the levels before, whose sums run over all longer words, shared among the lanes.

KERNEL void __launch_bounds__(THREADS)
    signature_product_reverse(const REAL *__restrict__ a, const REAL *__restrict__ b, const REAL *__restrict__ gradient,
                              int64 n_rows, int64 count_a, int64 count_b, int64 count_out, int64 a_words, int64 b_words,
                              int64 out_words, int64 a_scale, int64 a_shift, int64 b_scale, int64 b_shift,
                              int64 count_g, int64 g_shift, double alpha, double beta, int levels, int add_a, int add_b,
                              REAL *a_back, REAL *b_back) {
    // The words in front of the last two levels, and of those the first.
    int shorter = 0, power = 1;
    for (int k = 1; k <= levels - 2; ++k) shorter += (power *= CHANNELS);
    const int words = static_cast<int>(out_words), groups = (words - shorter + 31) / 32, items = shorter + groups;
    const int64 total = n_rows * count_out * items;
    for (int64 task = warp_index(); task < total; task += warps_in_grid()) {
        const int64 place = task / items, r = place / count_out, i = place - r * count_out;
        const int item = static_cast<int>(task - place * items);
        const int64 i_a = a_scale * i + a_shift, i_b = b_scale * i + b_shift;
        const bool has_a = i_a >= 0 && i_a < count_a, has_b = i_b >= 0 && i_b < count_b;
        const int64 row_a = (r * count_a + i_a) * a_words, row_b = (r * count_b + i_b) * b_words;
        const REAL *const g = gradient + (r * count_g + i + g_shift) * out_words;
        const bool single = item >= groups;  // a word of all lanes
        int at = single ? item - groups : shorter + item * 32 + lane();
        const bool inside = at < words;
        at = minimum(at, words - 1);
        int word = at, size = CHANNELS, level = 1;
        while (word >= size) word -= size, size *= CHANNELS, ++level;
        // Sums over words of j letters more: `size` is the number of words of this level.
        const bool both = has_a && has_b;
        REAL sum_a = 0, sum_b = 0;
        int start = at - word, short_start = 0, short_size = 1;
        for (int j = 1; level + j <= levels && both; ++j) {
            start += size * short_size;
            short_size *= CHANNELS;
            for (int v = single ? lane() : 0; v < short_size; v += single ? 32 : 1) {
                if (a_back) sum_a = fused(g[start + word * short_size + v], b[row_b + short_start + v], sum_a);
                if (b_back) sum_b = fused(g[start + v * size + word], a[row_a + short_start + v], sum_b);
            }
            short_start += short_size;
        }
        if (single) {
#pragma unroll
            for (int mask = 16; mask > 0; mask >>= 1) {
                sum_a += shuffle_xor(sum_a, mask);
                sum_b += shuffle_xor(sum_b, mask);
            }
        }
        if (!inside || (single && lane() > 0)) continue;
        if (a_back && has_a && at < a_words) {
            sum_a = fused(has_b ? static_cast<REAL>(alpha) : REAL(1), g[at], sum_a);
            REAL &to = a_back[row_a + at];
            to = add_a ? to + sum_a : sum_a;
        }
        if (b_back && has_b) {
            sum_b = fused(has_a ? static_cast<REAL>(beta) : REAL(1), g[at], sum_b);
            REAL &to = b_back[row_b + at];
            to = add_b ? to + sum_b : sum_b;
        }
    }
}
