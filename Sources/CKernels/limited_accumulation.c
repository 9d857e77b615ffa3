// An emulation of tensor cores that keep few bits of a sum, for the study of what that costs; not for training.
// Not a family: sums are of integers, so every level would give the same bits.
//
// The model. One instruction adds 32 products to the accumulator. Products are exact. The largest exponent among them
// and the accumulator is that of the first of `bits` binary digits; digits below the last one are cut off, of each
// product and of the accumulator (towards zero). What is left is added exactly, and the sum is cut to `bits`
// significant digits for the accumulator.
//
// From the source: products are aligned to the largest exponent, 32 at a time; digits beyond 14 are truncated, and the
// accumulator has 14 too. Assumed: that products and the accumulator are aligned in one step, exponents are those of
// normalized numbers, and magnitudes are cut, not two's complements.
// Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2 and §3.5.2, on NVIDIA's Hopper.
#include <math.h>
#include <string.h>

#include "ckernels.h"

enum { instruction = 32 };

static inline int32_t magnitude(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits & 0x7fffffff;
}

static inline float power_of_two(int32_t exponent) {
  int32_t bits = (exponent + 127) << 23;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// The first `bits` binary digits of an integer, which a float32 then holds exactly.
static inline float leading_digits(int32_t x, int32_t bits) {
  uint32_t size = x < 0 ? -(uint32_t)x : (uint32_t)x;
  if (size >> bits != 0) {
    int32_t rest = 32 - __builtin_clz(size) - bits;
    size = size >> rest << rest;
  }
  return x < 0 ? -(float)size : (float)size;
}

/// sum + Σ a·b of one instruction. Products of E4M3 values are multiples of 2^-18 below 2^18: powers of two scale them
/// and their sums exactly. 33 terms of 24 digits fit into 32 bits.
static inline float add_products(float sum, const float *a, const float *b, int32_t bits) {
  float product[instruction];
  int32_t largest = magnitude(sum);
  for (int p = 0; p < instruction; p++) {
    product[p] = a[p] * b[p];
    int32_t size = magnitude(product[p]);
    largest = size > largest ? size : largest;
  }
  if (largest >= 0x7f800000) return NAN;  // its pattern is larger than any number's
  if (largest == 0) return 0;
  int32_t shift = bits - 1 - ((largest >> 23) - 127);
  float scale = power_of_two(shift);
  int32_t total = (int32_t)(sum * scale);
  for (int p = 0; p < instruction; p++) total += (int32_t)(product[p] * scale);
  return leading_digits(total, bits) * power_of_two(-shift);
}

static float limited_sum(const float *a, const float *b, size_t k, int32_t bits) {
  float sum = 0;
  size_t whole = k / instruction * instruction;
  for (size_t p = 0; p < whole; p += instruction) sum = add_products(sum, a + p, b + p, bits);
  if (whole == k) return sum;
  float last_a[instruction] = {0}, last_b[instruction] = {0};
  memcpy(last_a, a + whole, (k - whole) * sizeof *a);
  memcpy(last_b, b + whole, (k - whole) * sizeof *b);
  return add_products(sum, last_a, last_b, bits);
}

void hadal_limited_products(const float *a, const float *b, size_t ldb, size_t n, size_t k, int32_t bits, float *y) {
  for (size_t j = 0; j < n; j++) y[j] = limited_sum(a, b + j * ldb, k, bits);
}
