// From gradients of increments to those of points and basepoints: sums over parts and windows, and differences.
// partial: (parts, n_rows, row_steps, channels), of which the steps up to the length of each row count.
// Work: a thread for each number of a point, or of a basepoint; windows are looked at one by one, in their order.

KERNEL void __launch_bounds__(THREADS)
    signature_points(const REAL *__restrict__ partial, const int64 *__restrict__ lengths,
                     const int64 *__restrict__ windows, int64 n_windows, int64 n_paths, int64 n_points, int64 channels,
                     int64 parts, int64 row_steps, REAL *points, REAL *basepoints) {
    const int64 each = n_points + (basepoints ? 1 : 0);
    const int64 number = static_cast<int64>(block_index()) * THREADS + thread_index();
    const int64 c = number % channels, place = number / channels, path = place / each;
    if (path >= n_paths) return;
    const int64 i = place - path * each;  // which point, the basepoint counted as one
    int64 points_of_path = n_points;
    if (lengths) points_of_path = minimum(points_of_path, lengths[path]);
    if (basepoints) ++points_of_path;
    REAL sum = 0;
    for (int64 w = 0; w < n_windows; ++w) {
        const int64 first = windows ? windows[2 * w] : 0;
        const int64 end = windows ? minimum(windows[2 * w + 1], points_of_path) : points_of_path;
        if (i < first || i >= end) continue;
        for (int64 part = 0; part < parts; ++part) {
            const REAL *const row = partial + ((part * n_paths + path) * n_windows + w) * row_steps * channels + c;
            if (i > first) sum += row[(i - first - 1) * channels];
            if (i + 1 < end) sum -= row[(i - first) * channels];
        }
    }
    if (basepoints && i == 0)
        basepoints[path * channels + c] = sum;
    else
        points[(path * n_points + i - (basepoints ? 1 : 0)) * channels + c] = sum;
}
