// Level: AMX-BF16 tiles, AVX-512 for the rest (Sapphire Rapids and later).
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "ckernels.h"

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2,avx512bf16,amx-tile,amx-bf16"))), apply_to = function)
#define LEVEL_NAME amx
#define LEVEL_LANES 16
#define PANEL_ROWS 14
#define LEVEL_BFLOAT16 TILES
#define TILE_CONFIGURE _tile_loadconfig
#define TILE_RELEASE _tile_release
#define TILE_ZERO _tile_zero
#define TILE_LOAD _tile_loadd
#define TILE_STORE _tile_stored
#define TILE_DOT _tile_dpbf16ps
#include "families/level.inc"
#pragma clang attribute pop
#endif
