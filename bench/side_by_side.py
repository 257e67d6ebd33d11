#!/usr/bin/env python3
"""Whole training iterations, Duel beside PyTorch, on the CPU or on a GPU.

The two run in turn (A B A B ...) in processes of their own, so that a drift of the machine's speed meets both. Each
ratio is that of neighbouring runs, PyTorch's in its fastest mode; the table shows their median and range. Writes a JSON
file with every measurement and a Markdown table.

  side_by_side.py --python VENV/bin/python [--device cpu|cuda] [--cases mlp_gan,wgan_gp64] [--precisions f32,tf32,bf16]
                  [--modes eager,eager+cl] [--rounds 5] [--seconds 15] [--threads 2] [--limit SECONDS]
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import time

here = os.path.dirname(os.path.abspath(__file__))
dtypes = {"f32": "fp32", "tf32": "tf32", "bf16": "bf16"}


def cpu_name():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())


def run(command, env):
    """The JSON lines that the command prints."""
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not rows:
        raise SystemExit(f"{' '.join(command)}: {(done.stderr.strip().splitlines() or ['printed nothing'])[-1]}")
    return rows


def measure(a, case, precision, env):
    """One round: ours, and PyTorch in all modes. A mode that PyTorch cannot run is a row with its error."""
    ours = run([a.duel, "--case", case, "--device", a.device, "--precision", precision, "--threads", str(a.threads),
                "--seconds", str(a.seconds)], dict(env, GOMP_SPINCOUNT="2000"))[0]  # as the command sets it
    theirs = run([a.python, os.path.join(here, "torch_steps.py"), "--device", a.device, "--dtypes", dtypes[precision],
                  "--cases", case, "--modes", a.modes, "--threads", str(a.threads), "--iters", "100000", "--warmup",
                  "3", "--seconds-cap", str(a.seconds)], env)
    timed = [t for t in theirs if "median_ms_per_iter" in t]
    best = min((t["median_ms_per_iter"] for t in timed), default=None)
    eager = next((t["median_ms_per_iter"] for t in timed if t["mode"] == "eager"), None)
    mine = ours["median_ms_per_iter"]
    row = dict(duel=ours, torch=theirs, against_best=best and best / mine, against_eager=eager and eager / mine)
    print(case, precision, f"duel {mine:.3f} ms;", ", ".join(
        f"{t['mode']} {t['median_ms_per_iter']:.3f}" if "median_ms_per_iter" in t else f"{t['mode']}: {t['error']}"
        for t in theirs), flush=True)
    return row


def spread(values):
    values = [v for v in values if v]
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "-"


def table(result, a):
    rows = [row for rounds in result["cases"].values() for row in rounds]
    version = rows[0]["torch"][0].get("torch_version", "?")
    where = rows[0]["torch"][0].get("gpu", f"{result['cpu']}, {a.threads} threads")
    lines = [f"# Whole training iterations beside PyTorch\n{where}, {result['date']}, PyTorch {version}, modes {a.modes}.",
             f"Medians of {a.rounds} rounds in turn; a speed above 1: Duel is faster.\n",
             "| case | precision | batch | Duel ms | speed against eager (range) | against its fastest mode (range) | "
             "fastest mode | Duel GFLOP/s |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, rounds in result["cases"].items():
        case, precision = name.split()
        timed = [t for t in rounds[0]["torch"] if "median_ms_per_iter" in t]
        best = min(timed, key=lambda t: t["median_ms_per_iter"])["mode"] if timed else "-"
        mid = lambda key: statistics.median(r["duel"][key] for r in rounds)
        lines.append(f"| {case} | {precision} | {rounds[0]['duel']['batch']} | {mid('median_ms_per_iter'):.3f} | "
                     f"{spread([r['against_eager'] for r in rounds])} | {spread([r['against_best'] for r in rounds])} | "
                     f"{best} | {mid('gflops'):.0f} |")
    return "\n".join(lines) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--python", required=True, help="a Python with PyTorch 2")
    p.add_argument("--duel", default=os.path.join(here, "../build/bench/bin/bench_steps"))
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    p.add_argument("--cases", default="mlp_gan,wgan_gp64")
    p.add_argument("--precisions", default="f32")
    p.add_argument("--modes", default="eager,eager+cl", help="PyTorch's modes (torch_steps.py)")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=15)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--limit", type=float, default=float("inf"), help="begin no further case after so many seconds")
    p.add_argument("--out", default=os.path.join(here, "results/cpu_steps"))
    a = p.parse_args()

    start = time.monotonic()
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    result = dict(date=datetime.date.today().isoformat(), cpu=cpu_name(), device=a.device, threads=a.threads,
                  rounds=a.rounds, cases={}, left_out=[])
    os.makedirs(os.path.dirname(os.path.abspath(a.out)), exist_ok=True)
    for case in a.cases.split(","):
        for precision in a.precisions.split(","):
            if time.monotonic() - start > a.limit:
                result["left_out"].append(f"{case} {precision}")
                continue
            result["cases"][f"{case} {precision}"] = [measure(a, case, precision, env) for _ in range(a.rounds)]
            with open(a.out + ".json", "w") as f:
                json.dump(result, f, indent=1)
            with open(a.out + ".md", "w") as f:
                f.write(table(result, a))
    if result["left_out"]:
        print("left out for lack of time:", ", ".join(result["left_out"]))
    print(open(a.out + ".md").read())


if __name__ == "__main__":
    main()
