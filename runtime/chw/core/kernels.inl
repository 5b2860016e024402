// The kernels, compiled once per instruction set: a kernels_*.cpp defines POCKETGRAPH_ISA and includes this file.

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels.h"
#include "simd.h"

namespace chw {
namespace {

inline vf clamp(vf v, vf low, vf high) { return min(max(v, low), high); }

inline vf activate(Act act, vf v, float low, float high, float slope) {
  if (act == Act::kClamp) return clamp(v, splat(low), splat(high));
  if (act == Act::kPrelu) return fma(min(v, zero()), splat(slope), max(v, zero()));
  if (act == Act::kHardSwish) return v * clamp(v + splat(3.0f), zero(), splat(6.0f)) * splat(1.0f / 6.0f);
  return v;
}

// ---- matrix product of one group of rows with a tile: the heart of sparse and dense layers alike

template <int B, int R>
const float* widen(const Rows& a, int64_t group) {
  const int64_t first = a.starts[group], count = (a.starts[group + 1] - first) * B * R;
  if (a.storage == 0) return static_cast<const float*>(a.weights) + first * B * R;
  if (a.storage == 1) {
    const uint16_t* stored = static_cast<const uint16_t*>(a.weights) + first * B * R;
    for (int64_t i = 0; i < count; i += kLanes) store(a.scratch + i, from_half(stored + i));
    return a.scratch;
  }
  const int8_t* stored = static_cast<const int8_t*>(a.weights) + first * B * R;
  for (int64_t i = 0; i < count; ++i) a.scratch[i] = static_cast<float>(stored[i]);
  for (int r = 0; r < R; ++r)
    for (int b = 0; b < B; ++b) {
      const int64_t channel = std::clamp<int64_t>(a.order[group * R + r] + b, 0, a.channels - 1);
      for (int64_t i = r * B + b; i < count; i += B * R) a.scratch[i] *= a.scale[channel];
    }
  return a.scratch;
}

template <int V>
inline void finish_row(const Rows& a, vf* sum, int64_t channel, int64_t whole, vmask tail) {
  const Epilogue& e = a.epilogue;
  if (e.act != Act::kNone) {
    const float slope = e.slope ? e.slope[channel] : 0;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[v] = activate(e.act, sum[v], e.low, e.high, slope);
  }
  if (e.residual) {
    const float* r = e.residual + channel * e.residual_stride + a.pixel0;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      if (v < whole)
        sum[v] = sum[v] + load(r + v * kLanes);
      else if (v == whole)
        sum[v] = sum[v] + load(r + v * kLanes, tail);
    }
  }
  if (e.after != Act::kNone) {
    const float slope = e.after_slope ? e.after_slope[channel] : 0;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[v] = activate(e.after, sum[v], e.after_low, e.after_high, slope);
  }
  float* y = a.out + channel * a.out_stride;
  if (a.gap) std::fill(y + a.pixels, y + a.pixels + a.gap, 0.0f);
  if (whole >= V) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(y + v * kLanes, sum[v]);
    return;
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    if (v < whole)
      store(y + v * kLanes, sum[v]);
    else if (v == whole)
      store(y + v * kLanes, sum[v], tail);
  }
}

