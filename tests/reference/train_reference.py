#!/usr/bin/python3
"""The trainer's oracle: the same models and recipe in plain PyTorch, from the papers' formulas.

Nothing here was written from tern's C++. It needs Debian's python3-torch and python3-numpy.

Usage: train_reference.py CASE [--steps N]       losses and gradient norms of a case folder, one line per step
       train_reference.py --recipe R.json --weights FILE_OR_FOLDER --tokens T.json [--gradients OUT.safetensors]
       train_reference.py --check GOLDENS        runs every case again and compares with what is committed
       train_reference.py --self-test GOLDENS    proves that the comparison bites (train_self_test.py)

A case folder is described in make_train_goldens.py. A recipe is flat JSON whose keys are those of the
training config: {"model.architecture": "llama", "training.sequence": 32, ...}.
"""

import argparse
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import reference_model as ref

LIMIT = 1e-4  # Of a loss (nats), and of ||a - b|| / ||b|| of a gradient.
LAYER = "model.layers.{}."
SUB_NORMS = {
    "llama": None,
    "bitnet": ("self_attn.inner_attn_ln.weight", "mlp.ffn_layernorm.weight"),
    "bitnet-b1.58": ("self_attn.attn_sub_norm.weight", "mlp.ffn_sub_norm.weight"),
}

# --- quantisation ----------------------------------------------------------------------------------------


class Margin:
    """The smallest distances to a rounding boundary seen since reset(), in quantisation steps."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.activation = self.weight = math.inf

    def see(self, kind, distance):
        setattr(self, kind, min(getattr(self, kind), float(distance.min())))


margin = Margin()


def quantise_activation(x):
    """int8 by absmax of each token, back in floats."""
    s = 127 / x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
    scaled = (x * s).detach()
    margin.see("activation", (scaled - scaled.floor() - 0.5).abs())
    return (x * s).round().clamp(-128, 127) / s


def in_groups(w, scale):
    """(..., what shares one scale): "tensor", "row", or the columns of a group (the last may be short)."""
    if scale == "tensor":
        return [w.reshape(1, -1)]
    return list(w.split(w.shape[1] if scale == "row" else int(scale), dim=1))


def quantise_part(w, weights):
    absmean = w.abs().mean(dim=1, keepdim=True).clamp(min=1e-5)
    if weights == "b1":
        centred = w - w.mean(dim=1, keepdim=True)
        margin.see("weight", (centred / absmean).abs())
        return centred.sign() * absmean
    s = 1 / absmean
    margin.see("weight", ((w * s).abs() - 0.5).abs())
    return (w * s).round().clamp(-1, 1) / s


def quantise_weight(w, weights, scale):
    parts = [quantise_part(part, weights) for part in in_groups(w.detach(), scale)]
    return torch.cat(parts, dim=1).reshape(w.shape)


def straight_through(x, quantised):
    return x + (quantised - x).detach()


def linear(x, w, recipe):
    weights = recipe["model.weights"]
    if weights == "fp":
        return F.linear(x, w)
    quantised = quantise_weight(w, weights, recipe.get("model.scale", "tensor"))
    return F.linear(straight_through(x, quantise_activation(x)), straight_through(w, quantised))


# --- the model -------------------------------------------------------------------------------------------


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps) * weight


def rope(x, theta):
    """Rotate-half, as Hugging Face's Llama: x is (batch, heads, positions, head_dim)."""
    width = x.shape[-1]
    frequency = 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * torch.cat([frequency, frequency])
    a, b = x.chunk(2, dim=-1)
    return x * angle.cos().to(x.dtype) + torch.cat([-b, a], dim=-1) * angle.sin().to(x.dtype)


def repeat_kv(x, times):
    return x.repeat_interleave(times, dim=1)


