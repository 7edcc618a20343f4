// Part of the library that stands for Python's on Windows. Node gives variables to Windows alone,
// but libtensorflow reads the copy of the C library, which is as old as that. This library is loaded
// just before libtensorflow, because that asks for it, so it is here that the copy is renewed.
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

__attribute__((constructor)) static void renew_environment(void) {
  wchar_t* variables = GetEnvironmentStringsW();
  if (!variables) return;
  size_t length;
  for (wchar_t* name = variables; *name; name += length + 1) {
    length = wcslen(name);
    wchar_t* end = wcschr(name, L'=');
    // "=C:" is the working folder of a drive; an empty value would remove the variable
    if (!end || end == name || !end[1]) continue;
    *end = 0;
    const wchar_t* known = _wgetenv(name);
    if (!known || wcscmp(known, end + 1)) _wputenv_s(name, end + 1);
  }
  FreeEnvironmentStringsW(variables);
}
