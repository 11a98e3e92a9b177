/* Convolving every sample with its own mixture of K kernels, tile by tile: see `tiled` in mixture.py.
 *
 * A tile of the K kernels is mixed for a few samples, multiplied at once and never written to memory.
 * The backward pass mixes it again, adds the tile's share to the input's gradient, and turns each
 * sample's kernel gradient into the K kernels' and the attention's while it is in registers or L1.
 *
 * All tensors are float32 and contiguous, channels last:
 *   x, dx (B, in, C)    y, g (B, out, O)    w, dw (K, O, taps, C)    pi (B, K)
 * `in` and `out` are positions of the maps. Which input position meets which output position under a
 * tap is in three lists: pairs starts[t] .. starts[t + 1] - 1 of `from` (input) and `to` (output).
 * Padding is thus never multiplied, and stride and dilation need no code. C is a multiple of BLOCK.
 */

#include <stdlib.h>
#include <string.h>

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
    float part[LANES];
    AT(part) = v;
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
}

static void *buffer(size_t floats) { return aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64); }

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
            sum[r][j] += a[r] * one;
            ONLY_AFTER(b, sum[r][j]);
        }
    }
}

/* mixed[s] = sum_k pi[s][k] w[k] over `count` numbers, a multiple of 2 LANES */
INLINE void mix_samples(const int samples, long K, const float *pi, const float *w, long w_step, float *mixed,
                        long mixed_step, long count) {
    for (long c = 0; c < count; c += 2 * LANES) {
        vec sum[SAMPLES][2] = {0};
        for (long k = 0; k < K; k++) {
            vec first = IN(w + k * w_step + c), second = IN(w + k * w_step + c + LANES);
#pragma GCC unroll 4
            for (int s = 0; s < samples; s++) {
                sum[s][0] += first * pi[s * K + k];
                sum[s][1] += second * pi[s * K + k];
            }
        }
#pragma GCC unroll 4
        for (int s = 0; s < samples; s++) {
            AT(mixed + s * mixed_step + c) = sum[s][0];
            AT(mixed + s * mixed_step + c + LANES) = sum[s][1];
        }
    }
}

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
                     long kernel_step, float *sums, long C) {
    vec sum[ROWS][4];
    fetch(rows, sum, sums, to);
    const float *at[ROWS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) at[r] = x + from[r] * C;
    for (long c = 0; c < C; c += LANES) {
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
    const long kernel_step = C + LANES; /* not a power of two, which would collide in the cache */
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
                    memset(sums, 0, samples * POSITIONS * BLOCK * sizeof(float));
                    for (long t = 0; t < taps; t++) {
                        for (int j = 0; j < 4; j++)
                            WITH_SAMPLES(samples, mix_samples, K, pi + b * K, w + ((o + j) * taps + t) * C, O * taps * C,
                                         mixed + j * kernel_step, 4 * kernel_step, C);
                        for (long s = 0; s < samples; s++) {
                            const int end = starts[list + t + 1];
                            for (int i = starts[list + t], n; i < end; i += n) {
                                n = next_group(end - i);
                                WITH_ROWS(n, multiply, x + (b + s) * in * C, from + i, to + i,
                                          mixed + s * 4 * kernel_step, kernel_step, sums + s * POSITIONS * BLOCK, C);
                            }
                        }
                    }
                    for (long s = 0; s < samples; s++)
                        for (long p = 0; p < least(POSITIONS, out - first); p++)
                            for (int j = 0; j < 4; j++)
                                y[((b + s) * out + first + p) * O + o + j] =
                                    total(IN(sums + (s * POSITIONS + p) * BLOCK + j * LANES));
                }
            }
        }
        free(mixed);
        free(sums);
    }
    return failed;
}

/* dx[from[row]] += sum_o g[to[row]][o] kernel[o] */
INLINE void spread(const int rows, float *dx, const int *from, const float *g, const int *to, const float *kernel,
                   long outs) {
    vec sum[ROWS][4];
    fetch(rows, sum, dx, from);
    const float *at[ROWS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) at[r] = g + to[r] * OUTS;
    for (long o = 0; o < outs; o++) {
        vec gs[ROWS];
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            gs[r] = (vec){0} + at[r][o];
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
            gs[r] = (vec){0} + g[to[i] * OUTS + r];
            IN_REGISTER(gs[r]);
        }
        add_products(rows, sum, gs, x + from[i] * BLOCK, LANES);
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) gradient[r * 4 + j] = sum[r][j];
}

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
    float *packed = buffer(tiles * B * out * OUTS); /* g as (tiles, B, out, OUTS) */
    if (!packed) return 1;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *xs = buffer(B * in * BLOCK), *dxs = buffer(B * in * BLOCK); /* one block of channels */
        float *ws = buffer(K * tile), *dws = buffer(K * tile);             /* (K, taps, OUTS, BLOCK) */
        float *mixed = buffer(SAMPLES * tile);
        vec *gradient = buffer(SAMPLES * ROWS * 4 * LANES), *along = buffer(SAMPLES * K * LANES);
        failed = !xs || !dxs || !ws || !dws || !mixed || !gradient || !along;
#pragma omp for
        for (long i = 0; i < tiles * B * out; i++) {
            const long o = i / (B * out) * OUTS, row = i % (B * out);
            memcpy(packed + i * OUTS, g + row * O + o, least(OUTS, O - o) * sizeof(float));
        }
#pragma omp for schedule(dynamic)
        for (long c = 0; c < C; c += BLOCK) {
            if (failed) continue;
            for (long i = 0; i < B * in; i++) memcpy(xs + i * BLOCK, x + i * C + c, BLOCK * sizeof(float));
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
                    const float *gs = packed + (o / OUTS * B + b) * out * OUTS;
                    if (dx) WITH_SAMPLES(samples, mix_samples, K, pi + b * K, ws, tile, mixed, tile, tile);
                    memset(along, 0, samples * K * sizeof(vec));
                    for (long t = 0; t < taps; t++) {
                        const int start = starts[t], end = starts[t + 1];
                        for (long s = 0; dx && s < samples; s++)
                            for (int i = start, n; i < end; i += n) {
                                n = next_group(end - i);
                                WITH_ROWS(n, spread, dxs + (b + s) * in * BLOCK, from + i, gs + s * out * OUTS, to + i,
                                         mixed + s * tile + t * OUTS * BLOCK, outs);
                            }
                        for (long j = 0, rows; j < outs; j += rows) {
                            rows = next_group(outs - j);
                            for (long s = 0; s < samples; s++)
                                WITH_ROWS(rows, correlate, xs + (b + s) * in * BLOCK, from + start,
                                         gs + s * out * OUTS + j, to + start, end - start, gradient + s * ROWS * 4);
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
        free(xs), free(dxs), free(ws), free(dws), free(mixed), free(gradient), free(along);
    }
    free(packed);
    return failed;
}
