// One vector of floats, as wide as the instruction set this file is compiled for allows.
//
// Kernels are written once against these few words and compiled once per instruction set (see kernels_*.cpp). A mask
// is made from bits, lane i from bit i; lanes that a mask leaves out are neither read nor written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace {

#if defined(__AVX512F__)

constexpr int kLanes = 16;
constexpr int kRegisters = 32;
using vf = __m512;
using vmask = __mmask16;

inline vf load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, vf v) { _mm512_storeu_ps(p, v); }
inline vf splat(float x) { return _mm512_set1_ps(x); }
inline vf fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
inline vf min(vf a, vf b) { return _mm512_min_ps(a, b); }
inline vf max(vf a, vf b) { return _mm512_max_ps(a, b); }
inline vmask mask_of(uint32_t bits) { return static_cast<vmask>(bits); }
inline vf load(const float* p, vmask m) { return _mm512_maskz_loadu_ps(m, p); }
inline void store(float* p, vf v, vmask m) { _mm512_mask_storeu_ps(p, m, v); }
inline vf fma_masked(vf a, vf b, vf c, vmask m) { return _mm512_mask3_fmadd_ps(a, b, c, m); }
template <int N>
inline vf slide(vf a, vf b) {  // lanes N, N+1, … of a followed by b
  return _mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(b), _mm512_castps_si512(a), N));
}
inline vf keep(vf v, vmask m) { return _mm512_maskz_mov_ps(m, v); }
inline vf evens(vf a, vf b) {
  const __m512i at = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  return _mm512_permutex2var_ps(a, at, b);
}
inline vf odds(vf a, vf b) {
  const __m512i at = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return _mm512_permutex2var_ps(a, at, b);
}
inline vf lookup(vf a, vf b, const int32_t* at) {  // lane i: value at[i] of a followed by b
  return _mm512_permutex2var_ps(a, _mm512_loadu_si512(at), b);
}
inline vf from_half(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

#elif defined(__AVX2__)

constexpr int kLanes = 8;
constexpr int kRegisters = 16;
using vf = __m256;
using vmask = __m256i;

inline vf load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, vf v) { _mm256_storeu_ps(p, v); }
inline vf splat(float x) { return _mm256_set1_ps(x); }
inline vf fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
inline vf min(vf a, vf b) { return _mm256_min_ps(a, b); }
inline vf max(vf a, vf b) { return _mm256_max_ps(a, b); }
inline vmask mask_of(uint32_t bits) {
  const __m256i lane = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane), lane);
}
inline vf load(const float* p, vmask m) { return _mm256_maskload_ps(p, m); }
inline void store(float* p, vf v, vmask m) { _mm256_maskstore_ps(p, m, v); }
inline vf keep(vf v, vmask m) { return _mm256_and_ps(v, _mm256_castsi256_ps(m)); }
inline vf fma_masked(vf a, vf b, vf c, vmask m) { return fma(a, keep(b, m), c); }
template <int N>
inline vf slide(vf a, vf b) {
  const __m256i x = _mm256_castps_si256(a), y = _mm256_castps_si256(b);
  const __m256i middle = _mm256_permute2x128_si256(x, y, 0x21);  // upper half of a, lower half of b
  if constexpr (N < 4)
    return _mm256_castsi256_ps(_mm256_alignr_epi8(middle, x, 4 * N));
  else
    return _mm256_castsi256_ps(_mm256_alignr_epi8(y, middle, 4 * (N - 4)));
}
inline vf evens(vf a, vf b) {
  const __m256 mixed = _mm256_shuffle_ps(a, b, 0x88);
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xD8));
}
inline vf odds(vf a, vf b) {
  const __m256 mixed = _mm256_shuffle_ps(a, b, 0xDD);
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xD8));
}
inline vf lookup(vf a, vf b, const int32_t* at) {
  const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  const __m256 second = _mm256_castsi256_ps(_mm256_cmpgt_epi32(index, _mm256_set1_epi32(7)));
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(a, index), _mm256_permutevar8x32_ps(b, index), second);
}
inline vf from_half(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

#else

constexpr int kLanes = 4;
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vmask __attribute__((vector_size(16)));

inline vf load(const float* p) {
  vf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }
inline vf splat(float x) { return vf{x, x, x, x}; }
#if defined(__ARM_NEON)
constexpr int kRegisters = 32;
inline vf fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
inline vf min(vf a, vf b) { return vminq_f32(a, b); }
inline vf max(vf a, vf b) { return vmaxq_f32(a, b); }
#else
constexpr int kRegisters = 16;
inline vf fma(vf a, vf b, vf c) { return a * b + c; }
inline vf min(vf a, vf b) { return a < b ? a : b; }
inline vf max(vf a, vf b) { return a > b ? a : b; }
#endif
inline vmask mask_of(uint32_t bits) {
  const vmask lane = {1, 2, 4, 8};
  const int32_t b = static_cast<int32_t>(bits);
  return (vmask{b, b, b, b} & lane) == lane;
}
inline vf load(const float* p, vmask m) {
  vf v = {0, 0, 0, 0};
  for (int i = 0; i < kLanes; ++i)
    if (m[i]) v[i] = p[i];
  return v;
}
inline void store(float* p, vf v, vmask m) {
  for (int i = 0; i < kLanes; ++i)
    if (m[i]) p[i] = v[i];
}
inline vf keep(vf v, vmask m) {
  vmask bits;
  std::memcpy(&bits, &v, sizeof bits);
  bits &= m;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
inline vf fma_masked(vf a, vf b, vf c, vmask m) { return fma(a, keep(b, m), c); }
template <int N>
inline vf slide(vf a, vf b) {
  vf v;
  for (int i = 0; i < kLanes; ++i) v[i] = i + N < kLanes ? a[i + N] : b[i + N - kLanes];
  return v;
}
inline vf evens(vf a, vf b) { return vf{a[0], a[2], b[0], b[2]}; }
inline vf odds(vf a, vf b) { return vf{a[1], a[3], b[1], b[3]}; }
inline vf lookup(vf a, vf b, const int32_t* at) {
  vf v;
  for (int i = 0; i < kLanes; ++i) v[i] = at[i] < kLanes ? a[at[i]] : b[at[i] - kLanes];
  return v;
}
inline float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 31u, fraction = h & 1023u;
  uint32_t bits;
  if (exponent == 0) {
    const float tiny = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // 2^-24
    std::memcpy(&bits, &tiny, sizeof bits);
    bits |= sign;
  } else {
    bits = sign | (exponent == 31 ? 0x7F800000u : (exponent + 112u) << 23) | (fraction << 13);
  }
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline vf from_half(const uint16_t* p) {
  return vf{half_to_float(p[0]), half_to_float(p[1]), half_to_float(p[2]), half_to_float(p[3])};
}

#endif

inline vf zero() { return splat(0.0f); }
inline uint32_t first_lanes(int64_t count) {
  return count >= kLanes ? (1u << kLanes) - 1u : count <= 0 ? 0u : (1u << count) - 1u;
}

}  // namespace
