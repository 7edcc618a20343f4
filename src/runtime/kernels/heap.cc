// How glibc keeps freed memory for the next call of malloc.

#if defined(__linux__)
#include <features.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>

namespace lora {

namespace {

// What a layer computes with is freed at its end and needed again by the next one. By default glibc
// returns free memory at the end of the heap to the system from some megabytes on, and each page of
// it costs a fault when it is used again: an eighth of a step of 1,024 tokens.
constexpr int LARGEST_OF_HEAP = 32 << 20, KEPT_AT_END = 64 << 20;

const bool is_set = mallopt(M_MMAP_THRESHOLD, LARGEST_OF_HEAP) &&
                    mallopt(M_TRIM_THRESHOLD, KEPT_AT_END);

}  // namespace

}  // namespace lora
#endif
