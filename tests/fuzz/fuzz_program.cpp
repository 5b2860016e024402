// Fuzzes the CHW engine's core: bytes become calls of its builder, some with a number that makes no sense, and the
// program of the steps that it accepts is run. A step may be refused with std::invalid_argument; nothing else may
// happen, and what no accepted step names as its result keeps its value.
//
// An entry for libFuzzer (clang++ -fsanitize=fuzzer,address,undefined); fuzz_main.cpp mutates for g++.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <list>
#include <stdexcept>
#include <utility>
#include <vector>

#include "fuzz_counts.h"
#include "program.h"

using chw::Finish;
using chw::Planes;
using chw::Program;
using chw::View;
using chw::Window;

FuzzCounts fuzz_counts;

namespace {

constexpr int64_t kHuge = int64_t{1} << 62;
constexpr int64_t kHostile[] = {0,         -1,        -2,           2,       63,
                                65535,     65536,     65537,        1 << 20, (int64_t{1} << 31) - 1,
                                int64_t{1} << 31, int64_t{1} << 32, kHuge, -kHuge, std::numeric_limits<int64_t>::max(),
                                std::numeric_limits<int64_t>::min()};
constexpr int64_t kOutside = 4096;  // floats of the input and of the output
constexpr float kUntouched = -12345.5f;

// Choices out of the fuzzer's bytes; zeros where they have run out.
class Source {
 public:
  Source(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool ended() const { return at_ >= size_; }
  uint8_t byte() { return ended() ? uint8_t{0} : data_[at_++]; }
  int64_t upto(int64_t most) { return 1 + byte() % most; }
  bool maybe(int percent) { return byte() >= 256 - 256 * percent / 100; }
  template <class T, size_t N>
  T pick(const T (&items)[N]) {
    return items[byte() % N];
  }

  // One step in eight gets one of its numbers changed: which one is settled here.
  void begin_step() { bend_ = maybe(12) ? byte() % 48 : -1; }
  int64_t bent(int64_t honest) {
    if (bend_ < 0 || bend_-- != 0) return honest;
    const uint8_t how = byte();
    if (how < 160) return how < 64 ? honest + 1 : how < 128 ? honest - 1 : 2 * honest;
    return kHostile[how % std::size(kHostile)];
  }

  float value() {
    constexpr float kValues[] = {0.0f,     1.0f,  -1.0f,  0.5f,     6.0f,      -3.0f, 1e-42f,
                                 65504.0f, 1e30f, -1e38f, INFINITY, -INFINITY, NAN};
    return pick(kValues);
  }

  // `count` values: some zeros, and what float16 and int8 hold exactly or not, or cannot hold at all.
  std::vector<float> values(int64_t count) {
    if (count < 0 || count > 1 << 18) count = 0;
    std::vector<float> made(static_cast<size_t>(count));
    const int every = byte() % 6, kind = byte() % 16;
    uint32_t state = 1 + byte();
    const float odd = kind > 13 ? value() : 0.1f;
    for (float& v : made) {
      state = state * 1664525u + 1013904223u;
      if (every && (state >> 16) % static_cast<uint32_t>(every + 1)) continue;
      v = static_cast<float>(static_cast<int>(state >> 24) - 128) * (kind < 6 ? 1.0f : kind < 12 ? 0.01f : odd);
    }
    return made;
  }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
  int bend_ = -1;
};

constexpr int64_t up(int64_t count) { return (count + 15) / 16 * 16; }

// A program under construction, and which floats of its arena its steps may write.
class Maker {
 public:
  Maker(Source& source, int64_t arena, int threads, const char* isa)
      : s(source),
        program(arena, {kOutside, kOutside, arena}, threads, isa),
        arena_(arena),
        may_write(static_cast<size_t>(arena)) {
    const std::vector<float> start(static_cast<size_t>(arena), kUntouched);
    program.write(0, start.data(), arena);
    made_.push_back(place(s.upto(10), s.upto(14), s.upto(20), s.byte() % 3));
  }

