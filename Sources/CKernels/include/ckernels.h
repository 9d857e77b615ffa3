// SIMD micro-kernels: no allocation, no threads, no policy. Callers split the rows over threads.
//
// Every kernel exists once in families/*.inc and is compiled for each instruction-set level; a level is a table of
// function pointers. Kernels that read or write activations exist for each storage type as well (float32, bfloat16);
// all arithmetic and every sum is float32 unless a comment says otherwise.
//
// ld… is the distance between rows in elements. T tokens, D width, E experts, K selected experts, V vocabulary.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Which experts a token may use, and how its weights follow from the scores.
typedef struct {
  int32_t experts, selected, groups, kept_groups;
  /// Group score: sum of the two largest biased scores (V3), or the largest (V2).
  bool group_score_is_top2;
  bool softmax, normalize;
  float scale;
} hadal_router_settings;

/// The scalars of one AdamW step. `step_size` = lr / (1 - beta1^t), `v_scale` = 1 / sqrt(1 - beta2^t).
typedef struct {
  float gradient_scale, decay, beta1, beta2, step_size, v_scale, epsilon;
} hadal_adamw_scalars;

/// The scale of a tile: max(amax, amax_floor) / largest code, and the next power of two above it if asked for; 1 where
/// all of that is 0; at least 2^-126. amax is that of the finite elements. amax_floor is finite and not negative.
typedef struct {
  float amax_floor;
  bool power_of_two;
} hadal_scale_rule;

/// What quantizers add up where they are asked to. Start: amax 0, least_scale infinite, greatest_scale 0.
typedef struct {
  /// The largest finite |x|; the smallest and the largest scale of a tile.
  float amax, least_scale, greatest_scale;
  /// Elements that were NaN or infinite; finite ones whose |x / scale| rounds past the largest code; elements that are
  /// not zero and whose code is.
  int64_t non_finite, saturated, flushed;
} hadal_quantization_counts;

/// Where codes in 1 x 128 tiles go, and their scales, one every scale_row to each row; counts may be NULL.
typedef struct {
  uint8_t *codes;
  size_t ldc;
  float *scales;
  size_t scale_row;
  hadal_quantization_counts *counts;
} hadal_row_codes;

/// How numbers are stored.
typedef enum { hadal_float32, hadal_bfloat16 } hadal_storage;

/// What becomes of a sum of products.
typedef enum { hadal_store_float32, hadal_add_float32, hadal_store_bfloat16 } hadal_output;

/// Scales of a product of codes, for each tile of 128 of k from its first one on: that of row i stands at row[tile ·
/// row_tile + i], of column j at column[tile · column_tile + j], for all columns of its panels.
typedef struct {
  const float *row, *column;
  size_t row_tile, column_tile;
} hadal_tile_scales;

/// Packs operands of one storage type for a matrix product. `index`, where not NULL, picks the rows in memory.
typedef struct {
  /// The panels of `rows` rows of a [.., k], or of as many columns of a [k, ..] when transposed.
  void (*a)(bool transposed, const void *a, size_t lda, const int32_t *index, size_t k, size_t rows, void *panel);
  /// All panels of b [k, n], or of b [n, k] when transposed (then without an index): [ceil(n / columns), k, columns].
  void (*b)(bool transposed, const void *b, size_t ldb, const int32_t *index, size_t k, size_t n, void *panels);
} hadal_packing;

