// The plan of sequences of different lengths: groups that one launch of each kernel transforms.
#include <cstdint>
#include <limits>
#include <map>

#include "cuda/api.h"
#include "cuda/kernels.h"

namespace fnet {

CudaVarlenPlan plan_varlen_cuda(const MixArgs& all, const std::vector<Sequence>& sequences,
                                const CudaDevice& device) {
  std::map<int64_t, std::vector<Sequence>> found;  // by length of the transform
  for (const Sequence& s : sequences)
    if (s.length > 0) found[s.seq].push_back(s);

  CudaVarlenPlan plan;
  int64_t spectrum_bytes = 0;
  for (auto& [seq, group] : found) {
    MixArgs args = all;
    args.batch = int64_t(group.size()), args.seq = seq;
    const CudaPlan own = plan_cuda(args, device);
    const bool fits = all.output_rows <= std::numeric_limits<int32_t>::max();
    if (own.path != Path::kKernels || !fits) continue;
    plan.groups.push_back({own, int64_t(plan.sequences.size())});
    plan.sequences.insert(plan.sequences.end(), group.begin(), group.end());
    spectrum_bytes = std::max(spectrum_bytes, int64_t(own.workspace_bytes));
    group.clear();
  }
  for (const Sequence& s : sequences)
    if (s.length > 0 && !found[s.seq].empty()) plan.others.push_back(s);

  constexpr int64_t kAlign = 256;
  const int64_t table = int64_t(plan.sequences.size() * sizeof(SequenceRows));
  plan.spectrum = (table + kAlign - 1) / kAlign * kAlign;
  plan.workspace_bytes = size_t(plan.spectrum + spectrum_bytes);
  return plan;
}

}  // namespace fnet
