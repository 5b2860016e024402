// What one instruction set offers: a table of kernels that work on plain pointers.
//
// Words: a plane is the H*W values of one channel, contiguous, row by row. A tile is a run of `lanes * vectors`
// consecutive pixels of all channels, packed [channel][pixel]. Everything is float32. The program checks all bounds
// before a kernel ever runs; kernels trust what they are given.
#pragma once

#include <cstddef>
#include <cstdint>

namespace chw {

enum class Act : int { kNone = 0, kClamp = 1, kPrelu = 2, kHardSwish = 3 };

// What happens to a sum before it is stored: v = act(v), v += residual, v = after(v).
struct Epilogue {
  Act act = Act::kNone, after = Act::kNone;
  float low = 0, high = 0, after_low = 0, after_high = 0;
  const float* slope = nullptr;        // per output channel, for kPrelu
  const float* after_slope = nullptr;  // the same, after the residual
  const float* residual = nullptr;     // plane 0 of what is added, or null
  int64_t residual_stride = 0;         // floats between its planes
};

// Groups [first, last) of rows times one tile, or one slice of its channels. A group is `lines` blocks of `block`
// neighbouring output channels each; the channels of a block share the columns of their weights. The lines of a group
// have columns of their own and nearly equal numbers of them, the rest filled up with zeros, so that one loop serves all.
struct Rows {
  const float* tile;        // [channels of this slice][vectors * lanes]
  const uint32_t* starts;   // starts[g]..starts[g+1] are the entries of group g
  const int32_t* order;     // [group][line]: the first output channel of the block, -1 where there is none
  const uint16_t* columns;  // [entry][line]: the channel within the slice; `alike`: those of group 0 serve all
  bool alike;
  const void* weights;      // [entry][line][block], stored as `storage` says
  int storage;              // 0: float32, 1: float16, 2: int8 (times scale[channel])
  const float* scale;
  const float* bias;     // per output channel
  int64_t first, last;   // groups
  int64_t channels;      // output channels; the last block may reach beyond them
  float* sums;           // [channel][vectors * lanes]: kept between slices
  bool begins, ends;     // first slice: start from bias; last slice: finish and store
  float* out;            // plane 0 at the tile's first pixel
  int64_t out_stride;    // floats between planes
  int64_t pixels;        // pixels of this tile that exist
  int64_t pixel0;        // the tile's first pixel (for the residual)
  int64_t gap;           // zeros to write behind them: the margin of the plane where the tile is its last, else 0
  float* scratch;        // room for the widened weights of one group
  Epilogue epilogue;
};

// A sliding window, as TFLite means it. Output pixel (y, x) reads input (y*stride_h - pad_h + ky*dilation_h, …).
struct Window {
  int64_t in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
};

// Whether depthwise_rows has a kernel for it.
inline bool is_square_window(const Window& w) {
  return (w.kernel_h == 3 || w.kernel_h == 5) && w.kernel_h == w.kernel_w && (w.stride_h == 1 || w.stride_h == 2) &&
         w.stride_h == w.stride_w && w.dilation_h == 1 && w.dilation_w == 1 && w.pad_w <= 2;
}

struct Depthwise {
  Window window;
  const float* weights;  // [out channel][kernel_h][kernel_w]
  const float* bias;     // [out channel]
  Act act = Act::kNone;
  float low = 0, high = 0;
  const float* slope = nullptr;
};

enum class Pool : int { kMax = 0, kAverage = 1 };

enum class Unary : int {
  kCopy, kClamp, kLogistic, kTanh, kHardSwish, kExp, kLog, kSqrt, kRsqrt, kNeg, kAbs, kSquare, kElu, kLeakyRelu,
  kGelu, kGeluTanh, kFloor, kCeil, kRound, kSin, kCos, kCount
};
enum class Binary : int { kAdd, kSub, kMul, kDiv, kMaximum, kMinimum, kSquaredDifference, kPrelu, kPow, kFloorDiv, kCount };
enum class Reduce : int { kSum, kMean, kMax, kMin, kProduct, kCount };

// Between which pixels of a row, and how far along, each pixel of the resized row lies. Where all that one vector takes
// lie within two vectors (`near`), the same counted from `base`, one a vector; tables then go on to whole vectors.
struct Columns {
  const int32_t *left, *right;
  const float* t;
  bool near;
  const int32_t *base, *near_left, *near_right;
};

using RowsKernel = void (*)(const Rows&);

// The (block, lines) that kernels exist for.
constexpr int kShapeCount = 6;
constexpr int kShapes[kShapeCount][2] = {{1, 1}, {1, 2}, {1, 4}, {2, 1}, {4, 1}, {8, 1}};

struct Kernels {
  const char* name;
  int lanes;
  int registers;
  // rows[shape][vectors - 1], shapes as kShapes lists them; null where too many accumulators would be needed
  RowsKernel rows[kShapeCount][8];
  // copies pixels [p, p + vectors*lanes) of each plane into the tile
  void (*fill_copy)(const float* planes, int64_t stride, int64_t channels, int64_t p, int vectors, float* tile);
  // the same through a sliding window: tile rows are [ky][kx][channel]
  void (*fill_window)(const float* planes, int64_t stride, int64_t channels, const Window&, int64_t p, int vectors,
                      float* tile);
  // depthwise, stride 1, odd square kernel 3 or 5, same size out; planes have zero margins of kernel/2 rows and pixels.
  // edges[dx][vector]: bits of the lanes whose pixel x + dx lies in the row, dx from -kernel/2. Pixels from `end` on are
  // not stored; `first` is the channel that weights start with.
  void (*fill_depthwise)(const float* planes, int64_t stride, int64_t channels, const Depthwise&,
                         const uint16_t* edges, int64_t edge_stride, int64_t first, int64_t p, int64_t vectors,
                         int64_t end, float* tile);
  // one plane through a window; scratch holds the padded plane
  void (*depthwise_plane)(const float* in, float* out, int64_t channel, const Depthwise&, float* scratch);
  // rows [first, last) of the same where `is_square_window`; `in` and `out` are row 0, whose rows need not all be there
  void (*depthwise_rows)(const float* in, float* out, int64_t channel, const Depthwise&, int64_t first, int64_t last);
  void (*pool_plane)(const float* in, float* out, const Window&, Pool, float low, float high, float* scratch);
  // rows [first, last) of dense [rows][columns] times a vector
  void (*matvec)(const float* weights, const float* x, const float* bias, float* y, int64_t columns, int64_t first,
                 int64_t last, float low, float high);
  void (*unary)(Unary, const float* a, int64_t a_step, float* y, int64_t y_step, int64_t n, float low, float high);
  void (*binary)(Binary, const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t y_step,
                 int64_t n, float low, float high);
  float (*reduce)(Reduce, const float* a, int64_t step, int64_t n, float start);
  // one row of resized pixels, between two rows of the picture; `mixed` has room for a row of it
  void (*resize_rows)(const float* row0, const float* row1, float t, int64_t in_width, const Columns& columns,
                      float* mixed, float* out, int64_t width);
  // floats of scratch that depthwise_plane and pool_plane need
  int64_t (*padded_floats)(const Window&);
};

const Kernels* kernels_portable();
#if defined(__x86_64__) || defined(_M_X64)
const Kernels* kernels_avx2();
const Kernels* kernels_avx512();
#endif

}  // namespace chw
