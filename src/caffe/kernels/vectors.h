// What the kernels share: vectors of floats, and sums of products kept in registers.
//
// Images are in channels_last (NHWC): a pixel's channels lie together, a step apart from the next pixel's.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

// Floats in a vector, and the rows and vectors whose sums are kept in registers
#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 12, VECTORS = 2;
#elif defined(__AVX2__)
constexpr int LANES = 8, ROWS = 6, VECTORS = 2;
#else
constexpr int LANES = 4, ROWS = 8, VECTORS = 2;
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

// sums[row][v] += in[row][k] * kernels[k][v] over `channels`
template <int R, int V>
inline void add_products(const float* in, int64_t in_step, const float* kernels, int64_t channels,
                         Vector (&sums)[R][V]) {
  for (int64_t k = 0; k < channels; k++) {
    Vector kernel[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) kernel[v] = load(kernels + k * PANEL + v * LANES);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) sums[r][v] += in[r * in_step + k] * kernel[v];
  }
}

// Calls Run::run<rows, vectors>(start, arguments) for rows 0 to `rows`, with both numbers known to the compiler
template <class Run, int R = ROWS, class... Arguments>
inline void for_rows(int64_t start, int64_t rows, int64_t outputs, const Arguments&... arguments) {
  for (; start + R <= rows; start += R) {
    if (outputs > LANES) Run::template run<R, VECTORS>(start, arguments...);
    else Run::template run<R, 1>(start, arguments...);
  }
  if constexpr (R > 1) for_rows<Run, R == ROWS ? ROWS / 3 : 1>(start, rows, outputs, arguments...);
}

inline int64_t thread_number() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Parts of at most `most`, a multiple of the threads, which then are done at once
inline int64_t parts_of(int64_t total, int64_t most, int64_t threads) {
  return std::min(total, ceil_div(ceil_div(total, most), threads) * threads);
}

}  // namespace

// How many outputs lie together in the kernels that the functions below take
extern "C" int64_t panel() { return PANEL; }
