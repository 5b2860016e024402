// The steps that a program is a list of, but for those that multiply weights. Included by program.cpp alone.
#pragma once

#include "program.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace chw {

namespace {

constexpr int64_t kSlack = 256;  // floats before and behind the arena that a vector load may touch
constexpr int64_t kMost = int64_t{1} << 31;
constexpr int64_t kMostScratch = int64_t{1} << 28;  // floats per thread
constexpr int64_t kStrided = 128;  // values at a time where a step reads or writes with gaps
constexpr int64_t kWorthSharing = 16384;  // values below which a step stays on one thread

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

void require(bool fine, const char* what) {
  if (!fine) refuse(what);
}

int64_t count_of(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t n : shape) {
    require(n >= 0 && n <= kMost, "a size is negative or too large");
    count *= n;
    require(count <= kMost, "a tensor is too large");
  }
  return count;
}

const Kernels* choose(const std::string& isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (isa == "avx512" || (isa.empty() && avx512)) {
    require(avx512, "this processor has no AVX-512");
    return kernels_avx512();
  }
  if (isa == "avx2" || (isa.empty() && avx2)) {
    require(avx2, "this processor has no AVX2 with FMA");
    return kernels_avx2();
  }
#endif
  const Kernels* base = kernels_portable();
  if (isa.empty() || isa == base->name || isa == "portable") return base;
  refuse("this processor has no instruction set '" + isa + "'");
}

void check_window(const Window& w) {
  const int64_t all[] = {w.in_h, w.in_w, w.out_h, w.out_w, w.kernel_h, w.kernel_w, w.stride_h, w.stride_w, w.dilation_h,
                         w.dilation_w};
  for (int64_t n : all) require(n >= 1 && n <= (1 << 16), "a window has a size outside 1..65536");
  require(w.pad_h >= 0 && w.pad_h <= (1 << 16) && w.pad_w >= 0 && w.pad_w <= (1 << 16),
          "a window has a padding outside 0..65536");
  require((w.kernel_h - 1) * w.dilation_h <= (1 << 16) && (w.kernel_w - 1) * w.dilation_w <= (1 << 16),
          "a window reaches too far");
  require((w.out_h - 1) * w.stride_h - w.pad_h < w.in_h && (w.out_w - 1) * w.stride_w - w.pad_w < w.in_w,
          "a window starts behind the picture");
}

void check_sizes(const Planes& p) {
  require(p.channels >= 1 && p.height >= 1 && p.width >= 1, "a size is not positive");
  require(p.channels <= kMost && p.height <= kMost && p.width <= kMost && p.pixels() <= kMost, "a size is too large");
}

void check_finish(const Finish& f, int64_t channels) {
  require(f.act >= 0 && f.act <= 3 && f.after >= 0 && f.after <= 3, "no such activation");
  const auto fits = [&](int act, const std::vector<float>& slope) {
    return static_cast<int64_t>(slope.size()) == channels || (slope.empty() && act != static_cast<int>(Act::kPrelu));
  };
  require(fits(f.act, f.slope) && fits(f.after, f.after_slope), "a slope does not have one value per channel");
}

// Loops over all but the last axis of views of one shape.
struct Walk {
  std::vector<int64_t> shape;
  int64_t outer = 1, inner = 1;
  explicit Walk(const std::vector<int64_t>& full) : shape(full) {
    if (!shape.empty()) {
      inner = shape.back();
      shape.pop_back();
    }
    for (int64_t n : shape) outer *= n;
  }
  int64_t at(int64_t index, const std::vector<int64_t>& strides) const {
    int64_t offset = 0;
    for (size_t i = shape.size(); i-- > 0;) {
      offset += index % shape[i] * strides[i];
      index /= shape[i];
    }
    return offset;
  }
};

// Merges axes that lie contiguously in every view, and puts the longest run last where that is free to choose.
void collapse(std::vector<int64_t>& shape, std::vector<std::vector<int64_t>*> strides) {
  std::vector<int64_t> kept;
  std::vector<std::vector<int64_t>> found(strides.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    bool merges = !kept.empty();
    for (size_t v = 0; v < strides.size() && merges; ++v)
      merges = found[v].back() == (*strides[v])[i] * shape[i];
    if (merges) {
      kept.back() *= shape[i];
      for (size_t v = 0; v < strides.size(); ++v) found[v].back() = (*strides[v])[i];
    } else {
      kept.push_back(shape[i]);
      for (size_t v = 0; v < strides.size(); ++v) found[v].push_back((*strides[v])[i]);
    }
  }
  shape = kept;
  for (size_t v = 0; v < strides.size(); ++v) *strides[v] = found[v];
}

}  // namespace

struct Step {
  virtual ~Step() = default;
  virtual void run(Program& p) = 0;
  virtual int64_t scratch(const Program&) const { return 0; }
  virtual int64_t bytes() const { return 0; }