  void step() {
    s.begin_step();
    const Planes a = made_[made_.size() - 1 - s.byte() % std::min<size_t>(made_.size(), 3)];
    try {
      add(s.byte() % 14, a);
      ++fuzz_counts.accepted;
    } catch (const std::invalid_argument&) {
      ++fuzz_counts.refused;
    }
  }

  // Packs, times and lets go of some steps, then seals. False where the program is not complete.
  bool finish() {
    s.begin_step();
    for (int i = s.byte() % 6; i > 0; --i) try {
        const int64_t step = s.bent(s.byte() % std::max<int64_t>(program.steps(), 1));
        if (!program.packable(step)) continue;
        constexpr int kShapes[][2] = {{1, 1}, {1, 2}, {1, 4}, {2, 1}, {4, 1}, {8, 1}};
        const auto& shape = kShapes[s.byte() % std::size(kShapes)];
        const int most = program.max_vectors(shape[0], shape[1]);
        constexpr int64_t kSlices[] = {0, 0, 1, 3, 64};
        const int block = narrow(shape[0]), lines = narrow(shape[1]), vectors = narrow(s.upto(std::max(most, 1)));
        program.pack(step, {block, lines, vectors, narrow(s.byte() % 3), s.bent(s.pick(kSlices))});
        chw::Weights weights;
        int64_t pixels;
        program.layer(step, weights, pixels);
        if (s.maybe(20)) program.time_step(step, narrow(1));
        if (s.maybe(30)) program.release(step);
        program.borrows(weights.data);
      } catch (const std::invalid_argument&) {
      }
    try {
      program.unary(0, {0, 0, {arena_}, {1}}, {3, 0, {arena_}, {1}}, 0, 0);
      program.seal();
    } catch (const std::invalid_argument&) {
      return false;
    }
    weights_.clear();
    return true;
  }

 private:
  int narrow(int64_t honest) { return static_cast<int>(s.bent(honest)); }

  // Room for planes with margins for windows that reach `reach` beyond them; what was placed long ago is given up.
  Planes place(int64_t channels, int64_t height, int64_t width, int64_t reach) {
    channels = std::clamp<int64_t>(channels, 1, 1 << 16);
    height = std::clamp<int64_t>(height, 1, 256);
    width = std::clamp<int64_t>(width, 1, 256);
    const int64_t margin = up(reach * width + reach), stride = up(height * width + margin);
    const int64_t size = up(margin + channels * stride);
    if (next_ + size > arena_) next_ = 0;
    const Planes found{next_ + margin, stride, channels, height, width, reach ? stride - height * width : 0};
    next_ += size;
    return found;
  }

  Planes planes(const Planes& p) {
    return {s.bent(p.offset), s.bent(p.stride), s.bent(p.channels), s.bent(p.height), s.bent(p.width), s.bent(p.gap)};
  }

  View view(const Planes& p, bool read) {
    View v{0, p.offset, {p.channels, p.height, p.width}, {p.stride, p.width, 1}};
    if (s.maybe(20)) {  // an external buffer
      v.base = read ? 1 : 2;
      v.offset = s.byte();
      v.strides[0] = p.pixels();
    }
    if (read && s.maybe(10)) v.strides[static_cast<size_t>(s.byte() % 3)] = 0;
    if (s.maybe(10)) {  // backwards
      const size_t axis = s.byte() % 3;
      v.offset += (v.shape[axis] - 1) * v.strides[axis];
      v.strides[axis] *= -1;
    }
    v.base = narrow(v.base);
    v.offset = s.bent(v.offset);
    for (size_t i = 0; i < 3; ++i) v.shape[i] = s.bent(v.shape[i]), v.strides[i] = s.bent(v.strides[i]);
    return v;
  }

