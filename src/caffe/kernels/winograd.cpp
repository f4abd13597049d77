// Convolution of stride 1 by Winograd's minimal filtering, on images in channels_last (NHWC).
//
// Kernels of 3x3 give tiles of 4x4 outputs, kernels of 5x5 tiles of 2x2: both from 6x6 inputs, by the same six points.
// A tile's 36 transformed inputs are multiplied with the kernels' 36 transformed values, each a matrix product over
// channels, and the sums are transformed to outputs. A thread takes a few tiles through all three steps, so that what
// lies between stays in its cache.
//
// The transforms are written above this by winograd.py: structs ToInputs, ToOutputs4 and ToOutputs2, whose `matrix` is
// known to the compiler, so that zeros cost nothing.

namespace {

constexpr int SIDE = 6, POINTS = SIDE * SIDE;

struct Convolution {
  int64_t images, height, width, channels, outputs, groups, pad, size, out_step;
  int64_t out_height, out_width, down, across;      // outputs' shape, and tiles of an image in each direction
  int64_t group_channels, group_outputs;            // of one group
  int64_t row;                                      // floats between points of a transformed tile
};

// to[i] = sum of matrix[i][j] * from[j], written out at compile time
template <class Transform>
inline void combine(const Vector* from, int from_step, Vector* to, int to_step) {
#pragma GCC unroll 6
  for (int i = 0; i < Transform::rows; i++) {
    Vector sum = {};
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++)
      if (Transform::matrix[i][j] != 0) sum += Transform::matrix[i][j] * from[j * from_step];
    to[i * to_step] = sum;
  }
}

// The inputs of one tile at LANES channels, transformed. WHOLE says that all of them lie in the image
template <bool WHOLE>
inline void transform_inputs_at(const Convolution& c, const float* from, int64_t top, int64_t left, int64_t count,
                                float* to) {
  Vector half[SIDE][SIDE];
#pragma GCC unroll 6
  for (int j = 0; j < SIDE; j++) {
    Vector column[SIDE];
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; i++) {
      const float* at = from + (i * c.width + j) * c.channels;
      const bool inside = top + i >= 0 && top + i < c.height && left + j >= 0 && left + j < c.width;
      column[i] = WHOLE ? load(at) : inside ? load(at, count) : Vector{};
    }
    combine<ToInputs>(column, 1, &half[0][j], SIDE);
  }
#pragma GCC unroll 6
  for (int i = 0; i < SIDE; i++) {
    Vector found[SIDE];
    combine<ToInputs>(half[i], 1, found, 1);
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++) store(to + (i * SIDE + j) * c.row, found[j]);
  }
}

template <int OUT>
void transform_inputs(const Convolution& c, const float* x, int64_t tile, float* to) {
  const int64_t image = tile / (c.down * c.across);
  const int64_t top = tile / c.across % c.down * OUT - c.pad, left = tile % c.across * OUT - c.pad;
  const bool inside = top >= 0 && left >= 0 && top + SIDE <= c.height && left + SIDE <= c.width;
  const float* from = x + ((image * c.height + top) * c.width + left) * c.channels;
  for (int64_t k = 0; k < c.channels; k += LANES)
    if (inside && c.channels - k >= LANES) transform_inputs_at<true>(c, from + k, top, left, LANES, to + k);
    else transform_inputs_at<false>(c, from + k, top, left, c.channels - k, to + k);
}

// Sums over channels for R tiles at one point and one panel of outputs
struct Product {
  template <int R, int V>
  static void run(int64_t tile, const float* in, int64_t in_step, const float* kernels, int64_t channels, float* out) {
    Vector sums[R][V] = {};
    add_products(in + tile * in_step, in_step, kernels, channels, sums);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) store(out + (tile + r) * POINTS * PANEL + v * LANES, sums[r][v]);
  }
};

// The outputs of one tile at LANES channels. WHOLE says that all of them lie in the image
template <class Transform, bool WHOLE>
inline void transform_outputs_at(const Convolution& c, const float* sums, int64_t rows, int64_t columns, int64_t count,
                                 Vector shift, bool relu, float* to) {
  constexpr int OUT = Transform::rows;
  Vector half[OUT][SIDE];
#pragma GCC unroll 6
  for (int j = 0; j < SIDE; j++) {
    Vector column[SIDE];
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; i++) column[i] = load(sums + (i * SIDE + j) * PANEL);
    combine<Transform>(column, 1, &half[0][j], SIDE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < OUT; i++) {
    Vector found[OUT];
    combine<Transform>(half[i], 1, found, 1);
#pragma GCC unroll 4
    for (int j = 0; j < OUT; j++) {
      Vector value = found[j] + shift;
      if (relu) value = value < 0 ? Vector{} : value;  // NaN stays
      if (WHOLE) store(to + (i * c.out_width + j) * c.out_step, value);
      else if (i < rows && j < columns) store(to + (i * c.out_width + j) * c.out_step, value, count);
    }
  }
}

