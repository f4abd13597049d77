// Local response normalization across channels with the exponent 0.75, on images in channels_last (NHWC).

namespace {

int64_t squares_row(int64_t channels, int64_t size) { return channels + size + 2 * LANES; }

}  // namespace

// How many floats, all of them 0, `scratch` must hold
extern "C" int64_t lrn_scratch(int64_t channels, int64_t size, int64_t threads) {
  return threads * squares_row(channels, size);
}

// y = x * (k + alpha * sum of x^2 over the `size` channels around)^-0.75
extern "C" void lrn(const float* x, float* y, float* scratch, int64_t pixels, int64_t channels, int64_t size,
                    float alpha, float k, int64_t threads) {
  const int64_t half = size / 2, row = squares_row(channels, size);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t i = 0; i < pixels; i++) {
    float* squares = scratch + thread_number() * row;  // of channel 0 at `half`, so that there are zeros around
    const float* from = x + i * channels;
    float* to = y + i * channels;
    for (int64_t c = 0; c < channels; c += LANES) {
      const Vector value = load(from + c, channels - c);
      store(squares + half + c, value * value, channels - c);
    }
    for (int64_t c = 0; c < channels; c += LANES) {
      Vector sum = {};
      for (int64_t j = 0; j < size; j++) sum += load(squares + c + j);
      const Vector base = k + alpha * sum;
      Vector root, fourth;
      for (int lane = 0; lane < LANES; lane++) root[lane] = std::sqrt(base[lane]);
      for (int lane = 0; lane < LANES; lane++) fourth[lane] = std::sqrt(root[lane]);
      store(to + c, load(from + c, channels - c) / (root * fourth), channels - c);
    }
  }
}
