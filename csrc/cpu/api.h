// The API of the CPU kernels: the caller makes a plan, allocates a workspace and runs the plan.
//
// The first use of a length allocates its tables. Those of the lengths used last are kept, and
// running a plan whose tables are kept allocates nothing.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/args.h"

namespace fnet {

// Runs slots 0..slots-1 of a kernel, in parallel or one by one, as the caller's thread pool
// decides. The number of slots does not affect results.
class Parallel {
 public:
  using Body = void (*)(void* context, int slot);
  using Run = void (*)(int slots, Body body, void* context);
  Parallel(int slots, Run run) : slots_(slots), run_(run) {}

  int slots() const { return slots_; }

  // The first `slots` slots alone.
  Parallel first(int slots) const { return Parallel(slots < slots_ ? slots : slots_, run_); }

  // body(slot) for each slot; returns when all are done.
  template <class F>
  void each(const F& body) const {
    run_(
        slots_, [](void* context, int slot) { (*static_cast<const F*>(context))(slot); },
        const_cast<F*>(&body));
  }

 private:
  int slots_;
  Run run_;
};

// The kernels of one instruction set; active_kernels() returns those in use.
struct Kernels;
const Kernels& active_kernels();

// cpu_isa() returns the name of the instruction set in use, and cpu_isas() those that this machine
// supports, best first. set_cpu_isa() selects one, or the best for "auto"; it returns false for an
// unsupported name.
const char* cpu_isa();
const char* cpu_isas();
bool set_cpu_isa(const char* name);

// Outputs of at least this many bytes use non-temporal stores. The default is an eighth of the
// last-level cache, clamped to 4..16 MB; setting 0 restores it.
int64_t stream_bytes();
void set_stream_bytes(int64_t bytes);

// Drops the tables of all lengths, safe from any thread; plans in use stay alive.
void clear_line_plans();
void clear_split_plans();
void clear_real_line_plans();

// What the lanes of the kernels hold.
enum class Scheme : int32_t {
  kTiles,      // neighbouring columns of a sequence, then neighbouring rows
  kSequences,  // neighbouring sequences
  kLongSeq,    // parts of a line along seq
  kLongHidden,
};

constexpr const char* name_of(Scheme scheme) {
  switch (scheme) {
    case Scheme::kTiles: return "columns, then rows";
    case Scheme::kSequences: return "sequences";
    case Scheme::kLongSeq: return "parts of seq";
    case Scheme::kLongHidden: break;
  }
  return "parts of hidden";
}

// How a call runs, decided once from the sizes, dtype, transform and epilogue of its arguments, the
// slots, the instruction set, and whether y is x or the residual: y may hold a part of the scratch.
// The workspace may have any alignment; offsets count from its first multiple of 64 bytes.
struct CpuPlan {
  Path path;
  Reason reason;
  Scheme scheme;
  const Kernels* kernels;
  int slots;
  int group;             // sequences that a slot, or all slots together, transform at once
  int workers;           // slots that have scratch
  bool private_spectra;  // each slot transforms whole sequences
  int sequences;         // in progress at a time: a group per worker, or shared ones
  bool halves;           // the row pass of shared sequences takes half of them at a time
  int64_t scratch_bytes, spectrum_bytes;           // of all workers, of one sequence
  int64_t weight, bias, zeros, scratch, spectrum;  // offsets
  size_t workspace_bytes;
};
// What tests and comparisons choose, the scheme or the general path, instead of the plan.
struct PlanChoice {
  std::optional<Scheme> scheme;  // a long axis must have a split
  bool general = false;
};
// Without y the plan is that of a y beside x.
CpuPlan plan_cpu(const MixArgs& args, int slots, const Kernels& = active_kernels(),
                 const PlanChoice& choice = {});

// The stages of the lines of a plan, whose product is the length; none for lengths without kernels.
// The text includes the stages of convolutions: "2 * 197 (Rader: 4 * 7 * 7)".
struct LineStages {
  std::vector<int> radices;
  std::string text;
};
LineStages seq_stages(const MixArgs& args, const CpuPlan& plan);
LineStages hidden_stages(const MixArgs& args, const CpuPlan& plan);

// Runs both passes of sequences [begin, end) of the batch. Parts may run in any order.
[[nodiscard]] Status mix_part_cpu(const MixArgs& args, const CpuPlan& plan, int64_t begin,
                                  int64_t end, void* workspace, const Parallel& parallel);

// Each pass of sequence b alone, for a plan of tiles. The seq pass transforms x to a half spectrum
// of plan.spectrum_bytes, aligned to 64 bytes (cpu/spectrum.h defines the layout and its padding);
// y is scratch. The row pass, the hidden pass on the CPU, transforms the spectrum to y.
[[nodiscard]] Status seq_pass_cpu(const MixArgs& args, const CpuPlan& plan, int64_t b,
                                  void* spectrum, void* workspace, const Parallel& parallel);
[[nodiscard]] Status row_pass_cpu(const MixArgs& args, const CpuPlan& plan, int64_t b,
                                  const void* spectrum, void* workspace, const Parallel& parallel);

// The general path, in two halves around a library's FFT. The first half writes the rows that the
// transform reads, row_scale * x or with norm_first the normalised ones, to `wide`, contiguous in
// the compute type.
void widen_rows_cpu(const MixArgs& args, const CpuPlan& plan, void* wide, const Parallel& parallel);
// The second half computes y from the one-sided FFT2 of `wide`, contiguous [batch, seq,
// hidden / 2 + 1] complex in the compute type. The plan may be that of a larger batch.
void mix_from_spectrum_cpu(const MixArgs& args, const CpuPlan& plan, const void* spectrum,
                           void* workspace, const Parallel& parallel);

// LayerNorm's gradient in chunks of rows, so that the caller can read du while it is cached.
struct CpuNormGradPlan {
  const Kernels* kernels;
  int64_t chunk_rows, chunks;
  int64_t partial_bytes;                     // of one chunk's sums
  int64_t weight, dweight, dbias, counters;  // offsets
  size_t workspace_bytes;
};
CpuNormGradPlan plan_norm_grad_cpu(const NormGradArgs& args, const Kernels& = active_kernels());
void norm_grad_cpu(const NormGradArgs& args, const CpuNormGradPlan& plan, void* workspace,
                   const Parallel& parallel);

// Sequences of different lengths, each bitwise as if it were alone. All slots share the longest,
// if that takes less time, one after the other. Then each slot takes the next group from one queue.
struct CpuVarlenPlan {
  // Neighbouring sequences that one slot transforms, or one sequence.
  struct Group {
    int64_t begin, end;                 // of the sequences
    int64_t elements, workspace_bytes;  // of those with kernels
    int64_t rows;                       // of its sequences, without padding
    int64_t chunk, chunks;              // of the sums of LayerNorm's gradient
  };
  std::vector<Sequence> sequences;
  std::vector<CpuPlan> plans;     // of different lengths, each on one slot
  std::vector<int> plan_indices;  // by sequence; -1 if it is empty
  std::vector<Group> groups;      // of falling elements
  std::vector<CpuPlan> shared;    // of the groups that all slots share, the first ones
  int workers;                    // slots that take other groups
  int64_t worker_bytes;
  int64_t chunk_rows, chunks;
  size_t workspace_bytes;

