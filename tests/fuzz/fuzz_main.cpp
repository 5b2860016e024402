// A small coverage-guided fuzzer for builds with g++: `fuzz_program RUNS SEED [CORPUS]`.
//
// Mutates inputs that reached code which none before them had; the folder CORPUS keeps them for the next time. An input
// that crashes, or takes ten seconds of processor time, is left in the file crash-SEED.
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz_counts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;
constexpr size_t kMostBytes = 512;

std::array<uint8_t, 1 << 16> passed;   // how often each jump was taken by the input at hand
std::array<uint8_t, 1 << 16> reached;  // the same of all, in powers of two, one bit each
thread_local uintptr_t before;
Bytes current;
std::string crash_file;

__attribute__((no_sanitize_coverage)) bool is_new() {
  bool found = false;
  for (size_t i = 0; i < passed.size(); ++i) {
    if (!passed[i]) continue;
    const auto bit = static_cast<uint8_t>(1u << (31 - __builtin_clz(passed[i])));
    found |= !(reached[i] & bit);
    reached[i] |= bit;
    passed[i] = 0;
  }
  return found;
}

void keep(const std::filesystem::path& file) {
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(current.data()), static_cast<std::streamsize>(current.size()));
}

void keep_crash() { keep(crash_file); }

void on_signal(int number) {
  std::fprintf(stderr, "signal %d; the input is in %s\n", number, crash_file.c_str());
  keep_crash();
  _exit(1);
}

void mutate(Bytes& bytes, const std::vector<Bytes>& corpus, std::mt19937& random) {
  const auto below = [&](size_t n) { return n ? static_cast<std::ptrdiff_t>(random() % n) : 0; };
  for (auto changes = 1 + below(4); changes > 0; --changes) {
    const auto here = bytes.begin() + below(bytes.size() + 1);
    const Bytes& other = corpus[static_cast<size_t>(below(corpus.size()))];
    const auto from = other.begin() + below(other.size());
    switch (below(6)) {
      case 0: bytes.insert(here, static_cast<uint8_t>(random())); break;
      case 1: bytes.erase(here, here + std::min(below(8), bytes.end() - here)); break;
      case 2: bytes.insert(here, from, from + std::min(below(64), other.end() - from)); break;
      default:
        if (here != bytes.end()) *here = static_cast<uint8_t>(random());
    }
  }
  if (bytes.size() > kMostBytes) bytes.resize(kMostBytes);
}

}  // namespace

// g++ calls this at every jump of what is built with -fsanitize-coverage=trace-pc.
extern "C" __attribute__((no_sanitize_coverage, no_sanitize("address", "undefined"))) void __sanitizer_cov_trace_pc() {
  const auto here = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  uint8_t& count = passed[(here ^ before) % passed.size()];
  if (count < 255) ++count;
  before = here >> 1;
}

int main(int argc, char** argv) {
  const int64_t runs = argc > 1 ? std::atoll(argv[1]) : 1000;
  const auto seed = static_cast<uint32_t>(argc > 2 ? std::atoll(argv[2]) : 1);
  const std::string folder = argc > 3 ? argv[3] : "";
  std::mt19937 random(seed);
  crash_file = "crash-" + std::to_string(seed);
  __sanitizer_set_death_callback(keep_crash);
  signal(SIGABRT, on_signal);
  signal(SIGVTALRM, on_signal);

  std::vector<Bytes> seeds, corpus;
  if (!folder.empty())
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::ifstream file(entry.path(), std::ios::binary);
      seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  std::sort(seeds.begin(), seeds.end());
  for (int i = 0; i < 64; ++i) {
    Bytes& bytes = seeds.emplace_back(64 + random() % 256);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  }
  for (int64_t run = 0; run < runs; ++run) {
    const bool given = run < static_cast<int64_t>(seeds.size());
    current = given ? seeds[static_cast<size_t>(run)] : corpus[random() % corpus.size()];
    if (!given) mutate(current, corpus, random);
    const itimerval limit{{0, 0}, {10, 0}};
    setitimer(ITIMER_VIRTUAL, &limit, nullptr);
    LLVMFuzzerTestOneInput(current.data(), current.size());
    if (!is_new() && run > 0) continue;
    corpus.push_back(current);
    if (given || folder.empty()) continue;
    char name[32];
    std::snprintf(name, sizeof name, "%08x-%zu", seed, corpus.size());
    keep(std::filesystem::path(folder) / name);
  }
  const FuzzCounts& n = fuzz_counts;
  const double share = 100.0 * static_cast<double>(n.run) / static_cast<double>(std::max<int64_t>(n.inputs, 1));
  std::printf("%lld inputs, %.1f%% ran; %lld steps accepted, %lld refused; %zu inputs kept\n",
              static_cast<long long>(n.inputs), share, static_cast<long long>(n.accepted),
              static_cast<long long>(n.refused), corpus.size());
  return 0;
}
