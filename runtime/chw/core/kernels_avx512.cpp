#define POCKETGRAPH_ISA "avx512"
#include "kernels.inl"

namespace chw {
const Kernels* kernels_avx512() { return &kKernels; }
}  // namespace chw
