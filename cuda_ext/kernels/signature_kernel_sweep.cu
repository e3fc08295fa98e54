// Values of signature kernels, from a table of increments.
//
// Work: a warp for a strip of a pair (signature_kernel.cuh); strips that lie higher are taken first, so that a warp never
// waits for one that has not begun. `edges` has the row above each strip, all values and then all steps, edge_stride
// numbers after that of the strip before: 0 where none of them is wanted again. Without `out` that is all that is wanted.
// `progress` says how many columns of a task are done; behind it is the number of tasks that have been taken.

KERNEL void __launch_bounds__(64)
    signature_kernel_sweep(const int64 *__restrict__ x_steps, const int64 *__restrict__ y_steps, int64 first_x,
                           int64 first_y, int64 width, int upper, int64 n_pairs, int x_order, int y_order,
                           int64 max_cols, int64 strip_begin, int64 strip_end, const REAL *__restrict__ table,
                           REAL *edges, int64 edge_stride, int64 edges_of_pair, int *progress, REAL *__restrict__ out,
                           int64 n_y) {
    const Pairs pairs = {x_steps, y_steps, first_x, first_y, width, upper};
    const Layout layout = {x_order, y_order, max_cols, strip_end - strip_begin};
    for (;;) {
        int taken = 0;
        if (lane() == 0) taken = atomic_add(progress + layout.strips * n_pairs, 1);
        const int64 task = shuffle(taken, 0);
        if (task >= layout.strips * n_pairs) return;
        const int64 strip = strip_begin + task / n_pairs, k = task % n_pairs;
        const int64 cols = pairs.cols(k), strips = cols > 0 ? layout.strips_of(pairs.rows(k)) : 0;
        const bool last = strip >= strips - 1;
        if (strip >= strips || (last && !out)) continue;
        REAL *const edge = edges + k * edges_of_pair + strip * edge_stride;
        const int64 steps = n_pairs * edges_of_pair;
        const Edge above = {strip > 0 ? edge : nullptr, edge + steps};
        const Edge below = {last ? nullptr : edge + edge_stride, edge + edge_stride + steps};
        const REAL value = sweep_strip(layout, table + layout.strip_place(k, strip - strip_begin), (int)cols, above,
                                       strip > strip_begin ? progress + task - n_pairs : nullptr, below,
                                       progress + task, [](int, const REAL(&)[ROWS]) {});
        if (!last || lane() < 31) continue;
        const int64 i = pairs.x(k), j = pairs.y(k);
        out[pairs.place(i, j, n_y)] = value;
        if (upper) out[pairs.place(j, i, n_y)] = value;
    }
}
