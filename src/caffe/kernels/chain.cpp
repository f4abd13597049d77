// Separable convolutions one behind the other, maybe with an image's convolution before them, row by row.
//
// A thread makes a row as soon as the rows that it needs are there, and keeps no more of them than the next depthwise
// kernels have: what lies between stays in its cache.

namespace {

struct Link {
  bool of_image;
  Image image;
  Depthwise depthwise;
  const float *kernels, *bias;
  bool relu;
  int64_t outputs, height, width;
  // rows that are kept, the next one to be made, and how many floats making one takes
  int64_t kept, next, scratch;
  float* rows;

  int64_t row_floats() const { return width * outputs; }
  float* row(int64_t i) const { return rows + i % kept * row_floats(); }
};

// shape: channels, height and width of x, then of each link as `chain` has it
std::vector<Link> links_of(const float* const* params, const int64_t* shape, int64_t count) {
  std::vector<Link> links(count);
  int64_t from[] = {shape[1], shape[2], shape[0]};  // height, width, channels
  const int64_t* of = shape + 3;
  for (int64_t i = 0; i < count; i++, params += 4, of += 6) {
    Link& link = links[i];
    link.of_image = params[0] == nullptr;
    link.kernels = params[2], link.bias = params[3];
    link.outputs = of[0], link.relu = of[5];
    link.depthwise = depthwise_of(from, of + 1, params[0], params[1], of[4]);
    link.height = link.depthwise.out_height, link.width = link.depthwise.out_width;
    link.scratch = link.width * odd_row(from[2]);
    if (link.of_image) {
      const int64_t image[] = {from[2], from[0], from[1], of[0], of[1], of[2], of[3], of[0]};
      link.image = image_of(image);
      link.scratch = image_floats(link.image);
    }
    if (i > 0) links[i - 1].kept = link.depthwise.size;
    from[0] = link.height, from[1] = link.width, from[2] = link.outputs;
  }
  return links;
}

// Makes the rows of a link up to `end`, for one image x: in NCHW order for an image's convolution, else channels_last
void make_rows(Link* links, int64_t number, int64_t end, const float* x, float* scratch) {
  Link& link = links[number];
  const Depthwise& d = link.depthwise;
  for (; link.next < end; link.next++) {
    float* to = link.row(link.next);
    if (link.of_image) {
      image_row(link.image, x, link.next, link.kernels, link.bias, link.relu, to, scratch);
      continue;
    }
    if (number > 0)
      make_rows(links, number - 1, std::min(d.height, link.next * d.stride - d.pad + d.size), x, scratch);
    const Covered rows = covered(d, link.next, [&](int64_t i) {
      return number > 0 ? links[number - 1].row(i) : x + i * d.width * d.channels;
    });
    const int64_t step = odd_row(d.channels);
    depthwise(d, rows, scratch, step);
    multiply(d.out_width, scratch, step, link.kernels, d.channels, link.bias, link.relu, to, link.outputs, link.outputs);
  }
}

int64_t scratch_of(const std::vector<Link>& links) {
  int64_t most = 0, kept = 0;
  for (const Link& link : links) {
    most = std::max(most, link.scratch);
    if (&link != &links.back()) kept += link.kept * link.row_floats();
  }
  return ceil_div(most, LANES) * LANES + kept;
}

}  // namespace

extern "C" {

// How many floats `scratch` must hold
int64_t chain_scratch(const float* const* params, const int64_t* shape, int64_t count, int64_t threads) {
  return threads * scratch_of(links_of(params, shape + 1, count));
}

// shape: images, channels, height and width of x, then of each of `count` links its outputs, the size, stride and pad of
// its depthwise kernels (or the image's), whether a ReLU is behind those, behind the others. params: of each link its
// depthwise kernels and their bias as separable takes them, the others and theirs; none of the first two for an image's
// convolution. y: channels_last. parts: that each image is made in
void chain(const float* x, const float* const* params, float* y, float* scratch, const int64_t* shape, int64_t count,
           int64_t parts, int64_t threads) {
  const std::vector<Link> links = links_of(params, shape + 1, count);
  const int64_t floats = scratch_of(links), height = links.back().height;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t part = 0; part < shape[0] * parts; part++) {
    const int64_t image = part / parts, number = part % parts;
    std::vector<Link> own = links;
    int64_t next = height * number / parts;
    float* rows = scratch + (thread_number() + 1) * floats;
    for (int64_t i = count - 1; i >= 0; i--) {
      Link& link = own[i];
      link.next = next;
      next = std::max<int64_t>(0, next * link.depthwise.stride - link.depthwise.pad);
      if (i < count - 1) link.rows = rows -= link.kept * link.row_floats();
    }
    own.back().kept = height;
    own.back().rows = y + image * height * own.back().row_floats();
    make_rows(own.data(), count - 1, height * (number + 1) / parts, x + image * shape[1] * shape[2] * shape[3],
              scratch + thread_number() * floats);
  }
}

}
