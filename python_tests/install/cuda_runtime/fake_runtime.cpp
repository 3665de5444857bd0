#include <cstddef>

// A fake CUDA runtime with a few calls, whose results a test sets. As in CUDA, a failing call stores
// its error for cudaGetLastError, and a successful call keeps the stored error.
int last_error = 0, launch_status = 0, query_status = 0, ptx_version = 90;

namespace {

struct FuncAttributes {  // the beginning of cudaFuncAttributes
  size_t shared_bytes, constant_bytes, local_bytes;
  int max_threads, registers, ptxVersion;
};

int failed(int status) {
  if (status) last_error = status;
  return status;
}

}  // namespace

extern "C" {
int cudaGetLastError() {
  const int error = last_error;
  last_error = 0;
  return error;
}
int cudaGetDevice(int* device) {
  *device = 0;
  return failed(query_status);
}
int cudaDeviceGetAttribute(int* value, int, int) {
  *value = 64;
  return failed(query_status);
}
int cudaLaunchKernelExC(const void*, const void*, void**) { return failed(launch_status); }
int cudaFuncSetAttribute(const void*, int, int) { return 0; }
int cudaFuncGetAttributes(void* attributes, const void*) {
  static_cast<FuncAttributes*>(attributes)->ptxVersion = ptx_version;
  return failed(query_status);
}
const char* cudaGetErrorString(int) { return ""; }

// Functions that the host code from nvcc calls before main and to take a kernel's address.
void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char*, char*, const char*, int, void*, void*, void*,
                            void*, int*) {}
char __cudaInitModule(void**) { return 0; }
int __cudaGetKernel(void** kernel, const void* entry) {
  *kernel = const_cast<void*>(entry);
  return 0;
}
int __cudaLaunchKernel(void*, unsigned long, unsigned long, unsigned long, unsigned long, void**,
                       unsigned long, void*) {
  return failed(launch_status);
}
int __cudaPopCallConfiguration(void*, void*, void*, void*) { return 0; }
}
