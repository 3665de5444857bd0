// The CPU's side of core/api.h: workspace, and who does what.
#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/line_plan.h"
#include "cpu/spectrum.h"

namespace fnet {
namespace {

constexpr int64_t kAlign = 64;
// Partial sums of dweight and dbias: the chunks depend on the rows alone, so results never depend
// on threads.
constexpr int64_t kMaxChunks = 64, kMinChunkRows = 64;

int64_t align(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// Hands out pieces of a workspace; from a null base it only counts.
class Arena {
 public:
  explicit Arena(void* base) : begin_(align(reinterpret_cast<intptr_t>(base))), at_(begin_) {}
  void* take(int64_t bytes) {
    void* piece = reinterpret_cast<void*>(at_);
    at_ += align(bytes);
    return piece;
  }
  size_t used() const { return size_t(at_ - begin_ + kAlign); }

 private:
  intptr_t begin_, at_;
};

void* offset(void* base, int64_t bytes) { return static_cast<char*>(base) + bytes; }

// Whether each slot does whole sequences, with a spectrum G of its own, in place of a share of
// every one: then no core waits for what another has written, which takes half as long again where
// they have no cache in common. A small G stays in its core's L2 between the passes as well. Each
// is half of a sequence, so large ones ask for two sequences a slot: they are half of x at most.
bool has_private_spectra(const MixArgs& args, int slots, int64_t spectrum_bytes) {
  constexpr int64_t kSmall = 2 << 20;
  return args.batch >= (spectrum_bytes <= kSmall ? slots : 2 * slots);
}

struct MixWorkspace {
  void *weight, *bias;
  void* scratch;  // of slot 0; the next follow
  int64_t scratch_bytes;
  void* G;  // of slot 0; the next follow where they are private
  int64_t spectrum_bytes;
  bool private_spectra;
  size_t used;

  MixWorkspace(const MixArgs& args, int slots, const Kernels& kernels, void* base) {
    Arena arena(base);
    const int64_t row = args.hidden * compute_size(args.dtype);
    weight = arena.take(row);
    bias = arena.take(row);
    scratch_bytes = kernels.scratch_bytes(args.dtype, args.seq, args.hidden);
    scratch = arena.take(slots * scratch_bytes);
    const SpectrumLayout layout{args.seq, args.hidden, kernels.width(args.dtype)};
    spectrum_bytes = align(layout.size() * compute_size(args.dtype));
    private_spectra = has_private_spectra(args, slots, spectrum_bytes);
    const int spectra = !has_own_kernels(args) ? 0 : private_spectra ? slots : 1;
    G = arena.take(spectra * spectrum_bytes);
    used = arena.used();
  }
};

// to[i] <- from[i] in the compute type, or `missing` where the user gave no tensor.
void widen(DType dtype, const void* from, double missing, int64_t count, void* to) {
  visit_dtype(dtype, [&](auto t) {
    using T = decltype(t);
    auto* wide = static_cast<Compute<T>*>(to);
    for (int64_t i = 0; i < count; ++i)
      wide[i] = from ? load_scalar(static_cast<const T*>(from)[i]) : Compute<T>(missing);
  });
}

struct Range {
  int64_t begin, end;
};
Range share(int64_t count, int slot, int slots) {
  return {count * slot / slots, count * (slot + 1) / slots};
}

// Calls body(b, range, slot) so that every sequence's `count` blocks are done, in parallel.
template <class F>
void each_block(int64_t count, const Parallel& parallel, const F& body) {
  parallel.each([&](int slot) {
    const Range range = share(count, slot, parallel.slots());
    if (range.begin < range.end) body(range, slot);
  });
}

}  // namespace

bool has_own_kernels(const MixArgs& args) {
  return has_factors(args.seq) && has_factors(args.hidden);
}

size_t mix_cpu_workspace(const MixArgs& args, int slots, const Kernels& kernels) {
  return MixWorkspace(args, slots, kernels, nullptr).used;
}

int mix_cpu_sequences(const MixArgs& args, int slots, const Kernels& kernels) {
  return MixWorkspace(args, slots, kernels, nullptr).private_spectra ? slots : 1;
}

Status mix_part_cpu(const MixArgs& args, int64_t begin, int64_t end, void* workspace,
                    const Parallel& parallel, const Kernels& kernels) {
  if (!has_own_kernels(args)) return Status::kUnsupportedLength;
  const MixWorkspace ws(args, parallel.slots(), kernels, workspace);
  widen(args.dtype, args.weight, 1, args.hidden, ws.weight);
  widen(args.dtype, args.bias, 0, args.hidden, ws.bias);

  const auto run = [&](const auto& seq_plan, const auto& hidden_plan) {
    const MixTask task{&args,     seq_plan.get(), hidden_plan.get(),
                       ws.weight, ws.bias,        streams_output(args)};
    const int64_t block = 2 * kernels.width(args.dtype);
    const int64_t seq_blocks = (half_length(args.hidden) + block - 1) / block;
    const int64_t row_blocks = (half_length(args.seq) + block - 1) / block;
    const auto scratch = [&](int slot) { return offset(ws.scratch, slot * ws.scratch_bytes); };
    // As many for each slot; what is left over is shared by all.
    const int slots = parallel.slots();
    const int64_t whole = ws.private_spectra ? (end - begin) / slots * slots : 0;
    each_block(whole, parallel, [&](Range range, int slot) {
      void* G = offset(ws.G, slot * ws.spectrum_bytes);
      for (int64_t b = begin + range.begin; b < begin + range.end; ++b) {
        kernels.seq_blocks(task, b, G, 0, seq_blocks, scratch(slot));
        kernels.row_blocks(task, b, G, 0, row_blocks, scratch(slot));
      }
    });
    for (int64_t b = begin + whole; b < end; ++b) {
      each_block(seq_blocks, parallel, [&](Range range, int slot) {
        kernels.seq_blocks(task, b, ws.G, range.begin, range.end, scratch(slot));
      });
      each_block(row_blocks, parallel, [&](Range range, int slot) {
        kernels.row_blocks(task, b, ws.G, range.begin, range.end, scratch(slot));
      });
    }
  };
  if (args.dtype == DType::kFloat64)
    run(line_plan<double>(args.seq), line_plan<double>(args.hidden));
  else
    run(line_plan<float>(args.seq), line_plan<float>(args.hidden));
  return Status::kOk;
}

void widen_rows_cpu(const MixArgs& args, void* wide, const Parallel& parallel) {
  visit_dtype(args.dtype, [&](auto t) {
    using T = decltype(t);
    using R = Compute<T>;
    each_block(args.batch * args.seq, parallel, [&](Range range, int) {
      for (int64_t i = range.begin; i < range.end; ++i) {
        const T* row = static_cast<const T*>(args.x) + i / args.seq * args.x_batch_stride +
                       i % args.seq * args.x_row_stride;
        const R scale =
            args.row_scale ? with_short_nan(static_cast<const R*>(args.row_scale)[i]) : R(1);
        R* to = static_cast<R*>(wide) + i * args.hidden;
        for (int64_t l = 0; l < args.hidden; ++l) to[l] = load_scalar(row[l]) * scale;
      }
    });
  });
}

void mix_from_spectrum_cpu(const MixArgs& args, const void* spectrum, void* workspace,
                           const Parallel& parallel, const Kernels& kernels) {
  const MixWorkspace ws(args, parallel.slots(), kernels, workspace);
  widen(args.dtype, args.weight, 1, args.hidden, ws.weight);
  widen(args.dtype, args.bias, 0, args.hidden, ws.bias);
  const MixTask task{&args, nullptr, nullptr, ws.weight, ws.bias, streams_output(args)};
  const int64_t pairs = half_length(args.seq);
  each_block(args.batch * pairs, parallel, [&](Range range, int slot) {
    for (int64_t i = range.begin; i < range.end;) {
      const int64_t b = i / pairs, k = i % pairs;
      const int64_t count = std::min(pairs - k, range.end - i);
      kernels.spectrum_rows(task, b, spectrum, k, k + count,
                            offset(ws.scratch, slot * ws.scratch_bytes));
      i += count;
    }
  });
}

namespace {

struct NormGradWorkspace {
  void* weight;
  int64_t partial_bytes;
  void *dweight, *dbias;  // of chunk 0
  size_t used;