  const CpuPlan* plan_of(int64_t sequence) const {
    const int index = plan_indices[sequence];
    return index < 0 ? nullptr : &plans[index];
  }
};
CpuVarlenPlan plan_varlen_cpu(const MixArgs& args, std::vector<Sequence> sequences, int slots,
                              const Kernels& = active_kernels(), const PlanChoice& choice = {});
// Mixes the sequences whose plan_of() takes the kernels, and writes the zeros past all lengths.
// Only hidden, dtype, epilogue and pointers of `args` count; `output_rows` are those of y.
[[nodiscard]] Status mix_varlen_cpu(const MixArgs& args, const CpuVarlenPlan& plan, void* workspace,
                                    const Parallel& parallel);
// The backward pass: LayerNorm's gradient of all sequences, whose du is args.x, then their mixes.
CpuNormGradPlan plan_norm_grad_varlen_cpu(const NormGradArgs& norm, const CpuVarlenPlan& plan,
                                          const Kernels& = active_kernels());
[[nodiscard]] Status backward_varlen_cpu(const NormGradArgs& norm, const CpuNormGradPlan& norm_plan,
                                         void* norm_workspace, const MixArgs& args,
                                         const CpuVarlenPlan& plan, void* workspace,
                                         const Parallel& parallel);

// The sequences whose gradients backward_cpu computes together. If they are all of the batch, the
// sums of the norm's gradient and the workspace of the mix are not needed at the same time.
int64_t backward_slice(const MixArgs& args, const CpuPlan& plan);
// The backward pass: both gradients for a few sequences at a time, while their du is cached. The
// caller's mix(begin, end) mixes sequences [begin, end) of du, or with norm.mean those of the
// gradient of y, to du. In that order the norm's gradient comes second.
void backward_cpu(const NormGradArgs& norm, const CpuNormGradPlan& norm_plan, void* workspace,
                  const MixArgs& args, const CpuPlan& plan, const Parallel& parallel,
                  const std::function<void(int64_t begin, int64_t end)>& mix);

}  // namespace fnet
