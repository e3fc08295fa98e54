// Threads for the length of one call: nothing survives it, so forking later is safe.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace sdtw {

// Runs work(thread) for thread = 0 .. n - 1, the first one here. The first exception stops the others and is rethrown.
template <class Work> void run_team(int n, std::atomic<bool> &stop, Work &&work) {
    std::exception_ptr error;
    std::mutex mutex;
    auto guarded = [&](int thread) {
        try {
            work(thread);
        } catch (...) {
            std::lock_guard<std::mutex> lock(mutex);
            if (!error) error = std::current_exception();
            stop = true;
        }
    };
    std::vector<std::thread> others;
    for (int i = 1; i < n; ++i) others.emplace_back(guarded, i);
    guarded(0);
    for (std::thread &other : others) other.join();
    if (error) std::rethrow_exception(error);
}

}  // namespace sdtw
