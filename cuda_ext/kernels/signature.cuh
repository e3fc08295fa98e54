// What the kernels of signatures share: which words a thread owns, where its path lies, and a step of a path.
//
// A unit is a stretch of steps of one path: the path, or a window of it, or a chunk of either. Words of a unit are shared
// among SLOTS threads: a thread owns all words that begin with its prefix, a word of PREFIX letters, down to DEPTH = PREFIX
// + OWN letters (with OWN = 1 and many channels only a tile of LETTERS last letters). Level k of S ⊗ exp(z) is, for the
// word c_1…c_k,
//     S[c_1…c_k] + z[c_k] (S[c_1…c_{k-1}] + z[c_{k-1}]/2 (S[c_1…c_{k-2}] + …)),
// which needs nothing but beginnings of the word. So a thread keeps, in registers, the numbers of its own words (`owned`,
// by levels) and those of the beginnings of its prefix (`low`, which threads compute again side by side), and no thread
// ever waits for another one's words. As in cpu_ext/signatures/walk.hpp, what a node w of level j passes on to level k is
//     chain_k(w) = S[w]/(k-j)! + chain_k(parent) z[c_j],  chain_k(root) = 1/k!,
// and S[w] += chain_j(parent) z[c_j].
//
// Increments of STEPS steps at a time lie in shared memory as [step][channel][unit]: threads of one unit read the same
// word, those of others its neighbours.
//
// Defines: REAL, CHANNELS, DEPTH, OWN, LETTERS (CHANNELS where OWN > 1), THREADS, STEPS.

template <int base, int exponent> struct Power {
    static constexpr int value = base * Power<base, exponent - 1>::value;
};
template <int base> struct Power<base, 0> {
    static constexpr int value = 1;
};
// Words of 1 … levels letters.
template <int letters, int levels> struct Count {
    static constexpr int value = Count<letters, levels - 1>::value + Power<letters, levels>::value;
};
template <int letters> struct Count<letters, 0> {
    static constexpr int value = 0;
};

#define PREFIX (DEPTH - OWN)
constexpr int PREFIXES = Power<CHANNELS, PREFIX>::value;
constexpr int TILES = (CHANNELS + LETTERS - 1) / LETTERS;
constexpr int SLOTS = PREFIXES * TILES;
constexpr int WIDTH = SLOTS < THREADS ? SLOTS : THREADS;  // slots of a unit in one block
constexpr int UNITS = THREADS / WIDTH;                    // units of a block
constexpr int PARTS = (SLOTS + THREADS - 1) / THREADS;    // blocks of a unit
constexpr int OWNED = Count<LETTERS, OWN>::value;
constexpr int SHORT = Count<LETTERS, OWN - 1>::value;  // without the last level
constexpr int WORDS = Count<CHANNELS, DEPTH>::value;
constexpr int UNIT_STRIDE = UNITS | 1;  // odd: writing tiles meets no bank twice

// 1/k!
DEVICE REAL inverse_factorial(int k) {
    constexpr double table[] = {1.0,
                                1.0,
                                1.0 / 2,
                                1.0 / 6,
                                1.0 / 24,
                                1.0 / 120,
                                1.0 / 720,
                                1.0 / 5040,
                                1.0 / 40320,
                                1.0 / 362880,
                                1.0 / 3628800,
                                1.0 / 39916800,
                                1.0 / 479001600,
                                1.0 / 6227020800,
                                1.0 / 87178291200,
                                1.0 / 1307674368000,
                                1.0 / 20922789888000,
                                1.0 / 355687428096000,
                                1.0 / 6402373705728000,
                                1.0 / 121645100408832000,
                                1.0 / 2432902008176640000};
    return static_cast<REAL>(table[k]);
}

// ── Paths ────────────────────────────────────────────────────────────────────────────────────────────────────────────
struct Paths {
    const REAL *points;      // (n_paths, n_points, CHANNELS)
    const REAL *basepoints;  // (n_paths, CHANNELS) or null
    const int64 *lengths;    // points of each path, or null
    const int64 *windows;    // (n_windows, 2), points [start, end), or null
    int64 n_windows, n_rows, n_points;
    int64 chunks, chunk_steps;

