// Checks and counts one access of one thread, and decides whether it is allowed.
#include <algorithm>

#include "cuda_sim/launch.h"

namespace fnet::cuda_sim {

void Launch::add_constants(const char* name, const void* p, size_t bytes) {
  auto* data = static_cast<char*>(const_cast<void*>(p));
  for (const Buffer& buffer : session_.buffers_)
    if (buffer.data == data) return;
  session_.buffers_.push_back({name, data, bytes, false, Shadow(0, false), false});
}

bool Launch::access(bool shared, const void* p, int bytes, Touch touch, const Place& place) {
  const bool write = touch == Touch::kWrite;
  const auto address = reinterpret_cast<intptr_t>(p);
  Buffer* buffer = &shared_;
  int index = 0;
  if (!shared) {  // the nearest buffer, so that the error of an overrun can name it
    intptr_t nearest = INTPTR_MAX;
    for (size_t i = 0; i < session_.buffers_.size() && nearest > 0; ++i) {
      Buffer& b = session_.buffers_[i];
      const auto begin = reinterpret_cast<intptr_t>(b.data), end = begin + intptr_t(b.bytes);
      const intptr_t distance =
          address < begin ? begin - address : std::max(address + 1 - end, intptr_t(0));
      if (distance < nearest) nearest = distance, buffer = &b, index = int(i) + 1;
    }
  }
  const intptr_t offset = address - reinterpret_cast<intptr_t>(buffer->data);
  const auto report = [&](const char* kind, const std::string& more) {
    const std::string where = text_of(place);
    error(kind, where,
          std::string(kind) + (write ? " write of " : " read of ") + std::to_string(bytes) +
              " bytes at byte " + std::to_string(offset) + " of " + buffer->name + more + ", at " +
              where);
    return false;
  };
  if (offset < 0 || offset + bytes > intptr_t(buffer->bytes))
    return report("out of range", ", which has " + std::to_string(buffer->bytes));
  if (offset % bytes) return report("misaligned", "");
  if (write && !buffer->writable) return report("read-only", "");

  const int site = audit_.site(place, index, write, bytes);
  audit_.record(thread_, site, uint64_t(offset));
  if (!buffer->writable) return true;
  const bool constant = touch == Touch::kConstantRead;
  // The compiler may move a constant read to before the wait.
  const bool awaited = threads_[thread_].awaited && !constant;
  const Shadow::Finding found = buffer->shadow.touch(
      size_t(offset), bytes, write, constant,
      {session_.clock_, awaited ? report_.began : session_.overlaps_since_, report_.began,
       block_began_, block_synced_, warp_synced_[thread_ / 32], uint16_t(thread_), uint16_t(site)});
  if (found.fault == Shadow::Fault::kUninitialised) report("uninitialised", "");
  if (found.fault == Shadow::Fault::kNotConstant)
    report("not constant", write ? ", which the launch reads as constant"
                                 : ", read as constant, which the launch writes");
  if (found.fault == Shadow::Fault::kNotAwaited)
    report("not awaited", ", which " + session_.kernel_at(found.other_time) +
                              (write ? " may still use" : " may still write"));
  if (found.fault == Shadow::Fault::kRace) {
    const Audit::Site& other = audit_.sites()[found.other_site];
    report("race", std::string(", not ordered after the ") + (other.write ? "write" : "read") +
                       " at " + text_of(other.place) + " by " +
                       (Shadow::one_thread(found.other_thread)
                            ? "thread " + std::to_string(found.other_thread)
                            : std::string("several threads")));
  }
  return true;
}

}  // namespace fnet::cuda_sim
