// Padded batches for the engine: full ones as they are, others sample by sample into packed series and back.
#include "padded.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>
#include <type_traits>

#include "pairs.hpp"

namespace sdtw {
namespace {

// The largest absolute value, infinite where one is not finite. Of non-negative numbers the bits compare as the numbers
// (as signed integers, whose maximum every instruction set has for vectors of float).
template <class T> double largest(const T *values, Index count) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
    constexpr Bits magnitude = std::numeric_limits<Bits>::max();
    constexpr Bits infinite = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
    std::array<Bits, 16> found{};  // as many side by side, for vectors
    Index i = 0;
    for (; i + 16 <= count; i += 16)
        for (std::size_t k = 0; k < 16; ++k)
            found[k] =
                std::max<Bits>(found[k], std::bit_cast<Bits>(values[static_cast<std::size_t>(i) + k]) & magnitude);
    for (; i < count; ++i) found[0] = std::max<Bits>(found[0], std::bit_cast<Bits>(values[i]) & magnitude);
    const Bits most = *std::max_element(found.begin(), found.end());
    return most >= infinite ? HUGE_VAL : static_cast<double>(std::bit_cast<T>(most));
}

std::vector<std::int64_t> even_offsets(Index count, Index step) {
    std::vector<std::int64_t> offsets;
    offsets.reserve(static_cast<std::size_t>(count + 1));
    for (Index k = 0; k <= count; ++k) offsets.push_back(k * step);
    return offsets;
}

template <class T> void solve(const Problem<T> &problem, double gamma, const Gradients<T> &out, int n_threads,
                              std::atomic<bool> &stop) {
    if (out.entropy || out.x || out.y || out.alignment)
        gradient<T>(problem, gamma, out, n_threads, stop);
    else
        forward<T>(problem, &gamma, 1, out.value, n_threads, stop);
}

template <class T> void negate(T *values, Index count) {
    for (Index k = 0; values && k < count; ++k) values[k] = T(0) - values[k];
}

// Some samples of a batch with one gamma, packed one after the other, and their results.
template <class T> class Packed {
  public:
    Packed(const Padded<T> &batch, const PaddedGradients<T> &out, std::vector<Index> samples)
        : batch_(batch), out_(out), samples_(std::move(samples)) {
        for (Index k : samples_) {
            const Index n = length_x(batch, k), m = length_y(batch, k), d = batch.features;
            x_offsets_.push_back(x_offsets_.back() + n);
            y_offsets_.push_back(y_offsets_.back() + m);
            cells_ += n * m;
            if (batch.costs) {
                for (Index i = 0; i < n; ++i) append(costs_, batch.costs + (k * batch.n + i) * batch.m, m);
            } else {
                append(x_, batch.x + k * batch.n * d, n * d);
                append(y_, batch.y + k * batch.m * d, m * d);
            }
        }
    }

    void run(double gamma, int n_threads, std::atomic<bool> &stop) {
        const auto count = static_cast<Index>(samples_.size());
        const Problem<T> problem{x_.data(),       y_.data(),   x_offsets_.data(), y_offsets_.data(),
                                 count,           count,       batch_.features,   costs_.data(),
                                 Pairing::paired, batch_.cost, batch_.band};
        auto room = [](std::vector<T> &v, bool wanted, Index size) {
            if (wanted) v.assign(static_cast<std::size_t>(size), T(0));
            return wanted ? v.data() : nullptr;
        };
        const Gradients<T> packed{room(value_, true, count),
                                  nullptr,
                                  room(entropy_, out_.gamma, count),
                                  room(grad_x_, out_.x, static_cast<Index>(x_.size())),
                                  room(grad_y_, out_.y, static_cast<Index>(y_.size())),
                                  room(alignment_, out_.alignment, cells_)};
        solve(problem, gamma, packed, n_threads, stop);
        negate(packed.entropy, count);
        if (!stop) scatter();
    }

  private:
    static void append(std::vector<T> &to, const T *from, Index count) { to.insert(to.end(), from, from + count); }

    void scatter() const {
        const Index d = batch_.features;
        const T *cells = alignment_.data();
        for (std::size_t s = 0; s < samples_.size(); ++s) {
            const Index k = samples_[s], n = length_x(batch_, k), m = length_y(batch_, k);
            if (out_.value) out_.value[k] = value_[s];
            if (out_.gamma) out_.gamma[k] = entropy_[s];
            if (out_.x) std::copy_n(grad_x_.data() + x_offsets_[s] * d, n * d, out_.x + k * batch_.n * d);
            if (out_.y) std::copy_n(grad_y_.data() + y_offsets_[s] * d, m * d, out_.y + k * batch_.m * d);
            for (Index i = 0; out_.alignment && i < n; ++i, cells += m)
                std::copy_n(cells, m, out_.alignment + (k * batch_.n + i) * batch_.m);
        }
    }

    const Padded<T> &batch_;
    const PaddedGradients<T> &out_;
    const std::vector<Index> samples_;
    std::vector<T> x_, y_, costs_, value_, entropy_, grad_x_, grad_y_, alignment_;
    std::vector<std::int64_t> x_offsets_{0}, y_offsets_{0};
    Index cells_ = 0;
};

// Series for a pairwise problem, packed without what lies behind their ends. A series that cannot be computed with
// all others is replaced with zeros, and marked.
template <class T> struct Series {
    const T *values;
    std::vector<std::int64_t> offsets{0};
    std::vector<char> usable;
    std::vector<T> packed;

    Series(const Padded<T> &b, const T *source, const std::int64_t *lengths, Index count, Index room) : values(source) {
        const Index d = b.features;
        const bool linear = b.cost.kind == CostKind::euclidean || b.cost.kind == CostKind::manhattan;
        bool as_it_is = true;
        for (Index k = 0; k < count; ++k) {
            const Index length = lengths ? lengths[k] : room;
            offsets.push_back(offsets.back() + length);
            const double reach = 2 * largest(source + k * room * d, length * d);  // of two series: at most the larger
            const double bound = static_cast<double>(d) * (linear ? reach : reach * reach * b.cost.scale);
            usable.push_back(bound * static_cast<double>(b.n + b.m) < 1e299);
            as_it_is &= usable.back() && length == room;
        }
        if (as_it_is) return;
        packed.reserve(static_cast<std::size_t>(offsets.back() * d));
        for (Index k = 0; k < count; ++k) {
            const Index size = (offsets[static_cast<std::size_t>(k + 1)] - offsets[static_cast<std::size_t>(k)]) * d;
            if (usable[static_cast<std::size_t>(k)])
                packed.insert(packed.end(), source + k * room * d, source + k * room * d + size);
            else
                packed.insert(packed.end(), static_cast<std::size_t>(size), T(0));
        }
        values = packed.data();
    }
};

}  // namespace

