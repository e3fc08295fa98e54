// The order of work: which pairs share the lanes of a vector. Nothing is stored for each pair.
#pragma once

#include <numeric>

#include "pairs.hpp"

namespace sdtw {

// Lists all pairs of a problem in packs of up to `lanes`. Series are taken in order of length, so that the pairs of a
// pack are of similar size; most packs hold one x against neighbouring y, which are then packed once for many x.
template <class T> class Schedule {
  public:
    Schedule(const Problem<T> &problem, int lanes)
        : pairing_(problem.pairing), lanes_(lanes), n_(problem.n_x), m_(problem.n_y) {
        x_order_ = by_length(problem.n_x, [&](Index i) {
            return std::pair(x_length(problem, i), pairing_ == Pairing::paired ? y_length(problem, i) : 0);
        });
        if (pairing_ == Pairing::full)
            y_order_ = by_length(problem.n_y, [&](Index j) { return std::pair(y_length(problem, j), Index(0)); });
        const Index blocks = m_ / lanes_, rest = m_ % lanes_;
        if (pairing_ == Pairing::full) {
            blocks_ = blocks;
            rest_pairs_ = n_ * rest;
        } else if (pairing_ == Pairing::upper) {
            blocks_ = blocks;
            diagonal_pairs_ = blocks * lanes_ * (lanes_ + 1) / 2;
            rest_pairs_ = rest * blocks * lanes_ + rest * (rest + 1) / 2;
        } else {
            rest_pairs_ = n_;
        }
        block_packs_ = pairing_ == Pairing::full ? blocks_ * n_ : blocks_ * (blocks_ - 1) / 2 * lanes_;
        if (pairing_ == Pairing::paired) block_packs_ = 0;
    }

    Index size() const { return block_packs_ + (loose() + lanes_ - 1) / lanes_; }

    // Writes the pairs of a pack; returns how many.
    int pairs(Index pack, PairIndex *out) const {
        if (pack < block_packs_) {
            Index block, row;
            if (pairing_ == Pairing::full) {
                block = pack / n_, row = pack % n_;
            } else {  // block b > 0 meets the b·lanes rows above its own
                block = static_cast<Index>((1 + std::sqrt(1 + 8.0 * static_cast<double>(pack / lanes_))) / 2);
                while (block * (block - 1) / 2 * lanes_ > pack) --block;
                while ((block + 1) * block / 2 * lanes_ <= pack) ++block;
                row = pack - block * (block - 1) / 2 * lanes_;
            }
            for (int l = 0; l < lanes_; ++l) out[l] = original(row, block * lanes_ + l);
            return lanes_;
        }
        const Index first = (pack - block_packs_) * lanes_, last = std::min(first + lanes_, loose());
        for (Index k = first; k < last; ++k) out[k - first] = loose_pair(k);
        return static_cast<int>(last - first);
    }

  private:
    template <class Length> static std::vector<Index> by_length(Index n, Length length) {
        std::vector<Index> order(static_cast<std::size_t>(n));
        std::iota(order.begin(), order.end(), Index(0));
        std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return length(a) < length(b); });
        return order;
    }

    Index loose() const { return diagonal_pairs_ + rest_pairs_; }

    PairIndex original(Index a, Index b) const {
        const auto x = x_order_[static_cast<std::size_t>(a)];
        if (pairing_ == Pairing::paired) return {x, x};
        const auto &order = pairing_ == Pairing::full ? y_order_ : x_order_;
        return {x, order[static_cast<std::size_t>(b)]};
    }

    // k-th cell (row <= column) of an upper triangle, column by column.
    static PairIndex triangle(Index k) {
        Index column = static_cast<Index>((std::sqrt(1 + 8.0 * static_cast<double>(k)) - 1) / 2);
        while (column * (column + 1) / 2 > k) --column;
        while ((column + 1) * (column + 2) / 2 <= k) ++column;
        return {k - column * (column + 1) / 2, column};
    }

    PairIndex loose_pair(Index k) const {
        if (pairing_ == Pairing::paired) return original(k, k);
        const Index rest = m_ % lanes_;
        if (pairing_ == Pairing::full) return original(k / rest, m_ - rest + k % rest);
        const Index in_block = lanes_ * (lanes_ + 1) / 2, whole = blocks_ * lanes_;
        if (k < diagonal_pairs_) {
            const Index block = k / in_block;
            const PairIndex cell = triangle(k % in_block);
            return original(block * lanes_ + cell.x, block * lanes_ + cell.y);
        }
        k -= diagonal_pairs_;
        if (k < rest * whole) return original(k / rest, whole + k % rest);
        const PairIndex cell = triangle(k - rest * whole);
        return original(whole + cell.x, whole + cell.y);
    }

    Pairing pairing_;
    int lanes_;
    Index n_, m_, blocks_ = 0, block_packs_ = 0, diagonal_pairs_ = 0, rest_pairs_ = 0;
    std::vector<Index> x_order_, y_order_;
};

}  // namespace sdtw