  void transpose(std::vector<View*> views) {
    if (!s.maybe(40)) return;
    const size_t from = s.byte() % 3, to = s.byte() % 3;
    for (View* v : views) std::swap(v->shape[from], v->shape[to]), std::swap(v->strides[from], v->strides[to]);
  }

  Window window(const Planes& a, int64_t side_h, int64_t side_w, int64_t stride, int64_t dilation, bool same) {
    const auto axis = [&](int64_t size, int64_t side, int64_t& out, int64_t& pad) {
      const int64_t span = (side - 1) * dilation + 1;
      out = same ? (size + stride - 1) / stride : std::max<int64_t>((size - span) / stride + 1, 1);
      pad = same ? std::max<int64_t>((out - 1) * stride + span - size, 0) / 2 : 0;
    };
    Window w{a.height, a.width, 0, 0, side_h, side_w, stride, stride, dilation, dilation, 0, 0};
    axis(a.height, side_h, w.out_h, w.pad_h);
    axis(a.width, side_w, w.out_w, w.pad_w);
    return w;
  }

  static int64_t area(const Window& w) {
    return std::clamp<int64_t>(w.kernel_h, 0, 9) * std::clamp<int64_t>(w.kernel_w, 0, 9);
  }

  void bend(Window& w) {
    for (int64_t* n : {&w.in_h, &w.in_w, &w.out_h, &w.out_w, &w.kernel_h, &w.kernel_w, &w.stride_h, &w.stride_w,
                       &w.dilation_h, &w.dilation_w, &w.pad_h, &w.pad_w})
      *n = s.bent(*n);
  }

  Finish finish(const Planes& y, bool may_add) {
    Finish f;
    f.act = narrow(s.byte() % 4);
    f.low = s.value();
    f.high = s.value();
    if (f.act == 2) f.slope = values(y.channels);
    if (may_add && s.maybe(25)) {
      f.has_residual = true;
      f.residual = y;
      for (const Planes& p : made_)
        if (p.channels == y.channels && p.pixels() == y.pixels()) f.residual = p;
      f.residual = planes(f.residual);
      f.after = narrow(s.byte() % 4);
      if (f.after == 2) f.after_slope = values(y.channels);
    }
    return f;
  }

  std::vector<float> values(int64_t count) { return s.values(s.bent(count)); }

  // Weights of exactly the size that they claim, kept until the program is sealed.
  chw::Weights weights(int64_t rows, int64_t columns) {
    rows = s.bent(rows);
    columns = s.bent(columns);
    if (rows < 0 || columns < 0 || rows > 1 << 18 || columns > 1 << 18 || rows * columns > 1 << 18) rows = columns = 0;
    weights_.push_back(s.values(rows * columns));
    return {weights_.back().data(), rows, columns};
  }

  void wrote(const Planes& p) {
    for (int64_t c = 0; c < p.channels; ++c) {
      const auto first = may_write.begin() + (p.offset + c * p.stride);
      std::fill(first, first + p.pixels() + p.gap, uint8_t{1});
    }
  }

  void wrote(const View& v) {
    if (v.base) return;
    for (int64_t i = 0; i < v.shape[0]; ++i)
      for (int64_t j = 0; j < v.shape[1]; ++j)
        for (int64_t k = 0; k < v.shape[2]; ++k)
          may_write[static_cast<size_t>(v.offset + i * v.strides[0] + j * v.strides[1] + k * v.strides[2])] = 1;
  }

  void keep(const Planes& honest, const Planes& y) {
    wrote(y);
    made_.push_back(honest);
  }

