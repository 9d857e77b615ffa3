// Level: AVX2 and FMA (Haswell, Zen and later). 12 of 16 registers hold sums.
#if defined(__x86_64__)
#include <math.h>
#include <string.h>

#include "ckernels.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#define LEVEL_NAME avx2
#define LEVEL_LANES 8
#define PANEL_ROWS 6
#include "families/level.inc"
#pragma clang attribute pop
#endif
