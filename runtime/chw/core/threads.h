// A pool of threads that share out numbered tasks; the caller works along, so one thread means no pool at all.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace chw {

class Threads {
 public:
  // Where the system gives fewer threads than `count`, those it gave do the work.
  explicit Threads(int count) : count_(1) {
    workers_.reserve(static_cast<size_t>(std::max(count, 1)));
    try {
      for (; count_ < count; ++count_) workers_.emplace_back([this, i = count_] { work(i); });
    } catch (const std::system_error&) {
    }
  }
  ~Threads() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }

  // Calls task(index, thread) for every index below `tasks`; returns when all are done.
  template <class F>
  void each(int64_t tasks, const F& task) {
    if (count_ == 1 || tasks <= 1) {
      for (int64_t i = 0; i < tasks; ++i) task(i, 0);
      return;
    }
    call_ = [](const void* f, int64_t index, int thread) { (*static_cast<const F*>(f))(index, thread); };
    task_ = &task;
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(count_ - 1, std::memory_order_relaxed);
    {
      std::lock_guard lock(mutex_);
      epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take(0);
    for (int spins = 0; busy_.load(std::memory_order_acquire) != 0;) {
      if (++spins < kSpins)
        pause();
      else
        std::this_thread::yield();  // more threads than processors: let the others finish
    }
  }

 private:
  static constexpr int kSpins = 4000;  // some ten microseconds: the gap between two steps is shorter

  static void pause() {
#if defined(__x86_64__)
    _mm_pause();
#else
    std::this_thread::yield();
#endif
  }

  void take(int thread) {
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) call_(task_, i, thread);
  }

  void work(int thread) {
    uint64_t seen = 0;
    for (;;) {
      int spins = 0;
      while (epoch_.load(std::memory_order_acquire) == seen && ++spins < kSpins) pause();
      if (epoch_.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return epoch_.load(std::memory_order_acquire) != seen; });
      }
      seen = epoch_.load(std::memory_order_acquire);
      if (stop_) return;
      take(thread);
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  int count_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> epoch_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  bool stop_ = false;
  void (*call_)(const void*, int64_t, int) = nullptr;
  const void* task_ = nullptr;
  int64_t tasks_ = 0;
};

}  // namespace chw
