// One call of a stack of relation blocks and its gradients: out <- lerp(F(z + injection), z, damping).
//
// The mathematics is that of RelationBlock.forward, which is the oracle of its test. A row is computed from start to end
// before the next one begins, so its bits do not depend on the other rows. Within a row, TILE pairs (a cell and a
// symbol) at a time go through a whole block: their hidden layer stays in registers and in the first cache, where plain
// torch writes it to memory between every two operations.
//
// The gradients of a layer follow from its input, its output and the factors of its normalisation, which the call leaves
// on a tape; the hidden layer is computed again, since that takes less time than to fetch it from memory.
//
// Everything is float32. Where the processor has the instruction, products can have factors of bfloat16, as in mixed
// precision; their sums, and all else, stay float32.
//
// Channels C and hidden channels H are padded with zeros to full vectors. Pairs, and groups of each kind, are padded to
// full tiles; values there mean nothing, and nothing reads them.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, TILE = 12, OUTER = 8;  // 2 * TILE sums, 2 vectors of weights and a factor fit 32 registers,
#elif defined(__AVX__)
constexpr int LANES = 8, TILE = 6, OUTER = 4;  // or 16 registers
#else
constexpr int LANES = 4, TILE = 6, OUTER = 4;
#endif
#define UNROLLED _Pragma("GCC unroll 16")  // so that sums stay in registers from the first loop to the last
constexpr int CHUNK = 48;  // pairs whose gradients stay in the first caches until they are summed; full tiles

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

struct Shape {
  int32_t pairs, kinds, channels, hidden, layers, halves;
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

static inline Vector one_and_exponential_of_negative(Vector x) {
  x = -x;
  x = x < -87.f ? (Vector){} - 87.f : x;
  x = x > 87.f ? (Vector){} + 87.f : x;
  return 1.f + exponential(x);
}

// silu(gate) * up
static inline Vector gated(Vector gate, Vector up) { return gate * up / one_and_exponential_of_negative(gate); }

// How factors of products are written, and multiplied. A word holds PER factors that are neighbours in the direction in
// which a product sums: `along` the values of a row, or `across` neighbouring rows.
struct Exact {
  typedef float Word;
  static constexpr int PER = 1;
  static Vector add(Vector sum, Word left, const Word* right) { return sum + left * load(right); }
  static const Word* along(const float* from, float*, size_t) { return from; }
  static const Word* across(const float* from, float*, int, int) { return from; }
};

#if defined(__AVX512BF16__)
struct Halves {  // bfloat16
  typedef int32_t Word;
  static constexpr int PER = 2;
  static Vector add(Vector sum, Word left, const Word* right) {
    return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(left), (__m512bh)_mm512_loadu_si512(right));
  }
  static const Word* along(const float* from, float* to, size_t count) {
    for (size_t i = 0; i < count; i += LANES)
      _mm256_storeu_si256((__m256i*)(to + i / 2), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + i)));
    return (Word*)to;
  }
  static const Word* across(const float* from, float* to, int rows, int width) {
    const __m512i zip = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                         20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (int row = 0; row < rows; row += 2, from += 2 * width)
      for (int i = 0; i < width; i += LANES) {
        const __m512 first = _mm512_loadu_ps(from + i), second = _mm512_loadu_ps(from + width + i);
        const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first);
        _mm512_storeu_si512(to + (size_t)row / 2 * width + i, _mm512_permutexvar_epi16(zip, both));
      }
    return (Word*)to;
  }
};
#endif

// sums (TILE x N vectors) += left (TILE rows of `depth` words) times right (depth x N vectors of words)
template <class P, int N>
static inline void multiply(Vector (&sums)[TILE][N], const typename P::Word* left, const typename P::Word* right, int depth) {
  for (int k = 0; k < depth; k++) {
    UNROLLED
    for (int m = 0; m < TILE; m++)
      for (int n = 0; n < N; n++) sums[m][n] = P::add(sums[m][n], left[m * depth + k], right + (k * N + n) * LANES);
  }
}

template <class P, int N>
static inline void add_columns(float* out, const typename P::Word* left, const typename P::Word* right, int width, int depth) {
  for (int c = 0; c < width; c += N * LANES) {
    Vector sums[TILE][N];
    UNROLLED
    for (int m = 0; m < TILE; m++)
      for (int n = 0; n < N; n++) sums[m][n] = load(out + m * width + c + n * LANES);
    multiply<P, N>(sums, left, right + c * depth, depth);
    UNROLLED
    for (int m = 0; m < TILE; m++)
      for (int n = 0; n < N; n++) store(out + m * width + c + n * LANES, sums[m][n]);
  }
}

