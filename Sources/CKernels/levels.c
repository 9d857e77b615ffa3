// Which levels this build has, and which of them this processor can run.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE  // syscall
#endif
#include "ckernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

extern const hadal_kernels hadal_kernels_portable, hadal_kernels_emulated;
#if defined(__x86_64__)
extern const hadal_kernels hadal_kernels_avx2, hadal_kernels_avx512, hadal_kernels_avx512bf16, hadal_kernels_amx;
#endif

const hadal_kernels *const *hadal_levels(void) {
  static const hadal_kernels *const levels[] = {
#if defined(__x86_64__)
    &hadal_kernels_amx, &hadal_kernels_avx512bf16, &hadal_kernels_avx512, &hadal_kernels_avx2,
#endif
    &hadal_kernels_portable, &hadal_kernels_emulated, NULL,
  };
  return levels;
}

/// CPUID leaf 7, sub-leaf 0: EDX bit 22 AMX-BF16, bit 24 AMX-TILE; and Linux lends the tile registers on request.
bool hadal_has_tiles(void) {
#if defined(__x86_64__) && defined(__linux__)
  enum { request_permission = 0x1023, tile_data = 18 };  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) && (d >> 24 & 1) &&
         syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

#if defined(__x86_64__)
static bool is_intel(void) {
  unsigned a, b, c, d;
  return __get_cpuid(0, &a, &b, &c, &d) && b == signature_INTEL_ebx && d == signature_INTEL_edx;
}
#endif

bool hadal_level_is_supported(const hadal_kernels *level) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
              __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512cd");
  bool avx512bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  if (level == &hadal_kernels_amx) return avx512bf16 && hadal_has_tiles();
  if (level == &hadal_kernels_avx512bf16) return avx512bf16;
  if (level == &hadal_kernels_avx512) return avx512;
  if (level == &hadal_kernels_avx2) return avx2;
#endif
  return level == &hadal_kernels_portable || level == &hadal_kernels_emulated;
}

bool hadal_level_is_fast(const hadal_kernels *level) {
#if defined(__x86_64__)
  if (level == &hadal_kernels_avx512bf16 && is_intel()) return false;
#endif
  return level != &hadal_kernels_emulated;
}

bool hadal_watches_memory(void) {
#if defined(__has_feature)
  return __has_feature(address_sanitizer);
#else
  return false;
#endif
}
