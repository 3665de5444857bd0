#include "cuda_sim/audit.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace fnet::cuda_sim {

std::string text_of(const Place& place) {
  const char* slash = strrchr(place.file_name(), '/');
  return std::string(slash ? slash + 1 : place.file_name()) + ":" + std::to_string(place.line()) +
         ":" + std::to_string(place.column());
}

int Audit::site(const Place& place, int buffer, bool write, int width) {
  const uint64_t rest = uint64_t(place.line()) << 40 | uint64_t(place.column()) << 24 |
                        uint64_t(buffer) << 8 | uint64_t(width) << 1 | uint64_t(write);
  const auto [entry, is_new] = index_.try_emplace({place.file_name(), rest}, int(sites_.size()));
  if (is_new) sites_.push_back({place, buffer, write, width});
  return entry->second;
}

void Audit::record(int thread, int site, uint64_t address) {
  auto& seen = seen_[thread];
  auto& open = open_[thread / 32];
  if (seen.size() <= size_t(site)) seen.resize(site + 1);
  if (open.size() <= size_t(site)) open.resize(site + 1);
  const uint32_t k = seen[site]++;
  if (open[site].size() <= k) open[site].resize(k + 1);
  Request& request = open[site][k];
  request.lanes |= 1u << thread % 32;
  request.address[thread % 32] = address;
}

void Audit::settle(int warp) {
  for (size_t s = 0; s < open_[warp].size(); ++s) {
    Site& site = sites_[s];
    for (const Request& request : open_[warp][s]) {
      ++site.requests;
      site.buffer == 0 ? count_shared(site, request) : count_global(site, request);
    }
    open_[warp][s].clear();
  }
  for (int lane = 0; lane < 32; ++lane) {
    auto& seen = seen_[warp * 32 + lane];
    std::fill(seen.begin(), seen.end(), 0);
  }
}

void Audit::count_global(Site& site, const Request& request) {
  struct Sector {
    uint64_t index;
    uint32_t bytes;  // one bit for each byte that some lane accesses
  } sectors[32];
  int count = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if (!(request.lanes >> lane & 1)) continue;
    const uint64_t index = request.address[lane] / 32;
    const uint32_t bytes = ((1u << site.width) - 1) << request.address[lane] % 32;
    int s = count - 1;
    while (s >= 0 && sectors[s].index != index) --s;
    if (s < 0) sectors[s = count++] = {index, 0};
    sectors[s].bytes |= bytes;
  }
  int distinct = 0;
  for (int s = 0; s < count; ++s) distinct += std::popcount(sectors[s].bytes);
  site.bytes += distinct;
  site.transactions += count;
  site.ideal += (distinct + 31) / 32;
}

void Audit::count_shared(Site& site, const Request& request) {
  site.bytes += uint64_t(std::popcount(request.lanes)) * site.width;
  const int words = std::max(1, site.width / 4), lanes = 32 / words;
  for (int first = 0; first < 32; first += lanes) {
    uint64_t seen[32];
    int count = 0, per_bank[32] = {}, wavefronts = 0;
    for (int lane = first; lane < first + lanes; ++lane) {
      if (!(request.lanes >> lane & 1)) continue;
      for (int w = 0; w < words; ++w) {
        const uint64_t word = request.address[lane] / 4 + w;
        if (std::find(seen, seen + count, word) != seen + count)
          continue;  // one read serves all lanes
        seen[count++] = word;
        wavefronts = std::max(wavefronts, ++per_bank[word % 32]);
      }
    }
    site.transactions += wavefronts;
    site.ideal += wavefronts > 0;
  }
}

}  // namespace fnet::cuda_sim