def attention(q, k, v):
    positions = q.shape[-2]
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    future = torch.ones(positions, positions, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(dim=-1) @ v


def gate_activation(x, architecture):
    return F.relu(x).square() if architecture == "bitnet-b1.58" else F.silu(x)


def sub_norm(x, which, tensors, at, recipe):
    names = SUB_NORMS[recipe["model.architecture"]]
    return rms_norm(x, tensors[at + names[which]], recipe["model.rms_eps"]) if names else x


def attention_block(x, tensors, at, recipe):
    heads, kv_heads = recipe["model.heads"], recipe["model.kv_heads"]

    def project(name, count):
        y = linear(x, tensors[f"{at}self_attn.{name}_proj.weight"], recipe)
        return y.unflatten(-1, (count, y.shape[-1] // count)).transpose(1, 2)

    q, k, v = project("q", heads), project("k", kv_heads), project("v", kv_heads)
    q, k = rope(q, recipe["model.rope_theta"]), rope(k, recipe["model.rope_theta"])
    y = attention(q, repeat_kv(k, heads // kv_heads), repeat_kv(v, heads // kv_heads))
    y = sub_norm(y.transpose(1, 2).flatten(2), 0, tensors, at, recipe)
    return linear(y, tensors[at + "self_attn.o_proj.weight"], recipe)


def ffn_block(x, tensors, at, recipe):
    gate = linear(x, tensors[at + "mlp.gate_proj.weight"], recipe)
    up = linear(x, tensors[at + "mlp.up_proj.weight"], recipe)
    y = sub_norm(gate_activation(gate, recipe["model.architecture"]) * up, 1, tensors, at, recipe)
    return linear(y, tensors[at + "mlp.down_proj.weight"], recipe)


def head(x, tensors, recipe):
    return F.linear(x, tensors["model.embed_tokens.weight" if recipe["model.tied"] else "lm_head.weight"])


def forward(tokens, tensors, recipe):
    """Logits (batch, positions, vocabulary) of tokens (batch, positions)."""
    eps = recipe["model.rms_eps"]
    x = F.embedding(tokens, tensors["model.embed_tokens.weight"])
    for layer in range(recipe["model.layers"]):
        at = LAYER.format(layer)
        x = x + attention_block(rms_norm(x, tensors[at + "input_layernorm.weight"], eps), tensors, at, recipe)
        x = x + ffn_block(rms_norm(x, tensors[at + "post_attention_layernorm.weight"], eps), tensors, at, recipe)
    return head(rms_norm(x, tensors["model.norm.weight"], eps), tensors, recipe)


def loss_of(tokens, targets, tensors, recipe):
    return F.cross_entropy(forward(tokens, tensors, recipe).flatten(0, 1), targets.flatten())


# --- data ------------------------------------------------------------------------------------------------

MASK = (1 << 64) - 1
GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def split_mix(state):
    while True:
        state = (state + GOLDEN_GAMMA) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def epoch_order(windows, seed, epoch):
    order = list(range(windows))
    random = split_mix((seed + epoch * GOLDEN_GAMMA) & MASK)
    for i in range(windows - 1, 0, -1):
        j = next(random) % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def window_starts(count, sequence, seed):
    """The first tokens of the run's windows, position by position, without end."""
    windows, epoch = (count - 1) // sequence, 0
    while True:
        for window in epoch_order(windows, seed, epoch):
            yield window * sequence
        epoch += 1


def next_batch(starts, tokens, recipe):
    sequence = recipe["training.sequence"]
    first = [next(starts) for _ in range(recipe["training.batch"])]
    rows = torch.tensor([tokens[at : at + sequence + 1] for at in first])
    return rows[:, :-1], rows[:, 1:]


# --- the recipe ------------------------------------------------------------------------------------------


def rates(recipe, step, progress):
    """(learning rate, weight decay) of step `step`, counted from 0."""
    get = lambda key: recipe["schedule." + key]
    kind, rate, decay = get("kind"), get("learning_rate"), get("weight_decay")
    if kind == "two-stage":
        if progress >= get("switch_at"):
            rate, decay = get("second_learning_rate"), get("second_weight_decay")
        rate *= 1 - progress
    elif kind != "constant":
        # `left` goes from 1 to 0.
        left = {"linear": lambda: 1 - progress, "cosine": lambda: (1 + math.cos(math.pi * progress)) / 2,
                "wsd": lambda: min(1.0, (1 - progress) / get("decay_share"))}[kind]()  # fmt: skip
        rate *= get("final_ratio") + (1 - get("final_ratio")) * left
    return rate * min(1.0, (step + 1) / max(1, get("warmup_steps"))), decay


def make_optimizer(parameters, recipe):
    matrices = [p for p in parameters.values() if p.dim() == 2]
    vectors = [p for p in parameters.values() if p.dim() != 2]
    groups = [{"params": matrices, "weight_decay": 0.0}, {"params": vectors, "weight_decay": 0.0}]
    betas = (recipe["optimizer.beta1"], recipe["optimizer.beta2"])
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=recipe["optimizer.epsilon"])


def set_rates(optimizer, rate, decay):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.param_groups[0]["weight_decay"] = decay


def clip(parameters, limit):
    """Scales the gradients down to the norm `limit`, 0 for never; returns the norm that they had."""
    return torch.nn.utils.clip_grad_norm_(list(parameters.values()), limit if limit > 0 else math.inf)


def tokens_per_step(recipe):
    return recipe["training.sequence"] * recipe["training.batch"] * recipe["training.accumulate"]


def progress_of(step, recipe):
    return step * tokens_per_step(recipe) / recipe["training.tokens"]


def backward_of_step(starts, tokens, parameters, recipe):
    """Leaves the step's gradients in the parameters; returns its loss."""
    micro_batches = recipe["training.accumulate"]
    total = 0.0
    for parameter in parameters.values():
        parameter.grad = None
    for _ in range(micro_batches):
        loss = loss_of(*next_batch(starts, tokens, recipe), parameters, recipe) / micro_batches
        loss.backward()
        total += float(loss.detach())
    return total


def train(recipe, tensors, tokens, steps=None, dtype=torch.float32, least_margin=(0, 0)):
    """Runs the recipe; what it returns is what golden.json and gradients.safetensors hold.

    Gives up and returns None where an activation or a weight comes closer to a rounding boundary than least_margin.
    """
    parameters = {name: torch.tensor(array, dtype=dtype).requires_grad_() for name, array in tensors.items()}
    optimizer = make_optimizer(parameters, recipe)
    starts = window_starts(len(tokens), recipe["training.sequence"], recipe["training.seed"])
    budget = math.ceil(recipe["training.tokens"] / tokens_per_step(recipe))
    result = {"losses": [], "grad_norms": [], "learning_rates": [], "weight_decays": []}
    margin.reset()
    for step in range(min(budget, steps) if steps else budget):
        result["losses"].append(backward_of_step(starts, tokens, parameters, recipe))
        if margin.activation < least_margin[0] or margin.weight < least_margin[1]:
            return None
        if step == 0:
            result["gradients"] = {name: p.grad.numpy().copy() for name, p in parameters.items()}
            result["first_margin"] = (margin.activation, margin.weight)
        result["grad_norms"].append(float(clip(parameters, recipe["optimizer.clip"])))
        rate, decay = rates(recipe, step, progress_of(step, recipe))
        result["learning_rates"].append(rate)
        result["weight_decays"].append(decay)
        set_rates(optimizer, rate, decay)
        optimizer.step()
    result["margin"] = (margin.activation, margin.weight)
    result["final"] = {name: p.detach().numpy() for name, p in parameters.items()}
    return result


# --- files and comparison --------------------------------------------------------------------------------


def read_json(path):
    with open(path) as f:
        return json.load(f)


def read_weights(path):
    return ref.read_folder_tensors(path) if os.path.isdir(path) else ref.read_safetensors(path)


def load_case(folder):
    """(recipe, initial weights, tokens) of a case folder."""
    golden = read_json(os.path.join(folder, "golden.json"))
    tensors = read_weights(os.path.join(folder, golden["initial"]))
    tokens = read_json(os.path.join(folder, golden["tokens"]))
    return read_json(os.path.join(folder, "config.json")), tensors, tokens


def relative(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def differences(found, golden_losses, golden_norms, golden_gradients):
    """name -> difference, of everything that is compared at LIMIT."""
    out = {f"loss of step {i + 1}": abs(a - b) for i, (a, b) in enumerate(zip(found["losses"], golden_losses))}
    pairs = zip(found["grad_norms"], golden_norms)
    out.update({f"gradient norm of step {i + 1}": abs(a - b) / b for i, (a, b) in enumerate(pairs)})
    for name, gradient in golden_gradients.items():
        out["gradient of " + name] = relative(found["gradients"][name], gradient)
    return out


def compare_with_golden(found, folder):
    golden = read_json(os.path.join(folder, "golden.json"))
    gradients = ref.read_safetensors(os.path.join(folder, golden["gradients"]))
    assert len(found["losses"]) == len(golden["losses"]) and found["gradients"].keys() == gradients.keys()
    return differences(found, golden["losses"], golden["grad_norms"], gradients)


def case_folders(goldens):
    return sorted(e.path for e in os.scandir(goldens) if os.path.exists(os.path.join(e.path, "golden.json")))


def check(goldens):
    folders, failed = case_folders(goldens), 0
    for folder in folders:
        all_differences = compare_with_golden(train(*load_case(folder)), folder)
        worst = max(all_differences, key=all_differences.get)
        failed += all_differences[worst] > LIMIT
        verdict = "ok  " if all_differences[worst] <= LIMIT else "FAIL"
        print(f"{verdict} {os.path.basename(folder)}: worst {all_differences[worst]:.1e}, {worst}")
    print(f"{len(folders)} cases, {failed} failed")
    return bool(failed) or not folders


def write_gradients(path, gradients):
    ref.write_safetensors(path, {name: ("F32", array) for name, array in gradients.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?")
    parser.add_argument("--steps", type=int)
    for option in ("recipe", "weights", "tokens", "gradients", "check", "self-test"):
        parser.add_argument("--" + option)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.check:
        return check(args.check)
    if args.self_test:
        import train_self_test

        return train_self_test.run(args.self_test)
    if args.case:
        recipe, tensors, tokens = load_case(args.case)
    elif args.recipe and args.weights and args.tokens:
        recipe, tensors, tokens = read_json(args.recipe), read_weights(args.weights), read_json(args.tokens)
    else:
        parser.error("give a case folder, or --recipe, --weights and --tokens")
    result = train(recipe, tensors, tokens, args.steps)
    for step, (loss, norm) in enumerate(zip(result["losses"], result["grad_norms"])):
        print(f"step {step + 1}: loss {loss:.7f}, gradient norm {norm:.7f}")
    if args.gradients:
        write_gradients(args.gradients, result["gradients"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
