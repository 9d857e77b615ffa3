// Which levels this build has, and which of them this processor can run.
#include "ckernels.h"

extern const hadal_kernels hadal_kernels_portable;
#if defined(__x86_64__)
extern const hadal_kernels hadal_kernels_avx2, hadal_kernels_avx512;
#endif

const hadal_kernels *const *hadal_levels(void) {
  static const hadal_kernels *const levels[] = {
#if defined(__x86_64__)
    &hadal_kernels_avx512, &hadal_kernels_avx2,
#endif
    &hadal_kernels_portable, NULL,
  };
  return levels;
}

bool hadal_level_is_supported(const hadal_kernels *level) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (level == &hadal_kernels_avx512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (level == &hadal_kernels_avx2)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#endif
  return level == &hadal_kernels_portable;
}
