#!/usr/bin/env python3
"""Makes dcgan.safetensors, generator.safetensors and discriminator.safetensors: the nets of pytorch/examples' DCGAN with
few channels, as PyTorch names and lays them out, with inputs and what PyTorch answers to them.
usage: make.py [FOLDER]"""
import json
import pathlib
import struct
import sys

import torch
from torch import nn

NZ, NGF, NDF, NC = 5, 2, 2, 3


def save(path, tensors, metadata=None):
    """The safetensors format, so that no package besides PyTorch is needed."""
    names = {torch.float32: "F32", torch.int64: "I64"}
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, t in tensors.items():
        raw = t.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(NZ, NGF * 8, 4, 1, 0, bias=False), nn.BatchNorm2d(NGF * 8), nn.ReLU(True),
            nn.ConvTranspose2d(NGF * 8, NGF * 4, 4, 2, 1, bias=False), nn.BatchNorm2d(NGF * 4), nn.ReLU(True),
            nn.ConvTranspose2d(NGF * 4, NGF * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(NGF * 2), nn.ReLU(True),
            nn.ConvTranspose2d(NGF * 2, NGF, 4, 2, 1, bias=False), nn.BatchNorm2d(NGF), nn.ReLU(True),
            nn.ConvTranspose2d(NGF, NC, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(NC, NDF, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(NDF, NDF * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(NDF * 2), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(NDF * 2, NDF * 4, 4, 2, 1, bias=False), nn.BatchNorm2d(NDF * 4), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(NDF * 4, NDF * 8, 4, 2, 1, bias=False), nn.BatchNorm2d(NDF * 8), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(NDF * 8, 1, 4, 1, 0, bias=False), nn.Sigmoid())

    def forward(self, x):
        return self.main(x).view(-1)


def prepare(net):
    """Weights, scales and running statistics that all differ, so that nothing mixed up goes unnoticed."""
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.weight, 1, 0.2)
            nn.init.normal_(m.bias, 0, 0.2)
            nn.init.normal_(m.running_mean, 0, 0.1)
            nn.init.uniform_(m.running_var, 0.5, 1.5)
        elif hasattr(m, "weight"):
            nn.init.normal_(m.weight, 0, 0.2)
    return net.eval()


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.manual_seed(7)
    g, d = prepare(Generator()), prepare(Discriminator())
    z = torch.randn(2, NZ, 1, 1)
    with torch.no_grad():
        image = g(z)
        score = d(image)
    save(folder / "generator.safetensors", g.state_dict())
    save(folder / "discriminator.safetensors", d.state_dict())
    both = {"G." + k: v for k, v in g.state_dict().items()} | {"D." + k: v for k, v in d.state_dict().items()}
    save(folder / "dcgan.safetensors", both)
    save(folder / "answers.safetensors", {"z": z, "image": image, "probability": score},
         {"torch": torch.__version__})


main()
