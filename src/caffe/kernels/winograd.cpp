// Convolution of stride 1 by Winograd's minimal filtering, on images in channels_last (NHWC).
//
// A tile of outputs is made of a tile of inputs: 4x4 of 6x6 for kernels of 3x3, 3x3 of 7x7 for kernels of 5x5. Its inputs
// are transformed to as many points; at each, channels are multiplied with the kernels' transformed values and summed, a
// matrix product for many tiles; the sums are transformed to outputs. A thread takes a few tiles through all three steps,
// so that what lies between stays in its cache.
//
// The transforms are written above this by native.py: structs Filter3 and Filter5, whose matrices are known to the
// compiler, so that zeros cost nothing.

#include <iterator>

namespace {

template <class Filter> constexpr int SIDE = std::size(Filter::inputs);
template <class Filter> constexpr int POINTS = SIDE<Filter> * SIDE<Filter>;
template <class Filter> constexpr int OUT = std::size(Filter::outputs);

struct Convolution {
  int64_t images, height, width, channels, outputs, groups, pad, size, out_step;
  int64_t out_height, out_width, down, across;      // outputs' shape, and tiles of an image in each direction
  int64_t group_channels, group_outputs;            // of one group
  int64_t row;                                      // floats between points of a transformed tile
};

// to[i] = sum of MATRIX[i][j] * from[j]
template <const auto& MATRIX>
inline ALWAYS void combine(const Vector* from, Vector* to, int to_step) {
  each<std::size(MATRIX)>([&](auto i) ALWAYS {
    Vector sum = {};
    each<std::size(MATRIX[0])>([&](auto j) ALWAYS {
      if constexpr (MATRIX[i][j] != 0) sum += MATRIX[i][j] * from[j];
    });
    to[i * to_step] = sum;
  });
}

// The inputs of one tile at LANES channels, transformed. WHOLE says that all of them lie in the image
template <class Filter, bool WHOLE>
inline void transform_inputs_at(const Convolution& c, const float* from, int64_t top, int64_t left, int64_t count,
                                float* to) {
  constexpr int SIDE = ::SIDE<Filter>;
  Vector half[SIDE][SIDE];
  each<SIDE>([&](auto j) ALWAYS {
    Vector column[SIDE];
    each<SIDE>([&](auto i) ALWAYS {
      const float* at = from + (i * c.width + j) * c.channels;
      const bool inside = top + i >= 0 && top + i < c.height && left + j >= 0 && left + j < c.width;
      column[i] = WHOLE ? load(at) : inside ? load(at, count) : Vector{};
    });
    combine<Filter::inputs>(column, &half[0][j], SIDE);
  });
  each<SIDE>([&](auto i) ALWAYS {
    Vector found[SIDE];
    combine<Filter::inputs>(half[i], found, 1);
    each<SIDE>([&](auto j) ALWAYS { store(to + (i * SIDE + j) * c.row, found[j]); });
  });
}

template <class Filter>
void transform_inputs(const Convolution& c, const float* x, int64_t tile, float* to) {
  constexpr int SIDE = ::SIDE<Filter>, OUT = ::OUT<Filter>;
  const int64_t image = tile / (c.down * c.across);
  const int64_t top = tile / c.across % c.down * OUT - c.pad, left = tile % c.across * OUT - c.pad;
  const bool inside = top >= 0 && left >= 0 && top + SIDE <= c.height && left + SIDE <= c.width;
  const float* from = x + ((image * c.height + top) * c.width + left) * c.channels;
  for (int64_t k = 0; k < c.channels; k += LANES)
    if (inside && c.channels - k >= LANES) transform_inputs_at<Filter, true>(c, from + k, top, left, LANES, to + k);
    else transform_inputs_at<Filter, false>(c, from + k, top, left, c.channels - k, to + k);
}

// Sums over channels for R tiles at one point and one panel of outputs
template <bool>
struct Tiles {
  template <int R, int V>
  static void run(int64_t tile, const float* in, int64_t in_step, const float* kernels, int64_t channels, float* out,
                  int64_t out_step) {
    Vector sums[R][V] = {};
    add_products(in + tile * in_step, in_step, kernels, channels, sums);
    finish<true>(sums, false, out + tile * out_step, out_step, PANEL);
  }
};

// The outputs of one tile at LANES channels. WHOLE says that all of them lie in the image
template <class Filter, bool WHOLE>
inline void transform_outputs_at(const Convolution& c, const float* sums, int64_t rows, int64_t columns, int64_t count,
                                 Vector shift, bool relu, float* to) {
  constexpr int SIDE = ::SIDE<Filter>, OUT = ::OUT<Filter>;
  Vector half[OUT][SIDE];
  each<SIDE>([&](auto j) ALWAYS {
    Vector column[SIDE];
    each<SIDE>([&](auto i) ALWAYS { column[i] = load(sums + (i * SIDE + j) * PANEL); });
    combine<Filter::outputs>(column, &half[0][j], SIDE);
  });
  each<OUT>([&](auto i) ALWAYS {
    Vector found[OUT];
    combine<Filter::outputs>(half[i], found, 1);
    each<OUT>([&](auto j) ALWAYS {
      const Vector value = relu ? rectified(found[j] + shift) : found[j] + shift;
      float* at = to + (i * c.out_width + j) * c.out_step;
      if (WHOLE) store(at, value);
      else if (i < rows && j < columns) store(at, value, count);
    });
  });
}

// One tile's outputs `first` and following, of one panel, from its sums
template <class Filter>
void transform_outputs(const Convolution& c, const float* sums, int64_t tile, int64_t first, int64_t outputs,
                       const float* bias, bool relu, float* y) {
  constexpr int OUT = ::OUT<Filter>;
  const int64_t image = tile / (c.down * c.across);
  const int64_t top = tile / c.across % c.down * OUT, left = tile % c.across * OUT;
  const int64_t rows = std::min<int64_t>(OUT, c.out_height - top), columns = std::min<int64_t>(OUT, c.out_width - left);
  float* to = y + ((image * c.out_height + top) * c.out_width + left) * c.out_step + first;
  for (int64_t k = 0; k < outputs; k += LANES) {
    const Vector shift = load(bias + first + k, outputs - k);
    if (rows == OUT && columns == OUT && outputs - k >= LANES)
      transform_outputs_at<Filter, true>(c, sums + k, OUT, OUT, LANES, shift, relu, to + k);
    else
      transform_outputs_at<Filter, false>(c, sums + k, rows, columns, outputs - k, shift, relu, to + k);
  }
}

template <class Filter>
void run(const Convolution& c, const float* x, const float* kernels, const float* bias, bool relu, float* y,
         float* scratch, int64_t most, int64_t threads) {
  constexpr int POINTS = ::POINTS<Filter>;
  const int64_t tiles = c.images * c.down * c.across, parts = parts_of(tiles, most, threads);
  const int64_t in_step = POINTS * c.row;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t part = 0; part < parts; part++) {
    const int64_t first = tiles * part / parts, count = tiles * (part + 1) / parts - first;
    float* in = scratch + thread_number() * most * POINTS * (c.row + PANEL);
    float* sums = in + most * in_step;
    for (int64_t t = 0; t < count; t++) transform_inputs<Filter>(c, x, first + t, in + t * in_step);
    const float* panel = kernels;
    for (int64_t g = 0; g < c.groups; g++)
      for (int64_t o = 0; o < c.group_outputs; o += PANEL) {
        const int64_t outputs = std::min<int64_t>(PANEL, c.group_outputs - o);
        const int64_t step = c.group_channels * panel_width(outputs);
        for (int64_t point = 0; point < POINTS; point++, panel += step)
          for_panel<Tiles>(count, outputs, in + point * c.row + g * c.group_channels, in_step, panel,
                           c.group_channels, sums + point * PANEL, POINTS * PANEL);
        for (int64_t t = 0; t < count; t++)
          transform_outputs<Filter>(c, sums + t * POINTS * PANEL, first + t, g * c.group_outputs + o, outputs, bias,
                                       relu, y);
      }
  }
}

