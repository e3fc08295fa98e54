// From gradients by the increments, as `signature_kernel_reverse` leaves them in the table, to a plain matrix for each
// pair: (matrix_rows, matrix_cols), at row out_row of the out_numbers numbers of the pair.
//   STATIC 1: what differences of points are weighted by. A value at two points is in the increments of the steps before
//   and after them, so there is a row and a column more; a row between two chunks gets something from both.
//   STATIC 2: gradients by the increments that were given.
//
// Work: a thread for a number.

KERNEL void __launch_bounds__(256)
    signature_kernel_weights(const int64 *__restrict__ x_steps, const int64 *__restrict__ y_steps, int64 first_x,
                             int64 first_y, int64 width, int upper, int64 n_pairs, int x_order, int y_order,
                             int64 max_cols, int64 strip_begin, int64 strip_end, const REAL *__restrict__ x,
                             const REAL *__restrict__ y, int64 x_length, int64 y_length, int64 channels, double scale,
                             double factor, const REAL *__restrict__ table, REAL *__restrict__ out, int64 out_numbers,
                             int64 out_row, int64 matrix_rows, int64 matrix_cols) {
    const Pairs pairs = {x_steps, y_steps, first_x, first_y, width, upper};
    const Layout layout = {x_order, y_order, max_cols, strip_end - strip_begin};
    const int64 size = matrix_rows * matrix_cols, units = layout.units(), base = strip_begin * units;
    for (int64 at = (int64)block_index() * block_size() + thread_index(); at < n_pairs * size;
         at += (int64)blocks_in_grid() * block_size()) {
        const int64 k = at / size, i = at % size / matrix_cols, j = at % matrix_cols;
        const int64 n = minimum(pairs.rows(k) - base, layout.strips * units), m = pairs.cols(k);
        REAL &to = out[k * out_numbers + (out_row + i) * matrix_cols + j];
        auto gradient = [&](int64 u, int64 c) {
            if (u < 0 || u >= n || c < 0 || c >= m) return REAL(0);
            return table[layout.strip_place(k, u / units) + layout.place((int)(u % units), c)];
        };
#if STATIC == 1
        if (i > n || j > m || n <= 0) {
            to = 0;
            continue;
        }
        const REAL back = (gradient(i - 1, j - 1) - gradient(i - 1, j)) - (gradient(i, j - 1) - gradient(i, j));
        const REAL *const of_x = x + (pairs.x(k) * x_length + base + i) * channels;
        const REAL *const of_y = y + (pairs.y(k) * y_length + j) * channels;
        REAL sum = 0;
        for (int64 q = 0; q < channels; ++q) {
            const REAL difference = of_x[q] - of_y[q];
            sum = fused(difference, difference, sum);
        }
        to = back * exp(-(REAL)scale * sum) * (REAL)(-2 * scale * factor);
#else
        to = gradient(i, j) * (REAL)factor;
#endif
    }
}
