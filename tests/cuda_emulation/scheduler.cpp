// Runs the fibers of an emulated kernel: all lanes of the blocks that are resident, one at a time, in one thread.
// A warp runs until each of its lanes is done, pauses, or waits in the barrier of the block; then it is another warp's turn.
#include "scheduler.hpp"

#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

// ── Change of fibers ─────────────────────────────────────────────────────────────────────────────────────────────────
// Saves what a called function must leave as it was on the stack of the one, and takes it from the stack of the other.
extern "C" void emulation_switch(void **from, void *to);

#if defined(__x86_64__)
asm(R"(
.text
.global emulation_switch
.hidden emulation_switch
.type emulation_switch, @function
emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulation_switch, .-emulation_switch
)");
constexpr int SAVED = 8;  // words: six registers, the way back, and one for the alignment
constexpr int WAY_BACK = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.global emulation_switch
.hidden emulation_switch
.type emulation_switch, %function
emulation_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size emulation_switch, .-emulation_switch
)");
constexpr int SAVED = 20;
constexpr int WAY_BACK = 11;
#else
#error "the emulation of CUDA kernels knows how to change fibers on x86-64 and aarch64 only"
#endif

namespace emulation {

Lane *current = nullptr;
unsigned long long events = 0;
unsigned polls = 0;

namespace {

constexpr std::size_t STACK_BYTES = 128 * 1024;
constexpr std::size_t GUARD_BYTES = 16 << 20;     // on both sides of a buffer; address space only
constexpr std::size_t POISONED_BYTES = 8 * 1024;  // of each stack, so that variables without a value are NaN
constexpr int ROUNDS_WITHOUT_EVENTS = 1000;
const char *const OPERATIONS[] = {"shuffle", "shuffle_up",    "shuffle_down", "shuffle_xor", "any",
                                  "all",     "leading_lanes", "sync_warp",    "sync_block",  "add_products"};

const Launch *launch = nullptr;
void *scheduler_stack_pointer = nullptr;
bool failed = false;
std::vector<char *> stacks;  // kept from launch to launch, each above a page that nobody may touch
std::map<std::uintptr_t, std::size_t> buffers;
sigjmp_buf after_fault;

std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

void *map_pages(std::size_t bytes, int access) {
    void *pages = mmap(nullptr, bytes, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pages == MAP_FAILED ? nullptr : pages;
}

char *stack_of(std::size_t index) {
    while (stacks.size() <= index) {
        char *pages = static_cast<char *>(map_pages(STACK_BYTES + page(), PROT_READ | PROT_WRITE));
        if (pages == nullptr) fail("no memory for the stacks of the fibers");
        mprotect(pages, page(), PROT_NONE);
        stacks.push_back(pages + page());
    }
    return stacks[index];
}

void say(const char *format, ...) {
    const int used = static_cast<int>(std::strlen(launch->message));
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(launch->message + used, static_cast<std::size_t>(launch->message_size - used), format, arguments);
    va_end(arguments);
}

// "0-4, 7": the lanes of the warp that `chosen` is true for; empty if there are none.
template <class F> std::string lanes_where(const Warp &warp, F chosen) {
    std::string text;
    for (int i = 0; i < WARP; ++i) {
        if (!chosen(warp.lanes[i])) continue;
        int last = i;
        while (last + 1 < WARP && chosen(warp.lanes[last + 1])) ++last;
        text += (text.empty() ? "" : ", ") + std::to_string(i) + (last > i ? "-" + std::to_string(last) : "");
        i = last;
    }
    return text;
}

bool waits(const Lane &lane) { return !lane.done && static_cast<int>(lane.warp->generation - lane.waits_for) < 0; }
bool can_run(const Lane &lane) { return !lane.done && !lane.paused && !waits(lane); }

void describe(const Warp &warp) {
    const std::string waiting = lanes_where(warp, [](const Lane &lane) { return waits(lane) && !lane.paused; });
    const std::string paused = lanes_where(warp, [](const Lane &lane) { return !lane.done && lane.paused; });
    const std::string done = lanes_where(warp, [](const Lane &lane) { return lane.done; });
    if (!waiting.empty())
        say("; lanes %s wait in %s (%s:%d)", waiting.c_str(), OPERATIONS[warp.operation], warp.file, warp.line);
    if (!paused.empty()) say("; lanes %s pause", paused.c_str());
    if (!done.empty()) say("; lanes %s have ended", done.c_str());
}

void say_where(const Warp &warp) { say("kernel %s, block %d, warp %d", launch->kernel, warp.block->index, warp.index); }

[[noreturn]] void leave() {
    failed = true;
    void *dropped;
    emulation_switch(&dropped, scheduler_stack_pointer);
    __builtin_unreachable();
}

// The next lane of the warp that can run; null where there is none.
Lane *next_to_run(Lane *from) {
    Lane *lane = from->next;
    for (int i = 0; i < WARP; ++i, lane = lane->next)
        if (can_run(*lane)) return lane;
    return nullptr;
}

void give_way() {
    polls = 0;
    Lane *self = current;
    Lane *next = next_to_run(self);
    current = next;
    emulation_switch(&self->stack_pointer, next ? next->stack_pointer : scheduler_stack_pointer);
}

[[noreturn]] void fiber() {
    launch->body(launch->arguments);
    Lane *self = current;
    Warp *warp = self->warp;
    self->done = true;
    ++events;
    if (warp->arrived != 0) {
        say_where(*warp);
        say(": lane %d ended while others wait for it", self->lane);
        describe(*warp);
        leave();
    }
    if (--warp->alive == 0) {
        Block *block = warp->block;
        --block->warps_alive;
        if (block->warps_at_barrier != 0) {
            say_where(*warp);
            say(" ended while %d other warps of its block wait in sync_block (%s:%d)", block->warps_at_barrier,
                block->barrier_file, block->barrier_line);
            leave();
        }
    }
    give_way();
    __builtin_unreachable();
}

void prepare(Lane &lane, char *stack) {
    // Not all stacks at the same place of their pages: they would fight for the same lines of the cache.
    char *top = stack + STACK_BYTES - 64 - 576 * lane.lane;
    auto words = reinterpret_cast<void **>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15}) - SAVED;
    std::memset(top - POISONED_BYTES, 0xFF, POISONED_BYTES);
    std::memset(words, 0, SAVED * sizeof(void *));
    words[WAY_BACK] = reinterpret_cast<void *>(&fiber);
    lane.stack_pointer = words;
}

void start(Block &block, int index, std::size_t first_stack, const std::vector<int> &order) {
    block.index = index;
    block.warps_alive = block.warps;
    block.warps_at_barrier = 0;
    block.barriers = 0;
    block.votes[0] = block.votes[1] = false;
    std::memset(block.shared, 0xFF, SHARED_BYTES);
    for (int w = 0; w < block.warps; ++w) {
        Warp &warp = block.warp[w];
        warp.block = &block;
        warp.index = w;
        warp.generation = 0;
        warp.arrived = 0;
        warp.alive = WARP;
        warp.at_barrier = false;
        for (int i = 0; i < WARP; ++i) {
            Lane &lane = warp.lanes[i];
            lane.warp = &warp;
            lane.lane = i;
            lane.thread = w * WARP + i;
            lane.waits_for = 0;
            lane.paused = lane.done = false;
            prepare(lane, stack_of(first_stack + static_cast<std::size_t>(lane.thread)));
        }
        for (int i = 0; i < WARP; ++i)
            warp.lanes[order[static_cast<std::size_t>(i)]].next =
                &warp.lanes[order[static_cast<std::size_t>((i + 1) % WARP)]];
    }
    ++events;
}

void run_warp(Warp &warp, int first) {
    for (Lane &lane : warp.lanes) lane.paused = false;
    Lane *lane = &warp.lanes[first];
    if (!can_run(*lane)) lane = next_to_run(lane);
    if (lane == nullptr) return;
    polls = 0;
    current = lane;
    emulation_switch(&scheduler_stack_pointer, lane->stack_pointer);
}

std::vector<int> ordered(int count, unsigned order) {
    std::vector<int> numbers(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) numbers[static_cast<std::size_t>(i)] = order == 1 ? count - 1 - i : i;
    if (order > 1) {
        std::mt19937 random(order);
        for (std::size_t i = numbers.size(); i > 1; --i) std::swap(numbers[i - 1], numbers[random() % i]);
    }
    return numbers;
}

void run_blocks(std::vector<Block> &resident) {
    const std::vector<int> lanes = ordered(WARP, launch->order);
    const std::vector<int> turns = ordered(static_cast<int>(resident.size()) * resident[0].warps, launch->order);
    int started = 0, ended = 0, quiet = 0;
    for (Block &block : resident) {
        start(block, started, static_cast<std::size_t>(started * launch->threads), lanes);
        ++started;
    }
    while (ended < launch->blocks) {
        const unsigned long long before = events;
        for (int turn : turns) {
            Block &block = resident[static_cast<std::size_t>(turn / resident[0].warps)];
            if (block.warps_alive == 0) continue;
            run_warp(block.warp[turn % block.warps], lanes[0]);
            if (failed) return;
            if (block.warps_alive != 0) continue;
            ++ended;
            if (started < launch->blocks) {
                start(block, started, static_cast<std::size_t>((&block - resident.data()) * launch->threads), lanes);
                ++started;
            }
        }
        quiet = events == before ? quiet + 1 : 0;
        if (quiet == ROUNDS_WITHOUT_EVENTS) {
            say("kernel %s: nothing moves any more (%d of %d blocks started, %d ended)", launch->kernel, started,
                launch->blocks, ended);
            int named = 0;
            for (Block &block : resident)
                for (int w = 0; w < block.warps && named < 8; ++w) {
                    if (block.warp[w].alive == 0) continue;
                    say("; block %d, warp %d", block.index, w);
                    describe(block.warp[w]);
                    ++named;
                }
            failed = true;
            return;
        }
    }
}

// ── Faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────
// A kernel that touches memory beyond the end of a buffer meets a page that nobody may touch, and an undefined operation
// is a trap where it was built to be one: the launch ends with a message then, not the process.
constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
struct sigaction former[5];

void on_fault(int signal, siginfo_t *info, void *context) {
    if (launch == nullptr || current == nullptr) {  // not ours: as if this handler were not there
        for (int i = 0; i < 5; ++i)
            if (SIGNALS[i] == signal) sigaction(signal, &former[i], nullptr);
        return;
    }
    static_cast<void>(context);
    say_where(*current->warp);
    say(", lane %d: ", current->lane);
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    if (signal == SIGFPE) {
        say("division of an integer by zero");
    } else if (signal == SIGILL || signal == SIGTRAP) {
        say("an operation that C++ leaves undefined");
    } else {
        const char *stack = nullptr;
        for (const char *s : stacks)
            if (address < reinterpret_cast<std::uintptr_t>(s) &&
                address + page() >= reinterpret_cast<std::uintptr_t>(s))
                stack = s;
        const auto next = buffers.upper_bound(address);
        const auto last = next == buffers.begin() ? buffers.end() : std::prev(next);
        if (stack != nullptr)
            say("more than %zu bytes of local variables", STACK_BYTES);
        else if (last != buffers.end() && address - last->first < last->second)
            say("write to a buffer of %zu bytes that is a constant", last->second);
        else if (last != buffers.end() && address - last->first < last->second + GUARD_BYTES)
            say("access %zu bytes beyond the end of a buffer of %zu bytes",
                static_cast<std::size_t>(address - last->first) - last->second, last->second);
        else if (next != buffers.end() && next->first - address < GUARD_BYTES)
            say("access %zu bytes before the start of a buffer of %zu bytes",
                static_cast<std::size_t>(next->first - address), next->second);
        else
            say("access to address %p, which belongs to no buffer", info->si_addr);
    }
    siglongjmp(after_fault, 1);
}

}  // namespace