template <int B, int R, int V>
void rows_kernel(const Rows& a) {
  constexpr int kTile = V * kLanes;
  const int64_t whole = a.pixels / kLanes;
  const vmask tail = mask_of(first_lanes(a.pixels - whole * kLanes));
  const float* const tile = a.tile;
  for (int64_t g = a.first; g < a.last; ++g) {
    const int32_t* line = a.order + g * R;
    if (a.ends) {
      // the lines that this group will store to: fetched while it multiplies
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int b = 0; b < B; ++b) {
          const float* y = a.out + std::clamp<int64_t>(line[r] + b, 0, a.channels - 1) * a.out_stride;
#pragma GCC unroll 8
          for (int v = 0; v < V * kLanes; v += 16) __builtin_prefetch(y + v, 1);
        }
    }
    vf sum[R][B][V];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) {
        const int64_t channel = std::clamp<int64_t>(line[r] + b, 0, a.channels - 1);
        if (a.begins) {
          const vf start = splat(a.bias[channel]);
#pragma GCC unroll 8
          for (int v = 0; v < V; ++v) sum[r][b][v] = start;
        } else {
#pragma GCC unroll 8
          for (int v = 0; v < V; ++v) sum[r][b][v] = load(a.sums + channel * kTile + v * kLanes);
        }
      }
    const float* w = widen<B, R>(a, g);
    const uint16_t* column = a.columns + (a.alike ? 0 : static_cast<size_t>(a.starts[g]) * R);
    const uint16_t* const end = column + static_cast<size_t>(a.starts[g + 1] - a.starts[g]) * R;
    for (; column < end; column += R, w += B * R) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const float* x = tile + static_cast<size_t>(column[r]) * kTile;
        if constexpr (B == 1) {
          const vf weight = splat(w[r]);
#pragma GCC unroll 8
          for (int v = 0; v < V; ++v) sum[r][0][v] = fma(weight, load(x + v * kLanes), sum[r][0][v]);
        } else {
          vf pixel[V];
#pragma GCC unroll 8
          for (int v = 0; v < V; ++v) pixel[v] = load(x + v * kLanes);
#pragma GCC unroll 8
          for (int b = 0; b < B; ++b) {
            const vf weight = splat(w[r * B + b]);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) sum[r][b][v] = fma(weight, pixel[v], sum[r][b][v]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) {
        const int64_t channel = line[r] + b;
        if (line[r] < 0 || channel >= a.channels) continue;
        if (a.ends) {
          finish_row<V>(a, sum[r][b], channel, whole, tail);
        } else {
#pragma GCC unroll 8
          for (int v = 0; v < V; ++v) store(a.sums + channel * kTile + v * kLanes, sum[r][b][v]);
        }
      }
  }
}

template <int B, int R, int V>
constexpr RowsKernel pick() {
  // sums, the pixels that a block shares, and a weight must fit the registers
  if constexpr (R * B * V + (B > 1 ? V : 0) + 1 <= kRegisters)
    return rows_kernel<B, R, V>;
  else
    return nullptr;
}

// ---- filling tiles

// Stores lanes x, x + 1, … of a row of `width` values, those that exist.
inline void store_row(float* out, int64_t x, int64_t width, vf value) {
  if (x + kLanes <= width)
    store(out + x, value);
  else
    store(out + x, value, mask_of(first_lanes(width - x)));
}

constexpr int64_t kAhead = 4;  // planes to fetch in advance: no hardware foresees steps from plane to plane

void fill_copy(const float* planes, int64_t stride, int64_t channels, int64_t p, int vectors, float* tile) {
  const float* from = planes + p;
  for (int64_t c = 0; c < channels; ++c, from += stride)
    for (int v = 0; v < vectors; ++v, tile += kLanes) {
      __builtin_prefetch(from + kAhead * stride + v * kLanes);
      store(tile, load(from + v * kLanes));
    }
}

// The output columns whose input column lies in the picture: [first, last).
inline void columns_inside(int64_t start, int64_t stride, int64_t size, int64_t& first, int64_t& last) {
  first = start >= 0 ? 0 : (-start + stride - 1) / stride;
  last = start >= size ? 0 : (size - start + stride - 1) / stride;
  last = std::max(first, last);
}

