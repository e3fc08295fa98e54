// Long work without the GIL that Ctrl-C can end: for the bindings only.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace sdtw {

// Runs work(stop) without the GIL. Work that may be long goes to a thread of its own, so that this one can
// look for Ctrl-C; on a signal the work is told to stop, awaited, and the Python error is raised.
template <class Work> void interruptible(double cells, Work &&work) {
    std::atomic<bool> stop{false};
    if (cells < 2e7) {
        nanobind::gil_scoped_release release;
        work(stop);
        return;
    }
    bool interrupted = false;
    std::exception_ptr error;
    {
        nanobind::gil_scoped_release release;
        std::mutex mutex;
        std::condition_variable done;
        bool finished = false;
        std::thread worker([&] {
            try {
                work(stop);
            } catch (...) { error = std::current_exception(); }
            std::lock_guard<std::mutex> lock(mutex);
            finished = true;
            done.notify_one();
        });
        std::unique_lock<std::mutex> lock(mutex);
        while (!done.wait_for(lock, std::chrono::milliseconds(50), [&] { return finished; })) {
            if (interrupted) continue;
            lock.unlock();
            {
                nanobind::gil_scoped_acquire acquire;
                interrupted = PyErr_CheckSignals() != 0;
                stop = interrupted;
            }
            lock.lock();
        }
        lock.unlock();
        worker.join();
    }
    if (interrupted) throw nanobind::python_error();
    if (error) std::rethrow_exception(error);
}

}  // namespace sdtw
