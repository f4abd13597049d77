// Convolution of 1x1 and stride 1: one product of pixels and kernels, on images in channels_last (NHWC).

namespace {

// R pixels, up to V vectors of outputs
struct Pixels {
  template <int R, int V>
  static void run(int64_t pixel, const float* x, int64_t x_step, const float* kernels, int64_t channels,
                  const float* bias, bool relu, float* y, int64_t y_step, int64_t outputs) {
    Vector sums[R][V];
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      const Vector shift = bias ? load(bias + v * LANES, outputs - v * LANES) : Vector{};
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) sums[r][v] = shift;
    }
    add_products(x + pixel * x_step, x_step, kernels, channels, sums);
    y += pixel * y_step;
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) {
        const Vector value = relu ? rectified(sums[r][v]) : sums[r][v];
        store(y + r * y_step + v * LANES, value, outputs - v * LANES);
      }
  }
};

int64_t pixel_row(int64_t channels) { return (ceil_div(channels, LANES) | 1) * LANES; }

}  // namespace

extern "C" int64_t pointwise_scratch(int64_t channels, int64_t most, int64_t threads) {
  return threads * most * pixel_row(channels);
}

// x: pixels x channels. kernels: panels of outputs x channels x PANEL. y: pixels of outputs, y_step apart.
// most: pixels a thread takes at a time
extern "C" void pointwise(const float* x, const float* kernels, const float* bias, float* y, float* scratch,
                          int64_t pixels, int64_t channels, int64_t outputs, int64_t y_step,
                          int64_t relu, int64_t most, int64_t threads) {
  const int64_t parts = parts_of(pixels, most, threads), row = pixel_row(channels);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t part = 0; part < parts; part++) {
    const int64_t start = pixels * part / parts, stop = pixels * (part + 1) / parts;
    float* rows = scratch + thread_number() * most * row;
    for (int64_t i = start; i < stop; i++) std::memcpy(rows + (i - start) * row, x + i * channels, channels * 4);
    for (int64_t o = 0; o < outputs; o += PANEL)
      for_rows<Pixels>(0, stop - start, outputs - o, rows, row, kernels + o * channels, channels,
                       bias ? bias + o : nullptr, bool(relu), y + start * y_step + o, y_step, outputs - o);
  }
}
