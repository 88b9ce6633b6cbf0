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
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>
#if defined(__AVX512F__)
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

#if defined(__AVX512F__)
static inline Vector within(Vector x, float most) {
  return (Vector)_mm512_max_ps(_mm512_set1_ps(-most), _mm512_min_ps(_mm512_set1_ps(most), (__m512)x));
}
static inline Vector reciprocal(Vector x) {  // a division takes three times as long as the estimate and a step of Newton
  const Vector near = (Vector)_mm512_rcp14_ps((__m512)x);
  return near * (2.f - x * near);
}
#else
static inline Vector within(Vector x, float most) {
  x = x < -most ? (Vector){} - most : x;
  return x > most ? (Vector){} + most : x;
}
static inline Vector reciprocal(Vector x) { return 1.f / x; }
#endif

// 1 / (1 + e^-x), to 3e-7; NaN for NaN
static inline Vector sigmoid(Vector x) {
  const float shift = 12582912.f;  // 1.5 * 2^23: adding it rounds to the whole number n, left in the lowest bits
  const Vector power = within(x * -1.44269504f, 126.f), shifted = power + shift, rest = power - (shifted - shift);
  // 2^rest for rest in [-0.5, 0.5]: the polynomial of least relative error (8e-8), times 2^n
  Vector p = rest * 1.3277939e-3f + 9.6757580e-3f;
  p = p * rest + 5.5507097e-2f;
  p = p * rest + 2.4022114e-1f;
  p = p * rest + 6.9314694e-1f;
  p = p * rest + 1.0000001f;
  return reciprocal(1.f + (Vector)((Bits)p + ((Bits)shifted << 23)));
}

// silu(gate) * up
static inline Vector gated(Vector gate, Vector up) { return gate * up * sigmoid(gate); }

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

typedef std::vector<int32_t> Numbers;

// Lists of numbers, one after another.
struct Lists {
  Numbers starts{0}, items;
  int count() const { return starts.size() - 1; }
  void add(int item) { items.push_back(item); }
  void end() { starts.push_back(items.size()); }
};

// One way in which pairs hear others: the means of groups. A group of `members` is heard by pairs; a pair hears the mean
// of its groups, or, where it has none, nothing.
struct Kind {
  Lists members, heard;        // the pairs of each group, and the groups that each pair hears
  std::vector<float> weights;  // of members; none where all members of a group weigh the same
  bool single = true;          // whether every pair hears one group

  float share(int group) const {  // of a member without a weight
    const int size = members.starts[group + 1] - members.starts[group];
    return size ? 1.f / size : 0.f;
  }
  void finish() {
    for (int pair = 0; pair < heard.count(); pair++) single &= heard.starts[pair + 1] == heard.starts[pair] + 1;
  }
};

// How the pairs of one problem hear each other.
struct Plan {
  int pairs, values, frame_values;  // values of each variable: in the problem, and in its frame
  std::vector<Kind> kinds;

  // The place of a pair in its frame.
  int place(int pair) const {
    return values == frame_values ? pair : pair / values * frame_values + pair % values;
  }
};

// The same groups for every problem: the group of each kind that a pair belongs to, and the numbers of groups.
static Plan plan_of_board(const Shape& s, const int32_t* group, const int32_t* counts) {
  Plan plan{s.pairs, s.pairs, s.pairs, std::vector<Kind>(s.kinds)};
  for (Kind& kind : plan.kinds) {
    const int groups = *counts++;
    std::vector<Numbers> members(groups);
    for (int pair = 0; pair < s.pairs; pair++) {
      members[group[pair]].push_back(pair);
      kind.heard.add(group[pair]);
      kind.heard.end();
    }
    for (const Numbers& of_group : members) {
      for (int pair : of_group) kind.members.add(pair);
      kind.members.end();
    }
    kind.finish();
    group += s.pairs;
  }
  return plan;
}

// The room of rows that bring their own relations, as in types.Frame.
struct Frame {
  int32_t width, variables, values, links, ordered_links, values_ordered, relations;
  const int32_t* ordered;  // for each relation, whether it is ordered
};