inline void copy_strided(const float* from, int64_t stride, int64_t n, float* to) {
  if (stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  int64_t i = 0;
  if (stride == 2)
    for (; i + kLanes < n; i += kLanes) store(to + i, evens(load(from + 2 * i), load(from + 2 * i + kLanes)));
  for (; i < n; ++i) to[i] = from[i * stride];
}

void fill_window(const float* planes, int64_t stride, int64_t channels, const Window& w, int64_t p, int vectors,
                 float* tile) {
  const int64_t width = static_cast<int64_t>(vectors) * kLanes;
  const int64_t end = std::min(p + width, w.out_h * w.out_w);
  for (int64_t ky = 0; ky < w.kernel_h; ++ky)
    for (int64_t kx = 0; kx < w.kernel_w; ++kx, tile += channels * width) {
      int64_t inside0, inside1;
      const int64_t start = kx * w.dilation_w - w.pad_w;
      columns_inside(start, w.stride_w, w.in_w, inside0, inside1);
      for (int64_t q = p; q < end;) {
        const int64_t y = q / w.out_w, x = q - y * w.out_w;
        const int64_t n = std::min(end - q, w.out_w - x), row = y * w.stride_h - w.pad_h + ky * w.dilation_h;
        float* to = tile + (q - p);
        if (row < 0 || row >= w.in_h) {
          for (int64_t c = 0; c < channels; ++c, to += width) std::fill(to, to + n, 0.0f);
        } else {
          const int64_t a = std::clamp(inside0 - x, int64_t{0}, n), b = std::clamp(inside1 - x, a, n);
          const float* from = planes + row * w.in_w + (x + a) * w.stride_w + start;
          for (int64_t c = 0; c < channels; ++c, to += width, from += stride) {
            std::fill(to, to + a, 0.0f);
            copy_strided(from, w.stride_w, b - a, to + a);
            std::fill(to + b, to + n, 0.0f);
          }
        }
        q += n;
      }
      if (end - p < width)
        for (int64_t c = 0; c < channels; ++c) std::fill(tile + c * width + (end - p), tile + (c + 1) * width, 0.0f);
    }
}

// The lanes of row vector `now` moved by `dx` pixels, its neighbours filling in.
template <int DX>
inline vf moved(vf before, vf now, vf behind) {
  if constexpr (DX < 0)
    return slide<kLanes + DX>(before, now);
  else if constexpr (DX > 0)
    return slide<DX>(now, behind);
  else
    return now;
}

template <int K>
void depthwise_flat(const float* planes, int64_t stride, int64_t channels, const Depthwise& d, const uint16_t* edges,
                    int64_t edge_stride, int64_t first, int64_t p, int64_t vectors, int64_t end, float* tile) {
  constexpr int R = K / 2;
  const int64_t width = d.window.in_w;
  const vf low = splat(d.low), high = splat(d.high);
  const uint16_t* const edge = edges + p / kLanes;
  for (int64_t c = 0; c < channels; ++c, tile += vectors * kLanes) {
    const float* in = planes + c * stride + p;
    const float* const w = d.weights + (first + c) * K * K;
    const vf bias = splat(d.bias[first + c]);
    const float slope = d.slope ? d.slope[first + c] : 0;
    vf before[K], now[K];
#pragma GCC unroll 5
    for (int ky = 0; ky < K; ++ky) {
      before[ky] = load(in + (ky - R) * width - kLanes);
      now[ky] = load(in + (ky - R) * width);
    }
    for (int64_t v = 0; v < vectors; ++v) {
      __builtin_prefetch(in + kAhead * stride + R * width + v * kLanes);
      vf left[R], right[R], middle = bias;  // one sum per dx, so that each takes one mask
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) left[r] = right[r] = zero();
#pragma GCC unroll 5
      for (int ky = 0; ky < K; ++ky) {
        const vf behind = load(in + (ky - R) * width + (v + 1) * kLanes);
        if constexpr (R == 2) {
          left[1] = fma(splat(w[ky * K]), moved<-2>(before[ky], now[ky], behind), left[1]);
          right[1] = fma(splat(w[ky * K + 4]), moved<2>(before[ky], now[ky], behind), right[1]);
        }
        left[0] = fma(splat(w[ky * K + R - 1]), moved<-1>(before[ky], now[ky], behind), left[0]);
        middle = fma(splat(w[ky * K + R]), now[ky], middle);
        right[0] = fma(splat(w[ky * K + R + 1]), moved<1>(before[ky], now[ky], behind), right[0]);
        before[ky] = now[ky];
        now[ky] = behind;
      }
      vf sum = middle;
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) {
        sum = sum + keep(left[r], mask_of(edge[(R - 1 - r) * edge_stride + v]));
        sum = sum + keep(right[r], mask_of(edge[(R + 1 + r) * edge_stride + v]));
      }
      sum = d.act == Act::kClamp ? clamp(sum, low, high) : activate(d.act, sum, d.low, d.high, slope);
      store_row(tile, v * kLanes, end - p, sum);
    }
  }
}

