// Runs an exported model in a process without Python and writes its float32 result to stdout.
//
//   serve LIBRARY MODEL BATCH SEQ HIDDEN
//
// LIBRARY is libfnet_kernels.so. MODEL is a TorchScript file or, with the suffix .pt2, a package of
// AOTInductor. The input is linspace(-1, 1) of shape [BATCH, SEQ, HIDDEN].
#include <ATen/core/Tensor.h>
#include <ATen/ops/linspace.h>
#include <c10/core/InferenceMode.h>
#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cstdio>
#include <exception>
#include <string>

at::Tensor run(const std::string& model, const at::Tensor& x) {
  if (model.ends_with(".pt2")) return torch::inductor::AOTIModelPackageLoader(model).run({x}).at(0);
  return torch::jit::load(model).forward({x}).toTensor();
}

int main(int argc, char** argv) try {
  if (argc != 6) {
    std::fputs("usage: serve LIBRARY MODEL BATCH SEQ HIDDEN\n", stderr);
    return 2;
  }
  if (dlopen(argv[1], RTLD_NOW) == nullptr) {  // registers the operators
    std::fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  const c10::InferenceMode inference;
  const int64_t batch = std::stoll(argv[3]), seq = std::stoll(argv[4]),
                hidden = std::stoll(argv[5]);
  const at::Tensor x = at::linspace(-1, 1, batch * seq * hidden).reshape({batch, seq, hidden});
  const at::Tensor y = run(argv[2], x).contiguous();
  const size_t count = size_t(y.numel());
  return std::fwrite(y.const_data_ptr<float>(), sizeof(float), count, stdout) == count ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