    DEVICE int64 steps() const { return basepoints ? n_points : n_points - 1; }
};

// Row r of the results: which path, from which step, how many steps until it stands still.
struct Span {
    int64 path, first, steps;
};

DEVICE Span span_of(const Paths &paths, int64 row) {
    const int64 path = row / paths.n_windows;
    int64 points = paths.n_points, first = 0;
    if (paths.lengths) points = minimum(points, paths.lengths[path]);
    if (paths.windows) {
        const int64 window = row - path * paths.n_windows;
        first = paths.windows[2 * window];
        points = minimum(points, paths.windows[2 * window + 1]) - first;
    }
    return {path, first, maximum(points - (paths.basepoints ? 0 : 1), int64(0))};
}

// Where a thread stands.
struct Place {
    int unit;  // of the block
    int64 index, row, chunk;
    int part, slot, prefix, tile;
    bool busy;  // whether there is such a unit and slot
};

DEVICE Place place_of(const Paths &paths) {
    Place p;
    const int block = block_index();
    p.part = block % PARTS;
    p.unit = minimum(thread_index() / WIDTH, UNITS - 1);
    p.slot = p.part * THREADS + thread_index() - p.unit * WIDTH;
    const int64 units = paths.n_rows * paths.chunks;
    p.index = static_cast<int64>(block / PARTS) * UNITS + p.unit;
    p.busy = thread_index() < UNITS * WIDTH && p.slot < SLOTS && p.index < units;
    if (!p.busy) p.slot = 0;
    p.index = minimum(p.index, units - 1);
    p.row = p.index / paths.chunks;
    p.chunk = p.index - p.row * paths.chunks;
    p.prefix = p.slot / TILES;
    p.tile = p.slot % TILES;
    return p;
}

// The k-th letter of the prefix, and the word of its first k letters.
DEVICE int beginning_of(int prefix, int k) {
    int divisor = PREFIXES;
#pragma unroll
    for (int i = 0; i < k; ++i) divisor /= CHANNELS;
    return prefix / divisor;
}
// Whether this slot stands for the first k letters of its prefix, which others begin with too.
DEVICE bool stands_for(const Place &p, int k) {
    int divisor = PREFIXES;
#pragma unroll
    for (int i = 0; i < k; ++i) divisor /= CHANNELS;
    return p.prefix % divisor == 0 && p.tile == 0;
}

// The units of a block, for the loads and stores of all threads: LOADERS neighbours move what lies side by side in memory,
// of one unit, and need no division for it.
constexpr int LOADERS = THREADS / UNITS < 8 ? 8 : THREADS / UNITS;  // neighbours in memory, a sector at least
constexpr int UNITS_AT_ONCE = THREADS / LOADERS, ROUNDS = (UNITS + UNITS_AT_ONCE - 1) / UNITS_AT_ONCE;

struct Sources {
    SharedPointer<int64> point;   // where the first step comes from, in points
    SharedPointer<int64> base;    // the row of its basepoint, or -1
    SharedPointer<int64> target;  // where gradients of the first step go, in steps
    SharedPointer<int> steps;     // until the path stands still or the chunk ends
};

// Fills them in; returns the longest of the block. Barriers inside.
DEVICE int find_sources(const Paths &paths, const Sources &sources, int64 row_steps) {
    const int64 units = paths.n_rows * paths.chunks;
    for (int u = thread_index(); u < UNITS; u += THREADS) {
        const int64 index = static_cast<int64>(block_index() / PARTS) * UNITS + u;
        const int64 row = minimum(index, units - 1) / paths.chunks;
        const int64 begin = (minimum(index, units - 1) - row * paths.chunks) * paths.chunk_steps;
        const Span span = span_of(paths, row);
        const int64 at = span.first + begin;
        sources.point[u] = span.path * paths.n_points + at - (paths.basepoints ? 1 : 0);
        sources.base[u] = paths.basepoints && at == 0 ? span.path : int64(-1);
        sources.target[u] = (block_index() % PARTS * paths.n_rows + row) * row_steps + begin;
        const int64 left = minimum(span.steps - begin, paths.chunk_steps);
        sources.steps[u] = index < units ? static_cast<int>(maximum(left, int64(0))) : 0;
    }
    sync_block();
    int longest = 0;
    for (int u = 0; u < UNITS; ++u) longest = maximum(longest, sources.steps[u]);
    return longest;
}