void fill_depthwise(const float* planes, int64_t stride, int64_t channels, const Depthwise& d, const uint16_t* edges,
                    int64_t edge_stride, int64_t first, int64_t p, int64_t vectors, int64_t end, float* tile) {
  if (d.window.kernel_h == 3)
    depthwise_flat<3>(planes, stride, channels, d, edges, edge_stride, first, p, vectors, end, tile);
  else
    depthwise_flat<5>(planes, stride, channels, d, edges, edge_stride, first, p, vectors, end, tile);
}

// ---- depthwise and pooling of whole planes, over a copy with its padding written out

// Floats per row of the padded copy: every load of the kernels below stays within it.
inline int64_t padded_pitch(const Window& w) {
  const int64_t columns = (w.out_w + kLanes) / kLanes * kLanes;
  return (columns - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 2 * kLanes + 1;
}

inline int64_t padded_rows(const Window& w) {
  return (w.out_h - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1;
}

void pad_plane(const float* in, const Window& w, float value, float* padded) {
  const int64_t pitch = padded_pitch(w), rows = padded_rows(w);
  const int64_t before = std::min(w.pad_w, pitch), n = std::min(pitch - before, w.in_w);
  for (int64_t y = 0; y < rows; ++y, padded += pitch) {
    const int64_t row = y - w.pad_h;
    if (row < 0 || row >= w.in_h) {
      std::fill(padded, padded + pitch, value);
      continue;
    }
    std::fill(padded, padded + before, value);
    std::memcpy(padded + before, in + row * w.in_w, static_cast<size_t>(n) * sizeof(float));
    std::fill(padded + before + n, padded + pitch, value);
  }
}

// lanes x, x+stride, x+2*stride, … of a padded row
inline vf load_strided(const float* p, int64_t stride) {
  if (stride == 1) return load(p);
  if (stride == 2) return evens(load(p), load(p + kLanes));
  float lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = p[i * stride];
  return load(lanes);
}

// Square kernels of 3 or 5, stride 1 or 2, straight from the plane: rows outside are left out, columns outside masked.
template <int K, int S>
void depthwise_square(const float* in, float* out, int64_t channel, const Depthwise& d, int64_t first_y,
                      int64_t last_y) {
  const Window& w = d.window;
  const float* const weight = d.weights + channel * K * K;
  const vf bias = splat(d.bias[channel]);
  const float slope = d.slope ? d.slope[channel] : 0;
  int64_t first[K], last[K];
  for (int kx = 0; kx < K; ++kx) columns_inside(kx - w.pad_w, S, w.in_w, first[kx], last[kx]);
  for (int64_t x = 0; x < w.out_w; x += kLanes) {
    vmask inside[K];
    for (int kx = 0; kx < K; ++kx)
      inside[kx] = mask_of(first_lanes(last[kx] - x) & ~first_lanes(first[kx] - x));
    const vmask exists = mask_of(first_lanes(w.out_w - x));
    for (int64_t y = first_y; y < last_y; ++y) {
      vf sum[K];
#pragma GCC unroll 5
      for (int kx = 0; kx < K; ++kx) sum[kx] = zero();
      const int64_t row = y * S - w.pad_h;
      const int first_ky = static_cast<int>(std::max<int64_t>(0, -row));
      const int last_ky = static_cast<int>(std::min<int64_t>(K, w.in_h - row));
      for (int ky = first_ky; ky < last_ky; ++ky) {
        const float* at = in + (row + ky) * w.in_w + x * S - w.pad_w;
        const float* k = weight + ky * K;
        if constexpr (S == 2) {
#pragma GCC unroll 3
          for (int kx = 0; kx < K; kx += 2) {
            const vf a = load(at + kx), b = load(at + kx + kLanes);
            sum[kx] = fma(splat(k[kx]), evens(a, b), sum[kx]);
            if (kx + 1 < K) sum[kx + 1] = fma(splat(k[kx + 1]), odds(a, b), sum[kx + 1]);
          }
        } else {
#pragma GCC unroll 5
          for (int kx = 0; kx < K; ++kx) sum[kx] = fma(splat(k[kx]), load(at + kx), sum[kx]);
        }
      }
      vf total = bias;
#pragma GCC unroll 5
      for (int kx = 0; kx < K; ++kx) total = total + keep(sum[kx], inside[kx]);
      store(out + y * w.out_w + x, activate(d.act, total, d.low, d.high, slope), exists);
    }
  }
}

void depthwise_any(const float* padded, float* out, int64_t channel, const Depthwise& d) {
  const Window& w = d.window;
  const int64_t pitch = padded_pitch(w), taps = w.kernel_h * w.kernel_w;
  const float slope = d.slope ? d.slope[channel] : 0;
  for (int64_t y = 0; y < w.out_h; ++y, out += w.out_w)
    for (int64_t x = 0; x < w.out_w; x += kLanes) {
      vf sum = splat(d.bias[channel]);
      for (int64_t ky = 0; ky < w.kernel_h; ++ky)
        for (int64_t kx = 0; kx < w.kernel_w; ++kx) {
          const float* at = padded + (y * w.stride_h + ky * w.dilation_h) * pitch + x * w.stride_w + kx * w.dilation_w;
          sum = fma(splat(d.weights[channel * taps + ky * w.kernel_w + kx]), load_strided(at, w.stride_w), sum);
        }
      store_row(out, x, w.out_w, activate(d.act, sum, d.low, d.high, slope));
    }
}

void depthwise_rows(const float* in, float* out, int64_t channel, const Depthwise& d, int64_t first, int64_t last) {
  const bool three = d.window.kernel_h == 3, one = d.window.stride_h == 1;
  if (three && one)
    depthwise_square<3, 1>(in, out, channel, d, first, last);
  else if (three)
    depthwise_square<3, 2>(in, out, channel, d, first, last);
  else if (one)
    depthwise_square<5, 1>(in, out, channel, d, first, last);
  else
    depthwise_square<5, 2>(in, out, channel, d, first, last);
}

void depthwise_plane(const float* in, float* out, int64_t channel, const Depthwise& d, float* scratch) {
  if (is_square_window(d.window)) return depthwise_rows(in, out, channel, d, 0, d.window.out_h);
  pad_plane(in, d.window, 0.0f, scratch);
  depthwise_any(scratch, out, channel, d);
}

inline int64_t overlap(int64_t start, int64_t kernel, int64_t size) {
  return std::min(start + kernel, size) - std::max(start, int64_t{0});
}

void pool_plane(const float* in, float* out, const Window& w, Pool kind, float low, float high, float* scratch) {
  const bool largest = kind == Pool::kMax;
  const float empty = largest ? -std::numeric_limits<float>::infinity() : 0.0f;
  pad_plane(in, w, empty, scratch);
  const int64_t pitch = padded_pitch(w);
  float share[kLanes];
  for (int64_t y = 0; y < w.out_h; ++y, out += w.out_w)
    for (int64_t x = 0; x < w.out_w; x += kLanes) {
      vf sum = splat(empty);
      for (int64_t ky = 0; ky < w.kernel_h; ++ky)
        for (int64_t kx = 0; kx < w.kernel_w; ++kx) {
          const vf v = load_strided(scratch + (y * w.stride_h + ky) * pitch + x * w.stride_w + kx, w.stride_w);
          sum = largest ? max(sum, v) : sum + v;
        }
      if (!largest) {
        const int64_t rows = overlap(y * w.stride_h - w.pad_h, w.kernel_h, w.in_h);
        for (int i = 0; i < kLanes; ++i) {
          const int64_t columns = overlap((x + i) * w.stride_w - w.pad_w, w.kernel_w, w.in_w);
          share[i] = 1.0f / static_cast<float>(std::max(rows * columns, int64_t{1}));
        }
        sum = sum * load(share);
      }
      store_row(out, x, w.out_w, clamp(sum, splat(low), splat(high)));
    }
}

// ---- one row of resized pixels

void resize_rows(const float* row0, const float* row1, float t, int64_t in_width, const Columns& columns, float* mixed,
                 float* out, int64_t width) {
  const vf down = splat(t);
  for (int64_t x = 0; x < in_width; x += kLanes) {
    const vf top = load(row0 + x);
    store(mixed + x, fma(load(row1 + x) - top, down, top));
  }
  if (columns.near) {
    for (int64_t x = 0; x < width; x += kLanes) {
      // the pixels between which these lie are close together: two vectors hold them all
      const float* from = mixed + columns.base[x / kLanes];
      const vf a = load(from), b = load(from + kLanes);
      const vf left = lookup(a, b, columns.near_left + x), right = lookup(a, b, columns.near_right + x);
      store_row(out, x, width, fma(right - left, load(columns.t + x), left));
    }
    return;
  }
  for (int64_t x = 0; x < width; ++x) {
    const float left = mixed[columns.left[x]], right = mixed[columns.right[x]];
    out[x] = left + (right - left) * columns.t[x];
  }
}

// ---- vectors

void matvec(const float* weights, const float* x, const float* bias, float* y, int64_t columns, int64_t first,
            int64_t last, float low, float high) {
  for (int64_t r = first; r < last; ++r) {
    const float* w = weights + r * columns;
    vf sum[4] = {zero(), zero(), zero(), zero()};
    int64_t i = 0;
    for (; i + 4 * kLanes <= columns; i += 4 * kLanes)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) sum[k] = fma(load(w + i + k * kLanes), load(x + i + k * kLanes), sum[k]);
    float lanes[kLanes];
    store(lanes, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    float total = bias[r];
    for (int k = 0; k < kLanes; ++k) total += lanes[k];
    for (; i < columns; ++i) total += w[i] * x[i];
    y[r] = std::min(std::max(total, low), high);
  }
}

// e^x to about 2 units in the last place: e^x = 2^n * e^r, |r| <= ln(2)/2, a polynomial of degree 6 for e^r.
inline float exp_one(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float n = (x * 1.44269504088896f + 12582912.0f) - 12582912.0f;  // rounds: 1.5 * 2^23 leaves no fraction bits
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

template <class F>
inline void each(const float* a, int64_t a_step, float* y, int64_t y_step, int64_t n, F f) {
  if (a_step == 1 && y_step == 1)
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i]);
  else
    for (int64_t i = 0; i < n; ++i) y[i * y_step] = f(a[i * a_step]);
}

// y[2 * i] = a[i]; what lies between is left alone.
void spread(const float* a, float* y, int64_t n) {
  int32_t low[kLanes], high[kLanes];
  uint32_t even = 0;
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i / 2;
    high[i] = (i + kLanes) / 2;
    even |= (i % 2 == 0 ? 1u : 0u) << i;
  }
  const vmask m = mask_of(even);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const vf v = load(a + i);
    store(y + 2 * i, lookup(v, v, low), m);
    store(y + 2 * i + kLanes, lookup(v, v, high), m);
  }
  for (; i < n; ++i) y[2 * i] = a[i];
}

