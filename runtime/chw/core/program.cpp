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

// ---- steps

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
    share(threads(p), walk.outer, walk.inner, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        kernels(p).unary(kind, from + walk.at(i, a.strides), as, to + walk.at(i, y.strides), ys, walk.inner, low, high);
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

uint16_t half_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = (bits >> 16) & 0x8000u, exponent = (bits >> 23) & 255u, fraction = bits & 0x7FFFFFu;
  const int e = static_cast<int>(exponent) - 112;
  if (e < -10) return static_cast<uint16_t>(sign);
  if (e >= 31) return static_cast<uint16_t>(sign | 0x7C00u | (exponent == 255 && fraction ? 0x200u : 0u));
  if (e <= 0) return static_cast<uint16_t>(sign | ((fraction | 0x800000u) >> (14 - e)));
  return static_cast<uint16_t>(sign | static_cast<uint32_t>(e) << 10 | fraction >> 13);
}

enum class Source { kPixels, kWindow, kDepthwise };

struct Slice {
  int64_t column = 0;
  std::vector<uint32_t> starts;
  std::vector<int32_t> order;
  std::vector<uint16_t> columns;
  bool alike = false;  // every group has the columns that are stored once, as dense layers do
  std::vector<float> f32;
  std::vector<uint16_t> f16;
  std::vector<int8_t> i8;
};

int shape_of(int block, int lines) {
  for (int i = 0; i < kShapeCount; ++i)
    if (kShapes[i][0] == block && kShapes[i][1] == lines) return i;
  return -1;
}

struct MatrixStep : Step {
  Planes a, y;
  Source source = Source::kPixels;
  Window window{};
  Depthwise depthwise;
  std::vector<float> depthwise_weights, depthwise_bias, depthwise_slope;
  Edges edges;
  Weights given;  // borrowed
  int64_t channels = 0, columns = 0;
  std::vector<float> bias, slope, after_slope, scale;
  Finish finish;
  Packing packing;
  std::vector<Slice> slices;
  int64_t widest = 0;
  std::vector<int64_t> parts;  // ranges of groups that threads share
  int64_t tiles = 0;

  bool placed() const { return y.offset != kUnplaced; }

  int64_t tile_floats(const Program& p) const { return columns * packing.vectors * kernels(p).lanes; }
  int64_t sums_floats(const Program& p) const {
    return slices.size() > 1 ? channels * packing.vectors * kernels(p).lanes : 0;
  }
  int64_t scratch(const Program& p) const override { return tile_floats(p) + sums_floats(p) + widest + 256; }
  int64_t bytes() const override {
    int64_t total = 0;
    for (const Slice& s : slices)
      total += static_cast<int64_t>((s.starts.size() + s.order.size() + s.f32.size()) * 4 +
                                    (s.columns.size() + s.f16.size()) * 2 + s.i8.size());
    return total;
  }

  void pack(Program& p, const Packing& chosen) {
    const int shape = shape_of(chosen.block, chosen.lines);
    require(shape >= 0, "there is no kernel for such blocks and lines");
    require(chosen.vectors >= 1 && chosen.vectors <= 8, "a tile has 1 to 8 vectors");
    require(chosen.storage >= 0 && chosen.storage <= 2, "no such weight storage");
    require(chosen.slice >= 0, "a slice is negative");
    require(kernels(p).rows[shape][chosen.vectors - 1] != nullptr, "a tile of that many vectors does not fit the registers");
    require(given.data != nullptr, "the weights have been let go of");
    packing = chosen;
    const int64_t width = packing.slice ? std::min(packing.slice, columns) : columns;
    const int64_t step = std::min<int64_t>(width, 65536);  // columns are 16 bits
    if (packing.storage == 2) {
      scale.assign(static_cast<size_t>(channels), 0.0f);
      for (int64_t r = 0; r < channels; ++r)
        for (int64_t k = 0; k < columns; ++k)
          scale[static_cast<size_t>(r)] = std::max(scale[static_cast<size_t>(r)], std::fabs(weight(r, k)) / 127.0f);
    }
    const std::vector<int64_t> cuts = cut(p);
    slices.clear();
    for (int64_t start = 0; start < columns; start += step) pack_slice(start, std::min(columns, start + step), cuts);
    widest = 0;
    for (const Slice& s : slices)
      for (size_t g = 0; g + 1 < s.starts.size(); ++g)
        widest = std::max<int64_t>(widest, static_cast<int64_t>(s.starts[g + 1] - s.starts[g]) * packing.block * packing.lines);
  }

  float weight(int64_t row, int64_t column) const { return row < channels ? given.data[row * columns + column] : 0.0f; }

  bool filled(int64_t block, int64_t column) const {
    for (int64_t b = 0; b < packing.block; ++b)
      if (weight(block * packing.block + b, column) != 0.0f) return true;
    return false;
  }

