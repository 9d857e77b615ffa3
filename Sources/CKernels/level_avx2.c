// Level: AVX2 and FMA (Haswell, Zen and later).
#if defined(__x86_64__)
#include <math.h>
#include <string.h>

#include "ckernels.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#define LEVEL_NAME avx2
#include "families/level.inc"
#pragma clang attribute pop
#endif