// y[i] = a[3 * i]: one channel of three that lie side by side.
void one_of_three(const float* a, float* y, int64_t n) {
  int32_t near[kLanes], far[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    near[i] = 3 * i < 2 * kLanes ? 3 * i : 0;
    far[i] = 3 * i < 2 * kLanes ? i : 3 * i - kLanes;
  }
  int64_t i = 0;
  for (; i + kLanes < n; i += kLanes, a += 3 * kLanes)  // the last vector reads two values behind its own
    store(y + i, lookup(lookup(load(a), load(a + kLanes), near), load(a + 2 * kLanes), far));
  for (; i < n; ++i, a += 3) y[i] = *a;
}

void unary(Unary kind, const float* a, int64_t as, float* y, int64_t ys, int64_t n, float low, float high) {
  switch (kind) {
    case Unary::kCopy:
      if (as == 1 && ys == 1)
        std::memmove(y, a, static_cast<size_t>(n) * sizeof(float));
      else if (as == 1 && ys == 2)
        spread(a, y, n);
      else if (as == 3 && ys == 1)
        one_of_three(a, y, n);
      else
        each(a, as, y, ys, n, [](float v) { return v; });
      return;
    case Unary::kClamp:
      return each(a, as, y, ys, n, [=](float v) {
        v = v < low ? low : v;
        return v > high ? high : v;
      });
    case Unary::kLogistic: return each(a, as, y, ys, n, [](float v) { return 1.0f / (1.0f + exp_one(-v)); });
    case Unary::kTanh: return each(a, as, y, ys, n, [](float v) { return std::tanh(v); });
    case Unary::kHardSwish:
      return each(a, as, y, ys, n, [](float v) {
        float g = v + 3.0f;
        g = g < 0.0f ? 0.0f : g;
        g = g > 6.0f ? 6.0f : g;
        return v * g * (1.0f / 6.0f);
      });
    case Unary::kExp: return each(a, as, y, ys, n, [](float v) { return std::exp(v); });
    case Unary::kLog: return each(a, as, y, ys, n, [](float v) { return std::log(v); });
    case Unary::kSqrt: return each(a, as, y, ys, n, [](float v) { return std::sqrt(v); });
    case Unary::kRsqrt: return each(a, as, y, ys, n, [](float v) { return 1.0f / std::sqrt(v); });
    case Unary::kNeg: return each(a, as, y, ys, n, [](float v) { return -v; });
    case Unary::kAbs: return each(a, as, y, ys, n, [](float v) { return std::fabs(v); });
    case Unary::kSquare: return each(a, as, y, ys, n, [](float v) { return v * v; });
    case Unary::kElu: return each(a, as, y, ys, n, [](float v) { return v < 0 ? std::expm1(v) : v; });
    case Unary::kLeakyRelu: return each(a, as, y, ys, n, [=](float v) { return v < 0 ? v * low : v; });
    case Unary::kGelu:
      return each(a, as, y, ys, n, [](float v) { return 0.5f * v * (1.0f + std::erf(v * 0.70710678118654752f)); });
    case Unary::kGeluTanh:
      return each(a, as, y, ys, n, [](float v) {
        return 0.5f * v * (1.0f + std::tanh(0.7978845608028654f * (v + 0.044715f * v * v * v)));
      });
    case Unary::kFloor: return each(a, as, y, ys, n, [](float v) { return std::floor(v); });
    case Unary::kCeil: return each(a, as, y, ys, n, [](float v) { return std::ceil(v); });
    case Unary::kRound: return each(a, as, y, ys, n, [](float v) { return std::nearbyint(v); });
    case Unary::kSin: return each(a, as, y, ys, n, [](float v) { return std::sin(v); });
    case Unary::kCos: return each(a, as, y, ys, n, [](float v) { return std::cos(v); });
    case Unary::kCount: return;
  }
}

