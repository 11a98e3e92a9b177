/* Convolving every sample with its own mixture of K kernels, tile by tile: see `tiled` in mixture.py.
 *
 * A tile of the K kernels is mixed for a few samples, multiplied at once and never written to memory.
 * The backward pass mixes it again, adds the tile's share to the input's gradient, and turns each
 * sample's kernel gradient into the K kernels' and the attention's while it is in registers or L1.
 *
 * All tensors are contiguous, channels last, and float32; with BF16 defined x and g are bfloat16:
 *   x, dx (B, in, C)    y, g (B, out, O)    w, dw (K, O, taps, C)    pi (B, K)
 * Kernels are mixed and sums are kept in float32 either way. What is multiplied lies in lanes of 32 bits, each one
 * float32 or a pair of bfloat16, whose two products go to one sum. The pairs are two channels in the forward pass,
 * two output channels in the input's gradient and two positions in the kernels'.
 *
 * `in` and `out` are positions of the maps. Which input position meets which output position under a tap is in
 * three lists: pairs starts[t] .. starts[t + 1] - 1 of `from` (input) and `to` (output). Padding is thus never
 * multiplied, and stride and dilation need no code. C is a multiple of BLOCK.
 */

#include <stdlib.h>
#include <string.h>

#if defined(BF16)
#if !defined(__AVX512BF16__)
#error "this processor has no AVX-512 with bfloat16"
#endif
#include <immintrin.h>
enum { PAIR = 2 }; /* numbers in a lane */
#else
enum { PAIR = 1 };
#endif
#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 6 }; /* ROWS x 4 sums fit the registers */
#else
enum { LANES = 8, ROWS = 3 };
#endif
enum {
    BLOCK = 4 * LANES, /* channels that the backward pass treats together */
    OUTS = 24,         /* output channels that it treats together */
    POSITIONS = 256,   /* output positions that the forward pass treats together */
    SAMPLES = 4,       /* samples that a tile is mixed for at once */
};

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))
#define AT(p) (*(vec *)(p))
#define IN(p) (*(const vec *)(p))
/* To the compiler the first operand changes here; no instruction is made. GCC would otherwise load a vector again for
   each product, or so early that a sum has to leave its register. */
#if defined(__AVX__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#define ONLY_AFTER(pointer, v) __asm__("" : "+r"(pointer), "+v"(v))
#else
#define IN_REGISTER(v)
#define ONLY_AFTER(pointer, v)
#endif

int block(void) { return BLOCK; }
int positions(void) { return POSITIONS; }

static long least(long a, long b) { return a < b ? a : b; }

static float total(vec v) {
#if defined(BF16)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float part[LANES];
    AT(part) = v;
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
#endif
}

static void *buffer(size_t lanes) { return aligned_alloc(64, (lanes * sizeof(float) + 63) / 64 * 64); }

/* sum + a b, lane by lane */
INLINE vec dot(vec sum, vec a, vec b) {
#if defined(BF16)
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    return sum + a * b;
#endif
}

/* the lane in all lanes */
INLINE vec everywhere(float lane) {
#if defined(BF16)
    return (vec)_mm512_set1_ps(lane); /* an addition would treat the pair's bits as a number */
#else
    return (vec){0} + lane;
#endif
}

#if defined(BF16)
/* two vectors of numbers as one of pairs of neighbours */
INLINE vec neighbours(vec first, vec second) { return (vec)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first); }

INLINE __m512i narrow(vec numbers) { return _mm512_castsi256_si512((__m256i)_mm512_cvtneps_pbh((__m512)numbers)); }

/* lanes 16 half .. 16 half + 15 of (first[i], second[i]), two vectors of 32 numbers each */
INLINE vec zip(const int half, __m512i first, __m512i second) {
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i at = _mm512_add_epi32(lane, _mm512_set1_epi32(16 * half));
    return (vec)_mm512_permutex2var_epi16(
        first, _mm512_or_si512(at, _mm512_slli_epi32(_mm512_add_epi32(at, _mm512_set1_epi32(32)), 16)), second);
}
#endif