void park() { give_way(); }

void fail(const char *format, ...) {
    say_where(*current->warp);
    say(", lane %d: ", current->lane);
    const std::size_t used = std::strlen(launch->message);
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(launch->message + used, static_cast<std::size_t>(launch->message_size) - used, format, arguments);
    va_end(arguments);
    leave();
}

void diverged(int operation, const char *file, int line) {
    const Warp &warp = *current->warp;
    say_where(warp);
    say(": lane %d came to %s (%s:%d)", current->lane, OPERATIONS[operation], file, line);
    describe(warp);
    leave();
}

void complete_block_barrier(const char *file, int line) {
    Block &block = *current->warp->block;
    if (block.warps_at_barrier == 0) {
        block.barrier_file = file;
        block.barrier_line = line;
    } else if (line != block.barrier_line) {
        say_where(*current->warp);
        say(" came to sync_block (%s:%d) while other warps of its block wait in sync_block (%s:%d)", file, line,
            block.barrier_file, block.barrier_line);
        leave();
    }
    if (block.warps_alive != block.warps) {
        say_where(*current->warp);
        say(" came to sync_block (%s:%d), but %d warps of its block have ended", file, line,
            block.warps - block.warps_alive);
        leave();
    }
    if (++block.warps_at_barrier < block.warps) {
        park();
        return;
    }
    block.warps_at_barrier = 0;
    block.votes[++block.barriers & 1] = false;
    ++events;
    for (int w = 0; w < block.warps; ++w) {
        block.warp[w].arrived = 0;
        ++block.warp[w].generation;
    }
}