  // Where tiles are fewer than the threads want, blocks are shared out as well: the blocks at which a share begins,
  // balanced by their entries. Sets `tiles`.
  std::vector<int64_t> cut(Program& p) {
    const int64_t vectors = (y.pixels() + kernels(p).lanes - 1) / kernels(p).lanes;
    tiles = (vectors + packing.vectors - 1) / packing.vectors;
    const int64_t blocks = (channels + packing.block - 1) / packing.block, wanted = threads(p).count();
    // each share of a tile fills it again, so only where whole tiles would leave threads idle
    const int64_t shares = tiles % wanted == 0 || tiles >= 4 * wanted ? 1 : std::min(blocks, wanted);
    std::vector<int64_t> cuts{0};
    if (shares > 1) {
      std::vector<int64_t> cost(static_cast<size_t>(blocks), 1);
      for (int64_t b = 0; b < blocks; ++b)
        for (int64_t k = 0; k < columns; ++k) cost[static_cast<size_t>(b)] += filled(b, k);
      const int64_t total = std::accumulate(cost.begin(), cost.end(), int64_t{0});
      int64_t seen = 0;
      for (int64_t b = 0; b + 1 < blocks; ++b) {
        seen += cost[static_cast<size_t>(b)];
        if (seen * shares >= total * static_cast<int64_t>(cuts.size())) cuts.push_back(b + 1);
      }
    }
    cuts.push_back(blocks);
    parts.assign(1, 0);
    for (size_t i = 1; i < cuts.size(); ++i)
      parts.push_back(parts.back() + (cuts[i] - cuts[i - 1] + packing.lines - 1) / packing.lines);
    return cuts;
  }

  void pack_slice(int64_t first, int64_t last, const std::vector<int64_t>& cuts) {
    Slice s;
    s.column = first;
    s.starts.push_back(0);
    const int64_t block = packing.block, lines = packing.lines;
    std::vector<std::vector<uint16_t>> found(static_cast<size_t>(cuts.back()));
    for (int64_t b = 0; b < cuts.back(); ++b)
      for (int64_t k = first; k < last; ++k)
        if (filled(b, k)) found[static_cast<size_t>(b)].push_back(static_cast<uint16_t>(k - first));
    size_t total = 0;
    for (const auto& columns_of : found) total += columns_of.size();
    s.columns.reserve(total + total / 16);
    const size_t values = (total + total / 16) * static_cast<size_t>(block);
    if (packing.storage == 0) s.f32.reserve(values);
    if (packing.storage == 1) s.f16.reserve(values + 32);
    if (packing.storage == 2) s.i8.reserve(values);
    std::vector<int64_t> sorted(static_cast<size_t>(cuts.back()));
    std::iota(sorted.begin(), sorted.end(), int64_t{0});
    for (size_t part = 0; part + 1 < cuts.size(); ++part) {
      // blocks of nearly equal length side by side: little to fill up, and loops whose length a processor foresees
      std::stable_sort(sorted.begin() + cuts[part], sorted.begin() + cuts[part + 1], [&](int64_t a, int64_t b) {
        return found[static_cast<size_t>(a)].size() > found[static_cast<size_t>(b)].size();
      });
      for (int64_t at = cuts[part]; at < cuts[part + 1]; at += lines) {
        const size_t length = found[static_cast<size_t>(sorted[static_cast<size_t>(at)])].size();
        for (size_t n = 0; n < length; ++n)
          for (int64_t r = 0; r < lines; ++r) {
            const bool exists = at + r < cuts[part + 1];
            const int64_t b = exists ? sorted[static_cast<size_t>(at + r)] : 0;
            const bool held = exists && n < found[static_cast<size_t>(b)].size();
            const uint16_t column = held ? found[static_cast<size_t>(b)][n] : uint16_t{0};
            s.columns.push_back(column);
            for (int64_t i = 0; i < block; ++i) store(s, held ? weight(b * block + i, first + column) : 0.0f, b * block + i);
          }
        for (int64_t r = 0; r < lines; ++r)
          s.order.push_back(at + r < cuts[part + 1]
                                ? static_cast<int32_t>(sorted[static_cast<size_t>(at + r)] * block)
                                : -1);
        s.starts.push_back(static_cast<uint32_t>(s.columns.size() / static_cast<size_t>(lines)));
      }
    }
    share_columns(s);
    if (packing.storage == 1) s.f16.resize(s.f16.size() + 32);  // widening reads whole vectors
    s.columns.shrink_to_fit();
    s.f32.shrink_to_fit();
    s.f16.shrink_to_fit();
    s.i8.shrink_to_fit();
    slices.push_back(std::move(s));
  }