/// Matrix products c = a b of packed operands; sums in float32, each in the order of k.
///
/// A panel of B holds `columns` columns of b for all k; a panel of A holds up to `rows` rows of a, or is those rows of
/// a itself where they stand as the kernel wants them. k is padded with zeros to a multiple of `unit` in panels.
/// `element` is how panels store numbers: packing is the place where formats are converted.
typedef struct {
  int32_t rows, columns, unit;
  hadal_storage element;
  hadal_packing float32, bfloat16;
  /// All panels of b [k, n], or of b [n, k] when transposed, from E4M3 codes: value(code) · scales[r][(first_column + c)
  /// / tile] for row r and column c of b, tile 128, or 1 where it is not transposed; scales NULL: 1. n begins at a
  /// multiple of a panel. false where the panels cannot hold these values exactly; then, and where this is NULL, codes
  /// are decoded to an array first.
  bool (*codes)(bool transposed, const uint8_t *b, size_t ldb, const float *const *scales, size_t first_column,
                size_t tile, size_t k, size_t n, void *panels);
  /// c[rows, n] (=, +=) a b of one panel of A with panels of B. Element (i, p) of a stands at i * a_row + p * a_step:
  /// (lda, 1) in place, (k padded, 1) packed from rows; and if element is float32, (1, rows of a panel) packed
  /// transposed. `b_panel`: elements from one panel of B to the next; `b_step`: from one k to the next, `columns` where
  /// it is packed. If element is float32 and a is packed transposed, b may stand in place, n a multiple of `columns`.
  /// With scales, which may be NULL, sums over each 128 of k are multiplied by that of their row, then of their column,
  /// and added to c in order, in float32.
  void (*multiply)(size_t rows, size_t k, const void *a, size_t a_row, size_t a_step, const void *b, size_t b_panel,
                   size_t b_step, size_t n, const hadal_tile_scales *scales, void *c, size_t ldc,
                   hadal_output output);
} hadal_product_kernels;