// Increments first … first + STEPS - 1 of all units of the block; zero where a path stands still. Barriers inside.
// Loads are on their way several at a time: nothing else of the block goes on meanwhile.
DEVICE void load_tile(const Paths &paths, const Sources &sources, int first, SharedPointer<REAL> tile) {
    constexpr int each = (STEPS * CHANNELS + LOADERS - 1) / LOADERS, batch = each < 8 ? each : 8;
    sync_block();
    const int own = thread_index() % LOADERS;
#pragma unroll 1
    for (int round = 0; round < ROUNDS; ++round) {
        const int u = round * UNITS_AT_ONCE + thread_index() / LOADERS;
        if (u >= UNITS) break;
        const REAL *const from = paths.points + (sources.point[u] + first) * CHANNELS;
        const int inside = minimum(sources.steps[u] - first, STEPS) * CHANNELS;
        const bool based = first == 0 && sources.base[u] >= 0;
        const int begin = based ? CHANNELS : 0;  // the point in front is the basepoint
        for (int start = own; start < STEPS * CHANNELS; start += batch * LOADERS) {
            REAL before[batch], after[batch];
#pragma unroll
            for (int i = 0; i < batch; ++i) {
                const int e = start + i * LOADERS;
                before[i] = e >= begin && e < inside ? from[e] : REAL(0);
                after[i] = e < inside ? from[e + CHANNELS] : REAL(0);
            }
#pragma unroll
            for (int i = 0; i < batch; ++i) {
                const int e = start + i * LOADERS;
                if (e < STEPS * CHANNELS) tile[e * UNIT_STRIDE + u] = after[i] - before[i];
            }
        }
        for (int e = own; based && e < minimum(begin, inside); e += LOADERS)
            tile[e * UNIT_STRIDE + u] = from[e + CHANNELS] - paths.basepoints[sources.base[u] * CHANNELS + e];
    }
    sync_block();
}

// What a thread needs of a step: the last letters of its words, and the letters of its prefix.
struct Increment {
    REAL own[LETTERS], low[PREFIX + 1];

    DEVICE void load(const Place &p, const int *letters, int step, SharedPointer<REAL> tile) {
        const int at = step * CHANNELS;
#pragma unroll
        for (int c = 0; c < LETTERS; ++c) {
            const int letter = p.tile * LETTERS + c;
            own[c] = TILES == 1 || letter < CHANNELS ? tile[(at + letter) * UNIT_STRIDE + p.unit] : REAL(0);
        }
#pragma unroll
        for (int k = 1; k <= PREFIX; ++k) low[k] = tile[(at + letters[k]) * UNIT_STRIDE + p.unit];
    }
};

DEVICE void find_letters(const Place &p, int *letters) {
#pragma unroll
    for (int k = 1; k <= PREFIX; ++k) letters[k] = beginning_of(p.prefix, k) % CHANNELS;
}

// ── Rows of words ────────────────────────────────────────────────────────────────────────────────────────────────────
// Calls work(number, place in the row) for what a thread has: `low` 1 … PREFIX as -1 … -PREFIX, then `owned` up to
// `levels`. Trip counts are constants of templates, so that all of it stays in registers.
template <int j, int levels, class Work> DEVICE void over_owned(const Place &p, Work &work) {
    if constexpr (j <= levels) {
        constexpr int start = Count<CHANNELS, PREFIX + j - 1>::value, first = Count<LETTERS, j - 1>::value;
        const int at = start + p.prefix * Power<CHANNELS, j>::value + (TILES > 1 ? p.tile * LETTERS : 0);
#pragma unroll
        for (int i = 0; i < Power<LETTERS, j>::value; ++i)
            if (TILES == 1 || p.tile * LETTERS + i < CHANNELS) work(first + i, at + i);
        over_owned<j + 1, levels>(p, work);
    }
}
template <int k, class Work> DEVICE void over_low(const Place &p, Work &work) {
    if constexpr (k <= PREFIX) {
        work(-k, Count<CHANNELS, k - 1>::value + p.prefix / Power<CHANNELS, PREFIX - k>::value);
        over_low<k + 1>(p, work);
    }
}
template <int levels, class Work> DEVICE void over_words(const Place &p, Work &&work) {
    over_low<1>(p, work);
    over_owned<1, levels>(p, work);
}

