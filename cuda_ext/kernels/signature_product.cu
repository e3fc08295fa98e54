// Truncated tensor products of rows of words: for each of n_rows and i < count_out
//     out[r, i] = alpha a[r, a_scale i + a_shift] + beta b[r, b_scale i + b_shift] + Σ a_j ⊗ b_{k-j}
// of words of up to `levels` letters. Where one factor has no such place the other one is copied, as if it were 1: this
// is how neighbours are multiplied, or a row by one that stands `shift` in front. a need not have the last level if alpha
// is 0. Work: a thread for each word.

KERNEL void __launch_bounds__(THREADS)
    signature_product(const REAL *__restrict__ a, const REAL *__restrict__ b, int64 n_rows, int64 count_a,
                      int64 count_b, int64 count_out, int64 a_words, int64 b_words, int64 out_words, int64 a_scale,
                      int64 a_shift, int64 b_scale, int64 b_shift, double alpha, double beta, REAL *out) {
    const int64 number = static_cast<int64>(block_index()) * THREADS + thread_index();
    const int64 place = number / out_words, r = place / count_out, i = place - r * count_out;
    if (r >= n_rows) return;
    const int at = static_cast<int>(number - place * out_words);
    const int64 i_a = a_scale * i + a_shift, i_b = b_scale * i + b_shift;
    const REAL *const from_a = a + (r * count_a + i_a) * a_words, *const from_b = b + (r * count_b + i_b) * b_words;
    if (i_b < 0 || i_b >= count_b) {
        out[number] = from_a[at];
        return;
    }
    if (i_a < 0 || i_a >= count_a) {
        out[number] = from_b[at];
        return;
    }
    unsigned word = static_cast<unsigned>(at), size = CHANNELS;  // of this level
    int level = 1;
    while (word >= size) word -= size, size *= CHANNELS, ++level;
    REAL sum = static_cast<REAL>(beta) * from_b[at];
    if (alpha != 0) sum = fused(static_cast<REAL>(alpha), from_a[at], sum);
    // The last j letters are b's; their levels begin at start_b, those of the others at start_a.
    unsigned beginning = word, ending = 0, power = 1, start_b = 0, start_a = at - word, size_a = size;
    for (int j = 1; j < level; ++j) {
        ending += beginning % CHANNELS * power;
        beginning /= CHANNELS;
        power *= CHANNELS;
        size_a /= CHANNELS;
        start_a -= size_a;
        sum = fused(from_a[start_a + beginning], from_b[start_b + ending], sum);
        start_b += power;
    }
    out[number] = sum;
}