/* These call f with a constant for `n`, so that the compiler unrolls its loops and keeps its sums in registers. */
#define WITH_SAMPLES(n, f, ...)                  \
    switch (n) {                                 \
        case 1: f(1, __VA_ARGS__); break;        \
        case 2: f(2, __VA_ARGS__); break;        \
        case 3: f(3, __VA_ARGS__); break;        \
        default: f(4, __VA_ARGS__);              \
    }
#if defined(__AVX512F__)
#define WITH_ROWS(n, f, ...)                     \
    switch (n) {                                 \
        case 1: f(1, __VA_ARGS__); break;        \
        case 2: f(2, __VA_ARGS__); break;        \
        case 3: f(3, __VA_ARGS__); break;        \
        case 4: f(4, __VA_ARGS__); break;        \
        case 5: f(5, __VA_ARGS__); break;        \
        default: f(6, __VA_ARGS__);              \
    }
#else
#define WITH_ROWS(n, f, ...)                     \
    switch (n) {                                 \
        case 1: f(1, __VA_ARGS__); break;        \
        case 2: f(2, __VA_ARGS__); break;        \
        default: f(3, __VA_ARGS__);              \
    }
#endif

/* The next group's size when `left` items are treated in groups of nearly equal size, at most ROWS. */
static long next_group(long left) {
    long groups = (left + ROWS - 1) / ROWS;
    return (left + groups - 1) / groups;
}

/* sum[r][j] += a[r] b[j] for 4 vectors b, `step` numbers apart: a and all sums stay in registers, b passes through one */
INLINE void add_products(const int rows, vec sum[ROWS][4], const vec a[ROWS], const float *b, long step) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        vec one = IN(b + j * step);
        IN_REGISTER(one);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            sum[r][j] = dot(sum[r][j], a[r], one);
            ONLY_AFTER(b, sum[r][j]);
        }
    }
}

/* sum[s] = sum_k pi[s][k] w[k] for a vector at w and another one, `apart` numbers further */
INLINE void mix_two(const int samples, long K, const float *pi, const float *w, long w_step, long apart,
                    vec sum[SAMPLES][2]) {
#pragma GCC unroll 4
    for (int s = 0; s < samples; s++) sum[s][0] = sum[s][1] = (vec){0};
    for (long k = 0; k < K; k++) {
        vec first = IN(w + k * w_step), second = IN(w + k * w_step + apart);
#pragma GCC unroll 4
        for (int s = 0; s < samples; s++) {
            sum[s][0] += first * pi[s * K + k];
            sum[s][1] += second * pi[s * K + k];
        }
    }
}

/* mixed[s] = sum_k pi[s][k] w[k] over `count` numbers, a multiple of 2 LANES; neighbours are paired */
INLINE void mix_samples(const int samples, long K, const float *pi, const float *w, long w_step, float *mixed,
                        long mixed_step, long count) {
    for (long c = 0; c < count; c += 2 * LANES) {
        vec sum[SAMPLES][2];
        mix_two(samples, K, pi, w + c, w_step, LANES, sum);
#pragma GCC unroll 4
        for (int s = 0; s < samples; s++) {
#if defined(BF16)
            AT(mixed + s * mixed_step + c / 2) = neighbours(sum[s][0], sum[s][1]);
#else
            AT(mixed + s * mixed_step + c) = sum[s][0];
            AT(mixed + s * mixed_step + c + LANES) = sum[s][1];
#endif
        }
    }
}

/* the same; two rows of BLOCK channels are paired */
#if defined(BF16)
INLINE void mix_rows(const int samples, long K, const float *pi, const float *w, long w_step, float *mixed,
                     long mixed_step, long count) {
    for (long row = 0; row < count; row += 2 * BLOCK)
        for (long c = row; c < row + BLOCK; c += LANES) {
            vec sum[SAMPLES][2];
            mix_two(samples, K, pi, w + c, w_step, BLOCK, sum);
#pragma GCC unroll 4
            for (int s = 0; s < samples; s++)
                AT(mixed + s * mixed_step + c - row / 2) = zip(0, narrow(sum[s][0]), narrow(sum[s][1]));
        }
}
#else
#define mix_rows mix_samples
#endif

/* Four vectors for each row from where they are kept, at[r] BLOCKs into `kept`, to registers and back. */
INLINE void fetch(const int rows, vec sum[ROWS][4], const float *kept, const int *at) {
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) sum[r][j] = IN(kept + at[r] * BLOCK + j * LANES);
}

