// What an emulated kernel and the scheduler of its fibers share. Kept light: it is compiled with every kernel variant.
#pragma once

namespace emulation {

constexpr int WARP = 32;
constexpr int SHARED_BYTES = 48 * 1024;  // what a block may have of static shared memory

enum Operation : int {
    SHUFFLE,
    SHUFFLE_UP,
    SHUFFLE_DOWN,
    SHUFFLE_XOR,
    ANY,
    ALL,
    LEADING_LANES,
    SYNC_WARP,
    SYNC_BLOCK,
    ADD_PRODUCTS
};

struct Warp;
struct Block;

// A thread of the block. It can run when its warp has reached generation `waits_for`, unless it paused or is done.
struct Lane {
    void *stack_pointer;
    Warp *warp;
    Lane *next;  // the ring of the warp, in the order of execution
    int lane, thread;
    unsigned waits_for;
    bool paused, done;
};

// A collective: each lane leaves its value and parks; the last one to come starts the next generation and goes on. It can
// be one collective ahead of the others, never two: so two sets of slots are enough.
struct Warp {
    Block *block;
    unsigned generation;
    int arrived, alive;
    int operation, line;  // of the collective under way
    const char *file;
    int index;  // in the block
    bool at_barrier, any[2], all[2];
    int leading[2];  // lanes
    unsigned long long slots[2][WARP];
    float factors[2][WARP][6];  // of add_products
    Lane lanes[WARP];
};

struct Block {
    int index;
    int threads, blocks;
    int warps, warps_at_barrier, warps_alive;
    int barrier_line;
    const char *barrier_file;
    Warp *warp;
    char *shared;
    unsigned barriers = 0;           // so far
    bool votes[2] = {false, false};  // of any_of_block, in this barrier and the one before
};

extern Lane *current;

// Events that another fiber may be waiting for. Without any for a while, whoever still spins will spin for ever.
extern unsigned long long events;
extern unsigned polls;  // load_acquire since the last switch of fibers

void park();                                              // lets others run, until this lane can
void complete_block_barrier(const char *file, int line);  // the last lane of a warp came to sync_block
[[noreturn]] void fail(const char *format, ...);          // ends the launch with a message
[[noreturn]] void diverged(int operation, const char *file, int line);

struct Launch {
    const char *kernel;
    void (*body)(void **);
    void **arguments;
    int blocks, threads;
    int resident;    // blocks that run at the same time
    unsigned order;  // of lanes and warps: 0 up, 1 down, others shuffled
    char *message;
    int message_size;
};

int run(const Launch &launch);

}  // namespace emulation
