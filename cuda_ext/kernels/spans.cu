// Where the nonzero entries of each row of a table lie: of E along an optimal path they are neighbours in a row.
//
// Work: one warp for a row. out[row] is the first and the last column, or -1 twice where there is none.

KERNEL void spans(const REAL *__restrict__ table, int64 rows, int64 cols, int64 *__restrict__ out) {
    for (int64 row = warp_index(); row < rows; row += warps_in_grid()) {
        int64 first = cols, last = -1;
        for (int64 j = lane(); j < cols; j += 32) {
            if (table[row * padded(cols) + j] == 0) continue;
            first = minimum(first, j);
            last = maximum(last, j);
        }
        for (int other = 16; other > 0; other /= 2) {
            first = minimum(first, shuffle_xor(first, other));
            last = maximum(last, shuffle_xor(last, other));
        }
        if (lane() == 0) {
            out[2 * row] = last < 0 ? -1 : first;
            out[2 * row + 1] = last;
        }
    }
}
