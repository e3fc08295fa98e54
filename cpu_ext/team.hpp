// Threads for the work of one call.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>

namespace sdtw {

// Runs call(work, thread) for thread = 0 .. n - 1, all at the same time, the first one here.
void run_threads(int n, void (*call)(void *work, int thread) noexcept, void *work);

// Runs work(thread) for thread = 0 .. n - 1, the first one here. The first exception stops the others and is rethrown.
template <class Work> void run_team(int n, std::atomic<bool> &stop, Work &&work) {
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
    run_threads(n, call, &team);
    if (team.error) std::rethrow_exception(team.error);
}

}  // namespace sdtw
