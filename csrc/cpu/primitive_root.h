// Powers of a primitive root, the permutation of Rader's algorithm.
#pragma once

#include <cstdint>
#include <vector>

namespace fnet {

// g^0, g^1, ..., g^(p-2) modulo the prime p, for the smallest g that reaches all of 1..p-1.
inline std::vector<int64_t> primitive_powers(int64_t p) {
  for (int64_t g = 1;; ++g) {
    std::vector<int64_t> powers{1};
    for (int64_t next = g % p; next != 1; next = next * g % p) powers.push_back(next);
    if (int64_t(powers.size()) == p - 1) return powers;
  }
}

}  // namespace fnet
