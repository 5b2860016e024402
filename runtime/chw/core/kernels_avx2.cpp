#define POCKETGRAPH_ISA "avx2"
#include "kernels.inl"

namespace chw {
const Kernels* kernels_avx2() { return &kKernels; }
}  // namespace chw