// The groups of a relation among variables: who speaks in a group, and who hears it.
struct Groups {
  Lists speak, hear;
};

// The groups of a header that are listed from `at` on, below the group number `end`.
static std::vector<Numbers> groups_listed(const int64_t*& at, const int64_t* last, const Frame& f, int variables, int64_t end) {
  std::vector<Numbers> groups;
  for (int64_t before = -1; at < last && *at > 1 && (*at - 2) / f.variables < end; at++) {
    const int64_t group = (*at - 2) / f.variables, variable = (*at - 2) % f.variables;
    if (group != before) groups.emplace_back();
    before = group;
    if (variable < variables) groups.back().push_back(variable);
  }
  return groups;
}

static Groups spoken(const std::vector<Numbers>& groups) {
  Groups all;
  for (const Numbers& group : groups) {
    for (int variable : group) all.speak.add(variable), all.hear.add(variable);
    all.speak.end(), all.hear.end();
  }
  return all;
}

// In ordered groups, each member hears those after it, or those before it.
static Groups spoken_in_order(const std::vector<Numbers>& groups, bool after) {
  Groups all;
  for (const Numbers& group : groups)
    for (int hearer = after ? 0 : 1; hearer < (int)group.size() - after; hearer++) {
      for (int m = after ? hearer + 1 : 0; m < (after ? (int)group.size() : hearer); m++) all.speak.add(group[m]);
      all.hear.add(group[hearer]);
      all.speak.end(), all.hear.end();
    }
  return all;
}

// Groups of variables as groups of pairs that share a value. Where there are more groups than variables, the mean of what
// a variable hears is taken first, as if each variable were a group of its own.
static Kind kind_of(const Groups& groups, int variables, int values) {
  std::vector<Numbers> heard(variables);
  for (int g = 0; g < groups.hear.count(); g++)
    for (int e = groups.hear.starts[g]; e < groups.hear.starts[g + 1]; e++) heard[groups.hear.items[e]].push_back(g);
  Kind kind;
  const Lists& speak = groups.speak;
  if (speak.count() > variables) {
    std::vector<float> weight(variables);
    for (int variable = 0; variable < variables; variable++) {
      Numbers others;
      for (int g : heard[variable])
        for (int e = speak.starts[g]; e < speak.starts[g + 1]; e++) {
          if (weight[speak.items[e]] == 0) others.push_back(speak.items[e]);
          weight[speak.items[e]] += 1.f / heard[variable].size() / (speak.starts[g + 1] - speak.starts[g]);
        }
      std::sort(others.begin(), others.end());
      for (int value = 0; value < values; value++) {
        for (int other : others) kind.members.add(other * values + value), kind.weights.push_back(weight[other]);
        kind.members.end();
        kind.heard.add(variable * values + value);
        kind.heard.end();
      }
      for (int other : others) weight[other] = 0;
    }
  } else {
    for (int g = 0; g < speak.count(); g++)
      for (int value = 0; value < values; value++) {
        for (int e = speak.starts[g]; e < speak.starts[g + 1]; e++) kind.members.add(speak.items[e] * values + value);
        kind.members.end();
      }
    for (const Numbers& of_variable : heard)
      for (int value = 0; value < values; value++) {
        for (int g : of_variable) kind.heard.add(g * values + value);
        kind.heard.end();
      }
  }
  kind.finish();
  return kind;
}

// The values of a variable: all of them, or those below (-1) or above (1) each.
static Kind kind_of_values(int variables, int values, int side) {
  Kind kind;
  for (int variable = 0; variable < variables; variable++)
    for (int value = 0; value < values; value++) {
      kind.heard.add(side ? variable * values + value : variable);
      kind.heard.end();
      if (side == 0 && value) continue;
      const int from = side > 0 ? value + 1 : 0, to = side < 0 ? value : values;
      for (int other = from; other < to; other++) kind.members.add(variable * values + other);
      kind.members.end();
    }
  kind.finish();
  return kind;
}

