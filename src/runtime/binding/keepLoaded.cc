// Keeps the binding in memory once it is loaded. Node unloads it with the worker thread that loaded
// it, while the kernels' threads still wait in its code. On Linux the linker's -z nodelete does it.
#if defined(_WIN32)
#include <windows.h>

__attribute__((constructor)) static void keep_loaded() {
  static int here;
  HMODULE self;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     reinterpret_cast<LPCWSTR>(&here), &self);
}
#elif defined(__APPLE__)
#include <dlfcn.h>

__attribute__((constructor)) static void keep_loaded() {
  static int here;
  Dl_info own;
  if (dladdr(&here, &own) && own.dli_fname) dlopen(own.dli_fname, RTLD_LAZY | RTLD_NODELETE);
}
#endif
