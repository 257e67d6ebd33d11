#!/usr/bin/env python3
"""PyTorch's operators (cuDNN, cuBLAS) on the rows of bench_ops: forward, and forward with all gradients.

Each row is timed as a CUDA graph of many repetitions, so that launching costs nothing; channels-last, cuDNN's own search on.
On the CPU it is timed by the clock. Writes JSON: [{row, forward, both}], in seconds (medians of 7), or null with a reason.

  torch_ops.py --rows FILE [--type f32|bf16] [--device cuda|cpu] [--json FILE]       FILE: what bench_ops --list prints
"""
import argparse
import json
import re
import statistics
import time

import torch
import torch.nn.functional as F


def parse(title):
    shapes = [tuple(int(n) for n in s.split(",") if n) for s in re.findall(r"\(([\d,]*)\)", title)]
    words = title[:title.index("(")].strip()
    op, _, note = words.partition(" ")
    return op, note, shapes


def images(x):  # (N,H,W,C) in memory, as PyTorch names its axes
    return x.permute(0, 3, 1, 2)


def weights(w):  # (O,kh,kw,C) to (O,C,kh,kw), channels last in memory
    return w.permute(0, 3, 1, 2)


def function(op, note):
    """The row as a function of tensors in Duel's layouts; None where PyTorch has no such thing."""
    stride, padding = {"k4 s2": (2, 1), "k3 s1": (1, 1)}.get(note, (1, 0))
    table = {
        "conv2d": lambda x, w: F.conv2d(images(x), weights(w), stride=stride, padding=padding),
        "conv2d_transpose": lambda y, w: F.conv_transpose2d(images(y), weights(w), stride=stride, padding=padding),
        "conv2d_then": lambda x, w, b: F.leaky_relu(F.conv2d(images(x), weights(w), b, stride=stride, padding=padding), 0.2),
        "conv2d_transpose_then": lambda y, w, b: torch.tanh(
            F.conv_transpose2d(images(y), weights(w), b, stride=stride, padding=padding)),
        "matmul": lambda a, b: a @ b,
        "bias_leaky_relu": lambda x, b: F.leaky_relu(x + b, 0.2),
        "bias_tanh": lambda x, b: torch.tanh(x + b),
        "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
        "tanh": torch.tanh,
        "softplus": F.softplus,
        "add": lambda a, b: a + b,
        "mul": lambda a, b: a * b,
        "lerp": torch.lerp,
        "norm_per_sample": lambda x: x.flatten(1).norm(dim=1),
        "max": lambda x: x.amax(dim=1),
        "log_softmax": lambda x: F.log_softmax(x, dim=-1),
        "permute": lambda x: x.permute(0, 3, 1, 2).contiguous(),
        "concat": lambda a, b: torch.cat([a, b], dim=3),
        "pixel_shuffle": lambda x: F.pixel_shuffle(images(x), 2),
        "max_pool": lambda x: F.max_pool2d(images(x), 2),
        "avg_pool": lambda x: F.avg_pool2d(images(x), 2),
        "bilinear": lambda x: F.interpolate(images(x), size=(64, 64), mode="bilinear", align_corners=False),
        "reflection_pad": lambda x: F.pad(images(x), (3, 3, 3, 3), mode="reflect"),
        "normal": lambda x: torch.randn_like(x),
    }
    if op == "norm" and note == "after k4 s2":
        return lambda y, w, g, b: F.relu(F.batch_norm(
            F.conv_transpose2d(images(y), weights(w), stride=2, padding=1), None, None, g, b, training=True))
    if op == "norm" and note.startswith("batch"):
        return lambda x, g, b: F.leaky_relu(F.batch_norm(images(x), None, None, g, b, training=True), 0.2)
    if op == "norm" and note == "instance":
        return lambda x, g, b: F.instance_norm(images(x), weight=g, bias=b)
    if op == "norm" and note == "layer":
        return lambda x, g, b: F.group_norm(images(x), 1, g, b)
    if op == "sum":
        return (lambda x: x.sum()) if note == "to a number" else (lambda x: x.sum(dim=(0, 1, 2)))
    return table.get(op)


def time_graph(work, device):
    if device == "cpu":
        work()
        times = []
        for _ in range(7):
            t = time.perf_counter()
            work()
            times.append(time.perf_counter() - t)
        return statistics.median(times)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.synchronize()
    repeats = 20
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            work()
    times = []
    for _ in range(7):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3 / repeats)
    return statistics.median(times)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", required=True)
    p.add_argument("--type", default="f32", choices=["f32", "bf16"])
    p.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    p.add_argument("--json")
    a = p.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    dtype = torch.float32 if a.type == "f32" else torch.bfloat16
    name = torch.cuda.get_device_name() if a.device == "cuda" else "cpu"
    out = dict(torch=torch.__version__, device=name, type=a.type, rows=[])
    for title in open(a.rows).read().splitlines():
        op, note, shapes = parse(title)
        f = function(op, note)
        row = dict(row=title, forward=None, both=None)
        try:
            if f is None:
                raise NotImplementedError("no such operator")
            xs = [torch.randn(s, device=a.device, dtype=dtype).requires_grad_(op != "normal") for s in shapes]

            def forward():
                with torch.no_grad():
                    return f(*xs)

            row["forward"] = time_graph(forward, a.device)
            if op != "normal":
                dy = torch.randn_like(f(*xs))
                row["both"] = time_graph(lambda: torch.autograd.grad(f(*xs), xs, dy), a.device)
        except Exception as e:  # a row that PyTorch cannot do must not end the table
            row["why"] = str(e).splitlines()[0]
        out["rows"].append(row)
        us = lambda t: "-" if t is None else f"{t * 1e6:.1f} us"
        print(f"{title}   forward {us(row['forward'])}, with gradients {us(row['both'])} {row.get('why', '')}", flush=True)
        if a.json:
            with open(a.json, "w") as file:
                json.dump(out, file, indent=1)


if __name__ == "__main__":
    main()
