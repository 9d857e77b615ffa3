// The processor's fastest unit for bfloat16 products, at its best: AMX tiles, else AVX-512 dot products.
// Not a family: which unit there is does not follow from the level.
#include "ckernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include <immintrin.h>

#include "families/tile_configuration.inc"

/// 4 accumulators, each the product of two of 4 operand tiles of ones: 16 · 16 · 32 multiply-adds a product.
__attribute__((target("amx-tile,amx-bf16"))) static double tile_products(size_t iterations, float *value) {
  tile_configuration saved, ours = {.palette = 1};
  uint16_t ones[16 * 32];
  float sum[16 * 16];
  for (int i = 0; i < 16 * 32; i++) ones[i] = 0x3f80;
  for (int t = 0; t < 8; t++) {
    ours.row_bytes[t] = 64;
    ours.rows[t] = 16;
  }
  _tile_storeconfig(&saved);  // the caller's own configuration comes back at the end
  _tile_loadconfig(&ours);
  _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
  _tile_loadd(4, ones, 64), _tile_loadd(5, ones, 64), _tile_loadd(6, ones, 64), _tile_loadd(7, ones, 64);
  for (size_t i = 0; i < iterations; i++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sum, 64);
  *value = sum[0];
  _tile_loadconfig(&saved);
  return 4 * 2.0 * 16 * 16 * 32 * (double)iterations;
}

/// 24 accumulators of 16 lanes, 2 multiply-adds a lane, on ones.
__attribute__((target("avx512f,avx512bf16"))) static double dot_products(size_t iterations, float *value) {
  volatile float zero = 0;  // read anew for each: accumulators that are known to be equal would become one
  __m512 a[24];
  const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
#pragma clang loop unroll(full)
  for (int j = 0; j < 24; j++) a[j] = _mm512_set1_ps(zero);
  for (size_t i = 0; i < iterations; i++) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 24; j++) a[j] = _mm512_dpbf16_ps(a[j], ones, ones);
  }
  __m512 sum = _mm512_setzero_ps();
#pragma clang loop unroll(full)
  for (int j = 0; j < 24; j++) sum = _mm512_add_ps(sum, a[j]);
  *value = _mm512_reduce_add_ps(sum) / (16 * 24);
  return 24 * 16 * 4.0 * (double)iterations;
}

hadal_bfloat16_unit hadal_find_bfloat16_unit(void) {
  if (hadal_has_tiles())
    return (hadal_bfloat16_unit){.name = "tiles", .ceiling = tile_products, .depth = 32};
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512bf16"))
    return (hadal_bfloat16_unit){.name = "dot products", .ceiling = dot_products, .depth = 2};
  return (hadal_bfloat16_unit){0};
}
#else
hadal_bfloat16_unit hadal_find_bfloat16_unit(void) { return (hadal_bfloat16_unit){0}; }
#endif