// ── A step ───────────────────────────────────────────────────────────────────────────────────────────────────────────
// Children of node `index` of level J of the thread's own tree, down to level LAST.
template <int J, int LAST> DEVICE void descend(const REAL *z, const REAL *chain, REAL *owned, int index) {
    constexpr int count = LAST - J;
#pragma unroll
    for (int c = 0; c < LETTERS; ++c) {
        const int child = index * LETTERS + c, at = Count<LETTERS, J>::value + child;
        const REAL s = owned[at];
        owned[at] = fused(chain[0], z[c], s);
        if constexpr (count > 1) {
            REAL next[count - 1];
#pragma unroll
            for (int q = 1; q < count; ++q) next[q - 1] = fused(chain[q], z[c], q == 1 ? s : s * inverse_factorial(q));
            descend<J + 1, LAST>(z, next, owned, child);
        }
    }
}

// S ← S ⊗ exp(z), of words up to PREFIX + LAST letters.
template <int LAST> DEVICE void advance(const Increment &z, REAL *low, REAL *owned) {
    constexpr int levels = PREFIX + LAST;
    REAL chain[levels + 1];
#pragma unroll
    for (int q = 0; q < levels; ++q) chain[q] = inverse_factorial(q + 1);
#pragma unroll
    for (int j = 1; j <= PREFIX; ++j) {
        const REAL s = low[j];
        low[j] = fused(chain[0], z.low[j], s);
#pragma unroll
        for (int q = 1; q <= levels - j; ++q)
            chain[q - 1] = fused(chain[q], z.low[j], q == 1 ? s : s * inverse_factorial(q));
    }
    if constexpr (LAST > 0) descend<0, LAST>(z.own, chain, owned, 0);
}

// The adjoint of descend: owned holds the numbers before the step; gradient those after it, then before it; back gets the
// gradients of chain, z_back those of z.
template <int J>
DEVICE void descend_adjoint(const REAL *z, REAL *z_back, const REAL *chain, REAL *back, const REAL *owned,
                            REAL *gradient, int index) {
    constexpr int count = OWN - J;
#pragma unroll
    for (int c = 0; c < LETTERS; ++c) {
        const int child = index * LETTERS + c, at = Count<LETTERS, J>::value + child;
        REAL g = gradient[at];
        z_back[c] = fused(chain[0], g, z_back[c]);
        back[0] = fused(g, z[c], back[0]);
        if constexpr (count > 1) {
            REAL next[count - 1], next_back[count - 1];
            const REAL s = owned[at];
#pragma unroll
            for (int q = 1; q < count; ++q) {
                next[q - 1] = fused(chain[q], z[c], q == 1 ? s : s * inverse_factorial(q));
                next_back[q - 1] = 0;
            }
            descend_adjoint<J + 1>(z, z_back, next, next_back, owned, gradient, child);
#pragma unroll
            for (int q = 1; q < count; ++q) {
                z_back[c] = fused(chain[q], next_back[q - 1], z_back[c]);
                back[q] = fused(next_back[q - 1], z[c], back[q]);
                g = q == 1 ? g + next_back[0] : fused(next_back[q - 1], inverse_factorial(q), g);
            }
            gradient[at] = g;
        }
    }
}

