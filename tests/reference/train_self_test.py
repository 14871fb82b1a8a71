"""Proves that train_reference.py's comparison bites: wrong trainers must differ from the goldens by more than LIMIT.

Started by `train_reference.py --self-test GOLDENS`. (Half-to-even against half-up cannot be seen here: no value of a
golden lies on a boundary.) Faults of warm-up, distillation and fine-tuning are in objectives_self_test.py.
"""

import contextlib
import math
import os
from dataclasses import replace
from unittest import mock

import torch
import torch.nn.functional as F

import train_reference as train

RIGHT = {name: value for name, value in vars(train).items() if callable(value)}  # Before anything is patched.

# --- faults: each takes the place of a function of train_reference ----------------------------------------


def quantise_activation_by(rounding):
    def quantise_activation(x):
        s = 127 / x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
        return rounding(x * s).clamp(-128, 127) / s

    return quantise_activation


def quantise_activation_128(x):
    s = 128 / x.abs().amax(dim=-1, keepdim=True)
    return (x * s).round().clamp(-128, 127) / s


def quantise_activation_of_sequence(x):
    s = 127 / x.abs().amax(dim=(-2, -1), keepdim=True)
    return (x * s).round() / s


def median_part(w, weights):
    s = 1 / w.abs().median(dim=1, keepdim=True).values
    return (w * s).round().clamp(-1, 1) / s


def unclamped_part(w, weights):
    s = 1 / w.abs().mean(dim=1, keepdim=True)
    return (w * s).round() / s


def uncentred_part(w, weights):
    return w.sign() * w.abs().mean(dim=1, keepdim=True)


def optimal_scale_part(w, weights):
    """Digits by absmean, but the scale that fits them best."""
    digits = RIGHT["quantise_part"](w, weights).sign()
    return digits * (w * digits).sum(dim=1, keepdim=True) / digits.abs().sum(dim=1, keepdim=True)


def masked_gradient(x, quantised, share):
    """No gradient where the weight or activation was clipped."""
    inside = (x.detach().abs() <= quantised.detach().abs().max() * 0.999).to(x.dtype)
    return x * inside + (quantised - x * inside).detach()


def linear_with_scale_gradient(x, w, recipe):
    """The straight-through estimator around the digits only, so that the scale is learned too."""
    absmean = w.abs().mean()
    return RIGHT["linear"](x, w, recipe) * (absmean / absmean.detach())


def quantised_inputs(x, w, recipe):
    return F.linear(train.straight_through(x, train.quantise_activation(x), 1.0), w)


def scale_read_as(other):
    return lambda w, weights, scale: RIGHT["quantise_weight"](w, weights, other)


def transposed_scale(w, weights, scale):
    return RIGHT["quantise_weight"](w.t(), weights, scale).t()


def o_proj_without_scale(x, w, recipe):
    y = RIGHT["linear"](x, w, recipe)
    return y / w.abs().mean() * 0.05 if w.shape[0] == w.shape[1] else y


def float_activations(x, w, recipe):
    quantised = RIGHT["quantise_weight"](w, recipe["model.weights"], recipe.get("model.scale", "tensor"))
    return F.linear(x, RIGHT["straight_through"](w, quantised, 1.0))


def interleaved_rope(x, recipe):
    width = x.shape[-1]
    angle = torch.arange(x.shape[-2])[:, None] / recipe["model.rope_theta"] ** (torch.arange(0, width, 2) / width)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], dim=-1).flatten(-2)


def other_theta(x, recipe):
    return RIGHT["rope"](x, {**recipe, "model.rope_theta": 5e9 / recipe["model.rope_theta"]})


def backwards_rope(x, recipe):
    """Rotates the other way: the scores between two positions are those of the mirrored distance."""
    return RIGHT["rope"](x.flip(-2), recipe).flip(-2)


def whole_attention(q, k, v, segments):
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v


def unscaled_attention(q, k, v, segments):
    return RIGHT["attention"](q * math.sqrt(q.shape[-1]), k, v, segments)


def tiled_kv(x, times):
    return x.repeat(1, times, 1, 1)


def norm_with_outer_epsilon(x, weight, eps):
    return x / (x.pow(2).mean(dim=-1, keepdim=True).sqrt() + 100 * eps) * weight


def norm_of_one_plus(x, weight, eps):
    return RIGHT["rms_norm"](x, 1 + weight, eps)


