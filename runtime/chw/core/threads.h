// A pool of threads that share out numbered tasks. The caller works along and never waits for a thread that has not
// begun: on a busy machine it does the work alone.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
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
  explicit Threads(int count) : count_(1), shares_(std::make_unique<Share[]>(static_cast<size_t>(std::max(count, 1)))) {
    workers_.reserve(static_cast<size_t>(std::max(count, 1)));
    try {
      for (; count_ < count; ++count_) workers_.emplace_back([this, i = count_] { work(i); });
    } catch (const std::system_error&) {
    }
  }
  ~Threads() {
    {
      std::lock_guard lock(mutex_);
      stop_.store(true);
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
    // no worker is in a job here: it was closed and left by all before the last call returned
    call_ = [](const void* f, int64_t index, int thread) { (*static_cast<const F*>(f))(index, thread); };
    task_ = &task;
    for (int i = 0; i < count_; ++i) {
      shares_[i].next.store(tasks * i / count_, std::memory_order_relaxed);
      shares_[i].end = tasks * (i + 1) / count_;
    }
    state_.store((job() + 1) << 32 | kOpen, std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_seq_cst) > 0) {
      { std::lock_guard lock(mutex_); }
      wake_.notify_all();
    }
    take(0);
    state_.fetch_and(~kOpen, std::memory_order_acq_rel);
    for (int spins = 0; (state_.load(std::memory_order_acquire) & kInside) != 0; ++spins) pause(spins);
  }

 private:
  // state_: the number of the job in the upper half, whether it can still be joined, and how many workers are inside
  static constexpr uint64_t kOpen = uint64_t{1} << 31, kInside = kOpen - 1;
  static constexpr int kSpins = 4000;  // some ten microseconds: the gap between two steps is shorter

  uint64_t job() const { return state_.load(std::memory_order_relaxed) >> 32; }

  static void pause(int spins) {
#if defined(__x86_64__)
    if (spins < kSpins) {
      _mm_pause();
      return;
    }
#endif
    std::this_thread::yield();
  }

  // Each thread takes its own share first, the same part of a picture in every step, then what others have left.
  void take(int thread) {
    for (int k = 0; k < count_; ++k) {
      Share& share = shares_[(thread + k) % count_];
      for (int64_t i; (i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) call_(task_, i, thread);
    }
  }

  bool is_new(uint64_t state, uint64_t seen) const { return (state & kOpen) != 0 && state >> 32 != seen; }

  void work(int thread) {
    uint64_t seen = 0;
    for (;;) {
      uint64_t state = state_.load(std::memory_order_acquire);
      for (int spins = 0; !is_new(state, seen) && !stop_.load(std::memory_order_relaxed); ++spins) {
        if (spins >= kSpins) {
          std::unique_lock lock(mutex_);
          asleep_.fetch_add(1, std::memory_order_seq_cst);
          wake_.wait(lock, [&] { return stop_.load() || is_new(state_.load(std::memory_order_seq_cst), seen); });
          asleep_.fetch_sub(1, std::memory_order_relaxed);
        } else {
          pause(0);
        }
        state = state_.load(std::memory_order_acquire);
      }
      if (stop_.load(std::memory_order_relaxed)) return;
      while (is_new(state, seen) &&
             !state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      }
      if (!is_new(state, seen)) continue;  // it was closed meanwhile
      seen = state >> 32;
      take(thread);
      state_.fetch_sub(1, std::memory_order_release);
    }
  }

  int count_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> state_{0};
  std::atomic<int> asleep_{0};
  std::atomic<bool> stop_{false};
  void (*call_)(const void*, int64_t, int) = nullptr;
  const void* task_ = nullptr;

  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::unique_ptr<Share[]> shares_;
  std::vector<std::thread> workers_;  // last: they use all the others
};

}  // namespace chw
