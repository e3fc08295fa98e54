// Threads that stay for the next call, because to start one costs as much as much of the work that is shared.
//
// A helper that has nothing to do looks for work for a fifth of a millisecond, then sleeps (to wake it takes as long as
// much of the work that is shared); after a tenth of a second it leaves. Helpers belong to one process: a forked child,
// which has none of its parent's threads, hires its own. They hold nothing of Python's and nothing that must be given
// back, and block all signals. One call at a time has them; calls that come meanwhile, and calls from within a call,
// start threads of their own. Work that a helper has not begun when the caller is done with its own is done by the caller:
// a helper that has to wait for a CPU holds nobody up.
#include "team.hpp"

#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#endif

#include <chrono>
#include <condition_variable>
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

#ifdef __linux__
pid_t own_id() { return static_cast<pid_t>(syscall(SYS_gettid)); }
int own_cpu() { return sched_getcpu(); }

// The CPUs that the threads of a call were last seen on.
class Places {
  public:
    Places() {
        CPU_ZERO(&taken_);
        take(own_cpu());
    }
    // False where another thread has it.
    bool take(int cpu) {
        if (cpu < 0 || cpu >= CPU_SETSIZE) return true;
        if (CPU_ISSET(cpu, &taken_)) return false;
        CPU_SET(cpu, &taken_);
        return true;
    }
    // Those of `allowed` that are left.
    cpu_set_t others(const cpu_set_t &allowed) const {
        cpu_set_t both, left;
        CPU_AND(&both, &allowed, &taken_);
        CPU_XOR(&left, &allowed, &both);
        return left;
    }

  private:
    cpu_set_t taken_;
};

// While it lasts, a thread whose CPU is taken is kept from it. The system leaves two threads on one CPU, once they are
// there, when each of them is always busy, be it with looking what the other one does.
class Detour {
  public:
    Detour(pid_t thread, int cpu, Places &places) : thread_(thread) {
        if (places.take(cpu) || sched_getaffinity(thread, sizeof allowed_, &allowed_) != 0) return;
        const cpu_set_t others = places.others(allowed_);
        sent_ = CPU_COUNT(&others) > 0 && sched_setaffinity(thread, sizeof others, &others) == 0;
    }
    ~Detour() {
        if (sent_) sched_setaffinity(thread_, sizeof allowed_, &allowed_);
    }
    Detour(const Detour &) = delete;

  private:
    pid_t thread_;
    cpu_set_t allowed_;
    bool sent_ = false;
};
#else  // threads are where the system wants them
pid_t own_id() { return 0; }
int own_cpu() { return -1; }
struct Places {};
struct Detour {
    Detour(pid_t, int, Places &) {}
};
#endif

class Helper {
  public:
    // From here it does not leave until it has had work, or is dismissed. Throws where the system gives no thread.
    void hire() {
        if (turn(State::idle, State::hired)) return;
        const std::lock_guard lock(mutex_);
        if (state_ == State::away) {
            const BlockSignals guard;
            cpu_ = nowhere;
            std::thread([this] { serve(); }).detach();
        }
        state_ = State::hired;
    }
    void dismiss() { turn(State::hired, State::idle); }
    void give(Call call, void *work, int thread, Places &places) {
        call_ = call, work_ = work, thread_ = thread;
        const Detour detour(id_, cpu_, places);
        change(State::given);  // if it slept it wakes up where it was sent
    }
    // Whether it had not begun yet. It won't.
    bool take_back() { return turn(State::given, State::idle); }
    void await() {
        auto done = [this] { return state_ != State::given && state_ != State::working; };
        if (look(false, done)) return;
        std::unique_lock lock(mutex_);
        changed_.wait(lock, done);
    }

  private:
    enum class State { away, idle, hired, given, working };

    bool turn(State from, State to) { return state_.compare_exchange_strong(from, to); }
    void change(State state) {
        {
            const std::lock_guard lock(mutex_);
            state_ = state;
        }
        changed_.notify_all();
    }
    // Whether it has come to pass. Who has seen it takes no lock: the other one still holds it then, as a rule.
    // A helper without work is `idle` and leaves its CPU to whoever else wants it.
    template <class Until> static bool look(bool idle, Until until) {
        constexpr auto patience = std::chrono::microseconds(200);
        const auto begin = std::chrono::steady_clock::now();
        do {
            for (int i = 0; i < 64; ++i) {
                if (until()) return true;
                pause_briefly();
            }
            if (idle) sched_yield();
        } while (std::chrono::steady_clock::now() - begin < patience);
        return false;
    }
    void serve() {
        constexpr auto patience = std::chrono::milliseconds(100);
        id_ = own_id();
        auto has_work = [this] { return state_ == State::given; };
        for (;;) {
            cpu_ = own_cpu();
            if (!look(true, has_work)) {
                std::unique_lock lock(mutex_);
                if (!changed_.wait_for(lock, patience, has_work)) {
                    if (turn(State::idle, State::away)) return;
                    continue;
                }
            }
            if (!turn(State::given, State::working)) continue;
            call_(work_, thread_);
            change(State::idle);
        }
    }

    static constexpr int nowhere = -1;

    std::atomic<State> state_{State::away};
    std::atomic<int> cpu_{nowhere};  // where it last looked for work
    pid_t id_ = 0;                   // known where cpu_ is
    std::mutex mutex_;
    std::condition_variable changed_;
    Call call_ = nullptr;
    void *work_ = nullptr;
    int thread_ = 0;
};

class Crew {
  public:
    static Crew &of_this_process();

    // False where others have the helpers.
    bool run(int n, Call call, void *work, bool together) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock) return false;
        const auto wanted = static_cast<std::size_t>(n - 1);
        while (helpers_.size() < wanted) helpers_.push_back(std::make_unique<Helper>());
        hire(wanted);
        Places places;
        for (std::size_t i = 0; i < wanted; ++i) helpers_[i]->give(call, work, static_cast<int>(i) + 1, places);
        call(work, 0);
        for (std::size_t i = 0; i < wanted && !together; ++i)
            if (helpers_[i]->take_back()) call(work, static_cast<int>(i) + 1);
        for (std::size_t i = 0; i < wanted; ++i) helpers_[i]->await();
        return true;
    }

  private:
    // All or none: the work may make its threads wait for each other.
    void hire(std::size_t wanted) {
        std::size_t hired = 0;
        try {
            for (; hired < wanted; ++hired) helpers_[hired]->hire();
        } catch (...) {
            while (hired > 0) helpers_[--hired]->dismiss();
            throw;
        }
    }

    const pid_t process_ = getpid();
    std::mutex mutex_;
    std::vector<std::unique_ptr<Helper>> helpers_;
};

// Never destroyed: its helpers may outlive everything else. After a fork the parent's is left as it was, its mutex
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

// All or none here too.
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

void run_threads(int n, Call call, void *work, bool together) {
    if (n <= 1) return call(work, 0);
    if (!Crew::of_this_process().run(n, call, work, together)) run_new_threads(n, call, work);
}

}  // namespace sdtw
