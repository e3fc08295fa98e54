// Threads that are kept for the next call, because to start one costs as much as much of the work that is shared.
//
// A helper that has nothing to do looks for work for a few microseconds, then sleeps. Helpers belong to one process:
// a forked child, which has none of its parent's threads, hires its own. They hold nothing of Python's and nothing that
// must be given back, block all signals, and end with the process. One call at a time has them; calls that come
// meanwhile, and calls from within a call, start threads of their own.
#include "team.hpp"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace sdtw {
namespace {

using Call = void (*)(void *, int) noexcept;

inline void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void await_change(const std::atomic<int> &value, int old) {
    constexpr auto patience = std::chrono::microseconds(30);
    const auto begin = std::chrono::steady_clock::now();
    do {
        for (int i = 0; i < 64; ++i) {
            if (value.load(std::memory_order_acquire) != old) return;
            pause_briefly();
        }
    } while (std::chrono::steady_clock::now() - begin < patience);
    value.wait(old, std::memory_order_acquire);
}

struct Helper {
    std::atomic<int> busy{0};
    Call call = nullptr;
    void *work = nullptr;
    int thread = 0;

    void give(Call call_, void *work_, int thread_) {
        call = call_, work = work_, thread = thread_;
        set(1);
    }
    void serve() {
        for (;;) {
            await_change(busy, 0);
            call(work, thread);
            set(0);
        }
    }

  private:
    void set(int value) {
        busy.store(value, std::memory_order_release);
        busy.notify_one();
    }
};

// While it lives, threads that are started get no signals: those are for Python's own.
class BlockSignals {
  public:
    BlockSignals() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    BlockSignals(const BlockSignals &) = delete;

  private:
    sigset_t before_;
};

class Crew {
  public:
    static Crew &of_this_process();

    // False where others have the helpers.
    bool run(int n, Call call, void *work) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock) return false;
        const auto wanted = static_cast<std::size_t>(n - 1);
        while (helpers_.size() < wanted) hire();
        for (std::size_t i = 0; i < wanted; ++i) helpers_[i]->give(call, work, static_cast<int>(i) + 1);
        call(work, 0);
        for (std::size_t i = 0; i < wanted; ++i) await_change(helpers_[i]->busy, 1);
        return true;
    }

  private:
    void hire() {
        helpers_.reserve(helpers_.size() + 1);
        auto helper = std::make_unique<Helper>();
        const BlockSignals guard;
        std::thread([mine = helper.get()] { mine->serve(); }).detach();
        helpers_.push_back(std::move(helper));
    }

    const pid_t process_ = getpid();
    std::mutex mutex_;
    std::vector<std::unique_ptr<Helper>> helpers_;
};

// Never destroyed: its helpers wait until the process is gone. After a fork the parent's is left as it was, its mutex
// locked perhaps.
Crew &Crew::of_this_process() {
    static std::atomic<Crew *> current{nullptr};
    Crew *crew = current.load(std::memory_order_acquire);
    while (!crew || crew->process_ != getpid()) {
        Crew *fresh = new Crew;
        if (current.compare_exchange_strong(crew, fresh, std::memory_order_acq_rel)) return *fresh;
        delete fresh;
    }
    return *crew;
}

// All or none: the work may make its threads wait for each other.
void run_new_threads(int n, Call call, void *work) {
    enum { waiting, all_are_here, leave };
    std::atomic<int> gate{waiting};
    std::vector<std::thread> others;
    auto open = [&](int state) {
        gate = state;
        gate.notify_all();
    };
    try {
        const BlockSignals guard;
        for (int i = 1; i < n; ++i)
            others.emplace_back([&gate, call, work, i] {
                gate.wait(waiting);
                if (gate == all_are_here) call(work, i);
            });
    } catch (...) {
        open(leave);
        for (std::thread &other : others) other.join();
        throw;
    }
    open(all_are_here);
    call(work, 0);
    for (std::thread &other : others) other.join();
}

}  // namespace

void run_threads(int n, Call call, void *work) {
    if (n <= 1) return call(work, 0);
    if (!Crew::of_this_process().run(n, call, work)) run_new_threads(n, call, work);
}

}  // namespace sdtw