// One tile's outputs `first` and following, of one panel, from its sums
template <class Transform>
void transform_outputs(const Convolution& c, const float* sums, int64_t tile, int64_t first, int64_t outputs,
                       const float* bias, bool relu, float* y) {
  constexpr int OUT = Transform::rows;
  const int64_t image = tile / (c.down * c.across);
  const int64_t top = tile / c.across % c.down * OUT, left = tile % c.across * OUT;
  const int64_t rows = std::min<int64_t>(OUT, c.out_height - top), columns = std::min<int64_t>(OUT, c.out_width - left);
  float* to = y + ((image * c.out_height + top) * c.out_width + left) * c.out_step + first;
  for (int64_t k = 0; k < outputs; k += LANES) {
    const Vector shift = bias ? load(bias + first + k, outputs - k) : Vector{};
    if (rows == OUT && columns == OUT && outputs - k >= LANES)
      transform_outputs_at<Transform, true>(c, sums + k, OUT, OUT, LANES, shift, relu, to + k);
    else
      transform_outputs_at<Transform, false>(c, sums + k, rows, columns, outputs - k, shift, relu, to + k);
  }
}

template <class Transform>
void run(const Convolution& c, const float* x, const float* kernels, const float* bias, bool relu, float* y,
         float* scratch, int64_t most, int64_t threads) {
  const int64_t tiles = c.images * c.down * c.across, parts = parts_of(tiles, most, threads);
  const int64_t in_step = POINTS * c.row, kernels_step = c.group_channels * PANEL;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t part = 0; part < parts; part++) {
    const int64_t first = tiles * part / parts, count = tiles * (part + 1) / parts - first;
    float* in = scratch + thread_number() * most * POINTS * (c.row + PANEL);
    float* sums = in + most * in_step;
    for (int64_t t = 0; t < count; t++) transform_inputs<Transform::rows>(c, x, first + t, in + t * in_step);
    const float* panel = kernels;
    for (int64_t g = 0; g < c.groups; g++)
      for (int64_t o = 0; o < c.group_outputs; o += PANEL) {
        const int64_t outputs = std::min<int64_t>(PANEL, c.group_outputs - o);
        for (int64_t point = 0; point < POINTS; point++, panel += kernels_step)
          for_rows<Product>(0, count, outputs, in + point * c.row + g * c.group_channels, in_step, panel,
                            c.group_channels, sums + point * PANEL);
        for (int64_t t = 0; t < count; t++)
          transform_outputs<Transform>(c, sums + t * POINTS * PANEL, first + t, g * c.group_outputs + o, outputs, bias,
                                       relu, y);
      }
  }
}

Convolution convolution(const int64_t* shape) {
  Convolution c = {shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7], shape[8]};
  const int64_t out = SIDE + 1 - c.size;
  c.out_height = c.height + 2 * c.pad - c.size + 1;
  c.out_width = c.width + 2 * c.pad - c.size + 1;
  c.down = ceil_div(c.out_height, out);
  c.across = ceil_div(c.out_width, out);
  c.group_channels = c.channels / c.groups;
  c.group_outputs = c.outputs / c.groups;
  // An odd number of vectors: rows of several tiles then fall in different sets of the cache
  c.row = (ceil_div(c.channels, LANES) | 1) * LANES;
  return c;
}

}  // namespace

extern "C" {

// How many floats `scratch` must hold
int64_t winograd_scratch(const int64_t* shape, int64_t tiles, int64_t threads) {
  return threads * tiles * POINTS * (convolution(shape).row + PANEL);
}

// shape: images, height, width, channels, outputs, groups, pad, kernel size (3 or 5), floats between pixels of y.
// kernels: groups x panels of outputs x POINTS x channels of a group x PANEL. tiles: the most a thread takes at a time
void winograd(const float* x, const float* kernels, const float* bias, float* y, float* scratch, const int64_t* shape,
              int64_t relu, int64_t tiles, int64_t threads) {
  const Convolution c = convolution(shape);
  if (c.size == 3) run<ToOutputs4>(c, x, kernels, bias, relu, y, scratch, tiles, threads);
  else run<ToOutputs2>(c, x, kernels, bias, relu, y, scratch, tiles, threads);
}

}