// out (TILE x width) += left (TILE x depth words) times right, which has 2 vectors of columns together, or 1 if their
// number is odd
template <class P>
static inline void add_product(float* out, const typename P::Word* left, const typename P::Word* right, int width, int depth) {
  if (width % (2 * LANES)) add_columns<P, 1>(out, left, right, width, depth);
  else add_columns<P, 2>(out, left, right, width, depth);
}

// sums (height x N vectors) += left (depth rows of `height` words) transposed times right (depth x N vectors of words that
// are `pitch` apart); height is a multiple of OUTER
template <class P, int N>
static void add_outer(float* sums, const typename P::Word* left, int height, const typename P::Word* right, int pitch,
                      int depth) {
  for (int m = 0; m < height; m += OUTER) {
    Vector now[OUTER][N];
    UNROLLED
    for (int o = 0; o < OUTER; o++)
      for (int n = 0; n < N; n++) now[o][n] = load(sums + ((m + o) * N + n) * LANES);
    for (int k = 0; k < depth; k++) {
      UNROLLED
      for (int o = 0; o < OUTER; o++)
        for (int n = 0; n < N; n++)
          now[o][n] = P::add(now[o][n], left[(size_t)k * height + m + o], right + (size_t)k * pitch + n * LANES);
    }
    UNROLLED
    for (int o = 0; o < OUTER; o++)
      for (int n = 0; n < N; n++) store(sums + ((m + o) * N + n) * LANES, now[o][n]);
  }
}

// outputs x inputs of a matrix that is packed `n` vectors of outputs together, packed `m` vectors of inputs together
static void transpose(const float* from, float* to, int outputs, int inputs, int n, int m) {
  for (int i = 0; i < inputs; i++)
    for (int o = 0; o < outputs; o++)
      to[(size_t)(i / (m * LANES)) * outputs * m * LANES + (size_t)o * m * LANES + i % (m * LANES)] =
          from[(size_t)(o / (n * LANES)) * inputs * n * LANES + (size_t)i * n * LANES + o % (n * LANES)];
}

static inline float dot(const float* left, const float* right, int C) {
  Vector products = {};
  for (int c = 0; c < C; c += LANES) products += load(left + c) * load(right + c);
  float sum = 0;
  for (int lane = 0; lane < LANES; lane++) sum += products[lane];
  return sum;
}

// Zeros for all parts of the work, which take their places one after another.
class Memory {
 public:
  explicit Memory(size_t floats)
      : start((float*)::operator new(floats * sizeof(float), std::align_val_t(64), std::nothrow)), next(start) {
    if (start) memset(start, 0, floats * sizeof(float));
  }
  ~Memory() { ::operator delete(start, std::align_val_t(64)); }
  explicit operator bool() const { return start; }
  float* take(size_t floats) { return std::exchange(next, next + floats); }

 private:
  float *start, *next;
};

// The stack of one board, with its groups and its weights. Each group of each kind is a row of `mean`, `heard` and their
// slopes; kinds follow each other, each padded to full tiles.
template <class P>
class Stack {
 public:
  typedef typename P::Word Word;

  Stack(const Shape& shape, const int32_t* of_pair, const int32_t* counts, const float* weights, bool slopes)
      : s(shape), of_pair(of_pair), counts(counts), C(padded(s.channels, LANES)), H(padded(s.hidden, LANES)),
        pairs(padded(s.pairs, TILE)), inward((size_t)C * 2 * H), outward((size_t)C * H),
        packed((1 + s.kinds) * inward + outward), all(groups_of_all_kinds()),
        memory(pairs * C + all * (C + 2 * H) + CHUNK * (C + 3 * H) + pairs + words_of_weights() +
               (slopes ? all * (C + 2 * H) + TILE * H + all * (C + 2 * H) + CHUNK * (2 * C + 3 * H) + s.layers * packed + words_of_weights()
                       : 0)) {
    if (!memory) return;
    h = memory.take(pairs * C), mean = memory.take(all * C), heard = memory.take(all * 2 * H);
    hidden = memory.take(CHUNK * H), words = memory.take(CHUNK * (C + 2 * H));
    // Weights are packed with full vectors of outputs for each input: `across` makes words of neighbouring inputs.
    forth = written(weights, memory.take(words_of_weights()));
    if (slopes) {
      mean_slope = memory.take(all * C), heard_slope = memory.take(all * 2 * H), hidden_slope = memory.take(TILE * H);
      group_words = memory.take(all * (C + 2 * H)), inner = memory.take(CHUNK * 2 * H);
      chunk_words = memory.take(CHUNK * (2 * C + H));
      float* turned = memory.take(s.layers * packed);
      turn(weights, turned);
      back = written(turned, memory.take(words_of_weights()), true);
    }
    factors = memory.take(pairs);
  }