// The adjoint of advance<OWN>. low, owned: before the step (of owned, all but the last level). z_back is set.
DEVICE void retreat(const Increment &z, const REAL *low, const REAL *owned, REAL *low_gradient, REAL *gradient,
                    Increment &z_back) {
    REAL chain[PREFIX + 1][DEPTH + 1], back[DEPTH + 1];
#pragma unroll
    for (int q = 0; q < DEPTH; ++q) chain[0][q] = inverse_factorial(q + 1);
#pragma unroll
    for (int j = 1; j <= PREFIX; ++j)
#pragma unroll
        for (int q = 1; q <= DEPTH - j; ++q)
            chain[j][q - 1] = fused(chain[j - 1][q], z.low[j], q == 1 ? low[j] : low[j] * inverse_factorial(q));
#pragma unroll
    for (int q = 0; q < OWN; ++q) back[q] = 0;
#pragma unroll
    for (int c = 0; c < LETTERS; ++c) z_back.own[c] = 0;
    descend_adjoint<0>(z.own, z_back.own, chain[PREFIX], back, owned, gradient, 0);
#pragma unroll
    for (int j = PREFIX; j >= 1; --j) {
        REAL g = low_gradient[j], sum = chain[j - 1][0] * g;
        const REAL first = g * z.low[j];
        // back has DEPTH - j chains of level j, and gets one more of level j - 1 in front.
        REAL next[DEPTH + 1];
        next[0] = first;
#pragma unroll
        for (int q = 1; q <= DEPTH - j; ++q) {
            sum = fused(chain[j - 1][q], back[q - 1], sum);
            next[q] = back[q - 1] * z.low[j];
            g = q == 1 ? g + back[0] : fused(back[q - 1], inverse_factorial(q), g);
        }
#pragma unroll
        for (int q = 0; q <= DEPTH - j; ++q) back[q] = next[q];
        low_gradient[j] = g;
        z_back.low[j] = sum;
    }
}

// ── Gradients of increments, summed over the slots of a unit ─────────────────────────────────────────────────────────
constexpr int SUM_STRIDE = THREADS + 1;
#define SUM_ROWS (LETTERS + (TILES > 1 ? PREFIX : 0))  // of a step

DEVICE void keep_sums(const Increment &z_back, const int *letters, int step, SharedPointer<REAL> sums) {
    REAL own[LETTERS];
#pragma unroll
    for (int c = 0; c < LETTERS; ++c) {
        own[c] = z_back.own[c];
        if (TILES == 1) {
#pragma unroll
            for (int k = 1; k <= PREFIX; ++k) own[c] += letters[k] == c ? z_back.low[k] : REAL(0);
        }
        sums[(step * SUM_ROWS + c) * SUM_STRIDE + thread_index()] = own[c];
    }
    if (TILES > 1) {
#pragma unroll
        for (int k = 1; k <= PREFIX; ++k)
            sums[(step * SUM_ROWS + LETTERS + k - 1) * SUM_STRIDE + thread_index()] = z_back.low[k];
    }
}

// Steps first … first + STEPS - 1 into partial, (PARTS, n_rows, row_steps, CHANNELS). A barrier inside.
DEVICE void add_up(const Sources &sources, int first, SharedPointer<REAL> sums, REAL *partial) {
    sync_block();
    const int part = block_index() % PARTS;
    const int slots = PARTS == 1 ? WIDTH : minimum(WIDTH, SLOTS - part * THREADS);
#pragma unroll 1
    for (int round = 0; round < ROUNDS; ++round) {
        const int u = round * UNITS_AT_ONCE + thread_index() / LOADERS;
        if (u >= UNITS) break;
        REAL *const to = partial + (sources.target[u] + first) * CHANNELS;
        const int inside = minimum(sources.steps[u] - first, STEPS) * CHANNELS;
        for (int e = thread_index() % LOADERS; e < inside; e += LOADERS) {
            REAL sum = 0;
            if (TILES == 1) {
                const int at = e * SUM_STRIDE + u * WIDTH;
                for (int i = 0; i < slots; ++i) sum += sums[at + i];
            } else {
                const int s = e / CHANNELS, c = e % CHANNELS;
                for (int i = 0; i < slots; ++i) {
                    const int slot = part * THREADS + i, at = s * SUM_ROWS * SUM_STRIDE + u * WIDTH + i;
                    if (slot % TILES == c / LETTERS) sum += sums[at + c % LETTERS * SUM_STRIDE];
                    for (int k = 1; k <= PREFIX; ++k)
                        if (beginning_of(slot / TILES, k) % CHANNELS == c)
                            sum += sums[at + (LETTERS + k - 1) * SUM_STRIDE];
                }
            }
            to[e] = sum;
        }
    }
}
