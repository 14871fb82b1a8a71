"""What a training step makes smaller, from the papers' formulas: a text's or an answer's cross-entropy, what a teacher
adds to it (BitNet Distillation, arXiv 2510.13998), and how quantisation warms up (Hugging Face's 1.58-bit fine-tuning).

Nothing here was written from tern's C++.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass
class Batch:
    """Windows of one forward pass, each (windows, positions). Targets of weight 0 do not count; attention stays within
    equal segments, and a segment below 0 is padding."""

    tokens: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor = None  # None: all targets count.
    segments: torch.Tensor = None  # None: every window is one.

    def counted(self):
        return float(self.targets.numel() if self.weights is None else self.weights.sum())


@dataclass
class Teacher:
    """A full-precision model: `recipe` has its model.* keys, `tensors` are its arrays."""

    recipe: dict
    tensors: dict


# --- the warm-up of quantisation -------------------------------------------------------------------------

SHARPNESS = {"exponential": 6.0, "sigmoid": 100.0}


def quantisation_share(recipe, step):
    """The lambda of x + lambda * (q(x) - x) at `step`, counted from 0."""
    kind = recipe.get("quantization.warmup", "none")
    if kind == "none" or step >= recipe["quantization.warmup_steps"]:
        return 1.0
    t = step / recipe["quantization.warmup_steps"]
    k = recipe.get("quantization.sharpness", 0) or SHARPNESS.get(kind)
    return {"linear": lambda: t,
            "exponential": lambda: 1 - (1 - t) ** k,
            "sigmoid": lambda: 1 / (1 + math.exp(-k * (t - 0.5)))}[kind]()  # fmt: skip


# --- terms -----------------------------------------------------------------------------------------------


def weighed(values, weights):
    return (values if weights is None else values * weights.to(values.dtype)).sum()


def cross_entropy(logits, batch):
    """Sum over the targets that count, in nats."""
    nll = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")
    return weighed(nll.view(batch.targets.shape), batch.weights)


def divergence(teacher_log, student_log):
    """KL(teacher || student) of log-probabilities, over the last dimension; 0 * log 0 is 0."""
    gap = torch.where(teacher_log == -math.inf, torch.zeros_like(teacher_log), teacher_log - student_log)
    return (teacher_log.exp() * gap).sum(dim=-1)


def logit_divergence(teacher_logits, student_logits, batch, temperature):
    """Sum over the targets that count of KL between softmax(z / T); not times T^2."""
    teacher_log = (teacher_logits / temperature).log_softmax(dim=-1)
    student_log = (student_logits / temperature).log_softmax(dim=-1)
    return weighed(divergence(teacher_log, student_log), batch.weights)


def unrelated(segments):
    """(windows, 1, positions, positions): what a token is not related to."""
    return (segments[:, None, :, None] != segments[:, None, None, :]) if segments is not None else None


def relations(states, heads, segments):
    """log R: the log-softmax, over all tokens of the window, of the products of normalised vectors.

    states: (windows, its heads, positions, width of a head) -> (windows, heads, positions, positions).
    """
    side_by_side = states.transpose(1, 2).flatten(2)
    vectors = side_by_side.unflatten(-1, (heads, side_by_side.shape[-1] // heads)).transpose(1, 2)
    vectors = vectors / vectors.norm(dim=-1, keepdim=True)
    products = vectors @ vectors.transpose(-1, -2)
    if segments is not None:
        products = products.masked_fill(unrelated(segments), -math.inf)
    return products.log_softmax(dim=-1)


def mean_over_tokens(values, segments):
    """(windows, heads, positions) -> (windows): the mean over heads and over the tokens that are no padding."""
    by_token = values.mean(dim=1)
    if segments is None:
        return by_token.mean(dim=1)
    real = (segments >= 0).to(values.dtype)
    return (by_token * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


def relation_divergence(teacher_states, student_states, heads, segments):
    """Sum over windows, and over q, k and v, of the mean divergence of a window's relations."""
    total = 0.0
    for teacher, student in zip(teacher_states, student_states):
        values = divergence(relations(teacher, heads, segments), relations(student, heads, segments))
        total = total + mean_over_tokens(values, segments).sum()
    return total


# --- a step ----------------------------------------------------------------------------------------------


def layer_index(layer, layers):
    """Counted from the last one where negative."""
    return layer + layers if layer < 0 else layer


def relation_heads(recipe):
    return recipe.get("distil.relation_heads", 0) or recipe["model.kv_heads"]


def terms_of(forward, batch, tensors, recipe, teacher):
    """Sums over the batch, as tensors: "text" and "logits" over targets that count, "attention" over windows.

    `forward(tokens, tensors, recipe, segments, states)` gives logits and puts each layer's q, k, v into the list.
    """
    states = []
    logits = forward(batch.tokens, tensors, recipe, batch.segments, states)
    terms = {"text": cross_entropy(logits, batch)}
    if teacher is None:
        return terms
    teacher_states = []
    with torch.no_grad():
        arrays = {name: torch.tensor(array, dtype=logits.dtype) for name, array in teacher.tensors.items()}
        teacher_logits = forward(batch.tokens, arrays, teacher.recipe, batch.segments, teacher_states)
    terms["logits"] = logit_divergence(teacher_logits, logits, batch, recipe["distil.temperature"])
    own, its = (layer_index(recipe["distil.layer"], len(of)) for of in (states, teacher_states))
    terms["attention"] = relation_divergence(teacher_states[its], states[own], relation_heads(recipe), batch.segments)
    return terms


def weights_of_terms(recipe, teacher):
    return {"text": 1.0} if teacher is None else {k: recipe["distil." + k] for k in ("text", "logits", "attention")}


def totals_of(batches):
    """What each term's sum over a whole step is divided by."""
    targets = sum(batch.counted() for batch in batches)
    windows = sum(len(batch.tokens) for batch in batches)
    return {"text": targets, "logits": targets, "attention": windows}


def factor_of(recipe, totals):
    """What the mean loss is multiplied by before it is differentiated."""
    return totals["text"] if recipe.get("training.loss", "mean") == "sum" else 1.0