  explicit operator bool() const { return bool(memory); }

  void call(const float* z, const float* injection, float* out, float* tape) {
    for (int i = 0; i < s.pairs; i++)
      for (int c = 0; c < s.channels; c++)
        h[(size_t)i * C + c] = z[i * s.channels + c] + injection[i * s.channels + c];
    for (int layer = 0; layer < s.layers; layer++) {
      if (tape) memcpy(tape + layer * pairs * C, h, sizeof(float) * pairs * C);
      forward(forth + layer * packed / P::PER);
      if (tape) memcpy(tape + (s.layers + 1) * pairs * C + layer * pairs, factors, sizeof(float) * pairs);
    }
    if (tape) memcpy(tape + s.layers * pairs * C, h, sizeof(float) * pairs * C);
    for (int i = 0; i < s.pairs; i++)
      for (int c = 0; c < s.channels; c++) {
        const float now = h[(size_t)i * C + c];
        out[i * s.channels + c] = now + s.damping * (z[i * s.channels + c] - now);
      }
  }

  void slopes(const float* out_slope, float* z_slope, float* injection_slope, const float* tape, float* weights_slope) {
    for (int i = 0; i < s.pairs; i++)
      for (int c = 0; c < s.channels; c++) h[(size_t)i * C + c] = (1 - s.damping) * out_slope[i * s.channels + c];
    for (int layer = s.layers - 1; layer >= 0; layer--)
      backward(tape + layer * pairs * C, tape + (layer + 1) * pairs * C, tape + (s.layers + 1) * pairs * C + layer * pairs,
               forth + layer * packed / P::PER, back + layer * packed / P::PER, weights_slope + layer * packed);
    for (int i = 0; i < s.pairs; i++)
      for (int c = 0; c < s.channels; c++) {
        const float now = h[(size_t)i * C + c];
        injection_slope[i * s.channels + c] = now;
        z_slope[i * s.channels + c] = now + s.damping * out_slope[i * s.channels + c];
      }
  }

 private:
  const Shape& s;
  const int32_t *of_pair, *counts;
  const int C, H;
  const size_t pairs, inward, outward, packed, all;
  Memory memory;
  float *h, *mean, *heard, *hidden, *words, *factors;                                // of a call; h: pairs x C
  float *mean_slope, *heard_slope, *hidden_slope, *group_words, *inner, *chunk_words;  // of slopes; inner: CHUNK x 2H
  const Word *forth, *back;  // the weights of each layer: of pairs, of each kind, outward; and those of the way back

  // Numbers that the packed weights take as words: none if they are words already.
  size_t words_of_weights() const { return P::PER == 1 ? 0 : s.layers * packed / P::PER; }

  size_t groups_of_all_kinds() const {
    size_t sum = 0;
    for (int k = 0; k < s.kinds; k++) sum += padded(counts[k], TILE);
    return sum;
  }

  // The packed weights as words. On the way back, channels are outputs of the inward matrices and hidden ones of the other.
  const Word* written(const float* weights, float* to, bool turned = false) const {
    const int of_inward = turned ? columns(C) : 2 * LANES, of_outward = columns(turned ? H : C);
    const Word* start = (const Word*)weights;
    for (int layer = 0; layer < s.layers; layer++, weights += outward, to += outward / P::PER) {
      for (int matrix = 0; matrix <= s.kinds; matrix++, weights += inward, to += inward / P::PER) {
        const Word* now = P::across(weights, to, inward / of_inward, of_inward);
        if (layer == 0 && matrix == 0) start = now;
      }
      P::across(weights, to, outward / of_outward, of_outward);
    }
    return start;
  }

  int columns(int width) const { return width % (2 * LANES) ? LANES : 2 * LANES; }

