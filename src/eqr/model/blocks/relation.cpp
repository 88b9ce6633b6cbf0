// One call of a stack of relation blocks for inference, in float32: out <- lerp(F(z + injection), z, damping).
//
// The mathematics is that of RelationBlock.forward, which is the oracle of its test. A row is computed from start to end
// before the next one begins, so its bits do not depend on the other rows. Within a row, TILE pairs (a cell and a
// symbol) at a time go through a whole block: their hidden layer stays in registers and in the first cache, where plain
// torch writes it to memory between every two operations.
//
// Channels C and hidden channels H are padded with zeros to full vectors. Pairs, and groups of each kind, are padded to
// full tiles; values there mean nothing, and nothing reads them.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>

#if defined(__AVX512F__)
constexpr int LANES = 16, TILE = 12;  // 2 * TILE sums, 2 vectors of weights and a factor fit 32 registers,
#elif defined(__AVX__)
constexpr int LANES = 8, TILE = 6;  // or 16 registers
#else
constexpr int LANES = 4, TILE = 6;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

struct Shape {
  int32_t pairs, kinds, channels, hidden, layers;
  float damping, epsilon;
};

static inline Vector load(const float* at) { return *(const Vector*)at; }
static inline void store(float* at, Vector value) { *(Vector*)at = value; }
static inline int padded(int count, int unit) { return (count + unit - 1) / unit * unit; }

// e^x of x in [-87, 87] to a few units in the last place: 2^n times a polynomial of the rest (coefficients of Cephes)
static inline Vector exponential(Vector x) {
  const float shift = 12582912.f;  // 1.5 * 2^23: adding it rounds to the whole number n, left in the lowest bits
  const Vector shifted = x * 1.44269504f + shift, n = shifted - shift;
  const Vector rest = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  Vector p = rest * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * rest + 8.3334519073e-3f;
  p = p * rest + 4.1665795894e-2f;
  p = p * rest + 1.6666665459e-1f;
  p = p * rest + 5.0000001201e-1f;
  p = p * (rest * rest) + rest + 1.f;
  return (Vector)((Bits)p + ((Bits)shifted << 23));
}

// silu(gate) * up
static inline Vector gated(Vector gate, Vector up) {
  Vector x = -gate;
  x = x < -87.f ? (Vector){} - 87.f : x;
  x = x > 87.f ? (Vector){} + 87.f : x;
  return gate * up / (1.f + exponential(x));
}

// sums (TILE x N vectors) += left (TILE rows that are `stride` apart, `depth` values each) times right (depth x N vectors)
template <int N>
static inline void multiply(Vector (&sums)[TILE][N], const float* left, int stride, const float* right, int depth) {
  for (int k = 0; k < depth; k++) {
    Vector weights[N];
    for (int n = 0; n < N; n++) weights[n] = load(right + (k * N + n) * LANES);
    for (int m = 0; m < TILE; m++)
      for (int n = 0; n < N; n++) sums[m][n] += left[m * stride + k] * weights[n];
  }
}

// v (TILE x C) += hidden (TILE x H) times W_out, N vectors of channels at a time
template <int N>
static inline void add_outward(float* v, const float* hidden, const float* outward, int C, int H) {
  for (int c = 0; c < C; c += N * LANES) {
    Vector sums[TILE][N];
    for (int m = 0; m < TILE; m++)
      for (int n = 0; n < N; n++) sums[m][n] = load(v + m * C + c + n * LANES);
    multiply<N>(sums, hidden, H, outward + c * H, H);
    for (int m = 0; m < TILE; m++)
      for (int n = 0; n < N; n++) store(v + m * C + c + n * LANES, sums[m][n]);
  }
}

static inline void normalise(float* v, int C, const Shape& s) {
  for (int m = 0; m < TILE; m++, v += C) {
    Vector squares = {};
    for (int c = 0; c < C; c += LANES) squares += load(v + c) * load(v + c);
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += squares[lane];
    const float factor = 1.f / std::sqrt(sum / s.channels + s.epsilon);
    for (int c = 0; c < C; c += LANES) store(v + c, load(v + c) * factor);
  }
}

// mean (groups x C) of the pairs of each group of one kind
static void average(const float* h, float* mean, const int32_t* group, int groups, int C, const Shape& s) {
  memset(mean, 0, sizeof(float) * groups * C);
  for (int i = 0; i < s.pairs; i++)
    for (int c = 0; c < C; c += LANES) store(mean + group[i] * C + c, load(mean + group[i] * C + c) + load(h + i * C + c));
  const float share = (float)groups / s.pairs;
  for (int i = 0; i < groups * C; i += LANES) store(mean + i, load(mean + i) * share);
}

