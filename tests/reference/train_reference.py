#!/usr/bin/python3
"""The trainer's oracle: the same models and recipe in plain PyTorch, from the papers' formulas.

What a step makes smaller (answers, teachers, the warm-up of quantisation) is in reference_objectives.py. Nothing here
was written from tern's C++. It needs Debian's python3-torch and python3-numpy.

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
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

import reference_model as ref
import reference_objectives as objectives

LIMIT = 1e-4  # Of a loss (nats), and of ||a - b|| / ||b|| of a gradient.
LAYER = "model.layers.{}."
# Norms before each block's last product; a llama or a qwen3 has them where they were inserted.
SUB_NORMS = {
    "llama": None,
    "qwen3": None,
    "bitnet": ("self_attn.inner_attn_ln.weight", "mlp.ffn_layernorm.weight"),
    "bitnet-b1.58": ("self_attn.attn_sub_norm.weight", "mlp.ffn_sub_norm.weight"),
}
INSERTED_SUB_NORMS = SUB_NORMS["bitnet-b1.58"]

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


def straight_through(x, quantised, share):
    """`share` is how much of the quantisation holds: the lambda of its warm-up, else 1."""
    return x + share * (quantised - x).detach()


def linear(x, w, recipe):
    weights, share = recipe["model.weights"], recipe.get("share", 1.0)
    if weights == "fp" or share == 0:
        return F.linear(x, w)
    quantised = quantise_weight(w, weights, recipe.get("model.scale", "tensor"))
    return F.linear(straight_through(x, quantise_activation(x), share), straight_through(w, quantised, share))


# --- the model -------------------------------------------------------------------------------------------


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps) * weight


def scale_frequencies(frequency, scaling):
    """Llama 3.1's: long waves stretched by `factor`, short ones kept, those between blended."""
    wavelength = 2 * math.pi / frequency
    context = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = ((context / wavelength - low) / (high - low)).clamp(0, 1)
    return kept * frequency + (1 - kept) * frequency / scaling["factor"]


def rope(x, recipe):
    """Rotate-half, as Hugging Face's Llama: x is (batch, heads, positions, head_dim)."""
    width, theta = x.shape[-1], recipe["model.rope_theta"]
    frequency = 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    if recipe.get("rope_scaling"):
        frequency = scale_frequencies(frequency, recipe["rope_scaling"])
    angle = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * torch.cat([frequency, frequency])
    a, b = x.chunk(2, dim=-1)
    return x * angle.cos().to(x.dtype) + torch.cat([-b, a], dim=-1) * angle.sin().to(x.dtype)


def repeat_kv(x, times):
    return x.repeat_interleave(times, dim=1)


def unseen(positions, segments):
    """What a query does not see: keys after it, and those of other segments."""
    future = torch.ones(positions, positions, dtype=torch.bool).triu(1)
    return future if segments is None else future | objectives.unrelated(segments)


def attention(q, k, v, segments):
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores.masked_fill(unseen(q.shape[-2], segments), -math.inf).softmax(dim=-1) @ v


def gate_activation(x, architecture):
    return F.relu(x).square() if architecture == "bitnet-b1.58" else F.silu(x)


def sub_norm_names(recipe):
    return SUB_NORMS[recipe["model.architecture"]] or (INSERTED_SUB_NORMS if recipe.get("sub_norms") else None)


def sub_norm(x, which, tensors, at, recipe):
    names = sub_norm_names(recipe)
    return rms_norm(x, tensors[at + names[which]], recipe["model.rms_eps"]) if names else x


def head_norm(x, name, tensors, at, recipe):
    """Qwen3's norm of every head of q and k."""
    if recipe["model.architecture"] != "qwen3":
        return x
    return rms_norm(x, tensors[f"{at}self_attn.{name}_norm.weight"], recipe["model.rms_eps"])