  // The packed weights, with inputs and outputs exchanged.
  void turn(const float* weights, float* to) const {
    const int c = columns(C) / LANES, hiddens = columns(H) / LANES;
    for (int layer = 0; layer < s.layers; layer++, weights += outward, to += outward) {
      for (int matrix = 0; matrix <= s.kinds; matrix++, weights += inward, to += inward)
        transpose(weights, to, 2 * H, C, 2, c);
      transpose(weights, to, C, H, c, hiddens);
    }
  }

  // mean and heard of all groups, from v (pairs x C). Weights have a vector of gates, a vector of ups, ...
  void gather(const float* v, const Word* w) {
    const int C = this->C, H = this->H;  // what is stored may lie anywhere, for all the compiler knows, but not here
    float *means = mean, *hears = heard;
    for (int k = 0; k < s.kinds; k++, w += inward / P::PER) {
      average(v, means, of_pair + (size_t)k * s.pairs, counts[k]);
      const int groups = padded(counts[k], TILE);
      for (int g = 0; g < groups; g += TILE) {
        const Word* left = P::along(means + g * C, words, TILE * C);
        for (int j = 0; j < 2 * H; j += 2 * LANES) {
          Vector sums[TILE][2] = {};
          multiply<P, 2>(sums, left, w + j * C / P::PER, C / P::PER);
          UNROLLED
          for (int m = 0; m < TILE; m++)
            for (int n = 0; n < 2; n++) store(hears + (size_t)(g + m) * 2 * H + j + n * LANES, sums[m][n]);
        }
      }
      means += (size_t)groups * C;
      hears += (size_t)groups * 2 * H;
    }
  }

  void average(const float* v, float* means, const int32_t* group, int groups) const {
    const int C = this->C, pairs = s.pairs;
    memset(means, 0, sizeof(float) * groups * C);
    for (int i = 0; i < pairs; i++)
      for (int c = 0; c < C; c += LANES) store(means + group[i] * C + c, load(means + group[i] * C + c) + load(v + i * C + c));
    const float share = (float)groups / pairs;
    for (int i = 0; i < groups * C; i += LANES) store(means + i, load(means + i) * share);
  }

  // gate and up of TILE pairs, one vector of hidden channels: from the pairs, and from what they hear from their groups
  inline void listen(Vector (&sums)[TILE][2], const Word* v, const Word* w, int j, int first) const {
    const int C = this->C, H = this->H, kinds = s.kinds, last = s.pairs;
    const int32_t *of_pair = this->of_pair, *counts = this->counts;
    multiply<P, 2>(sums, v, w + j * C / P::PER, C / P::PER);
    const float* kind = heard + j;
    for (int k = 0; k < kinds; k++) {
      UNROLLED
      for (int m = 0; m < TILE; m++) {
        const int pair = first + m < last ? first + m : first;
        const float* at = kind + (size_t)of_pair[(size_t)k * last + pair] * 2 * H;
        for (int n = 0; n < 2; n++) sums[m][n] += load(at + n * LANES);
      }
      kind += (size_t)padded(counts[k], TILE) * 2 * H;
    }
  }

  // One layer, in place: h; leaves the factors of the normalisation.
  void forward(const Word* w) {
    const int C = this->C, H = this->H;
    gather(h, w + inward / P::PER);
    for (int first = 0; first < s.pairs; first += TILE) {
      float* v = h + (size_t)first * C;
      const Word* left = P::along(v, words, TILE * C);
      for (int j = 0; j < 2 * H; j += 2 * LANES) {
        Vector sums[TILE][2] = {};
        listen(sums, left, w, j, first);
        UNROLLED
        for (int m = 0; m < TILE; m++) store(hidden + m * H + j / 2, gated(sums[m][0], sums[m][1]));
      }
      add_product<P>(v, P::along(hidden, words, TILE * H), w + (1 + s.kinds) * inward / P::PER, C, H / P::PER);
      for (int m = 0; m < TILE; m++) {
        const float factor = factors[first + m] = 1.f / std::sqrt(dot(v + m * C, v + m * C, C) / s.channels + s.epsilon);
        for (int c = 0; c < C; c += LANES) store(v + m * C + c, load(v + m * C + c) * factor);
      }
    }
  }

