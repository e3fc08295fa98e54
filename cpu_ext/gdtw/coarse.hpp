// A pair with fewer knots. Where knots lie closer together than the points of a grid, warps on the grid stand still and
// jump, which the penalty of the slope does not like: what a grid finds for fewer knots is a better start.
#pragma once

#include <algorithm>

#include "problem.hpp"

namespace sdtw::gdtw {

class Coarse {
  public:
    static constexpr Index most = 1024;  // knots that a grid is good for

    explicit Coarse(const Pair &pair) : pair_(pair) {
        const Index stride = (pair.m - 2) / (most - 1) + 1;
        for (Index i = 0; i < pair.m; i = i + 1 < pair.m ? std::min(i + stride, pair.m - 1) : pair.m) {
            y_.insert(y_.end(), pair.y + i * pair.d, pair.y + (i + 1) * pair.d);
            times_.push_back(pair.times[i]), low_.push_back(pair.low[i]), high_.push_back(pair.high[i]);
            const Index next = std::min(i + stride, pair.m - 1);
            slope_min_.push_back(mean(pair.slope_min, i, next));
            slope_max_.push_back(mean(pair.slope_max, i, next));
        }
    }

    Pair pair() const {
        Pair few = pair_;
        few.m = static_cast<Index>(times_.size());
        few.y = y_.data(), few.times = times_.data(), few.low = low_.data(), few.high = high_.data();
        few.slope_min = slope_min_.data(), few.slope_max = slope_max_.data();
        return few;
    }

    // Its warp at all knots.
    std::vector<double> spread(const std::vector<double> &warp) const {
        std::vector<double> all(static_cast<std::size_t>(pair_.m));
        std::size_t k = 0;
        for (Index i = 0; i < pair_.m; ++i) {
            while (k + 2 < times_.size() && pair_.times[i] > times_[k + 1]) ++k;
            const double share = (pair_.times[i] - times_[k]) / (times_[k + 1] - times_[k]);
            all[static_cast<std::size_t>(i)] = warp[k] + share * (warp[k + 1] - warp[k]);
        }
        return all;
    }

  private:
    // Of bounds of the slope, over steps first <= i < last.
    double mean(const double *bounds, Index first, Index last) const {
        double sum = 0;
        for (Index i = first; i < last; ++i) sum += bounds[i] * (pair_.times[i + 1] - pair_.times[i]);
        return last > first ? sum / (pair_.times[last] - pair_.times[first]) : 0;
    }

    const Pair pair_;
    std::vector<double> y_, times_, low_, high_, slope_min_, slope_max_;
};

}  // namespace sdtw::gdtw