// The groups of a problem, from its header.
static Plan plan_of_problem(const Frame& f, const int64_t* header) {
  auto within = [](int64_t number, int most) { return number < 0 ? 0 : number > most ? most : (int)number; };
  const int variables = within(header[0] - 1, f.variables), values = within(header[1] - 1, f.values);
  const int64_t *counts = header + 4 + f.values, *links = counts + f.relations;
  const int64_t *ordered_links = links + f.links, *last = ordered_links + f.ordered_links;
  const int64_t* at[2] = {links, ordered_links};
  int64_t end[2] = {0, 0};
  Plan plan{variables * values, values, f.values, {}};
  for (int k = 0; k < f.relations; k++) {
    const int which = f.ordered[k] != 0;
    end[which] += counts[k] - 1;
    const auto groups = groups_listed(at[which], which ? last : ordered_links, f, variables, end[which]);
    if (!which) {
      plan.kinds.push_back(kind_of(spoken(groups), variables, values));
      continue;
    }
    for (bool after : {true, false})
      plan.kinds.push_back(kind_of(spoken_in_order(groups, after), variables, values));
  }
  if (f.values_ordered) {
    plan.kinds.push_back(kind_of_values(variables, values, -1));
    plan.kinds.push_back(kind_of_values(variables, values, 1));
  } else {
    plan.kinds.push_back(kind_of_values(variables, values, 0));
  }
  return plan;
}

// The stack of some problems, with its weights. Each group of each kind is a row of `mean`, `heard` and their slopes; kinds
// follow each other, each padded to full tiles.
template <class P>
class Stack {
 public:
  typedef typename P::Word Word;

  Stack(const Shape& shape, const std::vector<Plan>& plans, const float* weights, bool slopes)
      : s(shape), C(padded(s.channels, LANES)), H(padded(s.hidden, LANES)), inward((size_t)C * 2 * H),
        outward((size_t)C * H), packed((1 + s.kinds) * inward + outward), pairs(most_pairs(plans)), all(most_groups(plans)),
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

  void call(const Plan& of_row, const float* z, const float* injection, float* out, float* tape) {
    take(of_row);
    for (int i = 0; i < plan->pairs; i++) {
      const size_t at = (size_t)plan->place(i) * s.channels;
      for (int c = 0; c < s.channels; c++) h[(size_t)i * C + c] = z[at + c] + injection[at + c];
    }
    for (int layer = 0; layer < s.layers; layer++) {
      if (tape) memcpy(tape + layer * pairs * C, h, sizeof(float) * pairs * C);
      forward(forth + layer * packed / P::PER);
      if (tape) memcpy(tape + (s.layers + 1) * pairs * C + layer * pairs, factors, sizeof(float) * pairs);
    }
    if (tape) memcpy(tape + s.layers * pairs * C, h, sizeof(float) * pairs * C);
    clear(out);
    for (int i = 0; i < plan->pairs; i++) {
      const size_t at = (size_t)plan->place(i) * s.channels;
      for (int c = 0; c < s.channels; c++) {
        const float now = h[(size_t)i * C + c];
        out[at + c] = now + s.damping * (z[at + c] - now);
      }
    }
  }

  void slopes(const Plan& of_row, const float* out_slope, float* z_slope, float* injection_slope, const float* tape,
              float* weights_slope) {
    take(of_row);
    for (int i = 0; i < plan->pairs; i++) {
      const size_t at = (size_t)plan->place(i) * s.channels;
      for (int c = 0; c < s.channels; c++) h[(size_t)i * C + c] = (1 - s.damping) * out_slope[at + c];
    }
    for (int layer = s.layers - 1; layer >= 0; layer--)
      backward(tape + layer * pairs * C, tape + (layer + 1) * pairs * C, tape + (s.layers + 1) * pairs * C + layer * pairs,
               forth + layer * packed / P::PER, back + layer * packed / P::PER, weights_slope + layer * packed);
    clear(injection_slope), clear(z_slope);
    for (int i = 0; i < plan->pairs; i++) {
      const size_t at = (size_t)plan->place(i) * s.channels;
      for (int c = 0; c < s.channels; c++) {
        const float now = h[(size_t)i * C + c];
        injection_slope[at + c] = now;
        z_slope[at + c] = now + s.damping * out_slope[at + c];
      }
    }
  }

