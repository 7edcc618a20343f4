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
    // not only where _wgetenv has another value: getenv has a copy of its own
    _wputenv_s(name, end + 1);
  }
  FreeEnvironmentStringsW(variables);
}