def no_sub_norm(x, which, tensors, at, recipe):
    unused = tensors[at + train.sub_norm_names(recipe)[which]]
    return x + 0 * unused  # So that there is a gradient to compare.


def quantised_head(x, tensors, recipe):
    name = "model.embed_tokens.weight" if recipe["model.tied"] else "lm_head.weight"
    return RIGHT["linear"](x, tensors[name], recipe)


def other_activation(x, architecture):
    return F.silu(x) if architecture == "bitnet-b1.58" else F.relu(x).square()


def decay_everything(parameters, recipe):
    optimizer = RIGHT["make_optimizer"](parameters, recipe)
    for group in optimizer.param_groups[1:]:
        optimizer.param_groups[0]["params"] += group["params"]
        group["params"] = []
    return optimizer


def keep_embedding(parameters, recipe):
    """Decay for the products only."""
    optimizer = RIGHT["make_optimizer"](parameters, recipe)
    embedding = parameters["model.embed_tokens.weight"]
    matrices, vectors = (group["params"] for group in optimizer.param_groups)
    optimizer.param_groups[0]["params"] = [p for p in matrices if p is not embedding]
    vectors.append(embedding)
    return optimizer


def adam_with_l2(parameters, recipe):
    groups = RIGHT["make_optimizer"](parameters, recipe).param_groups
    return torch.optim.Adam([{"params": g["params"]} for g in groups], lr=0.0, betas=(0.9, 0.95), eps=1e-8)


def default_betas(parameters, recipe):
    return RIGHT["make_optimizer"](parameters, {**recipe, "optimizer.beta2": 0.999})