  // h, the slope of a layer's output y, becomes that of its input v; adds to the slopes of the layer's weights.
  void backward(const float* v, const float* y, const float* factors, const Word* w, const Word* turned,
                float* weights_slope) {
    const int C = this->C, H = this->H;
    gather(v, w + inward / P::PER);
    memset(heard_slope, 0, sizeof(float) * all * 2 * H);
    for (int first = 0; first < (int)pairs; first += CHUNK) {
      const int depth = (int)pairs - first < CHUNK ? pairs - first : CHUNK;
      const size_t at = (size_t)first * C;
      for (int tile = 0; tile < depth; tile += TILE) through_tile(v, y, factors, w, turned, first, tile);
      add_weights(v + at, h + at, depth, weights_slope);
      for (int tile = 0; tile < depth; tile += TILE)
        add_product<P>(h + at + tile * C, P::along(inner + tile * 2 * H, words, TILE * 2 * H), turned, C, 2 * H / P::PER);
    }
    through_groups(turned + inward / P::PER, weights_slope + inward);
  }

  void through_tile(const float* v, const float* y, const float* factors, const Word* w, const Word* turned, int first,
                    int tile) {
    const int C = this->C, H = this->H;
    float* slope = h + (size_t)(first + tile) * C;
    y += (size_t)(first + tile) * C, v += (size_t)(first + tile) * C, factors += first + tile;
    for (int m = 0; m < TILE; m++) {  // of y, to that of the sum before the normalisation
      const float share = dot(slope + m * C, y + m * C, C) / s.channels;
      for (int c = m * C; c < m * C + C; c += LANES) store(slope + c, factors[m] * (load(slope + c) - share * load(y + c)));
    }
    memset(hidden_slope, 0, sizeof(float) * TILE * H);
    add_product<P>(hidden_slope, P::along(slope, words, TILE * C), turned + (1 + s.kinds) * inward / P::PER, H, C / P::PER);
    const Word* left = P::along(v, words, TILE * C);
    for (int j = 0; j < 2 * H; j += 2 * LANES) {
      Vector sums[TILE][2] = {};
      listen(sums, left, w, j, first + tile);
      UNROLLED
      for (int m = 0; m < TILE; m++) {
        const Vector gate = sums[m][0], up = sums[m][1], sigmoid = 1.f / one_and_exponential_of_negative(gate);
        const Vector now = load(hidden_slope + m * H + j / 2), silu = gate * sigmoid;
        store(hidden + (tile + m) * H + j / 2, silu * up);
        store(inner + (tile + m) * 2 * H + j, now * up * (sigmoid + silu * (1.f - sigmoid)));
        store(inner + (tile + m) * 2 * H + j + LANES, now * silu);
      }
    }
    float* kind = heard_slope;
    for (int k = 0; k < s.kinds; k++) {
      for (int m = 0; m < TILE && first + tile + m < s.pairs; m++) {
        float* to = kind + (size_t)of_pair[(size_t)k * s.pairs + first + tile + m] * 2 * H;
        const float* from = inner + (tile + m) * 2 * H;
        for (int j = 0; j < 2 * H; j += LANES) store(to + j, load(to + j) + load(from + j));
      }
      kind += (size_t)padded(counts[k], TILE) * 2 * H;
    }
  }

  // Adds the slopes of the inward weights of pairs, and of the outward ones, of `depth` pairs.
  void add_weights(const float* v, const float* slope, int depth, float* weights_slope) {
    const int C = this->C, H = this->H;
    float* place = chunk_words;
    auto across = [&](const float* from, int width) {
      return P::across(from, std::exchange(place, place + depth * width / P::PER), depth, width);
    };
    const Word *vs = across(v, C), *slopes = across(slope, C), *hiddens = across(hidden, H);
    const Word* inners = P::across(inner, words, depth, 2 * H);
    for (int j = 0; j < 2 * H; j += 2 * LANES)
      add_outer<P, 2>(weights_slope + j * C, vs, C, inners + j, 2 * H, depth / P::PER);
    weights_slope += (1 + s.kinds) * inward;
    if (C % (2 * LANES))
      for (int c = 0; c < C; c += LANES) add_outer<P, 1>(weights_slope + c * H, hiddens, H, slopes + c, C, depth / P::PER);
    else
      for (int c = 0; c < C; c += 2 * LANES) add_outer<P, 2>(weights_slope + c * H, hiddens, H, slopes + c, C, depth / P::PER);
  }