template <class F>
inline void each2(const float* a, int64_t as, const float* b, int64_t bs, float* y, int64_t ys, int64_t n, F f) {
  if (as == 1 && bs == 1 && ys == 1)
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  else if (as == 1 && bs == 0 && ys == 1) {
    const float c = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], c);
  } else
    for (int64_t i = 0; i < n; ++i) y[i * ys] = f(a[i * as], b[i * bs]);
}

void binary(Binary kind, const float* a, int64_t as, const float* b, int64_t bs, float* y, int64_t ys, int64_t n,
            float low, float high) {
  const auto limit = [=](float v) {
    v = v < low ? low : v;
    return v > high ? high : v;
  };
  switch (kind) {
    case Binary::kAdd: return each2(a, as, b, bs, y, ys, n, [=](float u, float v) { return limit(u + v); });
    case Binary::kSub: return each2(a, as, b, bs, y, ys, n, [=](float u, float v) { return limit(u - v); });
    case Binary::kMul: return each2(a, as, b, bs, y, ys, n, [=](float u, float v) { return limit(u * v); });
    case Binary::kDiv: return each2(a, as, b, bs, y, ys, n, [=](float u, float v) { return limit(u / v); });
    case Binary::kMaximum: return each2(a, as, b, bs, y, ys, n, [](float u, float v) { return u > v ? u : v; });
    case Binary::kMinimum: return each2(a, as, b, bs, y, ys, n, [](float u, float v) { return u < v ? u : v; });
    case Binary::kSquaredDifference:
      return each2(a, as, b, bs, y, ys, n, [](float u, float v) { return (u - v) * (u - v); });
    case Binary::kPrelu: return each2(a, as, b, bs, y, ys, n, [](float u, float v) { return u < 0 ? u * v : u; });
    case Binary::kPow: return each2(a, as, b, bs, y, ys, n, [](float u, float v) { return std::pow(u, v); });
    case Binary::kFloorDiv: return each2(a, as, b, bs, y, ys, n, [](float u, float v) { return std::floor(u / v); });
    case Binary::kCount: return;
  }
}

