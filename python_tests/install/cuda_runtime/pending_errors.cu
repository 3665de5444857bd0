// Runs our launches and queries while a fake CUDA runtime holds an error of another library. They
// must neither report nor clear it. Prints a line per case. With an argument, the PTX version of the
// kernels, it prints whether two calls overlap them.
#include <cstdio>
#include <cstdlib>

#include "cuda/api.h"
#include "cuda/device.h"
#include "cuda/runtime.cu"  // here, because nvcc takes ten seconds for each file

extern int last_error, launch_status, query_status, ptx_version;  // in fake_runtime.cpp

namespace fnet {

FNET_KERNEL void nothing_kernel(float* y) { store_global(y, 0.0f); }

void report(const char* what, int pending, int status_of_launch, int status_of_query) {
  launch_status = status_of_launch;
  query_status = status_of_query;
  last_error = pending;
  float y = 0;
  const int launched = launch<nothing_kernel>(LaunchConfig{.name = "nothing"}, &y);
  const int after_launch = last_error;
  last_error = pending;
  const int processors = current_device().processors;
  std::printf("%s: launch %d, pending %d; %d processors, pending %d\n", what, launched,
              after_launch, processors, last_error);
}

}  // namespace fnet

int main(int argc, char** argv) {
  if (argc > 1) {
    ptx_version = std::atoi(argv[1]);
    const bool first = fnet::current_device().overlaps, second = fnet::current_device().overlaps;
    std::printf("%d %d\n", first, second);
    return 0;
  }
  fnet::report("no error", 0, 0, 0);
  fnet::report("error of another library", 719, 0, 0);
  fnet::report("our error", 0, 98, 101);
}
