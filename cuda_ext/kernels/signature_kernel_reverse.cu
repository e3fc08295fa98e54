// Gradients of signature kernels by the increments, in their place in the table.
//
// Work: a warp for a strip of a pair, from the lowest up. It sweeps the strip once more from the row above it, which
// `signature_kernel_sweep` has kept, and writes all values to `nodes`, where each warp has room for one strip; then it
// goes back from the last column to the first. The lowest lane is the first; each of the others is a column behind it.
// f[i][j] is the derivative of the weighted value by that of cell (i, j); what it hands up to the row above goes from lane
// to lane by shuffles, and from strip to strip through `flow`, a row for each pair. Where several lanes share a step of x,
// the sum over their cells goes the same way, and the highest one writes it.

KERNEL void __launch_bounds__(64)
    signature_kernel_reverse(const int64 *__restrict__ x_steps, const int64 *__restrict__ y_steps, int64 first_x,
                             int64 first_y, int64 width, int upper, int64 n_pairs, int x_order, int y_order,
                             int64 max_cols, int64 strip_begin, int64 strip_end, REAL *table, REAL *edges,
                             int64 edge_stride, int64 edges_of_pair, int *progress, const REAL *__restrict__ weights,
                             int64 n_y, REAL *nodes, REAL *flow) {
    const Pairs pairs = {x_steps, y_steps, first_x, first_y, width, upper};
    const Layout layout = {x_order, y_order, max_cols, strip_end - strip_begin};
    const int l = lane(), mask = (1 << y_order) - 1;
    const int sharing = x_order > 2 ? 1 << (x_order - 2) : 1, place = l % sharing;  // lanes of a step of x
    Four *const own = (Four *)nodes + warp_index() * (((max_cols << y_order) + 31) * 32);
    for (;;) {
        int taken = 0;
        if (l == 0) taken = atomic_add(progress + layout.strips * n_pairs, 1);
        const int64 task = shuffle(taken, 0);
        if (task >= layout.strips * n_pairs) return;
        const int64 k = task % n_pairs, strips = pairs.cols(k) > 0 ? layout.strips_of(pairs.rows(k)) : 0;
        const int64 strip = minimum(strip_end, strips) - 1 - task / n_pairs;
        if (strip < strip_begin) continue;
        const int cols = (int)pairs.cols(k), grid_cols = cols << y_order;
        REAL *const edge = edges + k * edges_of_pair + strip * edge_stride;
        const Edge above = {strip > 0 ? edge : nullptr, edge + n_pairs * edges_of_pair};
        REAL *const strip_table = table + layout.strip_place(k, strip - strip_begin);
        sync_warp();  // the strip before has been read
        sweep_strip(layout, strip_table, cols, above, nullptr, Edge{nullptr, nullptr}, nullptr,
                    [&](int s, const REAL(&values)[ROWS]) {
                        Four four;
#pragma unroll
                        for (int r = 0; r < ROWS; ++r) four.v[r] = values[r];
                        own[(int64)s * 32 + l] = four;
                    });
        sync_warp();

        const bool has_below = strip < strips - 1;
        const int *const ready = has_below && task >= n_pairs ? progress + task - n_pairs : nullptr;
        REAL *const flow_row = flow + k * (max_cols << y_order);
        // The values of a column in the lane's rows, and in the one above them.
        auto load = [&](int col, REAL(&values)[ROWS + 1]) {
#pragma unroll
            for (int r = 0; r <= ROWS; ++r) values[r] = 1;
            if (col < 0) return;
            const Four *const at = own + ((int64)col * 32 + 33 * l);
            const Four four = *at;
#pragma unroll
            for (int r = 0; r < ROWS; ++r) values[r + 1] = four.v[r];
            if (l > 0)
                values[0] = at[-33].v[ROWS - 1];
            else if (strip > 0)
                values[0] = edge[col];
        };
        // √3 is that of the derivative of √3 g' + g'², of which it has been taken out below.
        const REAL weight = weights[pairs.place(pairs.x(k), pairs.y(k), n_y)] * ROOT_3;
        REAL f[ROWS], g[ROWS], c1[ROWS], c2[ROWS], sums[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            f[r] = weight;
            g[r] = c1[r] = c2[r] = sums[r] = 0;
        }
        REAL here[ROWS + 1], left[ROWS + 1], ahead[ROWS + 1];  // values of this column, of the next two to the left
        load(grid_cols - 1, here);
        load(grid_cols - 2, ahead);
        REAL handed_up = 0, sum_so_far = 0, edge_flow = 0;
        int seen = 0;
        Increments<true> increments(layout, strip_table, cols);
        for (int s = 0; s < grid_cols + 31; ++s) {
            if ((s & mask) == 0) increments.advance();
            const int col = grid_cols - 1 - (s - (31 - l));
            REAL below = shuffle_down(handed_up, 1);
            const REAL sum_below = shuffle_down(sum_so_far, 1);
            if (has_below) {
                if ((s & 31) == 0 && s < grid_cols) {
                    wait_for(ready, seen, minimum(s + 32, grid_cols));
                    if (s + l < grid_cols) edge_flow = flow_row[grid_cols - 1 - s - l];
                }
                const REAL first = shuffle(edge_flow, s & 31);
                if (l == 31) below = first;
            } else if (l == 31) {
                below = 0;
            }
            if (col >= grid_cols || col < 0) continue;
#pragma unroll
            for (int r = 0; r <= ROWS; ++r) left[r] = ahead[r];
            load(col - 2, ahead);
            const bool enters = ((col + 1) & mask) == 0;  // another step of y
#pragma unroll
            for (int back = 0; back < ROWS; ++back) {
                const int r = ROWS - 1 - back;
                const REAL before = f[r], right2 = c2[r], step = fused(c1[r], before, below);
                if (enters) {
                    g[r] = increments.here[r];
                    c2[r] = g[r] * g[r];
                    c1[r] = fused(g[r], ROOT_3, c2[r]);
                }
                f[r] = before + step;
                below = step + fused(c1[r], f[r], right2 * before);
                const REAL sides = left[r + 1] + here[r];
                const REAL slope = fused(g[r], (sides + left[r]) * (REAL)1.1547005383792515290, sides);
                sums[r] = fused(f[r], slope, sums[r]);
            }
            handed_up = below;
#pragma unroll
            for (int r = 0; r <= ROWS; ++r) here[r] = left[r];
            if (l == 0 && strip > 0) {
                flow_row[col] = handed_up;
                const int count = grid_cols - col;
                if ((count & 31) == 0 || col == 0) store_release(progress + task, count);
            }
            if ((col & mask) != 0) continue;
            REAL *const to = strip_table + layout.place((l * ROWS) >> x_order, col >> y_order);
            if (x_order == 0) {
                Four four;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) four.v[r] = sums[r];
                *(Four *)to = four;
            } else if (x_order == 1) {
                to[0] = sums[0] + sums[1];
                to[1] = sums[2] + sums[3];
            } else {
                sum_so_far = (sums[0] + sums[1]) + (sums[2] + sums[3]);
                if (place < sharing - 1) sum_so_far += sum_below;
                if (place == 0) *to = sum_so_far;
            }
#pragma unroll
            for (int r = 0; r < ROWS; ++r) sums[r] = 0;
        }
    }
}
