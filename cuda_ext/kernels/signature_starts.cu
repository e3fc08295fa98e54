// Adds up the parts of gradients that the slots of signature_stream_reverse.cu have of the words up to PREFIX letters.
// Work: a thread for each unit and word.

KERNEL void __launch_bounds__(THREADS)
    signature_starts(const REAL *__restrict__ lows, int64 n_rows, int64 chunks, REAL *starts, REAL *first_starts) {
    constexpr int count = Count<CHANNELS, PREFIX>::value;
    const int64 number = static_cast<int64>(block_index()) * THREADS + thread_index();
    const int64 unit = number / (count > 0 ? count : 1), row = unit / chunks, chunk = unit - row * chunks;
    if (count == 0 || row >= n_rows || (chunk == 0 && !first_starts)) return;
    const int at = static_cast<int>(number - unit * count);
    int word = at, level = 1, size = CHANNELS;
    while (word >= size) word -= size, size *= CHANNELS, ++level;
    const int slots = SLOTS / size;  // that begin with the word
    const REAL *from = lows + (unit * SLOTS + static_cast<int64>(word) * slots) * PREFIX + level - 1;
    REAL sum = 0;
    for (int i = 0; i < slots; ++i) sum += from[static_cast<int64>(i) * PREFIX];
    (chunk > 0 ? starts + (unit - 1) * WORDS : first_starts + row * WORDS)[at] = sum;
}
