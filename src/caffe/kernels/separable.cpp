// A depthwise convolution and the 1x1 convolution behind it, on images in channels_last (NHWC).
//
// A thread makes the depthwise values of a few pixels, and multiplies them while they are in its cache.

namespace {

struct Depthwise {
  int64_t images, height, width, channels, size, stride, pad;
  int64_t out_height, out_width;
};

// The part of a window that lies in the image: `from` is the window's first value
struct Window {
  const float* from;
  int64_t first_row, last_row, first_column, last_column;
};

inline Window window(const Depthwise& d, const float* x, int64_t image, int64_t row, int64_t column) {
  const int64_t top = row * d.stride - d.pad, left = column * d.stride - d.pad;
  return {x + ((image * d.height + top) * d.width + left) * d.channels,
          std::max<int64_t>(0, -top), std::min(d.size, d.height - top),
          std::max<int64_t>(0, -left), std::min(d.size, d.width - left)};
}

// Adds what `count` channels of a window have, for P pixels side by side. SIZE is the kernels', of which no column is
// outside; 0 takes any other
template <int SIZE, int P>
inline ALWAYS void add_window(const Depthwise& d, const Window& w, int64_t channel, const float* kernels, int64_t count,
                              Vector (&sums)[P]) {
  const int64_t step = d.stride * d.channels;
  for (int64_t i = w.first_row; i < w.last_row; i++) {
    const float* row = w.from + i * d.width * d.channels + channel;
    const auto add = [&](int64_t j) ALWAYS {
      const Vector kernel = load(kernels + (i * d.size + j) * LANES);
      each<P>([&](auto p) ALWAYS {
        const float* at = row + j * d.channels + p * step;
        sums[p] += load(at, count) * kernel;
        // what the pixels after these P are the first to need
        if (SIZE && i >= d.size - d.stride && j >= d.size - d.stride) __builtin_prefetch(at + P * step);
      });
    };
    if constexpr (SIZE > 0) each<SIZE>(add);
    else for (int64_t j = w.first_column; j < w.last_column; j++) add(j);
  }
}

template <int SIZE, int P>
inline void depthwise_pixels(const Depthwise& d, const Window& w, const float* kernels, const float* bias, bool relu,
                             float* to, int64_t to_step) {
  int64_t c = 0;
  const auto run = [&](int64_t count) ALWAYS {
    Vector sums[P];
    each<P>([&](auto p) ALWAYS { sums[p] = load(bias + c, count); });
    add_window<SIZE>(d, w, c, kernels, count, sums);
    each<P>([&](auto p) ALWAYS { store(to + p * to_step + c, relu ? rectified(sums[p]) : sums[p]); });
  };
  for (; c + LANES <= d.channels; c += LANES, kernels += d.size * d.size * LANES) run(LANES);
  if (c < d.channels) run(d.channels - c);
}

// The values of a row of pixels, `to_step` apart
inline void depthwise(const Depthwise& d, const float* x, const float* kernels, const float* bias, bool relu,
                      int64_t image, int64_t row, float* to, int64_t to_step) {
  constexpr int MOST = 4;
  for (int64_t column = 0; column < d.out_width;) {
    const Window w = window(d, x, image, row, column);
    const bool whole = d.size == 3 && w.first_column == 0 && w.last_column == 3;
    const bool more = column + MOST <= d.out_width && (column + MOST - 1) * d.stride - d.pad + 3 <= d.width;
    const int64_t done = whole && more ? MOST : 1;
    if (done == MOST) depthwise_pixels<3, MOST>(d, w, kernels, bias, relu, to, to_step);
    else if (whole) depthwise_pixels<3, 1>(d, w, kernels, bias, relu, to, to_step);
    else depthwise_pixels<0, 1>(d, w, kernels, bias, relu, to, to_step);
    column += done;
    to += done * to_step;
  }
}

inline int64_t separable_row(int64_t channels) { return (ceil_div(channels, LANES) | 1) * LANES; }

}  // namespace

extern "C" {

// How many floats `scratch` must hold
int64_t separable_scratch(int64_t channels, int64_t width, int64_t most, int64_t threads) {
  return threads * most * width * separable_row(channels);
}

// shape: images, height, width, channels, outputs, size, stride and pad of the depthwise kernels, floats between pixels
// of y. depthwise_kernels: vectors of channels x size x size x LANES. kernels: as pointwise takes them. relu: behind the
// first, the second. most: rows of pixels a thread takes at a time
void separable(const float* x, const float* depthwise_kernels, const float* depthwise_bias, const float* kernels,
               const float* bias, float* y, float* scratch, const int64_t* shape, int64_t depthwise_relu, int64_t relu,
               int64_t most, int64_t threads) {
  Depthwise d = {shape[0], shape[1], shape[2], shape[3], shape[5], shape[6], shape[7]};
  d.out_height = (d.height + 2 * d.pad - d.size) / d.stride + 1;
  d.out_width = (d.width + 2 * d.pad - d.size) / d.stride + 1;
  const int64_t outputs = shape[4], y_step = shape[8], width = d.out_width, step = separable_row(d.channels);
  const int64_t total = d.images * d.out_height, parts = parts_of(total, most, threads);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t part = 0; part < parts; part++) {
    const int64_t start = total * part / parts, count = total * (part + 1) / parts - start;
    float* rows = scratch + thread_number() * most * width * step;
    for (int64_t i = 0; i < count; i++)
      depthwise(d, x, depthwise_kernels, depthwise_bias, depthwise_relu, (start + i) / d.out_height,
                (start + i) % d.out_height, rows + i * width * step, step);
    multiply(count * width, rows, step, kernels, d.channels, bias, relu, y + start * width * y_step, y_step, outputs);
  }
}

}
