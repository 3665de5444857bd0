// Helpers for workspaces and for splitting work into ranges per slot.
#pragma once

#include "cpu/api.h"

namespace fnet {

inline constexpr int64_t kWorkspaceAlign = 64;

constexpr int64_t align_workspace(int64_t bytes) {
  return (bytes + kWorkspaceAlign - 1) / kWorkspaceAlign * kWorkspaceAlign;
}

// The extra memory that a call may take, from the bytes of x in the compute type: 0.6 times x. A
// single x may take 1.4 times x, because the spectrum of a sequence alone is half of it. An x of
// less than 1 MB may take 2 MB, so that all of its sequences can be in progress at once.
constexpr int64_t memory_limit(int64_t x, bool single) {
  if (x < (1 << 20)) return 2 << 20;
  return x / 10 * (single ? 14 : 6);
}

// Lays out a workspace: take() returns the offset of the next piece.
class Layout {
 public:
  int64_t take(int64_t bytes) {
    const int64_t piece = end_;
    end_ += align_workspace(bytes);
    return piece;
  }
  size_t bytes() const { return size_t(end_ + kWorkspaceAlign); }

 private:
  int64_t end_ = 0;
};

inline char* offset_bytes(void* base, int64_t bytes) { return static_cast<char*>(base) + bytes; }

// The first aligned address in a workspace, from which offsets count.
inline void* aligned_base(void* workspace) {
  return reinterpret_cast<void*>(align_workspace(reinterpret_cast<intptr_t>(workspace)));
}

// Sets to[i] to from[i] in the compute type, or to `missing` if `from` is null. A NaN stays one in
// 16 bits.
inline void widen(DType dtype, const void* from, double missing, int64_t count, void* to) {
  visit_dtype(dtype, [&](auto t) {
    using T = decltype(t);
    auto* wide = static_cast<Compute<T>*>(to);
    for (int64_t i = 0; i < count; ++i)
      wide[i] =
          from ? with_short_nan(load_scalar(static_cast<const T*>(from)[i])) : Compute<T>(missing);
  });
}

struct Range {
  int64_t begin, end;
};

// Splits 0..count-1 evenly and calls body(range, slot) for each slot with a non-empty range.
template <class F>
void parallel_ranges(int64_t count, const Parallel& parallel, const F& body) {
  if (count == 0) return;
  const int slots = parallel.slots();
  parallel.each([&](int slot) {
    const Range range{count * slot / slots, count * (slot + 1) / slots};
    if (range.begin < range.end) body(range, slot);
  });
}

// Splits the `pieces` pieces of each of `count` sequences evenly, all as one range, and calls
// body(sequence, begin, end, slot) for each slot and sequence with pieces [begin, end).
template <class F>
void parallel_pieces(int64_t count, int64_t pieces, const Parallel& parallel, const F& body) {
  parallel_ranges(count * pieces, parallel, [&](Range range, int slot) {
    for (int64_t i = range.begin; i < range.end;) {
      const int64_t b = i / pieces, first = b * pieces;
      const int64_t end = first + pieces < range.end ? first + pieces : range.end;
      body(b, i - first, end - first, slot);
      i = end;
    }
  });
}

}  // namespace fnet