float reduce(Reduce kind, const float* a, int64_t step, int64_t n, float start) {
  float total = start;
  int64_t i = 0;
  if (step == 1 && (kind == Reduce::kSum || kind == Reduce::kMean) && n >= kLanes) {
    vf sum = zero();
    for (; i + kLanes <= n; i += kLanes) sum = sum + load(a + i);
    float lanes[kLanes];
    store(lanes, sum);
    for (int k = 0; k < kLanes; ++k) total += lanes[k];
  }
  for (; i < n; ++i) {
    const float v = a[i * step];
    switch (kind) {
      case Reduce::kSum:
      case Reduce::kMean: total += v; break;
      case Reduce::kMax: total = v > total ? v : total; break;
      case Reduce::kMin: total = v < total ? v : total; break;
      case Reduce::kProduct: total *= v; break;
      case Reduce::kCount: break;
    }
  }
  return total;
}

#define ROWS(B, R)                                                                                       \
  {                                                                                                      \
    pick<B, R, 1>(), pick<B, R, 2>(), pick<B, R, 3>(), pick<B, R, 4>(), pick<B, R, 5>(), pick<B, R, 6>(), \
        pick<B, R, 7>(), pick<B, R, 8>()                                                                 \
  }

int64_t padded_floats(const Window& w) { return padded_rows(w) * padded_pitch(w) + 2 * kLanes; }

const Kernels kKernels = {
    POCKETGRAPH_ISA, kLanes,          kRegisters,      {ROWS(1, 1), ROWS(1, 2), ROWS(1, 4), ROWS(2, 1), ROWS(4, 1), ROWS(8, 1)},
    fill_copy,       fill_window,     fill_depthwise,  depthwise_plane,
    depthwise_rows,  pool_plane,      matvec,          unary,           binary,
    reduce,          resize_rows,     padded_floats,
};

#undef ROWS

}  // namespace
}  // namespace chw
