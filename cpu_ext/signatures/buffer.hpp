// Memory to work in, kept from call to call.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <new>
#include <utility>

namespace sdtw::signatures {

// Blocks of calls that are over, for those to come: the system gives fresh memory page by page, and a page costs as much
// as much of the work that is done in it. A thread looks first where it has left its own, which its cache still holds.
// No locks, so that a fork leaves nothing locked.
class KeptBlocks {
  public:
    static void *take(std::size_t bytes) {
        if (bytes < least) return ::operator new(bytes, align);
        const std::size_t size = std::bit_ceil(bytes);
        for (unsigned i = 0; i < n_places; ++i) {
            std::atomic<std::uintptr_t> &place = nearby(i);
            std::uintptr_t found = place.load(std::memory_order_relaxed);
            if ((found & mask) != kind(size)) continue;
            if (!place.compare_exchange_strong(found, 0, std::memory_order_acquire)) continue;
            kept -= size;
            return reinterpret_cast<void *>(found & ~mask);
        }
        return ::operator new(size, align);
    }

    static void give(void *block, std::size_t bytes) noexcept {
        const std::size_t size = std::bit_ceil(bytes);
        if (bytes >= least && kept.fetch_add(size) + size <= most) {
            for (unsigned i = 0; i < n_places; ++i) {
                std::uintptr_t empty = 0;
                const auto block_of_kind = reinterpret_cast<std::uintptr_t>(block) | kind(size);
                if (nearby(i).compare_exchange_strong(empty, block_of_kind, std::memory_order_release)) return;
            }
        }
        if (bytes >= least) kept -= size;
        ::operator delete(block, align);
    }

  private:
    static constexpr std::size_t least = 1 << 15, most = 32 << 20;  // bytes: of a block worth keeping, and of all
    static constexpr std::align_val_t align{64};
    static constexpr std::uintptr_t mask = 63;  // where a block's address has room for what kind it is
    static std::uintptr_t kind(std::size_t size) { return static_cast<std::uintptr_t>(std::countr_zero(size)); }

    static std::atomic<std::uintptr_t> &nearby(unsigned i) {
        static thread_local const unsigned home = 16 * threads++;
        return places[(home + i) % n_places];
    }

    static constexpr unsigned n_places = 64;
    static inline std::atomic<std::size_t> kept{0};
    static inline std::atomic<std::uintptr_t> places[n_places] = {};
    static inline std::atomic<unsigned> threads{0};
};

// Numbers without values, aligned to a vector.
template <class T> class Buffer {
  public:
    explicit Buffer(std::int64_t size)
        : bytes_(static_cast<std::size_t>(std::max<std::int64_t>(size, 1)) * sizeof(T)),
          data_(static_cast<T *>(KeptBlocks::take(bytes_))) {}
    ~Buffer() {
        if (data_) KeptBlocks::give(data_, bytes_);
    }
    Buffer(Buffer &&other) noexcept : bytes_(other.bytes_), data_(std::exchange(other.data_, nullptr)) {}
    Buffer &operator=(Buffer &&) = delete;
    T *data() const { return data_; }

  private:
    std::size_t bytes_;
    T *data_;
};

}  // namespace sdtw::signatures
