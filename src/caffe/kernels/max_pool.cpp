// Max pooling, on images in channels_last (NHWC).

// shape: images, height, width, channels, windows down and across, then of the windows height, width, stride down and
// across, pad down and across. Every window has pixels of the image. NaN is the largest of all
extern "C" void max_pool(const float* x, float* y, const int64_t* shape, int64_t threads) {
  const int64_t height = shape[1], width = shape[2], channels = shape[3], down = shape[4], across = shape[5];
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t line = 0; line < shape[0] * down; line++) {
    const float* image = x + line / down * height * width * channels;
    const int64_t top = line % down * shape[8] - shape[10];
    const int64_t first_row = std::max<int64_t>(0, top), last_row = std::min(height, top + shape[6]);
    for (int64_t column = 0; column < across; column++) {
      const int64_t left = column * shape[9] - shape[11];
      const int64_t first_column = std::max<int64_t>(0, left), last_column = std::min(width, left + shape[7]);
      float* to = y + (line * across + column) * channels;
      for (int64_t c = 0; c < channels; c += LANES) {
        Vector largest = load(image + (first_row * width + first_column) * channels + c, channels - c);
        for (int64_t i = first_row; i < last_row; i++)
          for (int64_t j = first_column; j < last_column; j++) {
            const Vector value = load(image + (i * width + j) * channels + c, channels - c);
            largest = (value > largest) | (value != value) ? value : largest;
          }
        store(to + c, largest, channels - c);
      }
    }
  }
}