 private:
  const Shape& s;
  const int C, H;
  const size_t inward, outward, packed;
  size_t pairs, all;  // the most of all plans, then those of the row at work
  const Plan* plan = nullptr;
  Memory memory;
  float *h, *mean, *heard, *hidden, *words, *factors;                                // of a call; h: pairs x C
  float *mean_slope, *heard_slope, *hidden_slope, *group_words, *inner, *chunk_words;  // of slopes; inner: CHUNK x 2H
  std::vector<const float*> hears;  // kinds x TILE, see attend
  const Word *forth, *back;  // the weights of each layer: of pairs, of each kind, outward; and those of the way back

  // Numbers that the packed weights take as words: none if they are words already.
  size_t words_of_weights() const { return P::PER == 1 ? 0 : s.layers * packed / P::PER; }

  static size_t groups_of(const Plan& plan) {
    size_t sum = 0;
    for (const Kind& kind : plan.kinds) sum += padded(kind.members.count(), TILE);
    return sum;
  }

  static size_t most_groups(const std::vector<Plan>& plans) {
    size_t most = 0;
    for (const Plan& plan : plans) most = std::max(most, groups_of(plan));
    return most;
  }

  static size_t most_pairs(const std::vector<Plan>& plans) {
    size_t most = 0;
    for (const Plan& plan : plans) most = std::max(most, (size_t)padded(plan.pairs, TILE));
    return most;
  }

  // Begins a row. What padding held before must be finite, or its products would not be 0.
  void take(const Plan& of_row) {
    plan = &of_row, pairs = padded(of_row.pairs, TILE), all = groups_of(of_row);
    hears.resize(of_row.kinds.size() * TILE);
    memset(h + (size_t)of_row.pairs * C, 0, sizeof(float) * (pairs - of_row.pairs) * C);
  }

  // Pairs that a problem does not have are 0.
  void clear(float* row) const {
    if (plan->pairs < s.pairs) memset(row, 0, sizeof(float) * s.pairs * s.channels);
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
    for (const Kind& kind : plan->kinds) {
      if (C % (2 * LANES)) average<1>(v, means, kind);
      else average<2>(v, means, kind);
      const int groups = padded(kind.members.count(), TILE);
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
      w += inward / P::PER;
    }
  }

  // The mean of each group, N vectors of channels together.
  template <int N>
  void average(const float* v, float* means, const Kind& kind) const {
    const int C = this->C, groups = kind.members.count();
    const int32_t *starts = kind.members.starts.data(), *members = kind.members.items.data();
    const float* weights = kind.weights.empty() ? nullptr : kind.weights.data();
    for (int g = 0; g < groups; g++, means += C)
      for (int c = 0; c < C; c += N * LANES) {
        Vector sums[N] = {};
        for (int e = starts[g]; e < starts[g + 1]; e++) {
          const float* member = v + (size_t)members[e] * C + c;
          UNROLLED
          for (int n = 0; n < N; n++) sums[n] += weights ? load(member + n * LANES) * weights[e] : load(member + n * LANES);
        }
        const float share = weights ? 1.f : kind.share(g);
        UNROLLED
        for (int n = 0; n < N; n++) store(means + c + n * LANES, sums[n] * share);
      }
  }

  // Where the TILE pairs from `first` on hear their groups of kinds with one group a pair.
  void attend(int first) {
    const float *of_kind = heard, **at = hears.data();
    for (const Kind& kind : plan->kinds) {
      for (int m = 0; kind.single && m < TILE; m++) {
        const int pair = first + m < plan->pairs ? first + m : first;
        at[m] = of_kind + (size_t)kind.heard.items[pair] * 2 * H;
      }
      of_kind += (size_t)padded(kind.members.count(), TILE) * 2 * H, at += TILE;
    }
  }

