// Counts memory requests as the hardware does: the accesses of a warp's lanes by one instruction
// are one request.
//
// Fibers run lane by lane, so the audit reassembles requests. Between two rendezvous of a warp
// (barriers, shuffles, its end), the k-th accesses of all lanes at one site form a request. This is
// exact if lanes do not diverge, and if a lane leaves a loop early or skips it. If a lane skips an
// access within a loop, its later accesses at that site count one request too early.
#pragma once

#include <array>
#include <cstdint>
#include <source_location>
#include <string>
#include <unordered_map>
#include <vector>

namespace fnet::cuda_sim {

using Place = std::source_location;

std::string text_of(const Place& place);  // file:line:column

class Audit {
 public:
  // A place in the source, for one buffer (0 is shared memory), direction and width.
  struct Site {
    Place place;
    int buffer;
    bool write;
    int width;
    uint64_t requests = 0, bytes = 0, transactions = 0, ideal = 0;
  };

  explicit Audit(int threads) : seen_(threads), open_(threads / 32) {}

  int site(const Place& place, int buffer, bool write, int width);
  void record(int thread, int site, uint64_t address);
  // Counts and closes the requests of a warp, at a rendezvous.
  void settle(int warp);

  const std::vector<Site>& sites() const { return sites_; }

 private:
  struct Request {
    uint32_t lanes = 0;
    std::array<uint64_t, 32> address;
  };
  struct Key {
    const char* file;
    uint64_t rest;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      return (reinterpret_cast<size_t>(key.file) ^ key.rest) * 0x9e3779b97f4a7c15u >> 16;
    }
  };

  static void count_global(Site& site, const Request& request);
  static void count_shared(Site& site, const Request& request);

  std::vector<Site> sites_;
  std::unordered_map<Key, int, Hash> index_;
  std::vector<std::vector<uint32_t>> seen_;  // [thread][site]: accesses since the rendezvous
  std::vector<std::vector<std::vector<Request>>> open_;  // [warp][site][k]
};

}  // namespace fnet::cuda_sim
