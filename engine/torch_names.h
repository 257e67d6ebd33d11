// State dicts of PyTorch, saved as safetensors, in the names and the layout of Net::state. This is the one place where
// PyTorch's layout (channels before rows and columns) is known.
//
//   PyTorch                                      here
//   [NET.][main.]<i>.weight                      [NET.]<k>.weight
//     Conv2d (out,in,kh,kw)                        (out,kh,kw,in)
//     ConvTranspose2d (in,out,kh,kw)               (in,kh,kw,out)
//     Linear (out,in)                              (out,in)
//   .bias .running_mean .running_var             the same
//   .num_batches_tracked                         left out
// i is a module's index in its nn.Sequential; k counts, in the order of i, the modules that hold tensors. These are the
// names of the DCGAN in pytorch/examples ("main.0.weight"); "module." of a DataParallel is left out like "main.".
#pragma once
#include <cstdint>
#include <string>

#include "engine/safetensors.h"

namespace duel {

// The order in which a Linear layer reads a map is (C,H,W) there. by_caller: who reads the net gives it the map so.
enum class TorchFlatten : std::uint8_t { refused, by_caller };

// `name` is the file's, for errors. Error: a tensor with a name of another form; unless the caller sees to it, a net
// with both Linear and convolution weights, because where it reads a map cannot be told from the file.
TensorFile from_torch(const TensorFile& file, const std::string& name, TorchFlatten flatten = TorchFlatten::refused);

}  // namespace duel