  // gate and up of TILE pairs, one vector of hidden channels: from the pairs, and from what they hear from their groups
  inline void listen(Vector (&sums)[TILE][2], const Word* v, const Word* w, int j, int first) const {
    const int C = this->C, H = this->H, last = plan->pairs;
    multiply<P, 2>(sums, v, w + j * C / P::PER, C / P::PER);
    const float *of_kind = heard + j, *const* at = hears.data();
    for (const Kind& kind : plan->kinds) {
      if (kind.single) {
        UNROLLED
        for (int m = 0; m < TILE; m++)
          for (int n = 0; n < 2; n++) sums[m][n] += load(at[m] + j + n * LANES);
      } else {
        const int32_t *starts = kind.heard.starts.data(), *groups = kind.heard.items.data();
        UNROLLED
        for (int m = 0; m < TILE; m++) {
          const int pair = first + m < last ? first + m : first, count = starts[pair + 1] - starts[pair];
          Vector both[2] = {};
          for (int e = starts[pair]; e < starts[pair + 1]; e++)
            for (int n = 0; n < 2; n++) both[n] += load(of_kind + (size_t)groups[e] * 2 * H + n * LANES);
          for (int n = 0; n < 2; n++) sums[m][n] += both[n] * (count ? 1.f / count : 0.f);
        }
      }
      of_kind += (size_t)padded(kind.members.count(), TILE) * 2 * H, at += TILE;
    }
  }

