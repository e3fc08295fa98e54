// From gradients of increments to those of points and basepoints: sums over parts and windows, and differences.
// partial: (parts, n_rows, row_steps, channels), of which the steps up to the length of each row count.
// windows: sorted by their starts, the i-th of them being row order[i] of each path; or null.
// Work: a thread for each number of a point, or of a basepoint. The windows that a point can lie in are neighbours: those
// that start at most row_steps in front of it. Sums run in their order.

KERNEL void __launch_bounds__(THREADS)
    signature_points(const REAL *__restrict__ partial, const int64 *__restrict__ lengths,
                     const int64 *__restrict__ windows, const int64 *__restrict__ order, int64 n_windows, int64 n_paths,
                     int64 n_points, int64 channels, int64 parts, int64 row_steps, REAL *points, REAL *basepoints) {
    const int64 each = n_points + (basepoints ? 1 : 0);
    const int64 number = static_cast<int64>(block_index()) * THREADS + thread_index();
    const int64 c = number % channels, place = number / channels, path = place / each;
    if (path >= n_paths) return;
    const int64 i = place - path * each;  // which point, the basepoint counted as one
    int64 points_of_path = n_points;
    if (lengths) points_of_path = minimum(points_of_path, lengths[path]);
    if (basepoints) ++points_of_path;
    int64 w = 0;
    if (windows) {  // the first that starts at i - row_steps or later
        int64 end = n_windows;
        while (w < end) {
            const int64 middle = (w + end) / 2;
            if (windows[2 * middle] < i - row_steps)
                w = middle + 1;
            else
                end = middle;
        }
    }
    REAL sum = 0;
    for (; w < n_windows; ++w) {
        const int64 first = windows ? windows[2 * w] : 0;
        const int64 end = windows ? minimum(windows[2 * w + 1], points_of_path) : points_of_path;
        if (first > i) break;
        if (i >= end) continue;
        const int64 row = path * n_windows + (windows ? order[w] : w);
        for (int64 part = 0; part < parts; ++part) {
            const REAL *const at = partial + (part * n_paths * n_windows + row) * row_steps * channels + c;
            if (i > first) sum += at[(i - first - 1) * channels];
            if (i + 1 < end) sum -= at[(i - first) * channels];
        }
    }
    if (basepoints && i == 0)
        basepoints[path * channels + c] = sum;
    else
        points[(path * n_points + i - (basepoints ? 1 : 0)) * channels + c] = sum;
}
