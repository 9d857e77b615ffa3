// Level: AVX-512 with VDPBF16PS (Cooper Lake, Sapphire Rapids, Zen 4 and later).
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "ckernels.h"

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2,avx512bf16"))), apply_to = function)
#define LEVEL_NAME avx512bf16
#define LEVEL_LANES 16
#define PANEL_ROWS 14
#define LEVEL_BFLOAT16 DOT_PRODUCTS
#include "families/level.inc"
#pragma clang attribute pop
#endif
