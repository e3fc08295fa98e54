// Prints the GFLOP/s of one core in float32: multiply-adds of vectors that do not wait for each other and need no memory.
// cc -O2 -march=native fma_peak.c -o fma_peak
#include <stdio.h>
#include <time.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
typedef float Vector __attribute__((vector_size(BYTES)));
enum { ROUNDS = 10000, CHAINS = 12, LANES = BYTES / sizeof(float) };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

int main(void) {
    volatile float zero = 0, one = 1;
    const Vector x = (Vector){0} + one, y = (Vector){0} + zero;
    // Each read of a volatile number could give another one, so all twelve are computed.
    Vector a = y + zero, b = y + zero, c = y + zero, d = y + zero, e = y + zero, f = y + zero;
    Vector g = y + zero, h = y + zero, i = y + zero, j = y + zero, k = y + zero, l = y + zero;
    double best = 1e9;
    for (int burst = 0; burst < 2000; ++burst) {
        const double begin = seconds();
        for (int t = 0; t < ROUNDS; ++t) {
            a = a * x + y, b = b * x + y, c = c * x + y, d = d * x + y, e = e * x + y, f = f * x + y;
            g = g * x + y, h = h * x + y, i = i * x + y, j = j * x + y, k = k * x + y, l = l * x + y;
        }
        // The results are looked at, so that the loop stays.
        a += b + c + d + e + f + g + h + i + j + k + l;
        zero = a[0];
        const double spent = seconds() - begin;
        if (spent < best) best = spent;
    }
    printf("%.1f\n", 2.0 * CHAINS * LANES * ROUNDS / best / 1e9);
    return 0;
}