/// Kernels whose arrays `x`, `y`, … are of one storage type.
typedef struct {
  /// y = x · rstd · gain, rstd = 1 / sqrt(mean(x²) + epsilon).
  void (*rms_norm)(const void *x, const float *gain, void *y, float *rstd, size_t rows, size_t width,
                   float epsilon);
  /// s = x + a + b, rounded once, b may be NULL; then rms_norm of s.
  void (*residual_norm)(const void *x, const void *a, const void *b, void *s, const float *gain, void *y,
                        float *rstd, size_t rows, size_t width, float epsilon);
  /// dx = residual + rstd · (g·dy − x · rstd² · mean(g·dy·x)), where residual may be NULL or dx itself;
  /// dgain = Σ_rows dy·x·rstd.
  void (*rms_norm_gradient)(const void *dy, const void *x, const float *gain, const float *rstd,
                            const void *residual, void *dx, float *dgain, size_t rows, size_t width);
  /// a = weight[row] · silu(h[:, :I]) · h[:, I:]; weight may be NULL (then 1).
  void (*swiglu)(const void *h, const float *weight, void *a, size_t rows, size_t inner);
  /// dh from da; also, where not NULL, the recomputed a, and dweight[row] = Σ da · silu(gate) · up.
  void (*swiglu_gradient)(const void *da, const void *h, const float *weight, void *dh, void *a, float *dweight,
                          size_t rows, size_t inner);
  void (*add)(const void *a, const void *b, void *y, size_t count);
  /// y[i] = x[index[i]], row by row; zeros where the index is -1.
  void (*gather_rows)(const void *x, const int32_t *index, void *y, size_t rows, size_t width);
  /// y[t] = Σ_k x[k][position[t·K + k]] over the positions that are not -1.
  void (*combine_rows)(const void *const *x, const int32_t *position, void *y, size_t rows, size_t selected,
                       size_t width);
  /// y[r] = x[r] where keep[r], else 0.
  void (*mask_rows)(const void *x, const bool *keep, void *y, size_t rows, size_t width);
  /// sum[id[t]] += x[t] for the runs begin..<end of what sort_by_id gave. Unless `accumulate`, sum [ids, width] holds
  /// anything: all runs together overwrite every row, those of ids that do not occur with zeros.
  void (*scatter_rows)(const void *x, const int32_t *id, const int32_t *order, const int32_t *start, size_t runs,
                       size_t begin, size_t end, bool accumulate, float *sum, size_t ids, size_t width);
  /// Copies columns between matrices of different row lengths.
  void (*copy_columns)(const void *x, size_t ldx, void *y, size_t ldy, size_t rows, size_t width);
  void (*to_float)(const void *x, float *y, size_t count);
  void (*from_float)(const float *x, void *y, size_t count);
  /// y[r] = [x[r, :nope] | rotate(rope[r])] as float32; the rotated part is laid out [real | imaginary].
  void (*pack_rotated)(const void *x, size_t ldx, size_t nope, const void *rope, size_t ldr, size_t half,
                       const float *cosine, const float *sine, bool interleaved, float *y, size_t rows);
  /// The transpose of pack_rotated: stores y's plain part to dx, and the rotation undone to drope.
  void (*unpack_rotated)(const float *y, void *dx, size_t ldx, size_t nope, void *drope, size_t ldr, size_t half,
                         const float *cosine, const float *sine, bool interleaved, size_t rows);
  /// Copies `width` columns to and from a float32 matrix.
  void (*pack_float)(const void *x, size_t ldx, float *y, size_t ldy, size_t rows, size_t width);
  void (*unpack_float)(const float *y, size_t ldy, void *x, size_t ldx, size_t rows, size_t width);
  /// One AdamW step; master and gradient float32, the moments of this storage type. compute receives the new values
  /// as bfloat16; it may be NULL.
  void (*adamw)(float *master, const float *gradient, void *m, void *v, void *compute, size_t count,
                const hadal_adamw_scalars *s);
  /// E4M3 codes of x [rows, width] in 1 x 128 tiles: code = x / scale to nearest, ties to even; NaN and infinity become
  /// NaN (0x7f and the sign). scales [rows, ceil(width / 128)]. Here and below counts may be NULL.
  void (*quantize_rows)(const void *x, size_t rows, size_t width, const hadal_scale_rule *rule, uint8_t *codes,
                        float *scales, hadal_quantization_counts *counts);
  /// The same for `width` columns of one 128 x 1 tile of up to 128 rows: scales [width]. `index`, where not NULL, picks
  /// the rows of x. All arrays begin at the first column wanted.
  void (*quantize_columns)(const void *x, size_t ldx, const int32_t *index, size_t rows, size_t width,
                           const hadal_scale_rule *rule, uint8_t *codes, size_t ldc, float *scales,
                           hadal_quantization_counts *counts);
  /// Both for the same elements, of which `width` begins at a multiple of 128: quantize_rows to `row` and
  /// quantize_columns, as if each had been called, while these rows are in the cache.
  void (*quantize_panel)(const void *x, size_t ldx, size_t rows, size_t width, const hadal_scale_rule *rule,
                         const hadal_row_codes *row, uint8_t *codes, size_t ldc, float *scales,
                         hadal_quantization_counts *counts);
  /// The same as quantize_columns for one block of up to 128 x 128, with one scale.
  void (*quantize_block)(const void *x, size_t ldx, size_t rows, size_t width, const hadal_scale_rule *rule,
                         uint8_t *codes, size_t ldc, float *scale, hadal_quantization_counts *counts);
  /// y[r, c] = value(codes[i, c]) · scales[i · scale_row + (first_column + c) / tile], i = index ? index[r] : r.
  /// codes points at the first column wanted, which is first_column of its matrix. tile is 1 or 128; scales may be NULL
  /// (then 1).
  void (*decode_e4m3)(const uint8_t *codes, size_t ldc, const int32_t *index, size_t rows, size_t width,
                      const float *scales, size_t scale_row, size_t first_column, size_t tile, void *y, size_t ldy);
  /// E5M6 codes of x [rows, width] in 1 x 128 tiles; rule->power_of_two must be set. A row of codes takes
  /// ceil(width / 2) · 3 bytes: two codes in three bytes, little end first, a zero beside an odd last one. NaN and
  /// infinity become NaN.
  void (*pack_e5m6)(const void *x, size_t rows, size_t width, const hadal_scale_rule *rule, uint8_t *codes,
                    float *scales, hadal_quantization_counts *counts);
  void (*unpack_e5m6)(const uint8_t *codes, const float *scales, size_t rows, size_t width, void *y);
} hadal_typed_kernels;