 protected:
  static float* at(Program& p, const View& v) { return (v.base ? p.bound_[v.base - 1] : p.arena_) + v.offset; }
  static float* arena(Program& p) { return p.arena_; }
  static const Kernels& kernels(const Program& p) { return *p.kernels_; }
  static Threads& threads(Program& p) { return p.threads_; }
  static float* scratch_of(Program& p, int thread) { return p.scratch_[thread].data(); }
};

namespace {

// Shares `outer` rows of `inner` values among threads, in a few chunks each.
template <class F>
void share(Threads& threads, int64_t outer, int64_t inner, const F& rows) {
  const int64_t chunks = outer * inner < kWorthSharing ? 1 : std::min<int64_t>(outer, 4 * threads.count());
  threads.each(chunks, [&](int64_t chunk, int) { rows(outer * chunk / chunks, outer * (chunk + 1) / chunks); });
}

struct FillStep : Step {
  View y;
  float value;
  void run(Program& p) override {
    float* to = at(p, y);
    const Walk walk(y.shape);
    const int64_t step = y.strides.empty() ? 1 : y.strides.back();
    for (int64_t i = 0; i < walk.outer; ++i) {
      float* row = to + walk.at(i, y.strides);
      for (int64_t k = 0; k < walk.inner; ++k) row[k * step] = value;
    }
  }
};

struct UnaryStep : Step {
  View a, y;
  Unary kind;
  float low, high;
  void run(Program& p) override {
    const float* from = at(p, a);
    float* to = at(p, y);
    const Walk walk(y.shape);
    const int64_t as = a.strides.empty() ? 1 : a.strides.back(), ys = y.strides.empty() ? 1 : y.strides.back();
    // with gaps, a few values of every row at a time: what lies side by side in memory is used while it is in the cache
    const int64_t block = as == 1 && ys == 1 ? walk.inner : std::min<int64_t>(walk.inner, kStrided);
    const int64_t blocks = (walk.inner + block - 1) / block;
    share(threads(p), blocks * walk.outer, block, [&](int64_t first, int64_t last) {
      for (int64_t task = first; task < last; ++task) {
        const int64_t i = task % walk.outer, begin = task / walk.outer * block;
        kernels(p).unary(kind, from + (walk.at(i, a.strides) + begin * as), as, to + (walk.at(i, y.strides) + begin * ys),
                         ys, std::min(block, walk.inner - begin), low, high);
      }
    });
  }
};

struct BinaryStep : Step {
  View a, b, y;
  Binary kind;
  float low, high;
  void run(Program& p) override {
    const float *first_of = at(p, a), *second_of = at(p, b);
    float* to = at(p, y);
    const Walk walk(y.shape);
    const auto last_of = [](const View& v) { return v.strides.empty() ? 1 : v.strides.back(); };
    share(threads(p), walk.outer, walk.inner, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        kernels(p).binary(kind, first_of + walk.at(i, a.strides), last_of(a), second_of + walk.at(i, b.strides),
                          last_of(b), to + walk.at(i, y.strides), last_of(y), walk.inner, low, high);
    });
  }
};

struct ReduceStep : Step {
  View a, y;
  Reduce kind;
  int reduced;
  void run(Program& p) override {
    const float* from = at(p, a);
    float* to = at(p, y);
    const size_t kept = a.shape.size() - static_cast<size_t>(reduced);
    std::vector<int64_t> shape(a.shape.begin() + static_cast<int64_t>(kept), a.shape.end());
    std::vector<int64_t> strides(a.strides.begin() + static_cast<int64_t>(kept), a.strides.end());
    collapse(shape, {&strides});
    const Walk inside(shape);
    const int64_t step = strides.empty() ? 1 : strides.back(), total = inside.outer * inside.inner;
    std::vector<int64_t> outer_shape(a.shape.begin(), a.shape.begin() + static_cast<int64_t>(kept));
    outer_shape.push_back(1);
    const Walk outside(outer_shape);
    const float infinity = std::numeric_limits<float>::infinity();
    const float start = kind == Reduce::kMax ? -infinity : kind == Reduce::kMin ? infinity
                        : kind == Reduce::kProduct ? 1.0f : 0.0f;
    share(threads(p), outside.outer, total, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const float* base = from + outside.at(i, a.strides);
        float value = start;
        for (int64_t k = 0; k < inside.outer; ++k)
          value = kernels(p).reduce(kind, base + inside.at(k, strides), step, inside.inner, value);
        to[outside.at(i, y.strides)] = kind == Reduce::kMean ? value / static_cast<float>(total) : value;
      }
    });
  }
};

struct SoftmaxStep : Step {
  View a, y;
  float beta;
  void run(Program& p) override {
    const float* from = at(p, a);
    float* to = at(p, y);
    const Walk walk(y.shape);
    const int64_t as = a.strides.empty() ? 1 : a.strides.back(), ys = y.strides.empty() ? 1 : y.strides.back();
    for (int64_t i = 0; i < walk.outer; ++i) {
      const float* row = from + walk.at(i, a.strides);
      float* out = to + walk.at(i, y.strides);
      float largest = -std::numeric_limits<float>::infinity(), sum = 0;
      for (int64_t k = 0; k < walk.inner; ++k) largest = std::max(largest, row[k * as]);
      for (int64_t k = 0; k < walk.inner; ++k) sum += out[k * ys] = std::exp((row[k * as] - largest) * beta);
      for (int64_t k = 0; k < walk.inner; ++k) out[k * ys] /= sum;
    }
  }
};