template <class Filter>
Convolution convolution(const int64_t* shape) {
  Convolution c = {shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7], shape[8]};
  c.out_height = windows_along(c.height, c.size, 1, c.pad);
  c.out_width = windows_along(c.width, c.size, 1, c.pad);
  c.down = ceil_div(c.out_height, OUT<Filter>);
  c.across = ceil_div(c.out_width, OUT<Filter>);
  c.group_channels = c.channels / c.groups;
  c.group_outputs = c.outputs / c.groups;
  c.row = odd_row(c.channels);
  return c;
}

}  // namespace

extern "C" {

// How many floats `scratch` must hold
int64_t winograd_scratch(const int64_t* shape, int64_t tiles, int64_t threads) {
  const int64_t points = shape[7] == 3 ? POINTS<Filter3> : POINTS<Filter5>;
  return threads * tiles * points * (convolution<Filter3>(shape).row + PANEL);
}

// shape: images, height, width, channels, outputs, groups, pad, kernel size (3 or 5), floats between pixels of y.
// kernels: groups x panels of outputs x points x channels of a group x the panel's width. tiles: the most a thread takes
// at a time
void winograd(const float* x, const float* kernels, const float* bias, float* y, float* scratch, const int64_t* shape,
              int64_t relu, int64_t tiles, int64_t threads) {
  if (shape[7] == 3) run<Filter3>(convolution<Filter3>(shape), x, kernels, bias, relu, y, scratch, tiles, threads);
  else run<Filter5>(convolution<Filter5>(shape), x, kernels, bias, relu, y, scratch, tiles, threads);
}

}
