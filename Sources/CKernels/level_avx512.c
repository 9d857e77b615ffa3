// Level: AVX-512 (Skylake-SP, Zen 4 and later). 28 of 32 registers hold sums.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "ckernels.h"

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#define LEVEL_NAME avx512
#define LEVEL_LANES 16
#define PANEL_ROWS 14
#include "families/level.inc"
#pragma clang attribute pop
#endif
