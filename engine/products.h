// Who computes convolutions and matrix products on a GPU: our own kernels, or engines of cuDNN and cuBLASLt, which are
// loaded when they are first wanted. Elsewhere there is one way only.
#pragma once
#include <string>
#include <vector>

namespace duel {

// own      our own kernels
// cudnn    for each shape the fastest engine of the libraries that agrees with our own kernel, which does the rest
// auto     the fastest of all; what was measured is kept in a file (kernels/gpu/tuner.h)
const std::vector<std::string>& product_words();

// For the default device, before the first tensor is made. `deterministic`: only engines that give the same bits every
// time, and no choice by time: `auto` is then `own`. All kernels of our own are deterministic, on every device.
// Errors: an unknown word; `cudnn` where there is no GPU or a library is missing.
void choose_products(const std::string& word, bool deterministic);

// A line for each library: its version and path, or why it cannot be used. None in a program without CUDA.
std::vector<std::string> product_libraries();
// A line for each engine that was tried and dropped: op and shape, the engine, the reason.
std::vector<std::string> dropped_products();

}  // namespace duel