struct ResizeStep : Step {
  Planes a, y;
  std::vector<int32_t> y0, y1, x0, x1;
  std::vector<float> ty, tx;
  std::vector<int32_t> base, near_left, near_right;
  bool near = true;
  int64_t scratch(const Program&) const override { return a.width; }

  void prepare(int lanes) {
    const size_t whole = static_cast<size_t>((y.width + lanes - 1) / lanes * lanes);
    near_left = x0;
    near_right = x1;
    near_left.resize(whole, x0.back());
    near_right.resize(whole, x0.back());
    tx.resize(whole, 0.0f);
    for (size_t x = 0; x < whole; x += static_cast<size_t>(lanes)) {
      int32_t least = near_left[x];
      for (size_t i = x; i < x + static_cast<size_t>(lanes); ++i) least = std::min({least, near_left[i], near_right[i]});
      base.push_back(least);
      for (size_t i = x; i < x + static_cast<size_t>(lanes); ++i) {
        near_left[i] -= least;
        near_right[i] -= least;
        near &= near_left[i] < 2 * lanes && near_right[i] < 2 * lanes;
      }
    }
  }

  void run(Program& p) override {
    const Columns columns{x0.data(), x1.data(), tx.data(), near, base.data(), near_left.data(), near_right.data()};
    threads(p).each(y.channels, [&](int64_t c, int thread) {
      const float* from = arena(p) + a.offset + c * a.stride;
      float* to = arena(p) + y.offset + c * y.stride;
      for (int64_t row = 0; row < y.height; ++row, to += y.width)
        kernels(p).resize_rows(from + y0[row] * a.width, from + y1[row] * a.width, ty[row], a.width, columns,
                               scratch_of(p, thread), to, y.width);
    });
  }
};

// For each step dx of a centred window and each vector of pixels: the lanes whose pixel has a neighbour at x + dx.
struct Edges {
  int64_t stride = 0;
  std::vector<uint16_t> bits;
  Edges() = default;
  Edges(const Planes& a, int64_t kernel, int64_t lanes) : stride((a.pixels() + lanes - 1) / lanes) {
    const int64_t reach = kernel / 2;
    bits.assign(static_cast<size_t>(kernel * stride), 0);
    for (int64_t dx = -reach; dx <= reach; ++dx)
      for (int64_t p = 0; p < a.pixels(); ++p) {
        const int64_t x = p % a.width + dx;
        if (x >= 0 && x < a.width)
          bits[static_cast<size_t>((dx + reach) * stride + p / lanes)] |= static_cast<uint16_t>(1u << (p % lanes));
      }
  }
};

struct DepthwiseStep : Step {
  Planes a, y;
  std::vector<float> weights, bias, slope;
  Depthwise d;
  int64_t multiplier;
  bool flat = false;  // the planes have margins: whole vectors run across row ends
  Edges edges;
  int64_t scratch(const Program& p) const override { return kernels(p).padded_floats(d.window); }
  void run(Program& p) override {
    threads(p).each(y.channels, [&](int64_t c, int thread) {
      if (flat) {
        kernels(p).fill_depthwise(arena(p) + a.offset + c * a.stride, a.stride, 1, d, edges.bits.data(), edges.stride, c,
                                  0, edges.stride, a.pixels(), arena(p) + y.offset + c * y.stride);
        return;
      }
      kernels(p).depthwise_plane(arena(p) + a.offset + c / multiplier * a.stride, arena(p) + y.offset + c * y.stride, c,
                                 d, scratch_of(p, thread));
    });
  }
};

struct PoolStep : Step {
  Planes a, y;
  Window w;
  Pool kind;
  float low, high;
  int64_t scratch(const Program& p) const override { return kernels(p).padded_floats(w); }
  void run(Program& p) override {
    threads(p).each(y.channels, [&](int64_t c, int thread) {
      kernels(p).pool_plane(arena(p) + a.offset + c * a.stride, arena(p) + y.offset + c * y.stride, w, kind, low, high,
                            scratch_of(p, thread));
    });
  }
};

struct MatvecStep : Step {
  View a, y;
  std::vector<float> weights, bias;
  int64_t rows, columns;
  float low, high;
  void run(Program& p) override {
    const float* x = at(p, a);
    float* to = at(p, y);
    share(threads(p), rows, columns, [&](int64_t first, int64_t last) {
      kernels(p).matvec(weights.data(), x, bias.data(), to, columns, first, last, low, high);
    });
  }
  int64_t bytes() const override { return static_cast<int64_t>(weights.size() * sizeof(float)); }
};

}  // namespace

}  // namespace chw
