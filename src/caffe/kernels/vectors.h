// What the kernels share: vectors of floats, and sums of products kept in registers.
//
// Images are in channels_last (NHWC): a pixel's channels lie together, a step apart from the next pixel's.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif

#define ALWAYS __attribute__((always_inline))

namespace {

// Floats in a vector, and the rows and vectors whose sums are kept in registers
#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 6, VECTORS = 4;
#elif defined(__AVX2__)
constexpr int LANES = 8, ROWS = 6, VECTORS = 2;
#elif defined(__aarch64__)
constexpr int LANES = 4, ROWS = 6, VECTORS = 4;
#else
constexpr int LANES = 4, ROWS = 6, VECTORS = 2;
#endif
constexpr int PANEL = LANES * VECTORS;  // outputs whose kernels lie together
typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

inline Vector load(const float* from, int64_t count = LANES) {
  if (count >= LANES) return *reinterpret_cast<const Vector*>(from);
  Vector found = {};
  std::memcpy(&found, from, count * sizeof(float));
  return found;
}

inline void store(float* to, Vector values, int64_t count = LANES) {
  if (count >= LANES) *reinterpret_cast<Vector*>(to) = values;
  else std::memcpy(to, &values, count * sizeof(float));
}

inline Vector rectified(Vector x) { return x < 0 ? Vector{} : x; }  // NaN stays

// f(0), f(1) … f(N - 1) with the numbers known to the compiler: only so do arrays of sums stay in registers
template <int N, class F>
inline ALWAYS void each(const F& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) ALWAYS {
    (f(std::integral_constant<int, I>()), ...);
  }(std::make_integer_sequence<int, N>());
}

// sums[row][v] += in[row][k] * kernels[k][v] over `channels`
template <int R, int V>
inline ALWAYS void add_products(const float* in, int64_t in_step, const float* kernels, int64_t channels,
                                Vector (&sums)[R][V]) {
  for (int64_t k = 0; k < channels; k++, kernels += V * LANES) {
    Vector kernel[V];
    each<V>([&](auto v) ALWAYS { kernel[v] = load(kernels + v * LANES); });
    each<R>([&](auto r) ALWAYS {
      const float value = in[r * in_step + k];
      each<V>([&](auto v) ALWAYS { sums[r][v] += value * kernel[v]; });
    });
  }
}

// Calls Run::run<rows, V>(start, arguments) for rows 0 to `rows`, with both numbers known to the compiler
template <class Run, int V, int R = ROWS, class... Arguments>
inline void for_rows(int64_t start, int64_t rows, const Arguments&... arguments) {
  for (; start + R <= rows; start += R) Run::template run<R, V>(start, arguments...);
  if constexpr (R > 1) for_rows<Run, V, R == ROWS ? ROWS / 3 : 1>(start, rows, arguments...);
}

// The same with as many vectors as the next panel of `outputs` has; Run<true> where all of them are whole
template <template <bool> class Run, int V = VECTORS, class... Arguments>
inline void for_panel(int64_t rows, int64_t outputs, const Arguments&... arguments) {
  if constexpr (V > 1)
    if (outputs <= (V - 1) * LANES) return for_panel<Run, V - 1>(rows, outputs, arguments...);
  if (outputs >= V * LANES) for_rows<Run<true>, V>(0, rows, arguments...);
  else for_rows<Run<false>, V>(0, rows, arguments...);
}

// Sums begin with the bias of their outputs, which are to be written to rows `to_step` apart: those are fetched meanwhile
template <bool WHOLE, int R, int V>
inline ALWAYS void begin(const float* bias, int64_t outputs, const float* to, int64_t to_step, Vector (&sums)[R][V]) {
  each<V>([&](auto v) ALWAYS {
    const Vector shift = WHOLE || v < V - 1 ? load(bias + v * LANES) : load(bias + v * LANES, outputs - v * LANES);
    each<R>([&](auto r) ALWAYS {
      sums[r][v] = shift;
      __builtin_prefetch(to + r * to_step + v * LANES, 1);
    });
  });
}

// Writes sums, or what ReLU makes of them, to rows `to_step` apart
template <bool WHOLE, int R, int V>
inline ALWAYS void finish(const Vector (&sums)[R][V], bool relu, float* to, int64_t to_step, int64_t outputs) {
  each<R>([&](auto r) ALWAYS {
    each<V>([&](auto v) ALWAYS {
      const Vector value = relu ? rectified(sums[r][v]) : sums[r][v];
      if (WHOLE || v < V - 1) store(to + v * LANES, value);
      else store(to + v * LANES, value, outputs - v * LANES);
    });
    to += to_step;
  });
}

inline int64_t thread_number() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// An odd number of vectors: rows of so many floats fall in different sets of the cache
inline int64_t odd_row(int64_t channels) { return (ceil_div(channels, LANES) | 1) * LANES; }

// How many windows of `size` fit along a side
inline int64_t windows_along(int64_t side, int64_t size, int64_t stride, int64_t pad) {
  return (side + 2 * pad - size) / stride + 1;
}

// Parts of at most `most`, a multiple of the threads, which then are done at once
inline int64_t parts_of(int64_t total, int64_t most, int64_t threads) {
  return std::min(total, ceil_div(ceil_div(total, most), threads) * threads);
}

// Of a panel: whole vectors
inline int64_t panel_width(int64_t outputs) { return std::min<int64_t>(PANEL, ceil_div(outputs, LANES) * LANES); }

}  // namespace

// How many outputs lie together in the kernels that the functions below take; the last may be fewer, whole vectors
extern "C" int64_t panel() { return PANEL; }
extern "C" int64_t lanes() { return LANES; }