template <class T> void fill_nan(const Padded<T> &batch, const PaddedGradients<T> &out, Index k) {
    constexpr T nan = std::numeric_limits<T>::quiet_NaN();
    const Index n = length_x(batch, k), m = length_y(batch, k), d = batch.features;
    if (out.value) out.value[k] = nan;
    if (out.gamma) out.gamma[k] = nan;
    if (out.x) std::fill_n(out.x + k * batch.n * d, n * d, nan);
    if (out.y) std::fill_n(out.y + k * batch.m * d, m * d, nan);
    for (Index i = 0; out.alignment && i < n; ++i) std::fill_n(out.alignment + (k * batch.n + i) * batch.m, m, nan);
}

template <class T> bool is_usable(const Padded<T> &b, std::int64_t k) {
    const Index n = length_x(b, k), m = length_y(b, k);
    double bound = 0;
    if (b.costs) {
        for (Index i = 0; i < n; ++i) bound = std::max(bound, largest(b.costs + (k * b.n + i) * b.m, m));
    } else {
        const double reach =
            largest(b.x + k * b.n * b.features, n * b.features) + largest(b.y + k * b.m * b.features, m * b.features);
        const bool linear = b.cost.kind == CostKind::euclidean || b.cost.kind == CostKind::manhattan;
        bound = static_cast<double>(b.features) * (linear ? reach : reach * reach * b.cost.scale);
    }
    return bound * static_cast<double>(n + m) < 1e299;  // where the engine refuses
}

