// Lists that kernels take as parameters. Nothing is copied, so a CUDA graph can capture the call.
#pragma once

#include <algorithm>
#include <cstdint>

namespace fnet {

// A part of a list. A launch has at most 4 KB of parameters.
template <class Entry>
struct ParameterTable {
  static_assert(sizeof(Entry) <= 16);
  static constexpr int kEntries = 240;
  Entry at[kEntries];
};

// Calls body(part, begin, count) for each part of a list, until one returns an error.
template <class Entry, class F>
int each_part(const Entry* from, int64_t count, const F& body) {
  using Table = ParameterTable<Entry>;
  for (int64_t begin = 0; begin < count; begin += Table::kEntries) {
    const int some = int(std::min<int64_t>(count - begin, Table::kEntries));
    Table part = {};
    std::copy_n(from + begin, some, part.at);
    if (const int error = body(part, begin, some)) return error;
  }
  return 0;
}

}  // namespace fnet