  void add(int kind, const Planes& honest) {
    const Planes a = planes(honest);
    if (kind < 5) return elementwise(kind, honest);
    constexpr int64_t kSides[] = {3, 1, 3, 5, 2}, kStrides[] = {1, 1, 2, 3}, kDilations[] = {1, 1, 1, 2};
    const int64_t side = s.pick(kSides), stride = s.pick(kStrides), dilation = stride == 1 ? s.pick(kDilations) : 1;
    const int64_t reach = s.byte() % 3, channels = s.upto(12);
    const bool same = !s.maybe(30);
    Window w = window(honest, side, s.maybe(90) ? s.pick(kSides) : side, stride, dilation, same);
    if (kind == 5) {
      const Planes to = place(honest.channels, s.upto(16), s.upto(40), reach), y = planes(to);
      const auto index = [&](int64_t count, int64_t size) {
        std::vector<int32_t> found(static_cast<size_t>(s.bent(count) == count ? count : 0));
        const bool scattered = s.maybe(30);
        for (size_t i = 0; i < found.size(); ++i)
          found[i] = static_cast<int32_t>(scattered ? s.byte() % size : static_cast<int64_t>(i) * size / count);
        if (!found.empty()) found.back() = static_cast<int32_t>(s.bent(found.back()));
        return found;
      };
      const auto y0 = index(to.height, honest.height), y1 = index(to.height, honest.height);
      const auto x0 = index(to.width, honest.width), x1 = index(to.width, honest.width);
      program.resize(a, y, y0, y1, values(to.height), x0, x1, values(to.width));
      return keep(to, y);
    }
    if (kind == 6 || kind == 7) {
      const int64_t times = s.maybe(15) ? 2 : 1;
      const bool flat = s.maybe(50) && times == 1;
      if (flat) w = window(honest, side, side, 1, 1, true);
      bend(w);
      const Planes to = place(honest.channels * times, w.out_h, w.out_w, reach), y = planes(to);
      const auto taps = values(to.channels * area(w));
      program.depthwise(a, y, w, taps, values(to.channels), finish(to, false), flat);
      return keep(to, y);
    }
    if (kind == 8) {
      w = window(honest, side, s.pick(kSides), stride, 1, same);
      bend(w);
      const Planes to = place(honest.channels, w.out_h, w.out_w, reach), y = planes(to);
      program.pool(a, y, w, narrow(s.byte() % 2), s.value(), s.value());
      return keep(to, y);
    }
    if (kind == 9) {
      const Planes to = place(channels, 1, 1, 0);
      const int64_t columns = std::min<int64_t>(honest.stride * honest.channels, s.upto(200));
      const View from{0, s.bent(honest.offset), {s.bent(columns)}, {s.bent(1)}};
      const View y{0, s.bent(to.offset), {s.bent(channels)}, {s.bent(1)}};
      program.matvec(from, y, weights(channels, columns), values(channels), s.value(), s.value());
      Planes single = to;
      single.stride = 1;
      made_.push_back(single);
      for (int64_t i = 0; i < channels; ++i) may_write[static_cast<size_t>(y.offset + i)] = 1;
      return;
    }
    product(kind, a, honest, channels, reach, side, w);
  }

  void elementwise(int kind, const Planes& honest) {
    const Planes to = place(honest.channels, honest.height, honest.width, s.byte() % 3);
    View a = view(honest, true), b = view(made_[s.byte() % made_.size()], true), y = view(to, false);
    if (b.base == 0 || s.maybe(50)) b = a;
    if (kind == 0) {
      program.fill(y, s.value());
    } else if (kind == 1) {
      transpose({&a, &y});
      program.unary(narrow(s.byte() % 21), a, y, s.value(), s.value());
    } else if (kind == 2) {
      transpose({&a, &b, &y});
      program.binary(narrow(s.byte() % 10), a, b, y, s.value(), s.value());
    } else if (kind == 3) {
      transpose({&a});
      const int axes = 1 + s.byte() % 3;
      View less = y;
      less.shape.assign(a.shape.begin(), a.shape.end() - axes);
      less.strides.clear();
      for (size_t i = 1; i <= less.shape.size(); ++i)
        less.strides.push_back(i < less.shape.size() ? less.shape[i] : 1);
      program.reduce(narrow(s.byte() % 5), a, less, narrow(axes));
      less.shape.resize(3, 1);
      less.strides.resize(3, 0);
      return wrote(less);
    } else {
      transpose({&a, &y});
      program.softmax(a, y, s.value());
    }
    wrote(y);
    if (y.base == 0) made_.push_back(to);
  }