  void share_columns(Slice& s) const {
    const size_t groups = s.starts.size() - 1, length = s.columns.size() / groups;
    if (length == 0) return;
    for (size_t i = 0; i < s.columns.size(); ++i)
      if (s.columns[i] != s.columns[i % length]) return;
    for (size_t g = 0; g <= groups; ++g)
      if (s.starts[g] * static_cast<size_t>(packing.lines) != g * length) return;
    s.columns.resize(length);
    s.alike = true;
  }

  void store(Slice& s, float w, int64_t row) const {
    if (packing.storage == 0) s.f32.push_back(w);
    if (packing.storage == 1) s.f16.push_back(half_of(w));
    if (packing.storage == 2) {
      const float unit = row < channels ? scale[static_cast<size_t>(row)] : 0.0f;
      s.i8.push_back(unit > 0 ? static_cast<int8_t>(std::lrint(w / unit)) : int8_t{0});
    }
  }

  void run(Program& p) override { pixels(p, 0, y.pixels(), y.offset); }

  // Computes pixels [first, last) of every channel; `target` is where pixel 0 of channel 0 would lie in the arena.
  void pixels(Program& p, int64_t first, int64_t last, int64_t target) {
    const int64_t lanes = kernels(p).lanes, vectors = (last - first + lanes - 1) / lanes;
    const int64_t count = (vectors + packing.vectors - 1) / packing.vectors;
    const int64_t shares = static_cast<int64_t>(parts.size()) - 1;
    threads(p).each(count * shares, [&](int64_t task, int thread) {
      const int64_t index = task / shares, v0 = vectors * index / count, v1 = vectors * (index + 1) / count;
      tile(p, first + v0 * lanes, static_cast<int>(v1 - v0), last, target, task % shares, thread);
    });
  }

  // The same by the calling thread alone.
  void pixels_alone(Program& p, int64_t first, int64_t last, int64_t target, int thread) {
    const int64_t lanes = kernels(p).lanes, vectors = (last - first + lanes - 1) / lanes;
    const int64_t count = (vectors + packing.vectors - 1) / packing.vectors;
    for (int64_t index = 0; index < count; ++index) {
      const int64_t v0 = vectors * index / count, v1 = vectors * (index + 1) / count;
      for (int64_t part = 0; part + 1 < static_cast<int64_t>(parts.size()); ++part)
        tile(p, first + v0 * lanes, static_cast<int>(v1 - v0), last, target, part, thread);
    }
  }

  void tile(Program& p, int64_t pixel, int count, int64_t end, int64_t target, int64_t part, int thread) {
    const int lanes = kernels(p).lanes;
    float* packed = scratch_of(p, thread);
    packed += (-reinterpret_cast<intptr_t>(packed) & 63) / static_cast<intptr_t>(sizeof(float));
    const Kernels& k = kernels(p);
    const float* planes = arena(p) + a.offset;
    if (source == Source::kPixels)
      k.fill_copy(planes, a.stride, a.channels, pixel, count, packed);
    else if (source == Source::kWindow)
      k.fill_window(planes, a.stride, a.channels, window, pixel, count, packed);
    else
      k.fill_depthwise(planes, a.stride, a.channels, depthwise, edges.bits.data(), edges.stride, 0, pixel, count,
                       pixel + static_cast<int64_t>(count) * lanes, packed);
    Rows r{};
    r.bias = bias.data();
    r.scale = scale.data();
    r.storage = packing.storage;
    r.first = parts[static_cast<size_t>(part)];
    r.last = parts[static_cast<size_t>(part) + 1];
    r.channels = channels;
    r.sums = packed + tile_floats(p);
    r.scratch = r.sums + sums_floats(p);
    r.out = arena(p) + (target + pixel);
    r.out_stride = y.stride;
    r.pixels = std::min<int64_t>(static_cast<int64_t>(count) * lanes, end - pixel);
    r.pixel0 = pixel;
    r.gap = end == y.pixels() && pixel + r.pixels == end ? y.gap : 0;
    r.epilogue.act = static_cast<Act>(finish.act);
    r.epilogue.low = finish.low;
    r.epilogue.high = finish.high;
    r.epilogue.slope = slope.empty() ? nullptr : slope.data();
    r.epilogue.after = static_cast<Act>(finish.after);
    r.epilogue.after_low = finish.after_low;
    r.epilogue.after_high = finish.after_high;
    r.epilogue.after_slope = after_slope.empty() ? nullptr : after_slope.data();
    if (finish.has_residual) {
      r.epilogue.residual = arena(p) + finish.residual.offset;
      r.epilogue.residual_stride = finish.residual.stride;
    }
    const RowsKernel rows = k.rows[shape_of(packing.block, packing.lines)][count - 1];
    for (size_t i = 0; i < slices.size(); ++i) {
      const Slice& s = slices[i];
      r.tile = packed + s.column * count * lanes;
      r.starts = s.starts.data();
      r.order = s.order.data();
      r.columns = s.columns.data();
      r.alike = s.alike;
      r.weights = packing.storage == 0   ? static_cast<const void*>(s.f32.data())
                  : packing.storage == 1 ? static_cast<const void*>(s.f16.data())
                                         : static_cast<const void*>(s.i8.data());
      r.begins = i == 0;
      r.ends = i + 1 == slices.size();
      rows(r);
    }
  }
};

