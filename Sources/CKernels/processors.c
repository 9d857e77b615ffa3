// Where threads run and memory lies: what Linux offers and Swift cannot call.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE  // gettid, sched_setaffinity
#endif
#include "ckernels.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

int32_t hadal_this_thread(void) { return (int32_t)syscall(SYS_gettid); }

bool hadal_processors(uint64_t *bits, size_t words) {
  return sched_getaffinity(0, words * sizeof *bits, (cpu_set_t *)bits) == 0;
}

bool hadal_confine(int32_t thread, const uint64_t *bits, size_t words) {
  return sched_setaffinity(thread, words * sizeof *bits, (const cpu_set_t *)bits) == 0;
}

bool hadal_spread(void *start, size_t bytes, uint64_t nodes) {
  enum { interleave = 3 };  // MPOL_INTERLEAVE
  // The kernel reads one bit less than it is told.
  return syscall(SYS_mbind, start, bytes, interleave, &nodes, 8 * sizeof nodes + 1, 0) == 0;
}
#else
int32_t hadal_this_thread(void) { return 0; }
bool hadal_processors(uint64_t *bits, size_t words) { return (void)bits, (void)words, false; }
bool hadal_confine(int32_t thread, const uint64_t *bits, size_t words) {
  return (void)thread, (void)bits, (void)words, false;
}
bool hadal_spread(void *start, size_t bytes, uint64_t nodes) { return (void)start, (void)bytes, (void)nodes, false; }
#endif
