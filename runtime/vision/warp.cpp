// The Python module `_warp`: a turned rectangle of a picture, bilinear, straight into a model's float input.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#ifdef __x86_64__
#include <emmintrin.h>
#endif

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Picture = nb::ndarray<const uint8_t, nb::ndim<3>, nb::device::cpu>;
using Row = std::array<double, 3>;
using Tensor = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

constexpr int kParts = 32;                 // places are rounded to 1/32 pixel
constexpr double kFarthest = 65536.0;      // pixels, beyond any picture; two of them fit kRound
constexpr float kRound = 12582912.0f;      // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
constexpr int32_t kRoundBits = 0x4B400000;

struct Source {
  const uint8_t* data;
  int width, height;
  int64_t stride;
  bool replicate;

  const uint8_t* at(int x, int y) const { return data + y * stride + 3 * static_cast<int64_t>(x); }

  // Whether the cell's left pixels, or those that stand for them, have their right neighbours and two bytes behind them.
  bool holds(int x, int y) const {
    return static_cast<uint32_t>(x) < static_cast<uint32_t>(std::max(width - 2, 0)) &&
           (replicate || static_cast<uint32_t>(y) < static_cast<uint32_t>(height - 1));
  }

  // Eight bytes from a pixel on, of the nearest row.
  uint64_t row(int x, int y) const {
    uint64_t bytes;
    std::memcpy(&bytes, at(x, std::clamp(y, 0, height - 1)), 8);
    return bytes;
  }

  // The three bytes that stand for a pixel which may lie outside.
  uint64_t pixel(int x, int y) const {
    const int inside_x = std::clamp(x, 0, width - 1), inside_y = std::clamp(y, 0, height - 1);
    if (!replicate && (inside_x != x || inside_y != y)) return 0;
    const uint8_t* p = at(inside_x, inside_y);
    return p[0] | p[1] << 8 | p[2] << 16;
  }

  uint64_t edge(int x, int y) const { return pixel(x, y) | pixel(x + 1, y) << 24; }
};

// How a byte becomes a value.
struct Range {
  float scale, low;
};

// Three values from two pixels `above` and two `below`, one byte after another from the lowest, rounded half up to a byte
// in between. `right` and `down`, in parts of a pixel, say where between them.
#ifdef __x86_64__
struct Blend {
  __m128i upper[kParts], lower[kParts], sides[kParts];
  __m128 scale, low;

  explicit Blend(Range range) : scale(_mm_set1_ps(range.scale)), low(_mm_set1_ps(range.low)) {
    for (int i = 0; i < kParts; ++i) {
      upper[i] = _mm_set1_epi16(static_cast<int16_t>(kParts - i));
      lower[i] = _mm_set1_epi16(static_cast<int16_t>(i));
      sides[i] = _mm_set1_epi32(i << 16 | (kParts - i));
    }
  }

  void operator()(uint64_t above, uint64_t below, int right, int down, float* out) const {
    const auto wide = [](uint64_t bytes) {
      return _mm_unpacklo_epi8(_mm_cvtsi64_si128(static_cast<int64_t>(bytes)), _mm_setzero_si128());
    };
    const __m128i column =
        _mm_add_epi16(_mm_mullo_epi16(wide(above), upper[down]), _mm_mullo_epi16(wide(below), lower[down]));
    const __m128i pairs = _mm_unpacklo_epi16(column, _mm_srli_si128(column, 6));  // left and right of each channel
    const __m128i sum = _mm_add_epi32(_mm_madd_epi16(pairs, sides[right]), _mm_set1_epi32(kParts * kParts / 2));
    const __m128 values = _mm_add_ps(_mm_mul_ps(_mm_cvtepi32_ps(_mm_srli_epi32(sum, 10)), scale), low);
    _mm_storel_pi(reinterpret_cast<__m64*>(out), values);
    _mm_store_ss(out + 2, _mm_movehl_ps(values, values));
  }
};
#else
struct Blend {
  Range range;

  explicit Blend(Range r) : range(r) {}