template <class T>
void padded_gradient(const Padded<T> &b, const PaddedGradients<T> &out, int n_threads, std::atomic<bool> &stop) {
    const Index x_size = b.count * b.n * b.features, y_size = b.count * b.m * b.features;
    if (out.x) std::fill_n(out.x, x_size, T(0));
    if (out.y) std::fill_n(out.y, y_size, T(0));
    if (out.alignment) std::fill_n(out.alignment, b.count * b.n * b.m, T(0));
    std::vector<Index> usable;
    usable.reserve(static_cast<std::size_t>(b.count));
    for (Index k = 0; k < b.count; ++k)
        if (is_usable(b, k))
            usable.push_back(k);
        else
            fill_nan(b, out, k);
    if (usable.empty()) return;
    if (static_cast<Index>(usable.size()) == b.count && !b.x_lengths && !b.y_lengths && b.one_gamma) {
        const auto x_offsets = even_offsets(b.count, b.n), y_offsets = even_offsets(b.count, b.m);
        const Problem<T> problem{b.x,        b.y,     x_offsets.data(), y_offsets.data(), b.count, b.count,
                                 b.features, b.costs, Pairing::paired,  b.cost,           b.band};
        solve(problem, b.gammas[0], Gradients<T>{out.value, nullptr, out.gamma, out.x, out.y, out.alignment}, n_threads,
              stop);
        negate(out.gamma, b.count);
        return;
    }
    auto gamma = [&](Index k) { return b.gammas[b.one_gamma ? 0 : k]; };
    std::stable_sort(usable.begin(), usable.end(), [&](Index p, Index q) { return gamma(p) < gamma(q); });
    for (auto first = usable.begin(); first != usable.end() && !stop;) {
        auto last = std::find_if(first, usable.end(), [&](Index k) { return gamma(k) != gamma(*first); });
        Packed<T>(b, out, std::vector<Index>(first, last)).run(gamma(*first), n_threads, stop);
        first = last;
    }
}

template <class T>
void padded_pairwise(const Padded<T> &b, std::int64_t count_y, T *values, int n_threads, std::atomic<bool> &stop) {
    const bool symmetric = !b.y;
    if (b.count == 0 || (!symmetric && count_y == 0)) return;
    const Series<T> x(b, b.x, b.x_lengths, b.count, b.n);
    std::optional<Series<T>> other;
    if (!symmetric) other.emplace(b, b.y, b.y_lengths, count_y, b.m);
    const Series<T> &y = symmetric ? x : *other;
    const Index columns = symmetric ? b.count : count_y;
    const Problem<T> problem{x.values,         y.values, x.offsets.data(),
                             y.offsets.data(), b.count,  columns,
                             b.features,       nullptr,  symmetric ? Pairing::upper : Pairing::full,
                             b.cost,           b.band};
    forward<T>(problem, b.gammas, 1, values, n_threads, stop);
    for (Index i = 0; i < b.count; ++i)
        for (Index j = 0; j < columns; ++j)
            if (!x.usable[static_cast<std::size_t>(i)] || !y.usable[static_cast<std::size_t>(j)])
                values[i * columns + j] = std::numeric_limits<T>::quiet_NaN();
}

#define SDTW_INSTANTIATE(T)                                                                           \
    template void padded_pairwise<T>(const Padded<T> &, std::int64_t, T *, int, std::atomic<bool> &); \
    template bool is_usable<T>(const Padded<T> &, std::int64_t);                                      \
    template void fill_nan<T>(const Padded<T> &, const PaddedGradients<T> &, std::int64_t);           \
    template void padded_gradient<T>(const Padded<T> &, const PaddedGradients<T> &, int, std::atomic<bool> &);
SDTW_INSTANTIATE(float)
SDTW_INSTANTIATE(double)

}  // namespace sdtw