  // Adds the slopes of the kinds' weights, and to h what comes through the means.
  void through_groups(const Word* turned, float* weights_slope) {
    const int C = this->C, H = this->H;
    const float *means = mean, *slopes = heard_slope;
    for (int k = 0; k < s.kinds; k++) {
      const int count = padded(counts[k], TILE);
      const Word* lefts = P::across(means, group_words, count, C);
      const Word* rights = P::across(slopes, group_words + count * C / P::PER, count, 2 * H);
      for (int j = 0; j < 2 * H; j += 2 * LANES)
        add_outer<P, 2>(weights_slope + j * C, lefts, C, rights + j, 2 * H, count / P::PER);
      memset(mean_slope, 0, sizeof(float) * count * C);
      for (int g = 0; g < count; g += TILE)
        add_product<P>(mean_slope + g * C, P::along(slopes + (size_t)g * 2 * H, words, TILE * 2 * H), turned, C,
                       2 * H / P::PER);
      const float share = (float)counts[k] / s.pairs;
      const int32_t* group = of_pair + (size_t)k * s.pairs;
      for (int i = 0; i < s.pairs; i++)
        for (int c = 0; c < C; c += LANES)
          store(h + (size_t)i * C + c, load(h + (size_t)i * C + c) + share * load(mean_slope + group[i] * C + c));
      means += (size_t)count * C;
      slopes += (size_t)count * 2 * H;
      weights_slope += inward;
      turned += inward / P::PER;
    }
  }
};

static int64_t tape_of(const Shape& s) {
  const int64_t pairs = padded(s.pairs, TILE), C = padded(s.channels, LANES);
  return (s.layers + 1) * pairs * C + padded(s.layers * pairs, LANES);
}

template <class P>
static int32_t call_rows(const float* z, const float* injection, float* out, int32_t rows, const Shape& s,
                         const int32_t* group, const int32_t* groups, const float* weights, float* tape) {
  Stack<P> stack(s, group, groups, weights, false);
  if (!stack) return 1;
  const size_t size = (size_t)s.pairs * s.channels;
  for (int row = 0; row < rows; row++)
    stack.call(z + row * size, injection + row * size, out + row * size, tape ? tape + row * tape_of(s) : nullptr);
  return 0;
}

template <class P>
static int32_t slopes_of_rows(const float* out_slope, float* z_slope, float* injection_slope, int32_t rows, const Shape& s,
                              const int32_t* group, const int32_t* groups, const float* weights, const float* tape,
                              float* weights_slope) {
  Stack<P> stack(s, group, groups, weights, true);
  if (!stack) return 1;
  const size_t size = (size_t)s.pairs * s.channels;
  for (int row = 0; row < rows; row++)
    stack.slopes(out_slope + row * size, z_slope + row * size, injection_slope + row * size, tape + row * tape_of(s),
                 weights_slope);
  return 0;
}

extern "C" {
int32_t relation_lanes() { return LANES; }

// Whether products can have factors of bfloat16.
int32_t relation_halves() {
#if defined(__AVX512BF16__)
  return 1;
#else
  return 0;
#endif
}

// Numbers that a row leaves on the tape: the input of each layer and the last output (padded pairs x padded channels), and
// the factors of each normalisation.
int64_t relation_tape(const Shape* shape) { return tape_of(*shape); }

// z, injection, out: rows x pairs x channels. group: kinds x pairs, the group of each kind that a pair belongs to;
// groups: the number of groups of each kind. weights of each layer: inward of pairs, inward of each kind, outward.
// tape: rows x relation_tape, or null for inference. Returns 0, or 1 if there is no memory.
int32_t relation_call(const float* z, const float* injection, float* out, int32_t rows, const Shape* shape,
                      const int32_t* group, const int32_t* groups, const float* weights, float* tape) {
#if defined(__AVX512BF16__)
  if (shape->halves) return call_rows<Halves>(z, injection, out, rows, *shape, group, groups, weights, tape);
#endif
  return call_rows<Exact>(z, injection, out, rows, *shape, group, groups, weights, tape);
}

// The slopes (gradients) of z, injection and the weights, from that of out and the tape of the call. Slopes of weights are
// added to those that are there, row by row. Returns 0, or 1 if there is no memory.
int32_t relation_slopes(const float* out, float* z, float* injection, int32_t rows, const Shape* shape,
                        const int32_t* group, const int32_t* groups, const float* weights, const float* tape,
                        float* weights_slope) {
#if defined(__AVX512BF16__)
  if (shape->halves)
    return slopes_of_rows<Halves>(out, z, injection, rows, *shape, group, groups, weights, tape, weights_slope);
#endif
  return slopes_of_rows<Exact>(out, z, injection, rows, *shape, group, groups, weights, tape, weights_slope);
}
}