typedef struct {
  const char *name;
  hadal_typed_kernels float32, bfloat16;
  /// Products of float32 operands (or of mixed ones), and of bfloat16 operands.
  hadal_product_kernels float_products, pair_products;
  /// Causal softmax in place: row i of s [rows, lds] sees columns begin[i]...first+i (begin NULL: from 0), the other
  /// ones of 0..<columns become 0. columns and lds are multiples of a panel: whole registers are read.
  /// s ← p = exp(scale·s − shift) / Σ exp(scale·s − shift), shift = the row's largest scale·s. normalizer [rows, 2]
  /// receives (shift, 1/Σ): their logarithm in one number would cost p half of its digits where scores are large.
  void (*causal_softmax)(float *s, size_t lds, size_t rows, const int32_t *begin, size_t first, size_t columns,
                         float scale, float *normalizer);
  /// Recomputes p in place of s, and ds = p · (dp − delta) · scale in place of dp.
  void (*causal_softmax_gradient)(float *s, float *dp, size_t lds, size_t rows, const int32_t *begin, size_t first,
                                  size_t columns, float scale, const float *normalizer, const float *delta);
  /// delta[r] = Σ a·b over a row.
  void (*row_dot)(const float *a, const float *b, size_t rows, size_t width, float *delta);
  /// Per row: loss = logsumexp − logit[label]; logits ← (softmax − onehot) · row_scale when `gradient`.
  /// A negative label is ignored: loss 0, gradient 0.
  void (*cross_entropy)(float *logits, size_t rows, size_t vocabulary, const int32_t *label, const float *row_scale,
                        bool gradient, float *loss);
  /// scores = sigmoid or softmax of logits, in place, [rows, E].
  void (*router_scores)(float *logits, size_t rows, const hadal_router_settings *settings);
  /// index [rows, K] (descending biased score, ties to the lower expert), weight [rows, K].
  void (*router_select)(const float *scores, const float *bias, size_t rows, const hadal_router_settings *settings,
                        int32_t *index, float *weight);
  /// dlogits [rows, E] from dweight [rows, K], plus the balance losses' dL/ds' of `balance` [E] (may be NULL).
  void (*router_gradient)(const float *scores, const int32_t *index, const float *dweight, const float *balance,
                          size_t rows, const hadal_router_settings *settings, float *dlogits);
  /// s'_i = s_i / Σ_j s_j added up over rows into sum [E] (float64); and the raw top-K counted into count [E].
  void (*router_statistics)(const float *scores, size_t rows, const hadal_router_settings *settings, double *sum,
                            int64_t *count);
  /// Adds up how often each expert is in index [rows, K], and in how many rows each run of `group` experts is.
  void (*count_selected)(const int32_t *index, size_t rows, size_t selected, size_t group, ptrdiff_t *experts,
                         ptrdiff_t *groups);
  /// Sorts the selections expert [rows, K] stably by expert: offset [E + 1] of each expert's rows, token and slot
  /// (place in expert) of each row, position [rows, K] of each selection. An expert of -1 has no row, and position -1.
  void (*sort_by_expert)(const int32_t *expert, size_t rows, size_t selected, size_t experts, ptrdiff_t *offset,
                         int32_t *token, int32_t *slot, int32_t *position);
  /// order [count]: the places of id (not negative) sorted stably by id; start [count + 1]: where the run of each
  /// distinct id begins, and the end. Returns the number of runs. scratch [count].
  size_t (*sort_by_id)(const int32_t *id, size_t count, int32_t *order, int32_t *scratch, int32_t *start);
  /// The first index that is negative or not below limit, or count.
  size_t (*first_outside)(const int32_t *index, size_t count, int32_t limit);
  void (*add_float)(const float *a, float *y, size_t count);
  /// y = Σ_b x[b·ldx ..< b·ldx + count], added in the order of b.
  void (*sum_blocks)(const float *x, size_t ldx, size_t blocks, float *y, size_t count);
  void (*scale_float)(float *x, float factor, size_t count);
  /// Σ x² in float64.
  double (*sum_of_squares)(const float *x, size_t count);
  /// Σ weight·x in float64; weight may be NULL (then 1).
  double (*weighted_sum)(const float *x, const float *weight, size_t count);
  /// Index of the first value that is NaN or infinite, or count.
  size_t (*first_non_finite)(const float *x, size_t count);
  /// index[r] = the column of the largest value of row r; ties go to the first.
  void (*largest_columns)(const float *x, size_t rows, size_t width, int32_t *index);
  /// Codes in 1 x 128 tiles to codes y in 128 x 1 tiles: as decode_e4m3 and quantize_columns, without the array between
  /// them. scales points at the first column's, columns begin at a multiple of 128.
  void (*requantize_columns)(const uint8_t *codes, size_t ldx, const float *scales, size_t scale_row,
                             const int32_t *index, size_t rows, size_t width, const hadal_scale_rule *rule, uint8_t *y,
                             size_t ldy, float *y_scales, hadal_quantization_counts *counts);
  /// a ← a / 2 + 1/2 from 0, `iterations` times in every lane of many accumulators: value = 1 − 2^−iterations.
  /// Returns the floating-point operations done.
  double (*fma_ceiling)(size_t iterations, float *value);
  /// Σ x. Here and below arrays are aligned to 64 bytes, and count is a multiple of 128.
  float (*read_ceiling)(const float *x, size_t count);
  /// y = x, with plain stores, and with stores that pass by the caches.
  void (*copy_ceiling)(const float *x, float *y, size_t count);
  void (*streaming_copy_ceiling)(const float *x, float *y, size_t count);
  /// y = a + factor · b.
  void (*triad_ceiling)(const float *a, const float *b, float factor, float *y, size_t count);
} hadal_kernels;

