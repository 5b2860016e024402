#if defined(__ARM_NEON)
#define POCKETGRAPH_ISA "neon"
#else
#define POCKETGRAPH_ISA "portable"
#endif
#include "kernels.inl"

namespace chw {
const Kernels* kernels_portable() { return &kKernels; }
}  // namespace chw
