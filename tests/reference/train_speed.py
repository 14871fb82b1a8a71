#!/usr/bin/python3
"""How fast plain PyTorch does the same training step: the baseline beside `tern train`.

Usage: train_speed.py [--hidden 256 --ffn 704 --layers 6 --heads 4 --vocab 4096 --sequence 256 --batch 8 ...]
Prints the best and the median of --steps steps in tokens/s: forward, backward, clipping and AdamW, for float32 and
for bfloat16 autocast (master weights and norms in float32), for the weights of --weights and for fp. The model is
train_reference.py's, with random weights and tokens.
"""

import argparse
import contextlib
import os
import platform
import statistics
import time

import torch

import train_reference as train


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = dict(hidden=256, ffn=704, layers=6, heads=4, kv_heads=0, vocab=4096, sequence=256, batch=8, steps=5,
                 threads=len(os.sched_getaffinity(0)))  # fmt: skip
    for name, value in sizes.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    parser.add_argument("--architecture", default="bitnet-b1.58", choices=train.SUB_NORMS)
    parser.add_argument("--weights", default="b1.58", choices=["b1.58", "b1", "fp"])
    parser.add_argument("--precision", default="both", choices=["float32", "bfloat16", "both"])
    return parser.parse_args()


def recipe_of(args, weights):
    return {
        "model.architecture": args.architecture, "model.weights": weights, "model.layers": args.layers,
        "model.heads": args.heads, "model.kv_heads": args.kv_heads or args.heads, "model.tied": True,
        "model.rope_theta": 10000.0, "model.rms_eps": 1e-5,
        "optimizer.beta1": 0.9, "optimizer.beta2": 0.95, "optimizer.epsilon": 1e-8,
    }  # fmt: skip


def make_parameters(args, recipe):
    head_dim = args.hidden // args.heads
    rows = {"q": args.hidden, "k": recipe["model.kv_heads"] * head_dim, "o": args.hidden}
    rows["v"] = rows["k"]
    shapes = {"model.embed_tokens.weight": (args.vocab, args.hidden), "model.norm.weight": (args.hidden,)}
    for layer in range(args.layers):
        at = train.LAYER.format(layer)
        shapes.update({f"{at}self_attn.{name}_proj.weight": (rows[name], args.hidden) for name in "qkvo"})
        shapes.update({f"{at}mlp.{name}_proj.weight": (args.ffn, args.hidden) for name in ("gate", "up")})
        shapes[at + "mlp.down_proj.weight"] = (args.hidden, args.ffn)
        shapes.update({at + n + ".weight": (args.hidden,) for n in ("input_layernorm", "post_attention_layernorm")})
        if train.SUB_NORMS[args.architecture]:
            attn, ffn = train.SUB_NORMS[args.architecture]
            shapes[at + attn], shapes[at + ffn] = (args.hidden,), (args.ffn,)
    make = lambda shape: torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * 0.02
    return {name: make(shape).requires_grad_() for name, shape in shapes.items()}


def measure(args, weights, precision):
    """Seconds of each step after the first."""
    torch.manual_seed(1)
    recipe = recipe_of(args, weights)
    parameters = make_parameters(args, recipe)
    optimizer = train.make_optimizer(parameters, recipe)
    tokens = torch.randint(0, args.vocab, (args.batch, args.sequence + 1))
    autocast = torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()
    seconds = []
    for step in range(args.steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        with autocast:
            logits = train.forward(tokens[:, :-1], parameters, recipe)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        train.clip(parameters, 1.0)
        train.set_rates(optimizer, 1e-3, 0.1)
        optimizer.step()
        if step > 0:
            seconds.append(time.perf_counter() - start)
    return seconds, sum(p.numel() for p in parameters.values())


def processor():
    with open("/proc/cpuinfo") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}, {args.threads} threads, {processor()}, {time.strftime('%Y-%m-%d')}")
    print(f"{args.architecture}, hidden {args.hidden}, ffn {args.ffn}, {args.layers} layers, {args.heads} heads, "
          f"vocabulary {args.vocab}, {args.batch} x {args.sequence} tokens a step, {args.steps} steps")  # fmt: skip
    precisions = ["float32", "bfloat16"] if args.precision == "both" else [args.precision]
    for weights in dict.fromkeys([args.weights, "fp"]):
        for precision in precisions:
            seconds, count = measure(args, weights, precision)
            best, median = (args.batch * args.sequence / t for t in (min(seconds), statistics.median(seconds)))
            print(f"{weights:6} {precision:9} {count / 1e6:5.1f} M parameters: "
                  f"best {best:7.0f} tokens/s, median {median:7.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