/// The system's number of the calling thread; 0 where it has none.
int32_t hadal_this_thread(void);
/// Where the calling thread may run, a bit for each processor; and to confine a thread (0: the calling one) to some.
/// false where the system refuses.
bool hadal_processors(uint64_t *bits, size_t words);
bool hadal_confine(int32_t thread, const uint64_t *bits, size_t words);
/// Spreads the pages of untouched memory over NUMA nodes, a bit for each of the first 64. false where the system
/// refuses.
bool hadal_spread(void *start, size_t bytes, uint64_t nodes);

/// y[j] = Σ_p a[p] · b[j · ldb + p], p < k, as tensor cores sum that keep `bits` (2...24) binary digits of a sum. a and b
/// hold values of E4M3 codes; NaN makes a sum NaN.
void hadal_limited_products(const float *a, const float *b, size_t ldb, size_t n, size_t k, int32_t bits, float *y);

/// Whether this build watches every access to memory (AddressSanitizer).
bool hadal_watches_memory(void);

/// The levels that this build knows, best first; NULL ends the list.
const hadal_kernels *const *hadal_levels(void);
/// Products of ones in the unit for bfloat16, `iterations` times: value = iterations · depth. Returns the
/// floating-point operations done. name is NULL where the processor has no such unit.
typedef struct {
  const char *name;
  double (*ceiling)(size_t iterations, float *value);
  int32_t depth;
} hadal_bfloat16_unit;
hadal_bfloat16_unit hadal_find_bfloat16_unit(void);

/// Whether this processor has AMX-BF16 tiles and the system lends this process their registers, which it asks for.
bool hadal_has_tiles(void);
/// Whether this processor can run the level. Asks the system for the tile registers where the level needs them.
bool hadal_level_is_supported(const hadal_kernels *level);
/// Whether a supported level is the one to take when it is the first of the list. Two are not: the emulation, and on
/// Intel's processors VDPBF16PS, which has half the rate of two float32 multiply-adds there (Sapphire, Emerald Rapids:
/// `hadal bench gemm` with HADAL_ISA=avx512bf16 shows it).
bool hadal_level_is_fast(const hadal_kernels *level);
