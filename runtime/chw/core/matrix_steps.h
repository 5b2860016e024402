// Steps that multiply weights: products over packed tiles, and products in bands that feed a depthwise convolution.
#pragma once

#include "steps.h"

namespace chw {

namespace {

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

  // Packs as `packing` says where `pack` has not been called.
  void pack_once(Program& p) {
    if (slices.empty()) pack(p, packing);
  }

  void let_go(Program& p) {
    pack_once(p);
    given.data = nullptr;
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

MatrixStep* matrix_of(Step* step) {
  if (auto* banded = dynamic_cast<BandedStep*>(step)) return banded->matrix.get();
  return dynamic_cast<MatrixStep*>(step);
}

}  // namespace

}  // namespace chw
