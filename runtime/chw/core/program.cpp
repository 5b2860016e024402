#include "program.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "matrix_steps.h"

namespace chw {

Program::Program(int64_t arena, std::vector<int64_t> externals, int threads, const std::string& isa)
    : kernels_(choose(isa)), arena_size_(arena), externals_(std::move(externals)), threads_(std::clamp(threads, 1, 256)) {
  require(arena >= 0 && arena <= kMost, "the arena is too large");
  for (int64_t n : externals_) require(n >= 0 && n <= kMost, "an external buffer is too large");
  const size_t total = static_cast<size_t>(arena + 2 * kSlack + 16);
  arena_storage_ = std::make_unique<float[]>(total);
  float* first = arena_storage_.get() + kSlack;
  arena_ = first + (-reinterpret_cast<intptr_t>(first) & 63) / static_cast<intptr_t>(sizeof(float));
  bound_.assign(externals_.size(), nullptr);
  written_.assign(externals_.size(), false);
  scratch_.resize(static_cast<size_t>(threads_.count()));
}

Program::~Program() = default;

void Program::check(const View& v, const char* what, bool write) {
  const auto fail = [&](const char* why) { refuse(std::string(what) + ": " + why); };
  if (v.base < 0 || v.base > static_cast<int64_t>(externals_.size())) fail("no such buffer");
  if (v.shape.size() != v.strides.size()) fail("shape and strides differ in length");
  const int64_t size = v.base ? externals_[static_cast<size_t>(v.base - 1)] : arena_size_;
  if (count_of(v.shape) == 0) fail("it is empty");
  int64_t least = v.offset, most = v.offset;
  if (v.offset < 0 || v.offset >= size) fail("it starts outside its buffer");
  for (size_t i = 0; i < v.shape.size(); ++i) {
    if (v.strides[i] < -kMost || v.strides[i] > kMost) fail("a stride is too large");
    const int64_t reach = (v.shape[i] - 1) * v.strides[i];
    (reach < 0 ? least : most) += reach;
    if (write && v.shape[i] > 1 && v.strides[i] == 0) fail("it would be written twice in one place");
  }
  if (least < 0 || most >= size) fail("it reaches outside its buffer");
  if (write && v.base) written_[static_cast<size_t>(v.base - 1)] = true;
}

void Program::check(const Planes& p, const char* what, int64_t before, int64_t behind) const {
  const auto fail = [&](const char* why) { refuse(std::string(what) + ": " + why); };
  if (p.channels < 1 || p.height < 1 || p.width < 1 || p.channels > kMost || p.height > kMost || p.width > kMost)
    fail("a size is not positive");
  if (p.height * p.width > kMost || p.stride < 0 || p.stride > kMost) fail("a size is too large");
  if (p.gap < 0 || (p.gap > 0 && p.gap > p.stride - p.pixels())) fail("the gap does not fit between planes");
  if (p.stride < p.pixels() && p.channels > 1) fail("planes overlap");
  if (p.offset < before || p.offset > arena_size_ ||
      p.offset + (p.channels - 1) * p.stride + p.pixels() + std::max(behind, p.gap) > arena_size_)
    fail("it reaches outside the arena");
}

Step& Program::add(std::unique_ptr<Step> step) {
  const std::lock_guard lock(turn_);
  require(!sealed_, "the program is sealed");
  steps_.push_back(std::move(step));
  return *steps_.back();
}

void Program::write(int64_t offset, const float* data, int64_t count) {
  require(offset >= 0 && count >= 0 && offset <= arena_size_ && count <= arena_size_ - offset,
          "a constant reaches outside the arena");
  std::copy(data, data + count, arena_ + offset);
}

void Program::fill(const View& y, float value) {
  check(y, "fill", true);
  auto step = std::make_unique<FillStep>();
  step->y = y;
  step->value = value;
  collapse(step->y.shape, {&step->y.strides});
  add(std::move(step));
}

void Program::unary(int kind, const View& a, const View& y, float low, float high) {
  require(kind >= 0 && kind < static_cast<int>(Unary::kCount), "no such operation");
  require(a.shape == y.shape, "unary: shapes differ");
  check(a, "unary, from", false);
  check(y, "unary, to", true);
  auto step = std::make_unique<UnaryStep>();
  step->a = a;
  step->y = y;
  step->kind = static_cast<Unary>(kind);
  step->low = low;
  step->high = high;
  std::vector<int64_t> shape = y.shape;
  collapse(shape, {&step->a.strides, &step->y.strides});
  step->a.shape = step->y.shape = shape;
  add(std::move(step));
}

void Program::binary(int kind, const View& a, const View& b, const View& y, float low, float high) {
  require(kind >= 0 && kind < static_cast<int>(Binary::kCount), "no such operation");
  require(a.shape == y.shape && b.shape == y.shape, "binary: shapes differ");
  check(a, "binary, first", false);
  check(b, "binary, second", false);
  check(y, "binary, to", true);
  auto step = std::make_unique<BinaryStep>();
  step->a = a;
  step->b = b;
  step->y = y;
  step->kind = static_cast<Binary>(kind);
  step->low = low;
  step->high = high;
  std::vector<int64_t> shape = y.shape;
  collapse(shape, {&step->a.strides, &step->b.strides, &step->y.strides});
  step->a.shape = step->b.shape = step->y.shape = shape;
  add(std::move(step));
}

void Program::reduce(int kind, const View& a, const View& y, int reduced) {
  require(kind >= 0 && kind < static_cast<int>(Reduce::kCount), "no such operation");
  require(reduced >= 1 && reduced <= static_cast<int>(a.shape.size()), "reduce: no such axes");
  check(a, "reduce, from", false);
  check(y, "reduce, to", true);
  require(std::equal(y.shape.begin(), y.shape.end(), a.shape.begin(), a.shape.end() - reduced), "reduce: shapes differ");
  auto step = std::make_unique<ReduceStep>();
  step->a = a;
  step->y = y;
  step->y.shape.push_back(1);
  step->y.strides.push_back(1);
  step->kind = static_cast<Reduce>(kind);
  step->reduced = reduced;
  add(std::move(step));
}

void Program::softmax(const View& a, const View& y, float beta) {
  require(a.shape == y.shape && !a.shape.empty(), "softmax: shapes differ");
  check(a, "softmax, from", false);
  check(y, "softmax, to", true);
  auto step = std::make_unique<SoftmaxStep>();
  step->a = a;
  step->y = y;
  step->beta = beta;
  add(std::move(step));
}

void Program::resize(const Planes& a, const Planes& y, std::vector<int32_t> y0, std::vector<int32_t> y1,
                     std::vector<float> ty, std::vector<int32_t> x0, std::vector<int32_t> x1, std::vector<float> tx) {
  check(a, "resize, from", 0, 0);
  check(y, "resize, to", 0, 0);
  require(a.channels == y.channels, "resize: channels differ");
  const auto fits = [](const std::vector<int32_t>& index, int64_t n, int64_t size) {
    return static_cast<int64_t>(index.size()) == n &&
           std::all_of(index.begin(), index.end(), [&](int32_t i) { return i >= 0 && i < size; });
  };
  require(fits(y0, y.height, a.height) && fits(y1, y.height, a.height) && fits(x0, y.width, a.width) &&
              fits(x1, y.width, a.width) && static_cast<int64_t>(ty.size()) == y.height &&
              static_cast<int64_t>(tx.size()) == y.width,
          "resize: the tables do not fit");
  auto step = std::make_unique<ResizeStep>();
  step->a = a;
  step->y = y;
  step->y0 = std::move(y0);
  step->y1 = std::move(y1);
  step->x0 = std::move(x0);
  step->x1 = std::move(x1);
  step->ty = std::move(ty);
  step->tx = std::move(tx);
  step->prepare(kernels_->lanes);
  add(std::move(step));
}

void Program::depthwise(const Planes& a, const Planes& y, const Window& w, std::vector<float> weights,
                        std::vector<float> bias, const Finish& finish, bool has_margins) {
  check_window(w);
  require(w.in_h == a.height && w.in_w == a.width && w.out_h == y.height && w.out_w == y.width,
          "depthwise: the window does not fit");
  const int64_t reach = w.kernel_h / 2, margin = has_margins ? reach * a.width + reach : 0;
  check(a, "depthwise, from", margin, margin);
  check(y, "depthwise, to", 0, 0);
  check_finish(finish, y.channels);
  require(y.channels % a.channels == 0, "depthwise: channels do not divide");
  require(static_cast<int64_t>(weights.size()) == y.channels * w.kernel_h * w.kernel_w &&
              static_cast<int64_t>(bias.size()) == y.channels,
          "depthwise: the weights do not fit");
  auto step = std::make_unique<DepthwiseStep>();
  step->a = a;
  step->y = y;
  step->weights = std::move(weights);
  step->bias = std::move(bias);
  step->slope = finish.slope;
  step->multiplier = y.channels / a.channels;
  step->d = {w,           step->weights.data(), step->bias.data(), static_cast<Act>(finish.act),
             finish.low, finish.high,          step->slope.empty() ? nullptr : step->slope.data()};
  require(kernels_->padded_floats(w) <= kMostScratch, "depthwise: the window is too large");
  if (has_margins) {
    require(is_square_window(w) && w.stride_h == 1 && w.pad_h == reach && w.pad_w == reach && a.pixels() == y.pixels() &&
                step->multiplier == 1 && (a.channels == 1 || a.stride >= a.pixels() + margin),
            "depthwise: margins do not go with the window");
    step->flat = true;
    step->edges = Edges(a, w.kernel_h, kernels_->lanes);
  }
  add(std::move(step));
}

void Program::pool(const Planes& a, const Planes& y, const Window& w, int kind, float low, float high) {
  check(a, "pool, from", 0, 0);
  check(y, "pool, to", 0, 0);
  check_window(w);
  require(kind == 0 || kind == 1, "no such pooling");
  require(w.in_h == a.height && w.in_w == a.width && w.out_h == y.height && w.out_w == y.width &&
              a.channels == y.channels && w.dilation_h == 1 && w.dilation_w == 1,
          "pool: the window does not fit");
  require(kernels_->padded_floats(w) <= kMostScratch, "pool: the window is too large");
  auto step = std::make_unique<PoolStep>();
  step->a = a;
  step->y = y;
  step->w = w;
  step->kind = static_cast<Pool>(kind);
  step->low = low;
  step->high = high;
  add(std::move(step));
}

void Program::matvec(const View& a, const View& y, Weights weights, std::vector<float> bias, float low, float high) {
  check(a, "matvec, from", false);
  check(y, "matvec, to", true);
  const auto plain = [](const View& v, int64_t n) {
    return v.shape.size() == 1 && v.shape[0] == n && (v.strides[0] == 1 || n == 1);
  };
  require(plain(a, weights.columns) && plain(y, weights.rows) && static_cast<int64_t>(bias.size()) == weights.rows,
          "matvec: the weights do not fit");
  auto step = std::make_unique<MatvecStep>();
  step->a = a;
  step->y = y;
  step->weights.assign(weights.data, weights.data + weights.rows * weights.columns);
  step->bias = std::move(bias);
  step->rows = weights.rows;
  step->columns = weights.columns;
  step->low = low;
  step->high = high;
  add(std::move(step));
}

Step& Program::matrix(const Planes& a, const Planes& y, int64_t columns, Weights weights, std::vector<float> bias,
                      const Finish& finish) {
  if (y.offset != kUnplaced) check(y, "product, to", 0, 0);
  require(y.offset != kUnplaced || y.gap == 0, "product: a band has no gap");
  check_sizes(y);
  check_finish(finish, y.channels);
  require(columns >= 1 && columns <= kMost && weights.columns == columns && weights.rows == y.channels &&
              static_cast<int64_t>(bias.size()) == y.channels,
          "product: the weights do not fit");
  if (finish.has_residual) {
    check(finish.residual, "product, residual", 0, 0);
    require(finish.residual.channels == y.channels && finish.residual.pixels() == y.pixels(),
            "product: the residual does not fit");
  }
  auto step = std::make_unique<MatrixStep>();
  step->a = a;
  step->y = y;
  step->given = weights;
  step->channels = y.channels;
  step->columns = columns;
  step->bias = std::move(bias);
  step->finish = finish;
  step->slope = finish.slope;
  step->after_slope = finish.after_slope;
  return add(std::move(step));
}

void Program::product(const Planes& a, const Planes& y, Weights weights, std::vector<float> bias, const Finish& finish) {
  check(a, "product, from", 0, 0);
  check_sizes(y);
  require(a.pixels() == y.pixels(), "product: pixels differ");
  auto& step = static_cast<MatrixStep&>(matrix(a, y, a.channels, weights, std::move(bias), finish));
  step.source = Source::kPixels;
  step.packing = {1, 1, 4, 0, 0};
}

void Program::convolution(const Planes& a, const Planes& y, const Window& w, Weights weights, std::vector<float> bias,
                          const Finish& finish) {
  check(a, "convolution, from", 0, 0);
  check_window(w);
  require(w.in_h == a.height && w.in_w == a.width && w.out_h == y.height && w.out_w == y.width,
          "convolution: the window does not fit");
  auto& step = static_cast<MatrixStep&>(
      matrix(a, y, a.channels * w.kernel_h * w.kernel_w, weights, std::move(bias), finish));
  step.source = Source::kWindow;
  step.window = w;
  step.packing = {4, 1, 2, 0, 0};
}

void Program::separable(const Planes& a, const Planes& y, int64_t kernel, std::vector<float> depthwise_weights,
                        std::vector<float> depthwise_bias, const Finish& depthwise_finish, Weights weights,
                        std::vector<float> bias, const Finish& finish) {
  require(kernel == 3 || kernel == 5, "separable: the kernel is 3 or 5");
  require(a.height == y.height && a.width == y.width, "separable: pixels differ");
  check_sizes(a);
  check_finish(depthwise_finish, a.channels);
  require(static_cast<int64_t>(depthwise_weights.size()) == a.channels * kernel * kernel &&
              static_cast<int64_t>(depthwise_bias.size()) == a.channels,
          "separable: the depthwise weights do not fit");
  const int64_t reach = kernel / 2, margin = reach * a.width + reach;
  check(a, "separable, from", margin, margin);
  require(a.channels == 1 || a.stride >= a.pixels() + margin, "separable: the planes have no margins");
  auto& step = static_cast<MatrixStep&>(matrix(a, y, a.channels, weights, std::move(bias), finish));
  step.source = Source::kDepthwise;
  step.depthwise_weights = std::move(depthwise_weights);
  step.depthwise_bias = std::move(depthwise_bias);
  step.depthwise_slope = depthwise_finish.slope;
  Window w{a.height, a.width, y.height, y.width, kernel, kernel, 1, 1, 1, 1, reach, reach};
  step.depthwise = {w,
                    step.depthwise_weights.data(),
                    step.depthwise_bias.data(),
                    static_cast<Act>(depthwise_finish.act),
                    depthwise_finish.low,
                    depthwise_finish.high,
                    step.depthwise_slope.empty() ? nullptr : step.depthwise_slope.data()};
  step.edges = Edges(a, kernel, kernels_->lanes);
  step.packing = {1, 1, 4, 0, 0};
}

void Program::band(const Planes& middle, const Planes& y, const Window& w, std::vector<float> weights,
                   std::vector<float> bias, const Finish& finish, int64_t out_rows) {
  const std::lock_guard lock(turn_);
  require(!sealed_ && !steps_.empty(), "band: there is no step before it");
  auto* last = dynamic_cast<MatrixStep*>(steps_.back().get());
  require(last != nullptr, "band: the step before it is no product");
  check_window(w);
  check_finish(finish, y.channels);
  require(is_square_window(w), "band: there is no kernel for the window");
  check(y, "band, to", 0, 0);
  require(w.in_h == last->y.height && w.in_w == last->y.width && w.out_h == y.height && w.out_w == y.width &&
              y.channels == last->y.channels && !last->placed(),
          "band: the window does not fit");
  require(static_cast<int64_t>(weights.size()) == y.channels * w.kernel_h * w.kernel_w &&
              static_cast<int64_t>(bias.size()) == y.channels,
          "band: the weights do not fit");
  require(out_rows >= 1 && out_rows <= y.height, "band: the rows do not fit");
  auto step = std::make_unique<BandedStep>();
  step->y = y;
  step->height = w.in_h;
  step->out_rows = out_rows;
  step->weights = std::move(weights);
  step->bias = std::move(bias);
  step->slope = finish.slope;
  step->d = {w,           step->weights.data(), step->bias.data(), static_cast<Act>(finish.act),
             finish.low, finish.high,          step->slope.empty() ? nullptr : step->slope.data()};
  const int64_t rows = band_rows(w, out_rows, kernels_->lanes);
  check(middle, "band, between", 8, 64);  // rows are read a little before their start and beyond their end
  require(middle.channels >= y.channels * threads_.count() && middle.width == w.in_w && middle.height >= rows,
          "band: the band is too small");
  step->matrix.reset(static_cast<MatrixStep*>(steps_.back().release()));
  step->matrix->y.offset = middle.offset;
  step->matrix->y.stride = middle.stride;
  steps_.back() = std::move(step);
}

int64_t Program::band_rows(const Window& w, int64_t out_rows, int64_t lanes) {
  check_window(w);
  require(out_rows >= 1 && out_rows <= w.out_h, "band: the rows do not fit");
  require(lanes >= 1 && lanes <= 64, "a vector has 1 to 64 lanes");
  return BandedStep::room(w, out_rows, lanes);
}

int Program::lanes_of(const std::string& isa) { return choose(isa)->lanes; }

int Program::max_vectors(int block, int lines) const {
  const int shape = shape_of(block, lines);
  int most = 0;
  for (int v = 0; shape >= 0 && v < 8; ++v)
    if (kernels_->rows[shape][v]) most = v + 1;
  return most;
}

bool Program::packable(int64_t step) const {
  require(step >= 0 && step < steps(), "no such step");
  return matrix_of(steps_[static_cast<size_t>(step)].get()) != nullptr;
}

std::string Program::layer(int64_t step, Weights& weights, int64_t& pixels) const {
  require(packable(step), "that step has no weights to pack");
  const MatrixStep& matrix = *matrix_of(steps_[static_cast<size_t>(step)].get());
  weights = matrix.given;
  pixels = matrix.y.pixels();
  const std::string banded = dynamic_cast<const BandedStep*>(steps_[static_cast<size_t>(step)].get()) ? "banded " : "";
  if (matrix.source == Source::kPixels) return banded + "pixels";
  const Window& w = matrix.source == Source::kWindow ? matrix.window : matrix.depthwise.window;
  return banded + (matrix.source == Source::kWindow ? "window" : "depthwise") + std::to_string(w.kernel_h) + "x" +
         std::to_string(w.kernel_w) + "s" + std::to_string(w.stride_h) + "w" + std::to_string(w.out_w);
}

void Program::pack(int64_t step, const Packing& packing) {
  const std::lock_guard lock(turn_);
  require(!sealed_, "the program is sealed");
  require(packable(step), "that step has no weights to pack");
  matrix_of(steps_[static_cast<size_t>(step)].get())->pack(*this, packing);
}

bool Program::borrows(const float* weights) const {
  return std::any_of(steps_.begin(), steps_.end(), [&](const auto& step) {
    const MatrixStep* matrix = matrix_of(step.get());
    return matrix != nullptr && weights != nullptr && matrix->given.data == weights;
  });
}

void Program::release(int64_t step) {
  const std::lock_guard lock(turn_);
  require(packable(step), "that step has no weights to let go of");
  matrix_of(steps_[static_cast<size_t>(step)].get())->let_go(*this);
}

void Program::seal() {
  const std::lock_guard lock(turn_);
  for (auto& step : steps_)
    if (MatrixStep* matrix = matrix_of(step.get())) require(matrix->placed(), "a product is not placed: its band is missing");
  sealed_ = true;
  for (auto& step : steps_)
    if (MatrixStep* matrix = matrix_of(step.get())) matrix->let_go(*this);
  reserve();
}

void Program::reserve() {
  int64_t most = 0;
  for (const auto& step : steps_) most = std::max(most, step->scratch(*this));
  require(most <= kMostScratch, "a step needs too much room");
  for (auto& scratch : scratch_)
    if (static_cast<int64_t>(scratch.size()) < most + 64) scratch.assign(static_cast<size_t>(most + 64), 0.0f);
}

void Program::run(const std::vector<float*>& externals) {
  const std::lock_guard lock(turn_);
  require(externals.size() == externals_.size(), "the wrong number of buffers");
  require(sealed_, "the program is not sealed");
  bound_ = externals;
  for (auto& step : steps_) step->run(*this);
}

std::vector<double> Program::profile(const std::vector<float*>& externals) {
  const std::lock_guard lock(turn_);
  require(externals.size() == externals_.size(), "the wrong number of buffers");
  require(sealed_, "the program is not sealed");
  bound_ = externals;
  std::vector<double> seconds;
  for (auto& step : steps_) {
    const auto start = std::chrono::steady_clock::now();
    step->run(*this);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
}

double Program::time_step(int64_t step, int repeats) {
  const std::lock_guard lock(turn_);
  require(packable(step), "only steps with weights to pack are timed alone");
  require(repeats >= 1 && repeats <= 10000, "a step is timed 1 to 10000 times");
  MatrixStep& matrix = *matrix_of(steps_[static_cast<size_t>(step)].get());
  require(matrix.placed(), "a product is not placed: its band is missing");
  matrix.pack_once(*this);
  reserve();
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    steps_[static_cast<size_t>(step)]->run(*this);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

int64_t Program::bytes() const {
  int64_t total = (arena_size_ + 2 * kSlack) * static_cast<int64_t>(sizeof(float));
  for (const auto& step : steps_) total += step->bytes();
  for (const auto& scratch : scratch_) total += static_cast<int64_t>(scratch.size() * sizeof(float));
  return total;
}

}  // namespace chw