  void operator()(uint64_t above, uint64_t below, int right, int down, float* out) const {
    const auto column = [&](int i) {
      return static_cast<int>(above >> 8 * i & 255) * (kParts - down) + static_cast<int>(below >> 8 * i & 255) * down;
    };
    for (int i = 0; i < 3; ++i) {
      const int whole = (column(i) * (kParts - right) + column(i + 3) * right + kParts * kParts / 2) >> 10;
      out[i] = static_cast<float>(whole) * range.scale + range.low;
    }
  }
};
#endif

// Where one row of the result looks: one coordinate of each pixel in parts of a pixel.
void places(const float* columns, float row, int count, int32_t* parts) {
  for (int i = 0; i < count; ++i) parts[i] = std::bit_cast<int32_t>((columns[i] + row) * kParts + kRound) - kRoundBits;
}

float bounded(double place) { return static_cast<float>(std::clamp(place, -kFarthest, kFarthest)); }

void warp_rows(const Source s, float* out, int rows, int columns, const Row& x_row, const Row& y_row, Range range) {
  std::vector<float> across(2 * static_cast<size_t>(columns));
  std::vector<int32_t> parts(2 * static_cast<size_t>(columns));
  float *x_across = across.data(), *y_across = x_across + columns;
  int32_t *x_parts = parts.data(), *y_parts = x_parts + columns;
  for (int i = 0; i < columns; ++i) {
    x_across[i] = bounded(i * x_row[0] + x_row[2]);
    y_across[i] = bounded(i * y_row[0] + y_row[2]);
  }
  const Blend blend(range);
  for (int row = 0; row < rows; ++row) {
    places(x_across, bounded(row * x_row[1]), columns, x_parts);
    places(y_across, bounded(row * y_row[1]), columns, y_parts);
    for (int i = 0; i < columns; ++i, out += 3) {
      const int x = x_parts[i] >> 5, y = y_parts[i] >> 5;
      const int right = x_parts[i] & (kParts - 1), down = y_parts[i] & (kParts - 1);
      if (s.holds(x, y))
        blend(s.row(x, y), s.row(x, y + 1), right, down, out);
      else
        blend(s.edge(x, y), s.edge(x, y + 1), right, down, out);
    }
  }
}

void warp(const Picture& picture, const Tensor& tensor, const Row& x_row, const Row& y_row, float scale,
          float low, bool replicate) {
  if (picture.shape(2) != 3 || picture.stride(2) != 1 || picture.stride(1) != 3)
    throw std::invalid_argument("the picture's pixels must be three bytes, side by side");
  if (picture.size() == 0 || picture.shape(0) > kFarthest / 2 || picture.shape(1) > kFarthest / 2)
    throw std::invalid_argument("the picture has no pixels or too many");
  if (tensor.shape(2) != 3) throw std::invalid_argument("the tensor must have three channels");
  const Source source{picture.data(), static_cast<int>(picture.shape(1)), static_cast<int>(picture.shape(0)),
                      picture.stride(0), replicate};
  const int rows = static_cast<int>(tensor.shape(0)), columns = static_cast<int>(tensor.shape(1));
  nb::gil_scoped_release release;
  warp_rows(source, tensor.data(), rows, columns, x_row, y_row, {scale, low});
}

}  // namespace

NB_MODULE(_warp, m) {
  m.doc() = "One warp from a picture into a model's input.";
  m.def("warp", &warp, "picture"_a, "tensor"_a.noconvert(), "x_row"_a, "y_row"_a, "scale"_a, "low"_a, "replicate"_a,
        "Fill `tensor`, float32 [rows, columns, 3], from `picture`, uint8 [height, width, 3], bilinear.\n\n"
        "Pixel (column, row) looks at x = column * x_row[0] + row * x_row[1] + x_row[2] of the picture, y likewise,\n"
        "rounded to 1/32 pixel; the result, rounded to a byte, is multiplied by `scale`, and `low` added. Outside the\n"
        "picture is its nearest pixel, or with `replicate` False zero. Releases the GIL.");
}
