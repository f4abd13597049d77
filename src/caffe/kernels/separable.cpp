// A depthwise convolution and the 1x1 convolution behind it, on images in channels_last (NHWC).
//
// A thread makes the depthwise values of a few pixels, and multiplies them while they are in its cache.

namespace {

struct Depthwise {
  int64_t height, width, channels, size, stride, pad, out_height, out_width;
  const float *kernels, *bias;  // vectors of channels x size x size x LANES
  bool relu;
};

// The rows of x that a row of windows covers, of which those before `first` and from `end` on are outside
constexpr int MOST_SIZE = 16;
struct Covered {
  const float* rows[MOST_SIZE];
  int64_t first, end;
};

// `row(i)` is row i of x
template <class Row>
inline Covered covered(const Depthwise& d, int64_t out_row, const Row& row) {
  const int64_t top = out_row * d.stride - d.pad;
  Covered found = {{}, std::max<int64_t>(0, -top), std::min(d.size, d.height - top)};
  for (int64_t i = found.first; i < found.end; i++) found.rows[i] = row(top + i);
  return found;
}

// R windows of 3 x 3 side by side, of which no column is outside
struct Windows3 {
  template <int R, int STRIDE>
  static void run(int64_t column, const Depthwise& d, const Covered& x, float* to, int64_t to_step) {
    constexpr int COLUMNS = (R - 1) * STRIDE + 3;
    const int64_t channels = d.channels, first = x.first, end = x.end;
    const int64_t left = (column * STRIDE - d.pad) * channels;
    const float *kernels = d.kernels, *bias = d.bias;
    const bool relu = d.relu;
    to += column * to_step;
    const auto vectors = [&](int64_t c, int64_t count) ALWAYS {
      Vector sums[R];
      each<R>([&](auto r) ALWAYS { sums[r] = load(bias + c, count); });
      for (int64_t i = first; i < end; i++) {
        const float* from = x.rows[i] + left + c;
        Vector kernel[3];
        each<3>([&](auto j) ALWAYS { kernel[j] = load(kernels + (i * 3 + j) * LANES); });
        each<COLUMNS>([&](auto k) ALWAYS {
          const Vector value = load(from + k * channels, count);
          each<R>([&](auto r) ALWAYS {
            if constexpr (k >= r * STRIDE && k < r * STRIDE + 3) sums[r] += value * kernel[k - r * STRIDE];
          });
        });
        // what the windows after these are the first to need
        if (i >= 3 - STRIDE)
          each<R * STRIDE>([&](auto k) ALWAYS { __builtin_prefetch(from + (COLUMNS + k) * channels); });
      }
      each<R>([&](auto r) ALWAYS { store(to + r * to_step + c, relu ? rectified(sums[r]) : sums[r], count); });
    };
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES, kernels += 9 * LANES) vectors(c, LANES);
    if (c < channels) vectors(c, channels - c);
  }
};

// Any other window
inline void depthwise_window(const Depthwise& d, const Covered& x, int64_t column, float* to) {
  const int64_t left = column * d.stride - d.pad;
  const int64_t first = std::max<int64_t>(0, -left), end = std::min(d.size, d.width - left);
  const float* kernels = d.kernels;
  for (int64_t c = 0; c < d.channels; c += LANES, kernels += d.size * d.size * LANES) {
    const int64_t count = d.channels - c;
    Vector sum = load(d.bias + c, count);
    for (int64_t i = x.first; i < x.end; i++)
      for (int64_t j = first; j < end; j++)
        sum += load(x.rows[i] + (left + j) * d.channels + c, count) * load(kernels + (i * d.size + j) * LANES);
    store(to + c, d.relu ? rectified(sum) : sum, count);
  }
}

// A row of the depthwise values, of pixels `to_step` apart
inline void depthwise(const Depthwise& d, const Covered& x, float* to, int64_t to_step) {
  // from `first` to before `end`, no column of a window of 3 x 3 is outside
  int64_t first = d.out_width, end = first;
  if (d.size == 3 && d.stride <= 2 && d.width + d.pad >= 3) {
    first = std::min(ceil_div(d.pad, d.stride), d.out_width);
    end = std::max(first, std::min(d.out_width, (d.width + d.pad - 3) / d.stride + 1));
  }
  for (int64_t column = 0; column < first; column++) depthwise_window(d, x, column, to + column * to_step);
  if (d.stride == 1) for_rows<Windows3, 1>(first, end, d, x, to, to_step);
  else for_rows<Windows3, 2>(first, end, d, x, to, to_step);
  for (int64_t column = end; column < d.out_width; column++) depthwise_window(d, x, column, to + column * to_step);
}

// shape: height, width, channels; window: size, stride, pad
inline Depthwise depthwise_of(const int64_t* shape, const int64_t* window, const float* kernels, const float* bias,
                              bool relu) {
  const int64_t size = window[0], stride = window[1], pad = window[2];
  return {shape[0], shape[1], shape[2], size, stride, pad, windows_along(shape[0], size, stride, pad),
          windows_along(shape[1], size, stride, pad), kernels, bias, relu};
}

}  // namespace

extern "C" {

// How many floats `scratch` must hold
int64_t separable_scratch(int64_t channels, int64_t width, int64_t most, int64_t threads) {
  return threads * most * width * odd_row(channels);
}

// shape: images, height, width, channels, outputs, size, stride and pad of the depthwise kernels, floats between pixels
// of y. kernels: as pointwise takes them. relu: behind the first, the second. most: rows of pixels a thread takes at a time
void separable(const float* x, const float* depthwise_kernels, const float* depthwise_bias, const float* kernels,
               const float* bias, float* y, float* scratch, const int64_t* shape, int64_t depthwise_relu, int64_t relu,
               int64_t most, int64_t threads) {
  const Depthwise d = depthwise_of(shape + 1, shape + 5, depthwise_kernels, depthwise_bias, depthwise_relu);
  const int64_t outputs = shape[4], y_step = shape[8], width = d.out_width, step = odd_row(d.channels);
  const int64_t total = shape[0] * d.out_height, parts = parts_of(total, most, threads);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t part = 0; part < parts; part++) {
    const int64_t start = total * part / parts, count = total * (part + 1) / parts - start;
    float* rows = scratch + thread_number() * most * width * step;
    for (int64_t i = 0; i < count; i++) {
      const float* image = x + (start + i) / d.out_height * d.height * d.width * d.channels;
      const auto row = [&](int64_t k) { return image + k * d.width * d.channels; };
      depthwise(d, covered(d, (start + i) % d.out_height, row), rows + i * width * step, step);
    }
    multiply(count * width, rows, step, kernels, d.channels, bias, relu, y + start * width * y_step, y_step, outputs);
  }
}

}