  NormGradWorkspace(const NormGradArgs& args, void* base) {
    Arena arena(base);
    partial_bytes = align(args.hidden * compute_size(args.dtype));
    weight = arena.take(partial_bytes);
    const int64_t partials = norm_grad_chunks(args).count * partial_bytes;
    dweight = args.dweight ? arena.take(partials) : nullptr;
    dbias = args.dbias ? arena.take(partials) : nullptr;
    used = arena.used();
  }
};

// to <- the chunks' partial sums, added in order.
void add_chunks(DType dtype, const void* partial, int64_t chunks, int64_t partial_bytes,
                int64_t count, void* to) {
  visit_dtype(dtype, [&](auto t) {
    using T = decltype(t);
    using R = Compute<T>;
    for (int64_t l = 0; l < count; ++l) {
      R sum = 0;
      for (int64_t c = 0; c < chunks; ++c)
        sum += reinterpret_cast<const R*>(static_cast<const char*>(partial) + c * partial_bytes)[l];
      store_scalar(static_cast<T*>(to)[l], sum);
    }
  });
}

}  // namespace

size_t norm_grad_cpu_workspace(const NormGradArgs& args) {
  return NormGradWorkspace(args, nullptr).used;
}

NormGradChunks norm_grad_chunks(const NormGradArgs& args) {
  const int64_t rows = std::max(kMinChunkRows, (args.rows + kMaxChunks - 1) / kMaxChunks);
  return {rows, (args.rows + rows - 1) / rows};
}

void norm_grad_part_cpu(const NormGradArgs& args, int64_t begin, int64_t end, void* workspace,
                        const Parallel& parallel) {
  const Kernels& kernels = active_kernels();
  const NormGradWorkspace ws(args, workspace);
  const int64_t chunk_rows = norm_grad_chunks(args).rows;
  widen(args.dtype, args.weight, 1, args.hidden, ws.weight);
  each_block(end - begin, parallel, [&](Range range, int) {
    for (int64_t c = begin + range.begin; c < begin + range.end; ++c) {
      const auto partial = [&](void* base) {
        return base ? offset(base, c * ws.partial_bytes) : nullptr;
      };
      kernels.norm_grad_rows(args, ws.weight, c * chunk_rows,
                             std::min(args.rows, (c + 1) * chunk_rows), partial(ws.dweight),
                             partial(ws.dbias));
    }
  });
}

void norm_grad_sums_cpu(const NormGradArgs& args, void* workspace) {
  const NormGradWorkspace ws(args, workspace);
  const int64_t chunks = norm_grad_chunks(args).count;
  if (args.dweight)
    add_chunks(args.dtype, ws.dweight, chunks, ws.partial_bytes, args.hidden, args.dweight);
  if (args.dbias)
    add_chunks(args.dtype, ws.dbias, chunks, ws.partial_bytes, args.hidden, args.dbias);
}

}  // namespace fnet
