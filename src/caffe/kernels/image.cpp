// Convolution of an image of few channels, in NCHW order as nets are given it, to channels_last (NHWC).

namespace {

struct Image {
  int64_t channels, height, width, outputs, size, stride, pad, y_step, out_height, out_width;
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

inline int64_t image_floats(const Image& m) { return m.channels * m.size * (m.width + 2 * m.pad); }

// A row of outputs of one image. `scratch` holds image_floats
inline void image_row(const Image& m, const float* x, int64_t row, const float* kernels, const float* bias, bool relu,
                      float* y, float* scratch) {
  const int64_t top = row * m.stride - m.pad;
  const Rows rows =
      m.pad ? padded(m, x, top, scratch) : Rows{x + top * m.width, m.width, m.height * m.width};
  for (int64_t o = 0; o < m.outputs; o += PANEL)
    for_panel<Windows>(m.out_width, m.outputs - o, m, rows, kernels + o * m.channels * m.size * m.size, bias + o, relu,
                       y + o, m.outputs - o);
}

// shape: channels, height, width, outputs, size, stride and pad of the kernels, floats between pixels of y
inline Image image_of(const int64_t* shape) {
  const int64_t size = shape[4], stride = shape[5], pad = shape[6];
  return {shape[0], shape[1], shape[2], shape[3], size, stride, pad, shape[7],
          windows_along(shape[1], size, stride, pad), windows_along(shape[2], size, stride, pad)};
}

}  // namespace

extern "C" {

// How many floats `scratch` must hold
int64_t image_scratch(const int64_t* shape, int64_t threads) { return threads * image_floats(image_of(shape + 1)); }

// shape: images, channels, height, width, outputs, size, stride and pad of the kernels, floats between pixels of y.
// kernels: panels of outputs x channels x size x size x the panel's width
void image(const float* x, const float* kernels, const float* bias, float* y, float* scratch, const int64_t* shape,
           int64_t relu, int64_t threads) {
  const Image m = image_of(shape + 1);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t row = 0; row < shape[0] * m.out_height; row++)
    image_row(m, x + row / m.out_height * m.channels * m.height * m.width, row % m.out_height, kernels, bias, relu,
              y + row * m.out_width * m.y_step, scratch + thread_number() * image_floats(m));
}

}