// A matrix step whose result only a depthwise convolution reads, in bands of rows that stay in the cache. Each thread
// takes a range of the result's rows and has a band of its own.
struct BandedStep : Step {
  std::unique_ptr<MatrixStep> matrix;  // its y is the first band: [channels][rows][width]
  Planes y;
  int64_t height = 0, out_rows = 0;  // of the picture between, of each band's result
  std::vector<float> weights, bias, slope;
  Depthwise d;
  int64_t scratch(const Program& p) const override { return matrix->scratch(p); }
  int64_t bytes() const override { return matrix->bytes(); }

  // Rows come in units of whole vectors.
  static int64_t unit(const Window& w, int64_t lanes) { return lanes / std::gcd(w.in_w, lanes); }

  // The rows of the picture between that result rows [first, last) read, in whole units.
  void needed(int64_t lanes, int64_t first, int64_t last, int64_t& from, int64_t& to) const {
    const Window& w = d.window;
    const int64_t rows = unit(w, lanes);
    from = std::clamp<int64_t>(first * w.stride_h - w.pad_h, 0, height) / rows * rows;
    to = std::clamp<int64_t>((last - 1) * w.stride_h - w.pad_h + w.kernel_h, from, height);
    to = std::min(height, (to + rows - 1) / rows * rows);
  }

  // Rows of room that any band of `out_rows` result rows needs.
  static int64_t room(const Window& w, int64_t out_rows, int64_t lanes) {
    return std::min(w.in_h, (out_rows - 1) * w.stride_h + w.kernel_h + 2 * (unit(w, lanes) - 1));
  }

  void run(Program& p) override {
    const int64_t shares = std::min<int64_t>(threads(p).count(), y.height);
    threads(p).each(shares, [&](int64_t share, int thread) {
      rows(p, y.height * share / shares, y.height * (share + 1) / shares, thread);
    });
  }

  void rows(Program& p, int64_t begin, int64_t end, int thread) {
    const int64_t width = d.window.in_w, stride = matrix->y.stride;
    const int64_t base = matrix->y.offset + thread * y.channels * stride;
    int64_t start = 0, made = 0;  // the band holds rows [start, made)
    for (int64_t first = begin; first < end; first += out_rows) {
      const int64_t last = std::min(first + out_rows, end);
      int64_t from, to;
      needed(kernels(p).lanes, first, last, from, to);
      const int64_t kept = std::max<int64_t>(made - from, 0), shift = from - start;
      if (first != begin && kept > 0 && shift > 0)
        for (int64_t c = 0; c < y.channels; ++c) {
          float* plane = arena(p) + base + c * stride;
          std::memmove(plane, plane + shift * width, static_cast<size_t>(kept * width) * sizeof(float));
        }
      start = from;
      made = first == begin ? from : std::max(made, from);
      if (to > made) matrix->pixels_alone(p, made * width, to * width, base - start * width, thread);
      made = std::max(made, to);
      for (int64_t c = 0; c < y.channels; ++c)
        kernels(p).depthwise_rows(arena(p) + (base + c * stride - start * width), arena(p) + y.offset + c * y.stride, c,
                                  d, first, last);
    }
  }
};

}  // namespace

namespace {

MatrixStep* matrix_of(Step* step) {
  if (auto* banded = dynamic_cast<BandedStep*>(step)) return banded->matrix.get();
  return dynamic_cast<MatrixStep*>(step);
}

}  // namespace

// ---- the program

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
  step.pack(*this, {1, 1, 4, 0, 0});
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
  step.pack(*this, {4, 1, 2, 0, 0});
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
  step.pack(*this, {1, 1, 4, 0, 0});
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
  matrix_of(steps_[static_cast<size_t>(step)].get())->given.data = nullptr;
}

void Program::seal() {
  const std::lock_guard lock(turn_);
  for (auto& step : steps_)
    if (MatrixStep* matrix = matrix_of(step.get())) require(matrix->placed(), "a product is not placed: its band is missing");
  sealed_ = true;
  for (auto& step : steps_)
    if (MatrixStep* matrix = matrix_of(step.get())) matrix->given.data = nullptr;
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
  require(matrix_of(steps_[static_cast<size_t>(step)].get())->placed(), "a product is not placed: its band is missing");
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
