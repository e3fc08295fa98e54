// Threads for the work of one call.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>

namespace sdtw {

// Runs call(work, thread) for thread = 0 .. n - 1, the first one here; all at the same time if `together`, else some
// perhaps one after the other.
void run_threads(int n, void (*call)(void *work, int thread) noexcept, void *work, bool together);

// Runs work(thread) for thread = 0 .. n - 1, the first one here. The first exception stops the others and is rethrown.
// together: whether they wait for each other.
template <class Work> void run_team(int n, std::atomic<bool> &stop, Work &&work, bool together = false) {
    struct Team {
        Work &work;
        std::atomic<bool> &stop;
        std::mutex mutex;
        std::exception_ptr error;
    } team{work, stop, {}, {}};
    auto call = [](void *data, int thread) noexcept {
        Team &mine = *static_cast<Team *>(data);
        try {
            mine.work(thread);
        } catch (...) {
            std::lock_guard<std::mutex> lock(mine.mutex);
            if (!mine.error) mine.error = std::current_exception();
            mine.stop = true;
        }
    };
    run_threads(n, call, &team, together);
    if (team.error) std::rethrow_exception(team.error);
}

}  // namespace sdtw
