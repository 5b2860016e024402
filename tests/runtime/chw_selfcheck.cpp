// Runs one program with every kind of matrix step on fixed numbers and prints its results, one per line: the same on
// every processor but for rounding. The first argument is the number of threads.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "program.h"

using chw::Finish;
using chw::Planes;
using chw::Program;
using chw::View;
using chw::Window;

#if defined(__x86_64__)
// only the portable kernels are linked
const chw::Kernels* chw::kernels_avx2() { return kernels_portable(); }
const chw::Kernels* chw::kernels_avx512() { return kernels_portable(); }
#endif

namespace {

uint32_t state = 1;

float next() {  // -1 to 1
  state = state * 1664525u + 1013904223u;
  return static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
}

std::vector<float> numbers(int64_t count, int64_t every = 1) {  // of which one in `every` is not zero
  std::vector<float> made(static_cast<size_t>(count), 0.0f);
  for (int64_t i = 0; i < count; ++i)
    if (float value = next(); state % static_cast<uint32_t>(every) == 0) made[static_cast<size_t>(i)] = value;
  return made;
}

constexpr int64_t kHeight = 23, kWidth = 19, kDepth = 10, kChannels = 14, kStride = 640;
constexpr int64_t kRoom = kStride * (kChannels + 2);  // of planes with their margins

Planes planes(int64_t room, int64_t channels) {
  return {room * kRoom + kStride, kStride, channels, kHeight, kWidth};
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  // drawn one by one: compilers evaluate arguments in orders of their own
  const std::vector<float> kernel = numbers(kChannels * 25), kernel_bias = numbers(kChannels), bias = numbers(kChannels);
  const std::vector<std::vector<float>> weights = {numbers(kChannels * kDepth, 3), numbers(kChannels * kChannels * 9),
                                                   numbers(kChannels * kChannels, 4), numbers(kChannels * kChannels)};
  const auto matrix = [&](size_t i) {
    return chw::Weights{weights[i].data(), kChannels, static_cast<int64_t>(weights[i].size()) / kChannels};
  };
  // the bands of all threads lie behind everything else
  const int64_t size = (7 + threads) * kRoom;
  Program p(size, {kDepth * kStride, 2 * kRoom}, threads, argc > 2 ? argv[2] : "");
  p.fill({0, 0, {size}, {1}}, 0.0f);
  const Planes input = planes(0, kDepth), first = planes(1, kChannels), second = planes(2, kChannels),
               third = planes(3, kChannels);
  p.unary(0, {1, 0, {kDepth, kHeight * kWidth}, {kStride, 1}}, {0, input.offset, {kDepth, kHeight * kWidth}, {kStride, 1}},
          0, 0);
  Finish plain, swish, sum;
  swish.act = 3;
  sum.act = 2;
  sum.slope = numbers(kChannels);
  sum.has_residual = true;
  sum.residual = first;
  sum.after = 1;
  sum.after_low = -2;
  sum.after_high = 5;
  const Window same{kHeight, kWidth, kHeight, kWidth, 3, 3, 1, 1, 1, 1, 1, 1};
  p.product(input, first, matrix(0), bias, swish);
  p.convolution(first, second, same, matrix(1), bias, plain);
  p.separable(second, third, 5, kernel, kernel_bias, swish, matrix(2), bias, sum);
  const Window half{kHeight, kWidth, 12, 10, 3, 3, 2, 2, 1, 1, 1, 1};
  p.product(third, {chw::kUnplaced, 0, kChannels, kHeight, kWidth}, matrix(3), bias, swish);
  const Planes middle{7 * kRoom + 64, kStride, kChannels * threads, Program::band_rows(half, 2, p.lanes()), kWidth};
  const Planes banded{5 * kRoom + kStride, kStride, kChannels, 12, 10};
  p.band(middle, banded, half, {kernel.begin(), kernel.begin() + kChannels * 9}, kernel_bias, plain, 2);
  const Planes pooled{6 * kRoom + kStride, kStride, kChannels, 12, 10};
  p.pool(third, pooled, half, 1, -9, 9);
  p.unary(2, {0, pooled.offset, {kChannels, 120}, {kStride, 1}}, {0, pooled.offset, {kChannels, 120}, {kStride, 1}}, 0, 0);
  p.unary(0, {0, 5 * kRoom, {2 * kRoom}, {1}}, {2, 0, {2 * kRoom}, {1}}, 0, 0);

  std::vector<float> given = numbers(kDepth * kStride), expected, found(2 * kRoom);
  for (int64_t step = 0; step < p.steps(); ++step) {
    if (!p.packable(step)) continue;
    p.pack(step, {step % 2 ? 4 : 1, step % 2 ? 1 : 2, 2, 0, 5});
  }
  p.seal();
  for (int run = 0; run < 20; ++run) {  // every run alike, whatever the threads do
    p.run({given.data(), found.data()});
    if (run && found != expected) return 1;
    expected = found;
  }
  std::printf("%s\n", p.isa());
  for (float value : found) std::printf("%.9g\n", value);
  return 0;
}
