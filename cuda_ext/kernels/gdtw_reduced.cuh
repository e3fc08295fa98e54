// The Hessian of the objective on a fixed active set: tridiagonal over runs of tied knots, in O(m). The twin of
// cpu_ext/gdtw/reduced.hpp.

struct Hessian {
    double *node, *link;                // curvatures of the knots and of the steps
    double *diagonal, *right, *factor;  // of runs
    int *first, *last, *held;
};

// By all threads.
ROUTINE void fill_hessian(const Pair &p, const double *warp, const int *cell, const Hessian &out) {
    EACH(i, p.m) {
        out.node[i] = node_curvature(p, i, warp[i], cell[i]);
        out.link[i] = i + 1 < p.m ? link_curvature(p, i, warp[i + 1] - warp[i]) : 0;
    }
    sync_block();
}

// u with H u = right over all directions that the active set leaves free, and zero in the others. By one thread.
ROUTINE void solve_hessian(const Pair &p, const Hessian &h, const int *holds, const int *ties, const double *right,
                           double *u) {
    int runs = 0;
    double scale = 0;
    for (int i = 0; i < p.m; ++i) {
        if (i == 0 || ties[i - 1] == FREE) {
            h.first[runs] = i;
            h.held[runs] = 0;
            h.diagonal[runs] = i ? h.link[i - 1] : 0;
            h.right[runs] = 0;
            ++runs;
        }
        const int r = runs - 1;
        h.last[r] = i;
        h.held[r] |= holds[i] != FREE;
        h.diagonal[r] += h.node[i];
        h.right[r] += right[i];
        if (ties[i] == FREE) h.diagonal[r] += h.link[i];
        scale = maximum(scale, fabs(h.node[i]) + 2 * h.link[i]);
    }
    // Elimination from the left, then back. A direction without curvature has no unique minimum: it is left out.
    for (int b = 0; b < runs; ++b) {
        h.factor[b] = 0;
        if (h.held[b]) continue;
        double diagonal = h.diagonal[b], value = h.right[b];
        if (b && !h.held[b - 1]) {
            const double coupling = -h.link[h.last[b - 1]];
            diagonal -= coupling * h.factor[b - 1];
            value -= coupling * h.right[b - 1];
        }
        const bool singular = !(diagonal > 1e-14 * scale);
        h.factor[b] = singular ? 0 : -h.link[h.last[b]] / diagonal;
        h.right[b] = singular ? 0 : value / diagonal;
    }
    for (int b = runs - 1; b >= 0; --b) {
        if (h.held[b])
            h.right[b] = 0;
        else if (b + 1 < runs)
            h.right[b] -= h.factor[b] * h.right[b + 1];
        for (int i = h.first[b]; i <= h.last[b]; ++i) u[i] = h.right[b];
    }
}