INLINE void put_back(const int rows, vec sum[ROWS][4], float *kept, const int *at) {
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) AT(kept + at[r] * BLOCK + j * LANES) = sum[r][j];
}

/* sums[to[row]][j] += x[from[row]] * kernel[j], lane by lane over the channels, for 4 output channels j */
INLINE void multiply(const int rows, const float *x, const int *from, const int *to, const float *kernel,
                     long kernel_step, float *sums, long lanes) {
    vec sum[ROWS][4];
    fetch(rows, sum, sums, to);
    const float *at[ROWS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) at[r] = x + from[r] * lanes;
    for (long c = 0; c < lanes; c += LANES) {
        vec pixels[ROWS];
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            pixels[r] = IN(at[r] + c);
            IN_REGISTER(pixels[r]);
        }
        add_products(rows, sum, pixels, kernel + c, kernel_step);
    }
    put_back(rows, sum, sums, to);
}

/* y from x. The lists are for one block of POSITIONS outputs after the other, counted from the block's first. */
int forward(const float *x, const float *pi, const float *w, float *y, long B, long K, long C, long O, long taps,
            long in, long out, const int *starts, const int *from, const int *to, int threads) {
    const long lanes = C / PAIR, kernel_step = lanes + LANES; /* not a power of two, which would collide in the cache */
    const long together = least(SAMPLES, out < 128 ? 128 / out : 1);
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *mixed = buffer(SAMPLES * 4 * kernel_step);
        float *sums = buffer(SAMPLES * POSITIONS * BLOCK);
        failed = !mixed || !sums;
#pragma omp for schedule(dynamic)
        for (long o = 0; o < O; o += 4) {
            if (failed) continue;
            for (long b = 0; b < B; b += together) {
                const long samples = least(together, B - b);
                for (long first = 0, list = 0; first < out; first += POSITIONS, list += taps) {
                    const long here = least(POSITIONS, out - first);
                    memset(sums, 0, samples * here * BLOCK * sizeof(float));
                    for (long t = 0; t < taps; t++) {
                        for (int j = 0; j < 4; j++)
                            WITH_SAMPLES(samples, mix_samples, K, pi + b * K, w + ((o + j) * taps + t) * C, O * taps * C,
                                         mixed + j * kernel_step, 4 * kernel_step, C);
                        for (long s = 0; s < samples; s++) {
                            const int end = starts[list + t + 1];
                            for (int i = starts[list + t], n; i < end; i += n) {
                                n = next_group(end - i);
                                WITH_ROWS(n, multiply, x + (b + s) * in * lanes, from + i, to + i,
                                          mixed + s * 4 * kernel_step, kernel_step, sums + s * here * BLOCK, lanes);
                            }
                        }
                    }
                    for (long s = 0; s < samples; s++)
                        for (long p = 0; p < here; p++)
                            for (int j = 0; j < 4; j++)
                                y[((b + s) * out + first + p) * O + o + j] =
                                    total(IN(sums + (s * here + p) * BLOCK + j * LANES));
                }
            }
        }
        free(mixed);
        free(sums);
    }
    return failed;
}

/* dx[from[row]] += sum_o g[to[row]][o] kernel[o], for `outs` lanes of output channels */
INLINE void spread(const int rows, float *dx, const int *from, const float *g, const int *to, const float *kernel,
                   long outs) {
    vec sum[ROWS][4];
    fetch(rows, sum, dx, from);
    const float *at[ROWS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) at[r] = g + to[r] * (OUTS / PAIR);
    for (long o = 0; o < outs; o++) {
        vec gs[ROWS];
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            gs[r] = everywhere(at[r][o]);
            IN_REGISTER(gs[r]);
        }
        add_products(rows, sum, gs, kernel + o * BLOCK, LANES);
    }
    put_back(rows, sum, dx, from);
}

/* gradient[o] = sum over the pairs of g[to][o] x[from], the gradient of `rows` output channels of one sample's kernel */
INLINE void correlate(const int rows, const float *x, const int *from, const float *g, const int *to, long pairs,
                      vec *gradient) {
    vec sum[ROWS][4] = {0};
    for (long i = 0; i < pairs; i++) {
        vec gs[ROWS];
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            gs[r] = everywhere(g[to[i] * OUTS + r]);
            IN_REGISTER(gs[r]);
        }
        add_products(rows, sum, gs, x + from[i] * BLOCK, LANES);
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) gradient[r * 4 + j] = sum[r][j];
}