  // One layer, in place: h; leaves the factors of the normalisation.
  void forward(const Word* w) {
    const int C = this->C, H = this->H;
    gather(h, w + inward / P::PER);
    for (int first = 0; first < plan->pairs; first += TILE) {
      float* v = h + (size_t)first * C;
      const Word* left = P::along(v, words, TILE * C);
      attend(first);
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
    attend(first + tile);
    for (int j = 0; j < 2 * H; j += 2 * LANES) {
      Vector sums[TILE][2] = {};
      listen(sums, left, w, j, first + tile);
      UNROLLED
      for (int m = 0; m < TILE; m++) {
        const Vector gate = sums[m][0], up = sums[m][1], open = sigmoid(gate);
        const Vector now = load(hidden_slope + m * H + j / 2), silu = gate * open;
        store(hidden + (tile + m) * H + j / 2, silu * up);
        store(inner + (tile + m) * 2 * H + j, now * up * (open + silu * (1.f - open)));
        store(inner + (tile + m) * 2 * H + j + LANES, now * silu);
      }
    }
    float* of_kind = heard_slope;
    for (const Kind& kind : plan->kinds) {
      const int32_t* starts = kind.heard.starts.data();
      for (int m = 0; m < TILE && first + tile + m < plan->pairs; m++) {
        const int pair = first + tile + m;
        const float *from = inner + (tile + m) * 2 * H, share = kind.single ? 1.f : 1.f / (starts[pair + 1] - starts[pair]);
        for (int e = starts[pair]; e < starts[pair + 1]; e++) {
          float* to = of_kind + (size_t)kind.heard.items[e] * 2 * H;
          for (int j = 0; j < 2 * H; j += LANES) store(to + j, load(to + j) + load(from + j) * share);
        }
      }
      of_kind += (size_t)padded(kind.members.count(), TILE) * 2 * H;
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

  // Adds to h what comes through the means of a kind, N vectors of channels together.
  template <int N>
  void tell_members(const Kind& kind) {
    const int C = this->C, groups = kind.members.count();
    const int32_t *starts = kind.members.starts.data(), *members = kind.members.items.data();
    const float* weights = kind.weights.empty() ? nullptr : kind.weights.data();
    for (int g = 0; g < groups; g++)
      for (int c = 0; c < C; c += N * LANES) {
        const float share = kind.share(g);
        Vector slopes[N];
        UNROLLED
        for (int n = 0; n < N; n++) slopes[n] = load(mean_slope + (size_t)g * C + c + n * LANES);
        for (int e = starts[g]; e < starts[g + 1]; e++) {
          float* to = h + (size_t)members[e] * C + c;
          UNROLLED
          for (int n = 0; n < N; n++)
            store(to + n * LANES, load(to + n * LANES) + (weights ? weights[e] : share) * slopes[n]);
        }
      }
  }

  // Adds the slopes of the kinds' weights, and to h what comes through the means.
  void through_groups(const Word* turned, float* weights_slope) {
    const int C = this->C, H = this->H;
    const float *means = mean, *slopes = heard_slope;
    for (const Kind& kind : plan->kinds) {
      const int count = padded(kind.members.count(), TILE);
      const Word* lefts = P::across(means, group_words, count, C);
      const Word* rights = P::across(slopes, group_words + count * C / P::PER, count, 2 * H);
      for (int j = 0; j < 2 * H; j += 2 * LANES)
        add_outer<P, 2>(weights_slope + j * C, lefts, C, rights + j, 2 * H, count / P::PER);
      memset(mean_slope, 0, sizeof(float) * count * C);
      for (int g = 0; g < count; g += TILE)
        add_product<P>(mean_slope + g * C, P::along(slopes + (size_t)g * 2 * H, words, TILE * 2 * H), turned, C,
                       2 * H / P::PER);
      if (C % (2 * LANES)) tell_members<1>(kind);
      else tell_members<2>(kind);
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

// One plan for all rows, or one for each.
static std::vector<Plan> plans_of(int32_t rows, const Shape& s, const int32_t* group, const int32_t* groups, const Frame* frame,
                                  const int64_t* headers) {
  std::vector<Plan> plans;
  if (!frame) plans.push_back(plan_of_board(s, group, groups));
  else
    for (int row = 0; row < rows; row++) plans.push_back(plan_of_problem(*frame, headers + (size_t)row * frame->width));
  return plans;
}

template <class P>
static int32_t call_rows(const float* z, const float* injection, float* out, int32_t rows, const Shape& s,
                         const std::vector<Plan>& plans, const float* weights, float* tape) {
  Stack<P> stack(s, plans, weights, false);
  if (!stack) return 1;
  const size_t size = (size_t)s.pairs * s.channels;
  for (int row = 0; row < rows; row++)
    stack.call(plans[plans.size() > 1 ? row : 0], z + row * size, injection + row * size, out + row * size,
               tape ? tape + row * tape_of(s) : nullptr);
  return 0;
}

template <class P>
static int32_t slopes_of_rows(const float* out_slope, float* z_slope, float* injection_slope, int32_t rows, const Shape& s,
                              const std::vector<Plan>& plans, const float* weights, const float* tape,
                              float* weights_slope) {
  Stack<P> stack(s, plans, weights, true);
  if (!stack) return 1;
  const size_t size = (size_t)s.pairs * s.channels;
  for (int row = 0; row < rows; row++)
    stack.slopes(plans[plans.size() > 1 ? row : 0], out_slope + row * size, z_slope + row * size,
                 injection_slope + row * size, tape + row * tape_of(s), weights_slope);
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
// groups: the number of groups of each kind; or, if there is a frame, headers: rows x width. weights of each layer: inward
// of pairs, inward of each kind, outward. tape: rows x relation_tape, or null for inference. Returns 0, or 1 if there is no
// memory.
int32_t relation_call(const float* z, const float* injection, float* out, int32_t rows, const Shape* shape,
                      const int32_t* group, const int32_t* groups, const Frame* frame, const int64_t* headers,
                      const float* weights, float* tape) {
  try {
    const auto plans = plans_of(rows, *shape, group, groups, frame, headers);
#if defined(__AVX512BF16__)
    if (shape->halves) return call_rows<Halves>(z, injection, out, rows, *shape, plans, weights, tape);
#endif
    return call_rows<Exact>(z, injection, out, rows, *shape, plans, weights, tape);
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// The slopes (gradients) of z, injection and the weights, from that of out and the tape of the call. Slopes of weights are
// added to those that are there, row by row. Returns 0, or 1 if there is no memory.
int32_t relation_slopes(const float* out, float* z, float* injection, int32_t rows, const Shape* shape,
                        const int32_t* group, const int32_t* groups, const Frame* frame, const int64_t* headers,
                        const float* weights, const float* tape, float* weights_slope) {
  try {
    const auto plans = plans_of(rows, *shape, group, groups, frame, headers);
#if defined(__AVX512BF16__)
    if (shape->halves) return slopes_of_rows<Halves>(out, z, injection, rows, *shape, plans, weights, tape, weights_slope);
#endif
    return slopes_of_rows<Exact>(out, z, injection, rows, *shape, plans, weights, tape, weights_slope);
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
}
