// Convolution of 1x1 and stride 1: one product of pixels and kernels, on images in channels_last (NHWC).

namespace {

// R pixels of V vectors of outputs. WHOLE says that all of them are to be stored
template <bool WHOLE>
struct Pixels {
  template <int R, int V>
  static void run(int64_t pixel, const float* x, int64_t x_step, const float* kernels, int64_t channels,
                  const float* bias, bool relu, float* y, int64_t y_step, int64_t outputs) {
    Vector sums[R][V];
    y += pixel * y_step;
    begin<WHOLE>(bias, outputs, y, y_step, sums);
    add_products(x + pixel * x_step, x_step, kernels, channels, sums);
    finish<WHOLE>(sums, relu, y, y_step, outputs);
  }
};

// y = kernels * x + bias for `count` pixels
inline void multiply(int64_t count, const float* x, int64_t x_step, const float* kernels, int64_t channels,
                     const float* bias, bool relu, float* y, int64_t y_step, int64_t outputs) {
  for (int64_t o = 0; o < outputs; o += PANEL)
    for_panel<Pixels>(count, outputs - o, x, x_step, kernels + o * channels, channels, bias + o, relu, y + o, y_step,
                      outputs - o);
}

}  // namespace

// x: pixels x channels. kernels: panels of outputs x channels x the panel's width. y: pixels of outputs, y_step apart.
// most: pixels a thread takes at a time
extern "C" void pointwise(const float* x, const float* kernels, const float* bias, float* y, int64_t pixels,
                          int64_t channels, int64_t outputs, int64_t y_step, int64_t relu, int64_t most,
                          int64_t threads) {
  const int64_t parts = parts_of(pixels, most, threads);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t part = 0; part < parts; part++) {
    const int64_t start = pixels * part / parts, count = pixels * (part + 1) / parts - start;
    multiply(count, x + start * channels, channels, kernels, channels, bias, relu, y + start * y_step, y_step, outputs);
  }
}