int run(const Launch &asked) {
    launch = &asked;
    asked.message[0] = 0;
    failed = false;
    const int count = asked.resident < asked.blocks ? asked.resident : asked.blocks;
    const int warps = asked.threads / WARP;
    std::vector<Block> resident(static_cast<std::size_t>(count));
    std::vector<Warp> all_warps(static_cast<std::size_t>(count * warps));
    std::vector<char> shared(static_cast<std::size_t>(count) * SHARED_BYTES + 64);
    char *aligned = shared.data() + (64 - reinterpret_cast<std::uintptr_t>(shared.data()) % 64);
    for (std::size_t i = 0; i < resident.size(); ++i)
        resident[i] = Block{0,
                            asked.threads,
                            asked.blocks,
                            warps,
                            0,
                            0,
                            0,
                            nullptr,
                            &all_warps[i * static_cast<std::size_t>(warps)],
                            aligned + i * SHARED_BYTES};

    static std::vector<char> signal_stack(64 * 1024);
    stack_t own{}, other{};
    own.ss_sp = signal_stack.data();
    own.ss_size = signal_stack.size();
    sigaltstack(&own, &other);
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int i = 0; i < 5; ++i) sigaction(SIGNALS[i], &action, &former[i]);
    if (sigsetjmp(after_fault, 1) == 0)
        run_blocks(resident);
    else
        failed = true;
    for (int i = 0; i < 5; ++i) sigaction(SIGNALS[i], &former[i], nullptr);
    sigaltstack(&other, nullptr);
    current = nullptr;
    launch = nullptr;
    return failed ? 1 : 0;
}

}  // namespace emulation

