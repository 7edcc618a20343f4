// What the linker needs in place of the libraries that the binding uses, made from names alone, so
// that one machine builds the bindings of all platforms.

/** The functions of a C API that C++ sources call; sorted. */
export function calledFunctions(sources: string, header: string, declaration: RegExp): string[] {
  const called = new Set([...sources.matchAll(/\b(\w+)(?=\s*\()/g)].map(([, name]) => name!));
  const declared = [...header.matchAll(declaration)].map(([, name]) => name!);
  return [...new Set(declared.filter((name) => called.has(name)))].sort();
}

/** A function of TensorFlow's C API in a header. */
export const TENSORFLOW_FUNCTION = /\bTF_CAPI_EXPORT\s[^;(]*?\b(TFE?_\w+)\s*\(/g;
/** A function of Node-API in a header. */
export const NODE_API_FUNCTION = /\bNAPI_CDECL\s+(napi_\w+)\s*\(/g;

/**
 * A library of macOS as text. The version 0 is that of the wheel's libraries: with a higher one the
 * loader would refuse them.
 */
export const macLibrary = (fileName: string, functions: readonly string[]): string =>
  `--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: '@rpath/${fileName}'
current-version: 0
compatibility-version: 0
exports:
  - targets: [ arm64-macos ]
    symbols: [ ${functions.map((name) => `_${name}`).join(', ')} ]
...
`;

/** The definition of a library of Windows, from which dlltool makes an import library. */
export const windowsDefinition = (fileName: string, functions: readonly string[]): string =>
  `LIBRARY "${fileName}"\nEXPORTS\n${functions.map((name) => `${name}\n`).join('')}`;

/** A library of Windows that exports names, none of which is ever called. */
export const windowsStub = (names: readonly string[]): string =>
  names.map((name) => `__declspec(dllexport) void ${name}(void) {}\n`).join('');

/**
 * Node-API on Windows. A library of Windows names the program that it takes functions from, and
 * the binding is loaded by programs of several names: node.exe, Code.exe. So each function is a
 * jump through a pointer that is filled from the running program.
 */
export const windowsNodeApi = (functions: readonly string[]): string =>
  `#include <windows.h>
#include <cstdio>
#include <cstdlib>

static void missing() {
  std::fputs("The program that loads the binding has no Node-API.\\n", stderr);
  std::abort();
}

extern "C" {
${functions.map((name) => `void* lora_${name} = (void*)missing;\n`).join('')}}

${functions
  .map((name) => `__asm__(".globl ${name}\\n${name}:\\n  jmp *lora_${name}(%rip)\\n");\n`)
  .join('')}
static void find(void** pointer, const char* name) {
  if (void* found = (void*)GetProcAddress(GetModuleHandleW(nullptr), name)) *pointer = found;
}

// before the binding's own constructors, which may call them
__attribute__((constructor(101))) static void find_all() {
${functions.map((name) => `  find(&lora_${name}, "${name}");\n`).join('')}}
`;