#if defined(BF16)
/* Two positions in every lane: row i / 2 of xs and gs holds the input's and the gradient's numbers of pairs i and i + 1. */
static void pair_positions(const float *x, const int *from, const float *g, const int *to, long pairs, float *xs,
                           float *gs) {
    const __mmask32 all = (1u << OUTS) - 1; /* numbers of a row of g */
    for (long i = 0; i < pairs; i += 2, xs += BLOCK, gs += OUTS) {
        const float *xi = x + from[i] * (BLOCK / 2), *gi = g + to[i] * (OUTS / 2);
        const int whole = i + 1 < pairs; /* else the last one's partner is zero */
        const float *xj = whole ? x + from[i + 1] * (BLOCK / 2) : xi, *gj = whole ? g + to[i + 1] * (OUTS / 2) : gi;
        for (int half = 0; half < 2; half++) {
            const __m512i first = _mm512_loadu_si512(xi + half * LANES);
            const __m512i second = _mm512_maskz_loadu_epi16(whole ? ~0u : 0, xj + half * LANES);
            AT(xs + half * 2 * LANES) = zip(0, first, second);
            AT(xs + half * 2 * LANES + LANES) = zip(1, first, second);
        }
        const __m512i first = _mm512_maskz_loadu_epi16(all, gi), second = _mm512_maskz_loadu_epi16(whole ? all : 0, gj);
        AT(gs) = zip(0, first, second);
        _mm512_mask_storeu_ps(gs + LANES, (1u << (OUTS - LANES)) - 1, (__m512)zip(1, first, second));
    }
}
#endif

/* dw[k] += sum_s pi[s][k] gradient[s] and along[s][k] += gradient[s] * w[k] (lane by lane), `count` vectors each */
INLINE void share(const int samples, long count, const vec *gradient, const float *pi, long K, const float *w,
                  float *dw, long step, vec *along) {
    for (long k = 0; k < K; k++) {
        vec dot[SAMPLES];
#pragma GCC unroll 4
        for (int s = 0; s < samples; s++) dot[s] = along[s * K + k];
        for (long i = 0; i < count; i++) {
            vec kernel = IN(w + k * step + i * LANES), sum = IN(dw + k * step + i * LANES);
#pragma GCC unroll 4
            for (int s = 0; s < samples; s++) {
                vec one = gradient[s * ROWS * 4 + i];
                sum += one * pi[s * K + k];
                dot[s] += one * kernel;
            }
            AT(dw + k * step + i * LANES) = sum;
        }
#pragma GCC unroll 4
        for (int s = 0; s < samples; s++) along[s * K + k] = dot[s];
    }
}

