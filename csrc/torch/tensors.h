// Conversions from torch's tensors to the structs of the kernel API.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/args.h"
#include "torch/errors.h"
#include "torch/huge_pages.h"

namespace fnet::binding {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// `name` is that of the argument in messages.
inline DType dtype_of(const char* op, ScalarType type, const char* name = "x") {
  switch (type) {
    case ScalarType::Float: return DType::kFloat32;
    case ScalarType::Double: return DType::kFloat64;
    case ScalarType::BFloat16: return DType::kBFloat16;
    case ScalarType::Half: return DType::kFloat16;
    default: break;
  }
  fail(op, ": expected ", name, " of dtype float32, float64, bfloat16 or float16, got ",
       torch::headeronly::toString(type));
}

// The dtype of statistics and of arithmetic.
inline ScalarType compute_type(DType dtype) {
  return dtype == DType::kFloat64 ? ScalarType::Double : ScalarType::Float;
}

inline std::vector<int64_t> sizes_of(const Tensor& x) {
  return {x.sizes().begin(), x.sizes().end()};
}

inline int64_t element_bytes(ScalarType type) {
  switch (type) {
    case ScalarType::Double: return 8;
    case ScalarType::Float: return 4;
    case ScalarType::BFloat16:
    case ScalarType::Half: return 2;
    default: return 1;
  }
}

// Uninitialised contiguous memory on the device of `like`. The C shim takes a third of the time of
// the operator new_empty, which the stable ABI looks up by name.
inline Tensor new_empty(const Tensor& like, const std::vector<int64_t>& sizes, ScalarType type) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0; stride *= std::max<int64_t>(sizes[i], 1))
    strides[i] = stride;
  const auto dtype = torch::stable::detail::to<int32_t>(torch::stable::detail::from(type));
  int32_t device = 0;
  AtenTensorHandle handle = nullptr;
  if (aoti_torch_get_device_type(like.get(), &device) == AOTI_TORCH_SUCCESS &&
      aoti_torch_empty_strided(int64_t(sizes.size()), sizes.data(), strides.data(), dtype, device,
                               like.get_device_index(), &handle) == AOTI_TORCH_SUCCESS) {
    Tensor t(handle);
    if (t.is_cpu()) prefer_huge_pages(t.mutable_data_ptr(), t.numel() * t.element_size());
    return t;
  }
  const std::string said = torch_message();
  require(said.empty(), said);
  int64_t bytes = element_bytes(type);
  for (const int64_t size : sizes) bytes *= size;
  if (like.is_cpu()) fail_out_of_memory(size_t(bytes));
  fail("CUDA out of memory. Tried to allocate ", bytes, " bytes.");
}

inline Tensor new_bytes(const Tensor& like, size_t count) {
  return new_empty(like, {int64_t(count)}, ScalarType::Byte);
}

inline bool is_aligned(const Tensor& t, int64_t alignment) {
  return reinterpret_cast<intptr_t>(t.const_data_ptr()) % alignment == 0;
}

// t, or a copy that is contiguous and aligned to `alignment` bytes.
inline Tensor contiguous(const Tensor& t, int64_t alignment) {
  if (t.is_contiguous() && is_aligned(t, alignment)) return t;
  Tensor dense = new_empty(t, sizes_of(t), t.scalar_type());
  torch::stable::copy_(dense, t);
  return dense;
}
inline std::optional<Tensor> contiguous(const std::optional<Tensor>& t, int64_t alignment) {
  return t ? std::optional<Tensor>(contiguous(*t, alignment)) : std::nullopt;
}

// x as [batch, seq, hidden] with last stride 1 and rows aligned to `alignment` bytes: in place if
// its strides allow it, otherwise a copy. x must outlive the result's pointers. `name` is that of
// the argument in messages.
struct Rows {
  Tensor x;
  const char* name;
  int64_t batch = 1, seq, hidden, batch_stride, row_stride;

  Rows(const char* op, const Tensor& given, int64_t alignment = 1, const char* argument = "x")
      : x(given), name(argument) {
    require(x.dim() >= 2, op, ": expected ", name, " of at least 2 dims [..., seq, hidden], got ",
            x.dim());
    const int64_t dims = x.dim();
    seq = x.size(dims - 2);
    hidden = x.size(dims - 1);
    for (int64_t i = 0; i < dims - 2; ++i) batch *= x.size(i);
    if (!collapse() || !is_aligned(x, alignment) ||
        row_stride * int64_t(x.element_size()) % alignment ||
        batch_stride * int64_t(x.element_size()) % alignment) {
      x = contiguous(x, alignment);
      row_stride = hidden;
      batch_stride = seq * hidden;
    }
  }

 private:
  bool collapse() {
    const int64_t dims = x.dim();
    if (hidden > 1 && x.stride(dims - 1) != 1) return false;
    row_stride = x.stride(dims - 2);
    batch_stride = 0;
    int64_t next = -1;  // the stride that the next outer dim must have
    for (int64_t i = dims - 3; i >= 0; --i) {
      if (x.size(i) == 1) continue;
      if (next < 0)
        batch_stride = x.stride(i);
      else if (x.stride(i) != next)
        return false;
      next = x.stride(i) * x.size(i);
    }
    return true;
  }
};

inline const void* data_or_null(const std::optional<Tensor>& t) {
  return t ? t->const_data_ptr() : nullptr;
}

// p plus `bytes`; null stays null.
template <class P>
P* offset_bytes(P* p, int64_t bytes) {
  using Byte = std::conditional_t<std::is_const_v<P>, const char, char>;
  return p ? static_cast<Byte*>(p) + bytes : nullptr;
}

inline MixArgs mix_args(const Rows& in, DType dtype, double scale) {
  MixArgs args;
  args.x = in.x.const_data_ptr();
  args.batch = in.batch;
  args.seq = in.seq;
  args.hidden = in.hidden;
  args.x_batch_stride = in.batch_stride;
  args.x_row_stride = in.row_stride;
  args.scale = scale;
  args.dtype = dtype;
  return args;
}

// Only sequences [begin, end) of the batch.
inline MixArgs part_of(const MixArgs& args, int64_t begin, int64_t end) {
  const int64_t wide = compute_size(args.dtype), narrow = element_size(args.dtype);
  const int64_t row = begin * args.seq, element = row * args.hidden;
  MixArgs part = args;
  part.batch = end - begin;
  part.x = offset_bytes(args.x, begin * args.x_batch_stride * narrow);
  part.y = offset_bytes(args.y, element * narrow);
  part.normalized = offset_bytes(args.normalized, element * narrow);
  part.row_scale = offset_bytes(args.row_scale, row * wide);
  part.rstd = offset_bytes(args.rstd, row * wide);
  part.mean = offset_bytes(args.mean, row * wide);
  part.residual = offset_bytes(args.residual, begin * args.residual_batch_stride * narrow);
  return part;
}

inline bool is_empty(const MixArgs& args) { return args.batch * args.seq * args.hidden == 0; }

}  // namespace fnet::binding
