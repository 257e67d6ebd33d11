// A chain of layers in a file: a safetensors file whose tensors are the weights and whose metadata say what to do with
// them. The metadata's "duel.net" is a JSON object:
//   layout    "duel": tensors are named and laid out as Net::state does; "torch": as the state dict of an nn.Sequential
//             (engine/torch_names.h); default "duel"
//   input     {"height", "width", "channels", "scale", "shift"}: images (H,W,C); a byte v of channel c enters as
//             scale[c] * v / 255 + shift[c] (defaults: 1 and 0)
//   layers    a list of {"kind": K, ...}, in their order; how many channels there are is read from the tensors
//               conv         stride (1), padding (0)    cross-correlation, square kernels
//               linear
//               batch norm   eps (1e-5)                 of its running statistics
//               relu  tanh   leaky relu: slope (0.2)
//               max pool, avg pool: size                windows size x size side by side; a rest is left out
//               flatten                                 (H,W,C) -> H*W*C; in the layout torch in the order (C,H,W)
//   features  how many of the layers lead to the features; default: all
//   classes   how many scores the last layer gives, one for each class of the data; 0 or left out: they are no scores
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "engine/chain_net.h"

namespace duel {

// Atomic. `notes` are further metadata.
void save_net(const std::filesystem::path& path, const ChainNet& net, const std::map<std::string, std::string>& notes);

struct LoadedNet {
  ChainNet net;
  std::map<std::string, std::string> notes;
};
// For inference. The file may be damaged or hostile. Error: in one line that names the file and the layer or field.
LoadedNet load_net(const std::filesystem::path& path);

}  // namespace duel