def attention_block(x, tensors, at, recipe, segments, states):
    heads, kv_heads = recipe["model.heads"], recipe["model.kv_heads"]

    def project(name, count):
        y = linear(x, tensors[f"{at}self_attn.{name}_proj.weight"], recipe)
        return y.unflatten(-1, (count, y.shape[-1] // count)).transpose(1, 2)

    q, k, v = project("q", heads), project("k", kv_heads), project("v", kv_heads)
    q, k = (rope(head_norm(y, name, tensors, at, recipe), recipe) for y, name in ((q, "q"), (k, "k")))
    states.append((q, k, v))
    y = attention(q, repeat_kv(k, heads // kv_heads), repeat_kv(v, heads // kv_heads), segments)
    y = sub_norm(y.transpose(1, 2).flatten(2), 0, tensors, at, recipe)
    return linear(y, tensors[at + "self_attn.o_proj.weight"], recipe)


def ffn_block(x, tensors, at, recipe):
    gate = linear(x, tensors[at + "mlp.gate_proj.weight"], recipe)
    up = linear(x, tensors[at + "mlp.up_proj.weight"], recipe)
    y = sub_norm(gate_activation(gate, recipe["model.architecture"]) * up, 1, tensors, at, recipe)
    return linear(y, tensors[at + "mlp.down_proj.weight"], recipe)


def head(x, tensors, recipe):
    return F.linear(x, tensors["model.embed_tokens.weight" if recipe["model.tied"] else "lm_head.weight"])


def forward(tokens, tensors, recipe, segments=None, states=None):
    """Logits (batch, positions, vocabulary) of tokens (batch, positions); layers append their q, k, v to `states`."""
    eps = recipe["model.rms_eps"]
    states = [] if states is None else states
    x = F.embedding(tokens, tensors["model.embed_tokens.weight"])
    for layer in range(recipe["model.layers"]):
        at = LAYER.format(layer)
        y = rms_norm(x, tensors[at + "input_layernorm.weight"], eps)
        x = x + attention_block(y, tensors, at, recipe, segments, states)
        x = x + ffn_block(rms_norm(x, tensors[at + "post_attention_layernorm.weight"], eps), tensors, at, recipe)
    return head(rms_norm(x, tensors["model.norm.weight"], eps), tensors, recipe)


# --- models in folders -----------------------------------------------------------------------------------

CLASSES = {"LlamaForCausalLM": "llama", "Qwen3ForCausalLM": "qwen3"}


def shape_of_folder(folder):
    """The model.* keys of a full-precision Hugging Face folder."""
    config = read_json(os.path.join(folder, "config.json"))
    keys = {"hidden": "hidden_size", "ffn": "intermediate_size", "layers": "num_hidden_layers",
            "heads": "num_attention_heads", "kv_heads": "num_key_value_heads", "head_dim": "head_dim",
            "vocab": "vocab_size", "rope_theta": "rope_theta", "rms_eps": "rms_norm_eps",
            "tied": "tie_word_embeddings"}  # fmt: skip
    shape = {"model." + ours: config[its] for ours, its in keys.items()}
    return {**shape, "model.architecture": CLASSES[config["architectures"][0]], "rope_scaling": config["rope_scaling"]}


def insert_sub_norms(recipe, tensors):
    """(recipe, tensors) with norms of weight 1. A tied Llama that has them is what others call BitNet."""
    recipe = {**recipe, "sub_norms": True}
    if recipe["model.architecture"] == "llama" and recipe["model.tied"]:
        recipe["model.architecture"] = "bitnet"
    widths = recipe["model.heads"] * recipe["model.head_dim"], recipe["model.ffn"]
    added = {LAYER.format(layer) + name: np.ones(width, np.float32)
             for layer in range(recipe["model.layers"])
             for name, width in zip(sub_norm_names(recipe), widths)}  # fmt: skip
    return recipe, {**tensors, **added}


def start_from(folder, recipe):
    """(recipe with the folder's shape, its tensors), sub-norms inserted where the recipe says so."""
    recipe, tensors = {**recipe, **shape_of_folder(folder)}, read_weights(folder)
    return insert_sub_norms(recipe, tensors) if recipe.get("start.sub_norms") else (recipe, tensors)


def open_teacher(folder):
    return objectives.Teacher({**shape_of_folder(folder), "model.weights": "fp"}, read_weights(folder))


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


def first_tokens(data, recipe):
    """Of the run's windows, position by position. `data` is a stream of ids, or packed windows: a dict of lists."""
    sequence = recipe["training.sequence"]
    count = len(data["tokens"]) * sequence + 1 if isinstance(data, dict) else len(data)
    return window_starts(count, sequence, recipe["training.seed"])


def next_batch(starts, data, recipe):
    sequence = recipe["training.sequence"]
    first = [next(starts) for _ in range(recipe["training.batch"])]
    if isinstance(data, dict):
        parts = {key: torch.tensor([data[key][at // sequence] for at in first]) for key in data}
        return objectives.Batch(**parts)
    rows = torch.tensor([data[at : at + sequence + 1] for at in first])
    return objectives.Batch(rows[:, :-1], rows[:, 1:])


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


def backward_of_step(starts, data, parameters, recipe, teacher):
    """Leaves the step's gradients in the parameters; returns its terms and their weighted sum, the loss, as means."""
    for parameter in parameters.values():
        parameter.grad = None
    batches = [next_batch(starts, data, recipe) for _ in range(recipe["training.accumulate"])]
    totals, weights = objectives.totals_of(batches), objectives.weights_of_terms(recipe, teacher)
    result = {key: 0.0 for key in weights}
    for batch in batches:
        sums = objectives.terms_of(forward, batch, parameters, recipe, teacher)
        loss = sum(weights[key] * sums[key] / totals[key] for key in weights)
        (loss * objectives.factor_of(recipe, totals)).backward()
        for key in weights:
            result[key] += float(sums[key].detach()) / totals[key]
    return {**result, "loss": sum(weights[key] * result[key] for key in weights)}


def gradients_of(parameters):
    return {name: p.grad.numpy().copy() for name, p in parameters.items()}


def train(recipe, tensors, data, teacher=None, steps=None, dtype=torch.float32, least_margin=(0, 0), later=None):
    """Runs the recipe; what it returns is what golden.json and gradients.safetensors hold.

    Gives up and returns None where an activation or a weight comes closer to a rounding boundary than least_margin.
    `later` is a step, counted from 1, whose gradients are wanted besides those of step 1.
    """
    parameters = {name: torch.tensor(array, dtype=dtype).requires_grad_() for name, array in tensors.items()}
    optimizer = make_optimizer(parameters, recipe)
    starts = first_tokens(data, recipe)
    budget = math.ceil(recipe["training.tokens"] / tokens_per_step(recipe))
    result = {"losses": [], "grad_norms": [], "learning_rates": [], "weight_decays": [], "shares": [], "terms": []}
    margin.reset()
    for step in range(min(budget, steps) if steps else budget):
        share = objectives.quantisation_share(recipe, step)
        terms = backward_of_step(starts, data, parameters, {**recipe, "share": share}, teacher)
        result["losses"].append(terms.pop("loss"))
        result["terms"].append(terms)
        result["shares"].append(share)
        if margin.activation < least_margin[0] or margin.weight < least_margin[1]:
            return None
        if step == 0:
            result["gradients"] = gradients_of(parameters)
            result["first_margin"] = (margin.activation, margin.weight)
        if step + 1 == later:
            result["later_gradients"] = gradients_of(parameters)
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


@dataclass
class Case:
    """What a case folder says. `later` is the step, counted from 1, of golden.json's later gradients."""

    recipe: dict
    tensors: dict
    data: object
    teacher: objectives.Teacher
    later: int

    def run(self, **options):
        return train(self.recipe, self.tensors, self.data, self.teacher, later=self.later, **options)


def load_case(folder):
    golden = read_json(os.path.join(folder, "golden.json"))
    recipe = read_json(os.path.join(folder, "config.json"))
    at = lambda key: os.path.join(folder, golden[key])
    if "start" in golden:
        recipe, tensors = start_from(at("start"), recipe)
    else:
        tensors = read_weights(at("initial"))
    data = read_json(at("windows" if "windows" in golden else "tokens"))
    teacher = open_teacher(at("teacher")) if "teacher" in golden else None
    return Case(recipe, tensors, data, teacher, golden.get("later_step"))


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
    out = differences(found, golden["losses"], golden["grad_norms"], gradients)
    for key, values in golden.get("terms", {}).items():
        out["the 20 terms of " + key] = relative([terms[key] for terms in found["terms"]], values)
    if "later_gradients" in golden:
        later = ref.read_safetensors(os.path.join(folder, golden["later_gradients"]))
        for name, gradient in later.items():
            out["later gradient of " + name] = relative(found["later_gradients"][name], gradient)
    return out


def case_folders(goldens):
    return sorted(e.path for e in os.scandir(goldens) if os.path.exists(os.path.join(e.path, "golden.json")))


def check(goldens):
    folders, failed = case_folders(goldens), 0
    for folder in folders:
        all_differences = compare_with_golden(load_case(folder).run(), folder)
        worst = max(all_differences, key=all_differences.get)
        failed += not all_differences[worst] <= LIMIT
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
        result = load_case(args.case).run(steps=args.steps)
    elif args.recipe and args.weights and args.tokens:
        recipe, tensors, tokens = read_json(args.recipe), read_weights(args.weights), read_json(args.tokens)
        result = train(recipe, tensors, tokens, steps=args.steps)
    else:
        parser.error("give a case folder, or --recipe, --weights and --tokens")
    for step, (loss, norm) in enumerate(zip(result["losses"], result["grad_norms"])):
        print(f"step {step + 1}: loss {loss:.7f}, gradient norm {norm:.7f}")
    if args.gradients:
        write_gradients(args.gradients, result["gradients"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
