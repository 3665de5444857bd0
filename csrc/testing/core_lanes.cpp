// CMake compiles this file once per instruction set, with its flags, name and widths.
#include "testing/core_lanes.h"

#include "cpu/simd/storage.h"
#include "cpu/simd/sweep.h"

namespace fnet {
namespace FNET_ISA {
namespace {

template <class F>
void visit_narrow(DType dtype, const F& body) {
  dtype == DType::kBFloat16 ? body(BFloat16{}) : body(Float16{});
}

template <int W>
void widen_in(DType dtype, const void* from, int64_t count, float* to) {
  visit_narrow(dtype, [&](auto t) {
    const auto* p = static_cast<const decltype(t)*>(from);
    sweep<W>(count, [&](auto at, int64_t i) { store<at.width>(to + i, load<at.width>(p + i)); });
  });
}

template <int W>
void narrow_in(DType dtype, const float* from, int64_t count, void* to) {
  visit_narrow(dtype, [&](auto t) {
    auto* p = static_cast<decltype(t)*>(to);
    sweep<W>(count, [&](auto at, int64_t i) { store<at.width>(p + i, load<at.width>(from + i)); });
  });
}

void widen(DType dtype, const void* from, int64_t count, bool one_by_one, float* to) {
  one_by_one ? widen_in<1>(dtype, from, count, to) : widen_in<FNET_WIDTH32>(dtype, from, count, to);
}

void narrow(DType dtype, const float* from, int64_t count, bool one_by_one, void* to) {
  one_by_one ? narrow_in<1>(dtype, from, count, to)
             : narrow_in<FNET_WIDTH32>(dtype, from, count, to);
}

void narrow_streaming(DType dtype, const float* from, int64_t count, void* to) {
  constexpr int W = FNET_WIDTH32;
  visit_narrow(dtype, [&](auto t) {
    auto* p = static_cast<decltype(t)*>(to);
    for (int64_t i = 0; i < count; i += W) stream<W>(p + i, load<W>(from + i));
  });
  end_streaming();
}

}  // namespace
}  // namespace FNET_ISA

#define FNET_JOIN(a, b) a##b
#define FNET_NAME(isa) FNET_JOIN(isa, _lane_tests)
#define FNET_TEXT(name) #name
#define FNET_STRING(name) FNET_TEXT(name)

using namespace FNET_ISA;
const LaneTests FNET_NAME(FNET_ISA) = {FNET_STRING(FNET_ISA), widen, narrow, narrow_streaming};

}  // namespace fnet
