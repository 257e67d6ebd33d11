#!/usr/bin/env python3
"""Whole training iterations, Duel beside PyTorch, on the CPU in f32.

The two run in turn (A B A B ...) in processes of their own, so that a drift of the machine's speed meets both. Writes a
JSON file with every measurement and a Markdown table. Each ratio is that of neighbouring runs; the table shows their
median and range.

  side_by_side.py --python VENV/bin/python [--cases mlp_gan,wgan_gp64] [--rounds 5] [--seconds 15] [--threads 2]
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess

here = os.path.dirname(os.path.abspath(__file__))


def cpu_name():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())


def run(command, env):
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--python", required=True, help="a Python with PyTorch 2")
    p.add_argument("--duel", default=os.path.join(here, "../build/bench/bin/bench_steps"))
    p.add_argument("--cases", default="mlp_gan,wgan_gp64")
    p.add_argument("--modes", default="eager,eager+cl", help="PyTorch's modes; the fastest counts")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=15)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--out", default=os.path.join(here, "results/cpu_steps"))
    a = p.parse_args()

    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    result = dict(date=datetime.date.today().isoformat(), cpu=cpu_name(), threads=a.threads, rounds=a.rounds, cases={})
    for case in a.cases.split(","):
        rows = []
        for _ in range(a.rounds):
            ours = run([a.duel, case, str(a.threads), str(a.seconds)], dict(env, GOMP_SPINCOUNT="2000"))  # as the command sets it
            theirs = [run([a.python, os.path.join(here, "torch_steps.py"), "--device", "cpu", "--dtypes", "fp32", "--cases", case,
                           "--modes", mode, "--threads", str(a.threads), "--iters", "100000", "--warmup", "3",
                           "--seconds-cap", str(a.seconds)], env) for mode in a.modes.split(",")]
            best = min(theirs, key=lambda t: t["median_ms_per_iter"])
            rows.append(dict(duel=ours, torch=theirs, ratio=best["median_ms_per_iter"] / ours["median_ms_per_iter"]))
            print(case, f"duel {ours['median_ms_per_iter']:.1f} ms,", ", ".join(
                f"torch {t['mode']} {t['median_ms_per_iter']:.1f} ms" for t in theirs), f"ratio {rows[-1]['ratio']:.2f}", flush=True)
        result["cases"][case] = rows

    os.makedirs(os.path.dirname(os.path.abspath(a.out)), exist_ok=True)
    with open(a.out + ".json", "w") as f:
        json.dump(result, f, indent=1)
    version = next(iter(result["cases"].values()))[0]["torch"][0]["torch_version"]
    med = lambda values: statistics.median(values)
    with open(a.out + ".md", "w") as f:
        f.write(f"# Training iterations on the CPU, f32\n{result['cpu']}, {a.threads} threads, {result['date']}, PyTorch {version} "
                f"(the faster of its modes {a.modes}).\nMedians of {a.rounds} rounds in turn; speed above 1: Duel is faster.\n\n"
                "| case | batch | Duel ms | PyTorch ms | speed against PyTorch, median (range) | Duel GFLOP/s |\n| --- | --- | --- | --- | --- | --- |\n")
        for case, rows in result["cases"].items():
            ratios = [r["ratio"] for r in rows]
            f.write(f"| {case} | {rows[0]['duel']['batch']} | {med([r['duel']['median_ms_per_iter'] for r in rows]):.1f} | "
                    f"{med([min(t['median_ms_per_iter'] for t in r['torch']) for r in rows]):.1f} | {med(ratios):.2f} "
                    f"({min(ratios):.2f} to {max(ratios):.2f}) | {med([r['duel']['gflops'] for r in rows]):.0f} |\n")
    print(open(a.out + ".md").read())


if __name__ == "__main__":
    main()
