// Convolution of an image of few channels, in NCHW order as nets are given it, to channels_last (NHWC).

namespace {

struct Image {
  int64_t images, channels, height, width, outputs, size, stride, pad, y_step;
};

// Rows of all channels that a row of outputs is made of
struct Rows {
  const float* first;
  int64_t row_step, channel_step;
};

// R pixels side by side, of V vectors of outputs. WHOLE says that all of them are to be stored
template <bool WHOLE>
struct Windows {
  template <int R, int V>
  static void run(int64_t pixel, const Image& m, const Rows& rows, const float* kernels, const float* bias, bool relu,
                  float* y, int64_t outputs) {
    Vector sums[R][V];
    y += pixel * m.y_step;
    begin<WHOLE>(bias, outputs, y, m.y_step, sums);
    const float* x = rows.first + pixel * m.stride;
    for (int64_t c = 0; c < m.channels; c++, x += rows.channel_step)
      for (int64_t i = 0; i < m.size; i++, kernels += m.size * V * LANES)
        add_products(x + i * rows.row_step, m.stride, kernels, m.size, sums);
    finish<WHOLE>(sums, relu, y, m.y_step, outputs);
  }
};

// The rows from `top` on, with the pad around them
inline Rows padded(const Image& m, const float* x, int64_t top, float* scratch) {
  const int64_t width = m.width + 2 * m.pad;
  float* to = scratch;
  for (int64_t c = 0; c < m.channels; c++)
    for (int64_t i = top; i < top + m.size; i++, to += width) {
      std::memset(to, 0, width * sizeof(float));
      if (i >= 0 && i < m.height)
        std::memcpy(to + m.pad, x + (c * m.height + i) * m.width, m.width * sizeof(float));
    }
  return {scratch, width, m.size * width};
}

}  // namespace

extern "C" {

// How many floats `scratch` must hold
int64_t image_scratch(const int64_t* shape, int64_t threads) {
  return threads * shape[1] * shape[5] * (shape[3] + 2 * shape[7]);
}

// shape: images, channels, height, width, outputs, size, stride and pad of the kernels, floats between pixels of y.
// kernels: panels of outputs x channels x size x size x the panel's width
void image(const float* x, const float* kernels, const float* bias, float* y, float* scratch, const int64_t* shape,
           int64_t relu, int64_t threads) {
  const Image m = {shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7], shape[8]};
  const int64_t out_height = (m.height + 2 * m.pad - m.size) / m.stride + 1;
  const int64_t out_width = (m.width + 2 * m.pad - m.size) / m.stride + 1;
  const int64_t products = m.channels * m.size * m.size;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t row = 0; row < m.images * out_height; row++) {
    const float* from = x + row / out_height * m.channels * m.height * m.width;
    const int64_t top = row % out_height * m.stride - m.pad;
    const Rows rows = m.pad ? padded(m, from, top, scratch + thread_number() * image_scratch(shape, 1))
                            : Rows{from + top * m.width, m.width, m.height * m.width};
    float* to = y + row * out_width * m.y_step;
    for (int64_t o = 0; o < m.outputs; o += PANEL)
      for_panel<Windows>(out_width, m.outputs - o, m, rows, kernels + o * products, bias + o, bool(relu), to + o,
                         m.outputs - o);
  }
}

}
