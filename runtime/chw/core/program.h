// A compiled model: a list of steps over one arena of floats.
//
// Tensors with pictures in them live as planes: channel after channel, each H*W floats, with a margin of zeros before
// and behind every plane where a depthwise step reads across its edge. Everything else is a strided view. Adding a
// step checks every offset and size it will ever touch and throws std::invalid_argument, so running needs no checks.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels.h"
#include "threads.h"

namespace chw {

// base 0 is the arena, base i > 0 the i-th external buffer (inputs, then outputs). All counts are in floats.
struct View {
  int base = 0;
  int64_t offset = 0;
  std::vector<int64_t> shape, strides;
};

struct Planes {
  int64_t offset = 0, stride = 0, channels = 0, height = 0, width = 0;
  int64_t gap = 0;  // zeros that a product writes behind every plane, for a depthwise step that reads across its edge
  int64_t pixels() const { return height * width; }
};

// What a layer does to its sums; empty slopes mean none. `residual` is added between the two activations.
struct Finish {
  int act = 0, after = 0;
  float low = 0, high = 0, after_low = 0, after_high = 0;
  std::vector<float> slope, after_slope;
  bool has_residual = false;
  Planes residual;
};

struct Weights {
  const float* data = nullptr;  // [rows][columns], borrowed until `seal`
  int64_t rows = 0, columns = 0;
};

struct Packing {
  int block = 1, lines = 1, vectors = 4, storage = 0;
  int64_t slice = 0;  // columns per slice; 0: all
};

// The offset of a product's result that `band` will give a place.
constexpr int64_t kUnplaced = -1;

struct Step;

class Program {
 public:
  Program(int64_t arena, std::vector<int64_t> externals, int threads, const std::string& isa);
  ~Program();

  void write(int64_t offset, const float* data, int64_t count);  // into the arena, now: constants
  void fill(const View& y, float value);
  void unary(int kind, const View& a, const View& y, float low, float high);
  void binary(int kind, const View& a, const View& b, const View& y, float low, float high);
  void reduce(int kind, const View& a, const View& y, int reduced);  // the last `reduced` axes of a
  void softmax(const View& a, const View& y, float beta);            // over the last axis
  void resize(const Planes& a, const Planes& y, std::vector<int32_t> y0, std::vector<int32_t> y1, std::vector<float> ty,
              std::vector<int32_t> x0, std::vector<int32_t> x1, std::vector<float> tx);
  void depthwise(const Planes& a, const Planes& y, const Window& w, std::vector<float> weights, std::vector<float> bias,
                 const Finish& finish, bool has_margins);
  void pool(const Planes& a, const Planes& y, const Window& w, int kind, float low, float high);
  void matvec(const View& a, const View& y, Weights weights, std::vector<float> bias, float low, float high);
  void product(const Planes& a, const Planes& y, Weights weights, std::vector<float> bias, const Finish& finish);
  void convolution(const Planes& a, const Planes& y, const Window& w, Weights weights, std::vector<float> bias,
                   const Finish& finish);
  void separable(const Planes& a, const Planes& y, int64_t kernel, std::vector<float> depthwise_weights,
                 std::vector<float> depthwise_bias, const Finish& depthwise_finish, Weights weights,
                 std::vector<float> bias, const Finish& finish);

  // Turns the product added last into bands: only this depthwise convolution reads its result, which then needs room
  // for `band_rows(w, out_rows)` rows only, `middle`.
  void band(const Planes& middle, const Planes& y, const Window& w, std::vector<float> weights, std::vector<float> bias,
            const Finish& finish, int64_t out_rows);
  static int64_t band_rows(const Window& w, int64_t out_rows, int64_t lanes);
  static int lanes_of(const std::string& isa);

  int64_t steps() const { return static_cast<int64_t>(steps_.size()); }
  const char* isa() const { return kernels_->name; }
  int threads() const { return threads_.count(); }
  int lanes() const { return kernels_->lanes; }
  int max_vectors(int block, int lines) const;  // 0: there is no such kernel
  bool packable(int64_t step) const;
  // what a packable step multiplies: how its input is read, its borrowed weights, and the pixels of its output
  std::string layer(int64_t step, Weights& weights, int64_t& pixels) const;
  void pack(int64_t step, const Packing& packing);  // else `release` or `seal` packs as suits most
  bool borrows(const float* weights) const;  // whether a step still reads them
  void release(int64_t step);  // lets go of one step's borrowed weights; it cannot be packed again
  void seal();  // lets go of borrowed weights; packing is no longer possible

  void run(const std::vector<float*>& externals);
  std::vector<double> profile(const std::vector<float*>& externals);  // seconds of each step
  double time_step(int64_t step, int repeats);                       // seconds, the fastest of `repeats`
  int64_t bytes() const;
  bool writes(size_t external) const { return written_[external]; }

 private:
  friend struct Step;
  Step& add(std::unique_ptr<Step> step);
  void check(const View& v, const char* what, bool write);
  void check(const Planes& p, const char* what, int64_t before, int64_t behind) const;
  Step& matrix(const Planes& a, const Planes& y, int64_t columns, Weights weights, std::vector<float> bias,
               const Finish& finish);
  void reserve();

  const Kernels* kernels_;
  std::unique_ptr<float[]> arena_storage_;
  float* arena_;
  int64_t arena_size_;
  std::vector<int64_t> externals_;
  std::vector<bool> written_;  // external buffers that steps write
  std::vector<float*> bound_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<std::vector<float>> scratch_;  // per thread
  Threads threads_;
  bool sealed_ = false;
  std::mutex turn_;  // held by whoever runs or changes the steps
};

}  // namespace chw