// heard (groups x 2H) <- mean (groups x C) times inward. Weights and results have a vector of gates, a vector of ups, ...
static void project(const float* mean, float* heard, const float* inward, int groups, int C, int H) {
  for (int g = 0; g < groups; g += TILE)
    for (int j = 0; j < 2 * H; j += 2 * LANES) {
      Vector sums[TILE][2] = {};
      multiply<2>(sums, mean + g * C, C, inward + j * C, C);
      for (int m = 0; m < TILE; m++)
        for (int n = 0; n < 2; n++) store(heard + (size_t)(g + m) * 2 * H + j + n * LANES, sums[m][n]);
    }
}

// hidden (TILE x H) <- SwiGLU's product, of v times inward plus what each pair hears from its group of each kind
static inline void gate(const float* v, float* hidden, const float* inward, const float* heard, const int32_t* group,
                        const int32_t* groups, int first, int C, int H, const Shape& s) {
  for (int j = 0; j < 2 * H; j += 2 * LANES) {
    Vector sums[TILE][2] = {};
    multiply<2>(sums, v, C, inward + j * C, C);
    const float* kind = heard + j;
    for (int k = 0; k < s.kinds; k++) {
      for (int m = 0; m < TILE; m++) {
        const int pair = first + m < s.pairs ? first + m : first;
        const float* at = kind + (size_t)group[(size_t)k * s.pairs + pair] * 2 * H;
        for (int n = 0; n < 2; n++) sums[m][n] += load(at + n * LANES);
      }
      kind += (size_t)padded(groups[k], TILE) * 2 * H;
    }
    for (int m = 0; m < TILE; m++) store(hidden + m * H + j / 2, gated(sums[m][0], sums[m][1]));
  }
}

extern "C" {
int32_t relation_lanes() { return LANES; }

// z, injection, out: rows x pairs x channels. group: kinds x pairs, the group of each kind that a pair belongs to;
// groups: the number of groups of each kind. weights of each layer: inward of pairs, inward of each kind, outward.
// Returns 0, or 1 if there is no memory.
int32_t relation_call(const float* z, const float* injection, float* out, int32_t rows, const Shape* shape,
                      const int32_t* group, const int32_t* groups, const float* weights) {
  const Shape s = *shape;
  const int C = padded(s.channels, LANES), H = padded(s.hidden, LANES);
  size_t all = 0;
  for (int k = 0; k < s.kinds; k++) all += padded(groups[k], TILE);
  const size_t pairs = padded(s.pairs, TILE), inward = (size_t)C * 2 * H, outward = (size_t)C * H;
  const size_t floats = pairs * C + all * C + all * 2 * H + TILE * H;
  float* memory = (float*)::operator new(floats * sizeof(float), std::align_val_t(64), std::nothrow);
  if (!memory) return 1;
  memset(memory, 0, floats * sizeof(float));
  float *h = memory, *means = h + pairs * C, *heard = means + all * C, *hidden = heard + all * 2 * H;
  for (int row = 0; row < rows; row++) {
    const size_t at = (size_t)row * s.pairs * s.channels;
    for (int i = 0; i < s.pairs; i++)
      for (int c = 0; c < s.channels; c++)
        h[(size_t)i * C + c] = z[at + i * s.channels + c] + injection[at + i * s.channels + c];
    const float* of_pairs = weights;
    for (int layer = 0; layer < s.layers; layer++) {
      const float* w = of_pairs + inward;
      float *mean = means, *hears = heard;
      for (int k = 0; k < s.kinds; k++, w += inward) {
        average(h, mean, group + (size_t)k * s.pairs, groups[k], C, s);
        project(mean, hears, w, groups[k], C, H);
        mean += (size_t)padded(groups[k], TILE) * C;
        hears += (size_t)padded(groups[k], TILE) * 2 * H;
      }
      for (int first = 0; first < s.pairs; first += TILE) {
        float* v = h + (size_t)first * C;
        gate(v, hidden, of_pairs, heard, group, groups, first, C, H, s);
        if (C % (2 * LANES)) add_outward<1>(v, hidden, w, C, H);
        else add_outward<2>(v, hidden, w, C, H);
        normalise(v, C, s);
      }
      of_pairs = w + outward;
    }
    for (int i = 0; i < s.pairs; i++)
      for (int c = 0; c < s.channels; c++) {
        const float now = h[(size_t)i * C + c];
        out[at + i * s.channels + c] = now + s.damping * (z[at + i * s.channels + c] - now);
      }
  }
  ::operator delete(memory, std::align_val_t(64));
  return 0;
}
}
