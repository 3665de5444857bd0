// The schemas of all ops. Each backend registers its kernels for them.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(fnet_kernels, m) {
  // (residual ? x : 0) + scale * Re(FFT2(x)) over the last two dims.
  m.def("fourier_mix(Tensor x, float scale=1.0, bool residual=False) -> Tensor");
  // scale * (Re(FFT2(x)) - Im(FFT2(x))) over the last two dims.
  m.def("hartley_mix(Tensor x, float scale=1.0) -> Tensor");
  // LayerNorm(x + scale * Re(FFT2(x))) * weight + bias; weight and bias have one dtype: that of x,
  // or with 16-bit x and a weight float32.
  m.def(
      "fused_fourier_mix(Tensor x, Tensor? weight, Tensor? bias, float eps, float scale) -> "
      "Tensor");
  // Also returns what the backward pass reads: the rows before weight and bias, and rstd of each
  // row.
  m.def(
      "fused_fourier_mix_train(Tensor x, Tensor? weight, Tensor? bias, float eps, float scale)"
      " -> (Tensor y, Tensor normalized, Tensor rstd)");
  // First-order gradients. dweight and dbias have the dtype of weight, or else of grad, and are
  // empty unless needed.
  m.def(
      "fused_fourier_mix_backward(Tensor grad, Tensor normalized, Tensor rstd, Tensor? weight,"
      " float scale, bool need_weight, bool need_bias) -> (Tensor dx, Tensor dweight, Tensor "
      "dbias)");

  // The same three with RMSNorm, which subtracts no mean.
  m.def(
      "fused_rms_fourier_mix(Tensor x, Tensor? weight, Tensor? bias, float eps, float scale) -> "
      "Tensor");
  m.def(
      "fused_rms_fourier_mix_train(Tensor x, Tensor? weight, Tensor? bias, float eps, float scale)"
      " -> (Tensor y, Tensor normalized, Tensor rstd)");
  m.def(
      "fused_rms_fourier_mix_backward(Tensor grad, Tensor normalized, Tensor rstd, Tensor? weight,"
      " float scale, bool need_weight, bool need_bias) -> (Tensor dx, Tensor dweight, Tensor "
      "dbias)");
  // residual + scale * Re(FFT2(x)).
  m.def("residual_fourier_mix(Tensor x, Tensor residual, float scale=1.0) -> Tensor");
  // x + scale * Re(FFT2(Norm(x) * weight + bias)), and the mean (zeros with rms) and rstd of each
  // row, which the backward pass reads beside x.
  m.def(
      "prenorm_fourier_mix(Tensor x, Tensor? weight, Tensor? bias, float eps, float scale, bool "
      "rms) -> (Tensor y, Tensor mean, Tensor rstd)");
  // First-order gradients, as above. Derivatives of this op need eps.
  m.def(
      "prenorm_fourier_mix_backward(Tensor grad, Tensor x, Tensor mean, Tensor rstd, Tensor? "
      "weight, float eps, float scale, bool rms, bool need_weight, bool need_bias) -> (Tensor dx, "
      "Tensor dweight, Tensor dbias)");
  // The same for sequences of different lengths: x is [total, hidden] with one after the other, or
  // [..., seq, hidden] with one at the start of each [seq, hidden], and zeros in the results after
  // it. Rows of zeros extend each length to a multiple of round_to. norm as in torch.fft.
  m.def(
      "fourier_mix_varlen(Tensor x, SymInt[] lengths, SymInt round_to=1, str norm='backward', "
      "float scale=1.0, bool residual=False) -> Tensor");
  m.def(
      "fused_fourier_mix_varlen(Tensor x, Tensor? weight, Tensor? bias, SymInt[] lengths, "
      "SymInt round_to, str norm, float eps, float scale) -> Tensor");
  m.def(
      "fused_fourier_mix_varlen_train(Tensor x, Tensor? weight, Tensor? bias, SymInt[] lengths, "
      "SymInt round_to, str norm, float eps, float scale)"
      " -> (Tensor y, Tensor normalized, Tensor rstd)");
  m.def(
      "fused_fourier_mix_varlen_backward(Tensor grad, Tensor normalized, Tensor rstd, "
      "Tensor? weight, SymInt[] lengths, SymInt round_to, str norm, float scale, bool need_weight, "
      "bool need_bias) -> (Tensor dx, Tensor dweight, Tensor dbias)");

  // The plan of a shape with the current threads and instruction set, as a JSON object.
  m.def("cpu_plan(int batch, int seq, int hidden, ScalarType dtype) -> str");
  // The bytes that an op allocates besides its results.
  m.def("workspace_bytes(int batch, int seq, int hidden, ScalarType dtype) -> int");
  // The plan of sequences of different lengths, likewise.
  m.def("cpu_varlen_plan(int[] lengths, int round_to, int hidden, ScalarType dtype) -> str");
  m.def("cpu_isa() -> str");
  m.def("cpu_isas() -> str");
  // Affects later calls of all threads.
  m.def("set_cpu_isa(str isa) -> ()");
  // "auto", the default; "general": torch's FFT for every length; "runs": different lengths as on
  // CUDA.
  m.def("set_cpu_path(str path) -> ()");
  // Outputs of at least this many bytes use non-temporal stores; setting 0 restores the default.
  m.def("stream_bytes() -> int");
  m.def("set_stream_bytes(int bytes) -> ()");
  // Frees the tables of all lengths, and the workspace that the calling thread keeps.
  m.def("clear_caches() -> ()");
}