class Uncorrected(torch.optim.AdamW):
    """AdamW without the correction of the moments' bias."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                m, v = state.setdefault("m", torch.zeros_like(p)), state.setdefault("v", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                m.mul_(group["betas"][0]).add_(p.grad, alpha=1 - group["betas"][0])
                v.mul_(group["betas"][1]).add_(p.grad.square(), alpha=1 - group["betas"][1])
                p.sub_(group["lr"] * m / (v.sqrt() + group["eps"]))


def uncorrected(parameters, recipe):
    groups = RIGHT["make_optimizer"](parameters, recipe).param_groups
    return Uncorrected([{"params": g["params"]} for g in groups], lr=0.0, betas=(0.9, 0.95), eps=1e-8)


def never_clip(parameters, limit):
    return RIGHT["clip"](parameters, 0)


def clip_each(parameters, limit):
    norm = RIGHT["clip"](parameters, 0)
    for parameter in parameters.values():
        RIGHT["clip"]({"": parameter}, limit)
    return norm


def rates_with(**changed):
    def rates(recipe, step, progress):
        return RIGHT["rates"]({**recipe, **{"schedule." + k: v for k, v in changed.items()}}, step, progress)

    return rates


def warmup_from_zero(recipe, step, progress):
    rate, decay = RIGHT["rates"](recipe, step, progress)
    warmup = recipe["schedule.warmup_steps"]
    return (rate * step / (step + 1) if step < warmup else rate), decay


def warmup_of_the_peak(recipe, step, progress):
    rate, decay = RIGHT["rates"](recipe, step, progress)
    share = (step + 1) / recipe["schedule.warmup_steps"]
    return (recipe["schedule.learning_rate"] * share if share <= 1 else rate), decay


def second_line_from_its_peak(recipe, step, progress):
    """The second stage as a line that starts at its peak where the first one stops."""
    rate, decay = RIGHT["rates"](recipe, step, progress)
    return (rate / (1 - recipe["schedule.switch_at"]) if progress >= recipe["schedule.switch_at"] else rate), decay


def progress_after_step(step, recipe):
    return (step + 1) * train.tokens_per_step(recipe) / recipe["training.tokens"]


def progress_by_steps(step, recipe):
    return step / math.ceil(recipe["training.tokens"] / train.tokens_per_step(recipe))


def text_order(windows, seed, epoch):
    return list(range(windows))


def same_order_again(windows, seed, epoch):
    return RIGHT["epoch_order"](windows, seed, 0)


def shuffle_upwards(windows, seed, epoch):
    order = list(range(windows))
    random = train.split_mix((seed + epoch * train.GOLDEN_GAMMA) & train.MASK)
    for i in range(windows - 1):
        j = i + next(random) % (windows - i)
        order[i], order[j] = order[j], order[i]
    return order


def disjoint_windows(count, sequence, seed):
    for start in RIGHT["window_starts"](count - count // (sequence + 1), sequence, seed):
        yield start // sequence * (sequence + 1) % (count - sequence)


def summed_micro_batches(starts, data, parameters, recipe, teacher):
    terms = RIGHT["backward_of_step"](starts, data, parameters, recipe, teacher)
    for parameter in parameters.values():
        parameter.grad *= recipe["training.accumulate"]
    return terms


def first_micro_batch(starts, data, parameters, recipe, teacher):
    """The first micro-batch alone."""
    return RIGHT["backward_of_step"](starts, data, parameters, {**recipe, "training.accumulate": 1}, teacher)


def unshifted_targets(starts, data, recipe):
    batch = RIGHT["next_batch"](starts, data, recipe)
    return replace(batch, targets=batch.tokens)


# (what, case, what takes the place of functions of train_reference)
FAULTS = [
    ("activations truncated", "bitnet-b1.58", {"quantise_activation": quantise_activation_by(torch.trunc)}),
    ("activations rounded down", "llama", {"quantise_activation": quantise_activation_by(torch.floor)}),
    ("activations of 128 steps", "bitnet-b1.58", {"quantise_activation": quantise_activation_128}),
    ("one activation scale per sequence", "bitnet", {"quantise_activation": quantise_activation_of_sequence}),
    ("median for mean", "bitnet-b1.58", {"quantise_part": median_part}),
    ("digits not clamped", "llama", {"quantise_part": unclamped_part}),
    ("scale fitted to the digits", "bitnet-b1.58-group", {"quantise_part": optimal_scale_part}),
    ("b1 without the mean", "bitnet-b1.58-b1", {"quantise_part": uncentred_part}),
    ("b1 with float activations", "bitnet-b1.58-b1", {"linear": float_activations}),
    ("b1.58 with float activations", "bitnet", {"linear": float_activations}),
    ("fp with quantised activations", "bitnet-b1.58-fp", {"linear": quantised_inputs}),
    ("no gradient where clipped", "bitnet-b1.58", {"straight_through": masked_gradient}),
    ("gradient through the scale", "bitnet-b1.58", {"linear": linear_with_scale_gradient}),
    ("row scale read as tensor", "bitnet-b1.58-row", {"quantise_weight": scale_read_as("tensor")}),
    ("group scale read as row", "bitnet-b1.58-group", {"quantise_weight": scale_read_as("row")}),
    ("groups along the rows", "bitnet-b1.58-group", {"quantise_weight": transposed_scale}),
    ("scale of o_proj forgotten", "bitnet-b1.58", {"linear": o_proj_without_scale}),
    ("RoPE interleaved", "llama", {"rope": interleaved_rope}),
    ("RoPE theta of another model", "bitnet", {"rope": other_theta}),
    ("RoPE backwards", "llama-fp", {"rope": backwards_rope}),
    ("no RoPE", "bitnet-b1.58", {"rope": lambda x, recipe: x}),
    ("attention sees the future", "llama", {"attention": whole_attention}),
    ("scores not scaled", "bitnet-b1.58", {"attention": unscaled_attention}),
    ("kv heads tiled", "bitnet-b1.58", {"repeat_kv": tiled_kv}),
    ("epsilon outside the root", "bitnet-b1.58", {"rms_norm": norm_with_outer_epsilon}),
    ("norm weight taken as 1 + w", "llama", {"rms_norm": norm_of_one_plus}),
    ("sub-norms forgotten", "bitnet", {"sub_norm": no_sub_norm}),
    ("head quantised", "llama", {"head": quantised_head}),
    ("SiLU for squared ReLU", "bitnet-b1.58-fp", {"gate_activation": other_activation}),
    ("squared ReLU for SiLU", "llama-fp", {"gate_activation": other_activation}),
    ("targets not shifted", "llama-fp", {"next_batch": unshifted_targets}),
    ("windows in the text's order", "bitnet-b1.58", {"epoch_order": text_order}),
    ("every epoch in the first one's order", "bitnet-b1.58", {"epoch_order": same_order_again}),
    ("shuffle from below", "bitnet", {"epoch_order": shuffle_upwards}),
    ("windows that do not overlap", "bitnet-b1.58-fp", {"window_starts": disjoint_windows}),
    ("micro-batches summed", "llama-fp", {"backward_of_step": summed_micro_batches}),
    ("only the first micro-batch", "llama-fp", {"backward_of_step": first_micro_batch}),
    ("decay on norms", "bitnet-b1.58-fp", {"make_optimizer": decay_everything}),
    ("no decay on the embedding", "bitnet-b1.58", {"make_optimizer": keep_embedding}),
    ("decay in the gradient (Adam)", "bitnet-b1.58-fp", {"make_optimizer": adam_with_l2}),
    ("moments not corrected", "bitnet-b1.58", {"make_optimizer": uncorrected}),
    ("beta2 of 0.999", "llama", {"make_optimizer": default_betas}),
    ("never clipped", "bitnet-b1.58-fp", {"clip": never_clip}),
    ("every tensor clipped by itself", "bitnet-b1.58-fp", {"clip": clip_each}),
    ("clipped although clip is 0", "bitnet-fp", {"clip": lambda parameters, limit: RIGHT["clip"](parameters, 1.0)}),
    ("one stage only", "bitnet-b1.58", {"rates": rates_with(switch_at=2.0)}),
    ("decay kept in the second stage", "bitnet-b1.58-fp", {"rates": rates_with(second_weight_decay=0.1)}),
    ("second stage from its own peak", "bitnet-b1.58", {"rates": second_line_from_its_peak}),
    ("no warm-up", "bitnet-b1.58-fp", {"rates": rates_with(warmup_steps=0)}),
    ("warm-up from 0", "bitnet-b1.58-fp", {"rates": warmup_from_zero}),
    ("warm-up of the peak, not of the line", "bitnet-b1.58-fp", {"rates": warmup_of_the_peak}),
    ("progress after the step", "bitnet-b1.58-fp", {"progress_of": progress_after_step}),
    ("progress in whole steps", "bitnet-b1.58-fp", {"progress_of": progress_by_steps}),
    ("cosine to 0", "llama-fp", {"rates": rates_with(final_ratio=0.0)}),
    ("decay of the whole run (wsd)", "bitnet-fp", {"rates": rates_with(decay_share=1.0)}),
]  # fmt: skip


def check_by_hand(report):
    """The data's order and the schedule against numbers worked out apart from this program's code."""
    # SplitMix64 from the state 0, as published.
    random = train.split_mix(0)
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    report("SplitMix64 gives the published numbers", [next(random) for _ in published] == published)
    # 3 windows from the state 0: i = 2 swaps with 0xe220a8397b1dcdaf % 3 = 1, i = 1 with 0x6e789e6aa1b965f4 % 2 = 0.
    report("a shuffle by hand", train.epoch_order(3, 0, 0) == [2, 0, 1])
    halves = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, 127.0]])
    report("half to even", train.quantise_activation(halves).tolist() == [[0, 2, 2, 0, -2, 127]])
    w = torch.tensor([[0.5, -1.5, 0.25, 1.75]])  # Mean 1 of the absolutes: a half goes to 0.
    report("absmean by hand", train.quantise_weight(w, "b1.58", "tensor").tolist() == [[0, -1, 0, 1]])
    report("b1 by hand", train.quantise_weight(w, "b1", "tensor").tolist() == [[1, -1, 0, 1]])  # Mean 0.25.


def patched(patches):
    """Both modules' functions are looked up in their module, so that a patch of either reaches every caller."""
    stack = contextlib.ExitStack()
    for name, fault in patches.items():
        stack.enter_context(mock.patch.object(train if name in RIGHT else train.objectives, name, fault))
    return stack


def run(goldens):
    import objectives_self_test

    failed, loaded = [], {}

    def report(what, good):
        print(("ok   " if good else "FAIL ") + what)
        failed.extend([] if good else [what])

    check_by_hand(report)
    objectives_self_test.check_by_hand(report)
    faults = FAULTS + objectives_self_test.FAULTS
    for what, case, patches in faults:
        folder = os.path.join(goldens, case)
        right = loaded.setdefault(case, train.load_case(folder))
        with patched(patches):
            differences = train.compare_with_golden(right.run(), folder)
        # A number that is none is beyond the limit, too.
        beyond = [name for name, difference in differences.items() if not difference <= train.LIMIT]
        worst = max(differences, key=differences.get)
        report(f"{what} ({case}): {len(beyond)} of {len(differences)} numbers differ, most {worst}: "
               f"{differences[worst]:.1e}", bool(beyond))  # fmt: skip
    print(f"{len(faults)} wrong trainers, {len(failed)} not caught or wrong by hand")
    return bool(failed)
