// TEMPORARY naive engine: double log-domain, single thread. Replaced by the SIMD engine.
#include "engine.hpp"
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>
namespace sdtw {
static const double inf = std::numeric_limits<double>::infinity();
template <class T> struct Pair {
    std::int64_t n, m; std::vector<double> D; std::vector<double> slope;
    Pair(const Problem<T> &p, std::int64_t a, std::int64_t b, std::int64_t cost_offset) {
        n = p.x_offsets[a + 1] - p.x_offsets[a]; m = p.y_offsets[b + 1] - p.y_offsets[b];
        D.assign(n * m, 0.0); slope.assign(n * m, 0.0);
        for (std::int64_t i = 0; i < n; ++i) for (std::int64_t j = 0; j < m; ++j) {
            double v = 0, s = 0;
            if (p.cost.kind == CostKind::precomputed) v = p.costs[cost_offset + i * m + j];
            else {
                const T *x = p.x + (p.x_offsets[a] + i) * p.n_features, *y = p.y + (p.y_offsets[b] + j) * p.n_features;
                double sq = 0, l1 = 0;
                for (std::int64_t k = 0; k < p.n_features; ++k) { double d = double(x[k]) - double(y[k]); sq += d * d; l1 += std::fabs(d); }
                switch (p.cost.kind) {
                    case CostKind::sqeuclidean: v = sq * p.cost.scale; s = 2 * p.cost.scale; break;
                    case CostKind::euclidean: v = std::sqrt(sq); s = v > 0 ? 1 / v : 0; break;
                    case CostKind::manhattan: v = l1; break;
                    case CostKind::gak: { double u = sq * p.cost.scale, h = -std::expm1(-u); v = u + std::log1p(h); s = 2 / (1 + h) * 2 * p.cost.scale; break; }
                    default: break;
                }
            }
            D[i * m + j] = v; slope[i * m + j] = s;
        }
        for (std::int64_t i = 0; i < n; ++i) for (std::int64_t j = 0; j < m; ++j) {
            bool in = true;
            if (p.band.kind == BandKind::sakoe_chiba) in = j - i >= std::min<double>(0, m - n) - p.band.parameter && j - i <= std::max<double>(0, m - n) + p.band.parameter;
            if (p.band.kind == BandKind::itakura) {
                double s = p.band.parameter, N = n - 1, M = m - 1, eps = 1e-9;
                double slope_hi = N > 0 ? s * M / N : 0, slope_lo = N > 0 ? M / (s * N) : 0;
                double lo = std::max(slope_lo * i, M - slope_hi * (N - i)), hi = std::min(slope_hi * i, M - slope_lo * (N - i));
                if (n == 1) { lo = 0; hi = M; }
                in = j >= std::ceil(lo - eps) && j <= std::floor(hi + eps);
            }
            if (!in) D[i * m + j] = inf;
        }
    }
};
static double softmin(double a, double b, double c, double g) {
    double lo = std::min({a, b, c});
    if (g == 0 || lo == inf) return lo;
    return lo - g * std::log(std::exp((lo - a) / g) + std::exp((lo - b) / g) + std::exp((lo - c) / g));
}
static std::vector<double> table(const std::vector<double> &D, std::int64_t n, std::int64_t m, double g) {
    std::vector<double> R((n + 1) * (m + 1), inf); R[0] = 0;
    for (std::int64_t i = 1; i <= n; ++i) for (std::int64_t j = 1; j <= m; ++j)
        R[i * (m + 1) + j] = D[(i - 1) * m + j - 1] + softmin(R[(i - 1) * (m + 1) + j], R[i * (m + 1) + j - 1], R[(i - 1) * (m + 1) + j - 1], g);
    return R;
}
template <class T>
void forward(const Problem<T> &p, const double *gammas, std::int64_t G, T *out, int, std::atomic<bool> &stop) {
    if (p.pairing == Pairing::paired) {
        std::int64_t off = 0;
        for (std::int64_t k = 0; k < p.n_x && !stop; ++k) {
            Pair<T> pair(p, k, k, off); off += pair.n * pair.m;
            for (std::int64_t g = 0; g < G; ++g) out[g * p.n_x + k] = table(pair.D, pair.n, pair.m, gammas[g]).back();
        }
        return;
    }
    for (std::int64_t a = 0; a < p.n_x; ++a) for (std::int64_t b = p.pairing == Pairing::upper ? a : 0; b < p.n_y && !stop; ++b) {
        Pair<T> pair(p, a, b, 0);
        for (std::int64_t g = 0; g < G; ++g) {
            double v = table(pair.D, pair.n, pair.m, gammas[g]).back();
            out[(g * p.n_x + a) * p.n_y + b] = v;
            if (p.pairing == Pairing::upper) out[(g * p.n_x + b) * p.n_y + a] = v;
        }
    }
}
template <class T>
void gradient(const Problem<T> &p, double gamma, const Gradients<T> &out, int, std::atomic<bool> &stop) {
    std::int64_t off = 0;
    std::int64_t d = p.n_features;
    for (std::int64_t k = 0; k < p.n_x && !stop; ++k) {
        Pair<T> pair(p, k, k, off); std::int64_t n = pair.n, m = pair.m;
        std::vector<double> Q = pair.D; double g = gamma;
        if (std::isinf(gamma)) { for (auto &v : Q) v = std::isinf(v) ? inf : 0; g = 1; }
        auto R = table(Q, n, m, g);
        std::vector<double> E((n + 1) * (m + 1), 0.0);
        E[n * (m + 1) + m] = 1;
        auto r = [&](std::int64_t i, std::int64_t j) { return R[i * (m + 1) + j]; };
        for (std::int64_t i = n; i >= 1; --i) for (std::int64_t j = m; j >= 1; --j) {
            double e = E[i * (m + 1) + j]; if (e == 0) continue;
            double U = r(i - 1, j), L = r(i, j - 1), G = r(i - 1, j - 1), wU, wL, wG;
            if (g == 0) { wG = G <= U && G <= L; wU = !wG && U <= L; wL = !wG && !wU; }
            else { double s = softmin(U, L, G, g); if (i == 1 && j == 1) continue; wU = std::exp((s - U) / g); wL = std::exp((s - L) / g); wG = std::exp((s - G) / g); }
            if (i > 1) E[(i - 1) * (m + 1) + j] += e * wU;
            if (j > 1) E[i * (m + 1) + j - 1] += e * wL;
            if (i > 1 && j > 1) E[(i - 1) * (m + 1) + j - 1] += e * wG;
        }
        double ec = 0;
        for (std::int64_t i = 0; i < n; ++i) for (std::int64_t j = 0; j < m; ++j) {
            double e = E[(i + 1) * (m + 1) + j + 1];
            if (out.alignment) out.alignment[off + i * m + j] = e;
            if (e == 0) continue;
            ec += e * pair.D[i * m + j];
            for (std::int64_t c = 0; c < d && p.cost.kind != CostKind::precomputed; ++c) {
                std::int64_t xi = (p.x_offsets[k] + i) * d + c, yj = (p.y_offsets[k] + j) * d + c;
                double diff = double(p.x[xi]) - double(p.y[yj]);
                double v = p.cost.kind == CostKind::manhattan ? (diff > 0) - (diff < 0) : diff * pair.slope[i * m + j];
                if (out.x) out.x[xi] += e * v;
                if (out.y) out.y[yj] -= e * v;
            }
        }
        if (out.value) out.value[k] = R.back();
        if (out.expected_cost) out.expected_cost[k] = ec;
        off += n * m;
    }
}
template <class T>
std::int64_t optimal_path(const Problem<T> &p, std::int64_t *path, double *value, std::atomic<bool> &) {
    Pair<T> pair(p, 0, 0, 0); auto R = table(pair.D, pair.n, pair.m, 0); *value = R.back();
    std::int64_t i = pair.n, j = pair.m, len = 0, w = pair.m + 1;
    while (true) {
        path[2 * len] = i - 1; path[2 * len + 1] = j - 1; ++len;
        if (i == 1 && j == 1) break;
        double U = R[(i - 1) * w + j], L = R[i * w + j - 1], G = R[(i - 1) * w + j - 1];
        if (G <= U && G <= L) { --i; --j; } else if (U <= L) --i; else --j;
    }
    for (std::int64_t a = 0; a < len / 2; ++a) for (int c = 0; c < 2; ++c) std::swap(path[2 * a + c], path[2 * (len - 1 - a) + c]);
    return len;
}
const char *instruction_set() { return "naive"; }
#define INST(T) \
    template void forward<T>(const Problem<T> &, const double *, std::int64_t, T *, int, std::atomic<bool> &); \
    template void gradient<T>(const Problem<T> &, double, const Gradients<T> &, int, std::atomic<bool> &); \
    template std::int64_t optimal_path<T>(const Problem<T> &, std::int64_t *, double *, std::atomic<bool> &);
INST(float)
INST(double)
}
