"""Time one encoder layer over sequence length: Fourier mixing against self-attention.

Prints milliseconds per layer in inference, medians of interleaved calls.

    python examples/long_sequences.py
    python examples/long_sequences.py --seq 512,32768 --dtype float32
"""

import argparse
import statistics
import time

import torch
from torch import nn

from fnet_kernels import FNetEncoderLayer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seq", default="512,2048,8192", help="sequence lengths, with commas")
    parser.add_argument("--hidden", type=int, default=768, help="a multiple of 64")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--rounds", type=int, default=5, help="calls of each layer")
    args = parser.parse_args()
    if args.hidden < 64 or args.hidden % 64:
        parser.error(f"--hidden must be a multiple of 64, got {args.hidden}")
    lengths = args.seq.split(",")
    if args.rounds < 1 or not all(length.isdecimal() and int(length) for length in lengths):
        parser.error("--rounds must be at least 1, and --seq lengths with commas")
    hidden, dtype = args.hidden, getattr(torch, args.dtype)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layers: dict[str, nn.Module] = {
        "Fourier": FNetEncoderLayer(hidden, 4 * hidden),
        "attention": nn.TransformerEncoderLayer(
            hidden, hidden // 64, 4 * hidden, activation="gelu", batch_first=True
        ),
    }
    for layer in layers.values():
        layer.eval().to(device, dtype)
    print(f"{device}, {args.dtype}, hidden {hidden}, one sequence; milliseconds per layer")
    print(f"{'tokens':>8} {'Fourier':>10} {'attention':>10} {'ratio':>7}")
    for seq in map(int, lengths):
        x = torch.randn(1, seq, hidden, device=device, dtype=dtype)
        taken: dict[str, list[float]] = {name: [] for name in layers}
        with torch.inference_mode():
            for _ in range(1 + args.rounds):
                for name, layer in layers.items():
                    start = time.perf_counter()
                    layer(x)
                    if device == "cuda":
                        torch.cuda.synchronize()
                    taken[name].append(1e3 * (time.perf_counter() - start))
        ours, theirs = (statistics.median(times[1:]) for times in taken.values())  # first: warm-up
        print(f"{seq:8} {ours:10.1f} {theirs:10.1f} {theirs / ours:6.1f}x", flush=True)


if __name__ == "__main__":
    main()
