// Tests of the vector functions that the CPU kernels use, compiled once per instruction set, for
// core_test.cpp.
#pragma once

#include "core/dtype.h"

namespace fnet {

struct LaneTests {
  const char* isa;

  // Conversions between float32 and 16-bit dtypes: in vectors, or one by one like the end of a row.
  void (*widen)(DType, const void* from, int64_t count, bool one_by_one, float* to);
  void (*narrow)(DType, const float* from, int64_t count, bool one_by_one, void* to);
  // With non-temporal stores; `to` is aligned to 64 bytes, and count is a multiple of 64.
  void (*narrow_streaming)(DType, const float* from, int64_t count, void* to);
};

extern const LaneTests portable_lane_tests, avx2_lane_tests, avx512_lane_tests, neon_lane_tests,
    neon_bf16_lane_tests;

}  // namespace fnet