// ── Memory of the device ─────────────────────────────────────────────────────────────────────────────────────────────
// A buffer ends where pages begin that nobody may touch; before it lie at least `margin` bytes that can be written to,
// and such pages again. Returns null where there is no memory.
static std::size_t pages_for(std::size_t bytes, std::size_t margin) {
    return (bytes + margin + emulation::page() - 1) / emulation::page() * emulation::page();
}

extern "C" char *emulation_allocate(std::size_t bytes, std::size_t margin) {
    using namespace emulation;
    const std::size_t size = pages_for(bytes, margin);
    char *pages = static_cast<char *>(map_pages(size + 2 * GUARD_BYTES, PROT_NONE));
    if (pages == nullptr) return nullptr;
    if (mprotect(pages + GUARD_BYTES, size, PROT_READ | PROT_WRITE) != 0) {
        munmap(pages, size + 2 * GUARD_BYTES);
        return nullptr;
    }
    char *begin = pages + GUARD_BYTES + size - bytes;
    buffers[reinterpret_cast<std::uintptr_t>(begin)] = bytes;
    return begin;
}

// From now on kernels may only read.
extern "C" int emulation_protect(char *begin, std::size_t bytes, std::size_t margin) {
    const std::size_t size = pages_for(bytes, margin);
    return mprotect(begin + bytes - size, size, PROT_READ);
}

extern "C" void emulation_release(char *begin, std::size_t bytes, std::size_t margin) {
    using namespace emulation;
    const std::size_t size = pages_for(bytes, margin);
    buffers.erase(reinterpret_cast<std::uintptr_t>(begin));
    munmap(begin + bytes - size - GUARD_BYTES, size + 2 * GUARD_BYTES);
}