  // Products of pixels, windows and depthwise sums, placed or in bands that feed a depthwise step.
  void product(int kind, const Planes& a, const Planes& honest, int64_t channels, int64_t reach, int64_t side,
               Window w) {
    const bool banded = s.maybe(30);
    if (kind == 11) bend(w);
    const int64_t height = kind == 11 ? std::clamp<int64_t>(w.out_h, 1, 256) : honest.height;
    const int64_t width = kind == 11 ? std::clamp<int64_t>(w.out_w, 1, 256) : honest.width;
    Planes to = banded ? Planes{chw::kUnplaced, 0, channels, height, width} : place(channels, height, width, reach);
    const Planes y = planes(to);
    const Finish f = finish(to, true);
    if (kind == 10 || kind == 13) {
      program.product(a, y, weights(channels, honest.channels), values(channels), f);
    } else if (kind == 11) {
      program.convolution(a, y, w, weights(channels, honest.channels * area(w)), values(channels), f);
    } else {
      const int64_t kernel = side == 5 ? 5 : 3;
      const auto before = values(honest.channels * kernel * kernel), sums = values(honest.channels);
      program.separable(a, y, s.bent(kernel), before, sums, finish(honest, false), weights(channels, honest.channels),
                        values(channels), f);
    }
    if (y.offset != chw::kUnplaced) return keep(to, y);
    to.offset = 0;
    const int64_t kernel = side == 5 ? 5 : 3;
    Window next = window(to, kernel, kernel, 1 + s.byte() % 2, 1, !s.maybe(20));
    bend(next);
    if (next.out_h < 1 || next.out_h > 64 || next.out_w < 1 || next.out_w > 64) return;
    const int64_t rows = s.bent(1 + s.byte() % next.out_h);
    const Planes target = place(channels, next.out_h, next.out_w, reach), last = planes(target);
    Planes middle = place(channels * program.threads(), Program::band_rows(next, rows, program.lanes()), width, 0);
    middle.stride += 64;
    middle.offset += middle.offset < 8 ? 16 : 0;
    middle = planes(middle);
    program.band(middle, last, next, values(channels * kernel * kernel), values(channels), finish(target, false), rows);
    wrote(middle);
    keep(target, last);
  }

  Source& s;

 public:
  Program program;

 private:
  int64_t arena_, next_ = 0;
  std::vector<Planes> made_;
  std::list<std::vector<float>> weights_;

 public:
  std::vector<uint8_t> may_write;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Source source(data, size);
  constexpr const char* kIsas[] = {"", "portable", "avx2"};
  constexpr int64_t kArenas[] = {4096, 8192, 2048, 16384, 8192, 4096, 8192, 32768};
  const char* isa = source.pick(kIsas);
  const int64_t arena = source.pick(kArenas);
  const int threads = source.maybe(4) ? 2 + source.byte() % 2 : 1;
  ++fuzz_counts.inputs;
  try {
    Program::lanes_of(isa);
  } catch (const std::invalid_argument&) {
    isa = "portable";
  }
  Maker maker(source, arena, threads, isa);
  for (int i = 0; i < 8 && (i == 0 || !source.ended()); ++i) maker.step();
  if (maker.program.steps() == 0 || !maker.finish()) return 0;
  std::vector<float> in = source.values(kOutside), out(kOutside), left(static_cast<size_t>(arena));
  ++fuzz_counts.run;
  maker.program.run({in.data(), out.data(), left.data()});
  if (source.maybe(5)) maker.program.profile({in.data(), out.data(), left.data()});
  for (size_t i = 0; i < left.size(); ++i)
    if (!maker.may_write[i] && left[i] != kUntouched) {
      std::fprintf(stderr, "float %zu of the arena was written, which is no step's result\n", i);
      std::abort();
    }
  return 0;
}