/* All gradients from g; dx may be NULL. dpi is (C / BLOCK, B, K), to be summed over its first axis. */
int backward(const float *x, const float *pi, const float *w, const float *g, float *dx, float *dw, float *dpi, long B,
             long K, long C, long O, long taps, long in, long out, const int *starts, const int *from, const int *to,
             int threads) {
    const long tiles = (O + OUTS - 1) / OUTS, tile = taps * OUTS * BLOCK;
    const long x_row = BLOCK / PAIR, g_row = OUTS / PAIR; /* lanes of a position */
    float *packed = buffer(tiles * B * out * g_row);      /* g as (tiles, B, out, OUTS) */
    if (!packed) return 1;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *xs = buffer(B * in * x_row), *dxs = buffer(B * in * BLOCK); /* one block of channels */
        float *ws = buffer(K * tile), *dws = buffer(K * tile);             /* (K, taps, OUTS, BLOCK) */
        float *mixed = buffer(SAMPLES * tile);
        vec *gradient = buffer(SAMPLES * ROWS * 4 * LANES), *along = buffer(SAMPLES * K * LANES);
#if defined(BF16)
        const long x_pairs = (out + 1) / 2 * BLOCK, g_pairs = (out + 1) / 2 * OUTS; /* of a sample under a tap */
        float *xs_paired = buffer(SAMPLES * x_pairs), *gs_paired = buffer(SAMPLES * g_pairs);
        int *in_order = buffer(out);
        failed = !xs_paired || !gs_paired || !in_order;
        for (int i = 0; !failed && i < out; i++) in_order[i] = i;
#endif
        failed |= !xs || !dxs || !ws || !dws || !mixed || !gradient || !along;
#pragma omp for
        for (long i = 0; i < tiles * B * out; i++) {
            const long o = i / (B * out) * OUTS, row = i % (B * out);
            memcpy(packed + i * g_row, g + (row * O + o) / PAIR, least(OUTS, O - o) / PAIR * sizeof(float));
        }
#pragma omp for schedule(dynamic)
        for (long c = 0; c < C; c += BLOCK) {
            if (failed) continue;
            for (long i = 0; i < B * in; i++) memcpy(xs + i * x_row, x + (i * C + c) / PAIR, x_row * sizeof(float));
            memset(dxs, 0, B * in * BLOCK * sizeof(float));
            memset(dpi + c / BLOCK * B * K, 0, B * K * sizeof(float));
            for (long o = 0; o < O; o += OUTS) {
                const long outs = least(OUTS, O - o);
                for (long k = 0; k < K; k++)
                    for (long t = 0; t < taps; t++)
                        for (long j = 0; j < outs; j++)
                            memcpy(ws + k * tile + (t * OUTS + j) * BLOCK, w + (((k * O + o + j) * taps + t) * C + c),
                                   BLOCK * sizeof(float));
                memset(dws, 0, K * tile * sizeof(float));
                for (long b = 0; b < B; b += SAMPLES) {
                    const long samples = least(SAMPLES, B - b);
                    const float *gs = packed + (o / OUTS * B + b) * out * g_row;
                    if (dx) WITH_SAMPLES(samples, mix_rows, K, pi + b * K, ws, tile, mixed, tile, tile);
                    memset(along, 0, samples * K * sizeof(vec));
                    for (long t = 0; t < taps; t++) {
                        const int start = starts[t], end = starts[t + 1];
                        for (long s = 0; dx && s < samples; s++)
                            for (int i = start, n; i < end; i += n) {
                                n = next_group(end - i);
                                WITH_ROWS(n, spread, dxs + (b + s) * in * BLOCK, from + i, gs + s * out * g_row, to + i,
                                         mixed + s * tile + t * OUTS * x_row, outs / PAIR);
                            }
#if defined(BF16)
                        for (long s = 0; s < samples; s++)
                            pair_positions(xs + (b + s) * in * x_row, from + start, gs + s * out * g_row, to + start,
                                           end - start, xs_paired + s * x_pairs, gs_paired + s * g_pairs);
#endif
                        for (long j = 0, rows; j < outs; j += rows) {
                            rows = next_group(outs - j);
                            for (long s = 0; s < samples; s++)
#if defined(BF16)
                                WITH_ROWS(rows, correlate, xs_paired + s * x_pairs, in_order, gs_paired + s * g_pairs + j,
                                         in_order, (end - start + 1) / 2, gradient + s * ROWS * 4);
#else
                                WITH_ROWS(rows, correlate, xs + (b + s) * in * BLOCK, from + start,
                                         gs + s * out * OUTS + j, to + start, end - start, gradient + s * ROWS * 4);
#endif
                            const long at = (t * OUTS + j) * BLOCK;
                            WITH_SAMPLES(samples, share, rows * 4, gradient, pi + b * K, K, ws + at, dws + at, tile, along);
                        }
                    }
                    for (long i = 0; i < samples * K; i++) dpi[(c / BLOCK * B + b) * K + i] += total(along[i]);
                }
                for (long k = 0; k < K; k++)
                    for (long t = 0; t < taps; t++)
                        for (long j = 0; j < outs; j++)
                            memcpy(dw + (((k * O + o + j) * taps + t) * C + c), dws + k * tile + (t * OUTS + j) * BLOCK,
                                   BLOCK * sizeof(float));
            }
            for (long i = 0; dx && i < B * in; i++) memcpy(dx + i * C + c, dxs + i * BLOCK, BLOCK * sizeof(float));
        }
#if defined(BF16)
        free(xs_paired), free(gs_paired), free(in_order);
#endif
        free(xs), free(dxs), free(ws), free(dws), free(mixed), free(gradient), free(along);
    }
    free(packed);
    return failed;
}
