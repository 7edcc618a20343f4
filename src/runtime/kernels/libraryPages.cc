// Gives back the memory of libtensorflow's code and constants after it is loaded. Loading it, which
// relocates it and registers its thousands of kernels, reads nearly 200 MB of the file; few of them
// are used again, and those come back from the file when they are.

#if defined(__linux__)

#include <cstring>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace lora {

namespace {

// Pages of segments that cannot be written are those of the file: relocations, which would be lost,
// are in the others.
int give_back(dl_phdr_info* library, size_t, void*) {
  if (!library->dlpi_name || !std::strstr(library->dlpi_name, "libtensorflow")) return 0;
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < library->dlpi_phnum; i++)
    if (library->dlpi_phdr[i].p_type == PT_DYNAMIC) {
      const auto* entry = (const ElfW(Dyn)*)(library->dlpi_addr + library->dlpi_phdr[i].p_vaddr);
      for (; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_TEXTREL) return 0;  // its code is relocated
    }
  for (int i = 0; i < library->dlpi_phnum; i++) {
    const ElfW(Phdr)& segment = library->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W)) continue;
    const uintptr_t start = library->dlpi_addr + segment.p_vaddr,
                    from = (start + page - 1) / page * page,
                    to = (start + segment.p_filesz) / page * page;
    // what fails only costs memory
    if (from < to) madvise((void*)from, to - from, MADV_DONTNEED);
  }
  return 0;
}

// When the binding is loaded, its libraries have been.
__attribute__((constructor)) void give_back_library_pages() {
  dl_iterate_phdr(give_back, nullptr);
}

}  // namespace

}  // namespace lora

#endif
