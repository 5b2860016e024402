// What became of the fuzzer's inputs.
#pragma once

#include <cstdint>

struct FuzzCounts {
  int64_t inputs = 0, run = 0;            // programs: all, and those that ran
  int64_t accepted = 0, refused = 0;      // steps
};

extern FuzzCounts fuzz_counts;
