// Splits the rows of a kernel over the processor's cores: the C API of libtensorflow gives no
// access to its own thread pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#if defined(__linux__)
#include <sched.h>
#endif

namespace lora {

inline int cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

// More cores are left to libtensorflow.
constexpr int MAX_THREADS = 32;

class Pool {
 public:
  using Body = std::function<void(int64_t from, int64_t to)>;

  // It is never destroyed: its threads sleep until the process ends.
  static Pool& shared() {
    static Pool* pool = new Pool(std::min(cores(), MAX_THREADS) - 1);
    return *pool;
  }

  // Calls body for parts of [0, n). The results do not depend on the number of threads.
  void run(int64_t n, int64_t elements_per_row, const Body& body) {
    const int64_t parts = parts_of(n, elements_per_row, 4);
    if (parts < 2) return body(0, n);
    divide(n, grain_of((n + parts - 1) / parts), 1, body);
  }

  // The same for what is read from memory in one go: a thread gets parts that are neighbours, until
  // it takes over those of others.
  void run_in_order(int64_t n, int64_t elements_per_row, const Body& body) {
    const int64_t parts = parts_of(n, elements_per_row, 8);
    if (parts < 2) return body(0, n);
    divide(n, grain_of((n + parts - 1) / parts), std::min<int64_t>(helpers_ + 1, parts), body);
  }

  // Calls body for one of [0, n) after the other, each of which is worth waking a thread.
  void run_each(int64_t n, const Body& body) { divide(n, 1, 1, body); }

 private:
  int64_t parts_of(int64_t n, int64_t elements_per_row, int64_t of_each) const {
    return std::min<int64_t>(
        n, std::min<int64_t>(of_each * (helpers_ + 1), n * elements_per_row / kMinPartElements));
  }

  void divide(int64_t n, int64_t grain, int64_t ranges, const Body& body) {
    if (n < 2 || helpers_ == 0 || taken_.test_and_set(std::memory_order_acquire)) return body(0, n);
    {
      std::lock_guard lock(mutex_);
      body_ = &body;
      grain_ = grain;
      ranges_ = ranges;
      const int64_t each = ranges == 1 ? n : grain_of((n + ranges - 1) / ranges);
      for (int64_t i = 0; i < ranges; i++) {
        ranges_of_rows_[i].next = i * each;
        ranges_of_rows_[i].end = std::min(n, (i + 1) * each);
      }
      // before helpers see the new work: one that is late for the last one may take it, too
      joined_ = 0;
      generation_++;
    }
    wake_.notify_all();
    work(0);
    joined_ |= CLOSED;
    if (!spin(kSpinsForHelpers, [this] { return joined_ == CLOSED; })) {
      std::unique_lock lock(mutex_);
      done_.wait(lock, [this] { return joined_ == CLOSED; });
    }
    taken_.clear(std::memory_order_release);
  }

  // Elements per part below which waking a thread costs more than it saves.
  static constexpr int64_t kMinPartElements = 16384;
  static constexpr int kSpins = 1000;
  // Helpers are at their last parts: sleeping would take longer.
  static constexpr int kSpinsForHelpers = 5000;

  // Many rows are divided by sixteens, which products take at a time.
  static int64_t grain_of(int64_t rows) { return rows <= 8 ? rows : (rows + 15) / 16 * 16; }

  explicit Pool(int helpers) : helpers_(helpers) {
    for (int i = 0; i < helpers; i++) std::thread([this, i] { help(i + 1); }).detach();
  }

  void help(int number) {
    for (int64_t seen = 0;;) {
      const auto is_new = [&] { return generation_ != seen; };
      if (!spin(kSpins, is_new)) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, is_new);
      }
      seen = generation_;
      if (!join()) continue;
      seen = generation_;
      work(number);
      if (--joined_ != CLOSED) continue;
      std::lock_guard lock(mutex_);
      done_.notify_one();
    }
  }

  // Takes part in the work unless its caller has done all of it: it waits for those who take part.
  bool join() {
    for (int joined = joined_; joined < CLOSED;)
      if (joined_.compare_exchange_weak(joined, joined + 1)) return true;
    return false;
  }

  // The next kernel usually follows within microseconds, sooner than a sleeping thread wakes up.
  template <class F>
  static bool spin(int spins, F ready) {
    for (int i = 0; i < spins; i++) {
      if (ready()) return true;
      relax();
    }
    return false;
  }

  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  // The parts of a thread's own range, then what is left of others.
  void work(int64_t number) {
    for (int64_t i = 0; i < ranges_; i++) {
      Range& own = ranges_of_rows_[(number + i) % ranges_];
      for (int64_t from; (from = own.next.fetch_add(grain_)) < own.end;)
        (*body_)(from, std::min(own.end, from + grain_));
    }
  }

  // Rows that are left. A cache line each: threads count in their own.
  struct alignas(64) Range {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  const int helpers_;
  // Set while the helpers work for one caller; another caller then computes alone.
  std::atomic_flag taken_ = ATOMIC_FLAG_INIT;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const Body* body_ = nullptr;
  int64_t grain_ = 1, ranges_ = 1;
  Range ranges_of_rows_[MAX_THREADS];
  std::atomic<int64_t> generation_{0};
  // The helpers at work, plus CLOSED when no other may begin.
  static constexpr int CLOSED = 1 << 16;
  std::atomic<int> joined_{CLOSED};
};

}  // namespace lora
