// A sparse linear map of rows: out[r, i] = Σ values[e] x[r, columns[e]], begins[i] <= e < begins[i + 1].
// Work: a thread for each number of the result.

KERNEL void __launch_bounds__(THREADS)
    signature_linear(const REAL *__restrict__ x, const int *__restrict__ begins, const int *__restrict__ columns,
                     const REAL *__restrict__ values, int64 n_rows, int64 in_words, int64 out_words, REAL *out) {
    const int64 number = static_cast<int64>(block_index()) * THREADS + thread_index();
    const int64 row = number / out_words;
    if (row >= n_rows) return;
    const int i = static_cast<int>(number - row * out_words);
    const REAL *const from = x + row * in_words;
    REAL sum = 0;
    for (int e = begins[i]; e < begins[i + 1]; ++e) sum = fused(values[e], from[columns[e]], sum);
    out[number] = sum;
}
