"""Wrong warm-ups, teachers, fine-tunings and starts, each of which must differ from the goldens.

train_self_test.py runs them. A fault takes the place of a function of train_reference or of reference_objectives.
"""

import math
from dataclasses import replace
from unittest import mock

import torch

import reference_objectives as objectives
import train_reference as train

RIGHT = {**vars(objectives), **{name: value for name, value in vars(train).items() if name not in vars(objectives)}}

# --- the warm-up of quantisation -------------------------------------------------------------------------


def share_of_step(change):
    return lambda recipe, step: RIGHT["quantisation_share"](recipe, max(0, step + change))


def share_with(**changed):
    changed = {"quantization." + key: value for key, value in changed.items()}
    return lambda recipe, step: RIGHT["quantisation_share"]({**recipe, **changed}, step)


def rising_power(recipe, step):
    return min(1.0, step / recipe["quantization.warmup_steps"]) ** 6


def weights_at_once(x, quantised, share):
    return RIGHT["straight_through"](x, quantised, share if x.dim() == 3 else 1.0)


def activations_at_once(x, quantised, share):
    return RIGHT["straight_through"](x, quantised, share if x.dim() == 2 else 1.0)


def gradient_of_the_rest(x, quantised, share):
    """(1 - lambda) x + lambda q(x), with the gradient of the first part alone."""
    return x * (1 - share) + share * quantised.detach() if share < 1 else RIGHT["straight_through"](x, quantised, share)


# --- teachers --------------------------------------------------------------------------------------------


def times_temperature_squared(teacher, student, batch, temperature):
    return temperature**2 * RIGHT["logit_divergence"](teacher, student, batch, temperature)


def student_alone_softened(teacher, student, batch, temperature):
    return RIGHT["logit_divergence"](teacher * temperature, student, batch, temperature)


def not_softened(teacher, student, batch, temperature):
    return RIGHT["logit_divergence"](teacher, student, batch, 1.0)


def all_targets_taught(teacher, student, batch, temperature):
    return RIGHT["logit_divergence"](teacher, student, replace(batch, weights=None), temperature)


def reversed_divergence(teacher_log, student_log):
    return RIGHT["divergence"](student_log, teacher_log)


def cross_entropy_with_the_teacher(teacher_log, student_log):
    """As good a gradient, but no divergence."""
    gap = torch.where(teacher_log == -math.inf, torch.zeros_like(student_log), student_log)
    return -(teacher_log.exp() * gap).sum(dim=-1)


def relations_by(change):
    """`change` takes normalised vectors (windows, heads, positions, width) and gives their products."""

    def relations(states, heads, segments):
        side_by_side = states.transpose(1, 2).flatten(2)
        vectors = side_by_side.unflatten(-1, (heads, side_by_side.shape[-1] // heads)).transpose(1, 2)
        products = change(vectors)
        if segments is not None:
            products = products.masked_fill(objectives.unrelated(segments), -math.inf)
        return products.log_softmax(dim=-1)

    return relations


def normalised(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


def plain_products(vectors):
    return vectors @ vectors.transpose(-1, -2)


def scaled_products(vectors):
    return plain_products(normalised(vectors)) / math.sqrt(vectors.shape[-1])


def causal_products(vectors):
    positions = vectors.shape[-2]
    future = torch.ones(positions, positions, dtype=torch.bool).triu(1)
    return plain_products(normalised(vectors)).masked_fill(future, -math.inf)


def without_itself(vectors):
    itself = torch.eye(vectors.shape[-2], dtype=torch.bool)
    return plain_products(normalised(vectors)).masked_fill(itself, -math.inf)


def interleaved_heads(states, heads, segments):
    """Every heads-th number is a relation head's, not neighbouring ones."""
    side_by_side = states.transpose(1, 2).flatten(2)
    vectors = side_by_side.unflatten(-1, (side_by_side.shape[-1] // heads, heads)).permute(0, 3, 1, 2)
    return RIGHT["relations"](vectors, heads, segments)


def related_over_segments(states, heads, segments):
    return RIGHT["relations"](states, heads, None)


def of_two_states(first, last):
    return lambda teacher, student, heads, segments: RIGHT["relation_divergence"](
        teacher[first:last], student[first:last], heads, segments)  # fmt: skip


def mean_of_three(teacher, student, heads, segments):
    return RIGHT["relation_divergence"](teacher, student, heads, segments) / 3


def padding_counted(values, segments):
    return values.mean(dim=(1, 2))


def mean_over_all_tokens(values, segments):
    """Long windows count for more than short ones."""
    real = (segments >= 0).to(values.dtype)
    return (values.mean(dim=1) * real).sum(dim=1) / real.sum() * len(values)


def sum_over_heads(values, segments):
    return RIGHT["mean_over_tokens"](values, segments) * values.shape[1]


def causal_divergence(teacher, student, heads, segments):
    """The attention's own distributions instead of relations: q with k, causal."""
    def attention_log(states):  # fmt: skip
        q, k = states[0], train.repeat_kv(states[1], states[0].shape[1] // states[1].shape[1])
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).mean(dim=1, keepdim=True)
        return scores.masked_fill(train.unseen(q.shape[-2], segments), -math.inf).log_softmax(dim=-1)

    return objectives.divergence(attention_log(teacher), attention_log(student)).mean(dim=(1, 2)).sum()


def states_before_rope(x, tensors, at, recipe, segments, states):
    mine = []
    y = RIGHT["attention_block"](x, tensors, at, recipe, segments, mine)
    q, k, v = mine[0]
    states.append((unrotated(q, recipe), unrotated(k, recipe), v))
    return y


def unrotated(x, recipe):
    """RoPE is linear and keeps lengths, so that its transpose is its inverse."""
    width = x.shape[-1]
    identity = torch.eye(width, dtype=x.dtype).expand(x.shape[-2], width, width)
    # Column i of a position's rotation is what it makes of the i-th unit vector.
    rotation = torch.stack([RIGHT["rope"](identity[:, i][None, None], recipe)[0, 0] for i in range(width)], dim=-2)
    return torch.einsum("bhpw,piw->bhpi", x, rotation)


def layer_beside(layer, layers):
    return (RIGHT["layer_index"](layer, layers) + 1) % layers


def layer_of_the_student(layer, layers):
    """A negative layer counted from the student's two."""
    return layer + 2 if layer < 0 else layer


def student_heads(recipe):
    return recipe["model.heads"]


def kv_heads_always(recipe):
    return recipe["model.kv_heads"]


def teacher_with(**changed):
    changed = {"model." + key: value for key, value in changed.items()}

    def terms_of(forward, batch, tensors, recipe, teacher):
        other = objectives.Teacher({**teacher.recipe, **changed}, teacher.tensors)
        return RIGHT["terms_of"](forward, batch, tensors, recipe, other)

    return terms_of


def teacher_over_segments(forward, batch, tensors, recipe, teacher):
    def unpacked(tokens, tensors, of, segments, states):
        return forward(tokens, tensors, of, None if of is teacher.recipe else segments, states)

    return RIGHT["terms_of"](unpacked, batch, tensors, recipe, teacher)


def weights_of_terms_with(**changed):
    return lambda recipe, teacher: {**RIGHT["weights_of_terms"](recipe, teacher), **changed}


# --- answers ---------------------------------------------------------------------------------------------


def all_targets_count(batches):
    return {key: sum(batch.targets.numel() for batch in batches) for key in ("text", "logits", "attention")}


def relations_per_batch(batches):
    return {**RIGHT["totals_of"](batches), "attention": len(batches[0].tokens)}


def batch_without(part):
    return lambda starts, data, recipe: replace(RIGHT["next_batch"](starts, data, recipe), **{part: None})


def all_targets_learnt(logits, batch):
    return RIGHT["cross_entropy"](logits, replace(batch, weights=None))


def weights_shifted(starts, data, recipe):
    """The weights of the tokens, taken for those of their targets."""
    batch = RIGHT["next_batch"](starts, data, recipe)
    return replace(batch, weights=batch.weights.roll(1, dims=1))


def own_totals(batches):
    return {key: max(1.0, total) for key, total in RIGHT["totals_of"](batches).items()}


def batch_by_batch(starts, data, parameters, recipe, teacher):
    """Every micro-batch's own mean (0 where nothing counts), and the mean of those."""
    count, means, gradients = recipe["training.accumulate"], {}, {}
    one = {**recipe, "training.accumulate": 1}
    for _ in range(count):
        with mock.patch.object(objectives, "totals_of", own_totals):
            terms = RIGHT["backward_of_step"](starts, data, parameters, one, teacher)
        for key, value in terms.items():
            means[key] = means.get(key, 0) + value / count
        for name, parameter in parameters.items():
            gradients[name] = gradients.get(name, 0) + parameter.grad / count
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    return means


def packed_as_one(positions, segments):
    return RIGHT["unseen"](positions, None)


# --- starts ----------------------------------------------------------------------------------------------


def norm_over_all_heads(x, name, tensors, at, recipe):
    weight = tensors[f"{at}self_attn.{name}_norm.weight"]
    return x * torch.rsqrt(x.pow(2).mean(dim=(1, 3), keepdim=True) + recipe["model.rms_eps"]) * weight


def no_head_norm(x, name, tensors, at, recipe):
    return x + 0 * tensors[f"{at}self_attn.{name}_norm.weight"]


def all_stretched(frequency, scaling):
    return frequency / scaling["factor"]


def blend_reversed(frequency, scaling):
    right = RIGHT["scale_frequencies"](frequency, scaling)
    blended = (right < frequency) & (right > frequency / scaling["factor"])
    return torch.where(blended, frequency + frequency / scaling["factor"] - right, right)


def skipped_sub_norm(x, which, tensors, at, recipe):
    return x + 0 * tensors[at + train.sub_norm_names(recipe)[which]]  # So that there is a gradient to compare.


def own_epsilon(x, which, tensors, at, recipe):
    return RIGHT["sub_norm"](x, which, tensors, at, {**recipe, "model.rms_eps": 1e-3})


FAULTS = [
    ("lambda a step early", "warmup-linear", {"quantisation_share": share_of_step(1)}),
    ("lambda a step late", "warmup-linear", {"quantisation_share": share_of_step(-1)}),
    ("lambda a step early", "warmup-exponential", {"quantisation_share": share_of_step(1)}),
    ("lambda a step late", "warmup-sigmoid", {"quantisation_share": share_of_step(-1)}),
    ("no warm-up of quantisation", "warmup-linear", {"quantisation_share": share_with(warmup="none")}),
    ("warm-up over the whole run", "warmup-linear", {"quantisation_share": share_with(warmup_steps=20)}),
    ("a line for the exponential", "warmup-exponential", {"quantisation_share": share_with(warmup="linear")}),
    ("exponential of 4", "warmup-exponential", {"quantisation_share": share_with(sharpness=4)}),
    ("t^6", "warmup-exponential", {"quantisation_share": rising_power}),
    ("sigmoid of its default", "warmup-sigmoid", {"quantisation_share": share_with(sharpness=0)}),
    ("weights quantised at once", "warmup-linear", {"straight_through": weights_at_once}),
    ("activations quantised at once", "warmup-linear", {"straight_through": activations_at_once}),
    ("gradient of the rest alone", "warmup-linear", {"straight_through": gradient_of_the_rest}),
    ("lambda a step early, with a teacher", "distil-both", {"quantisation_share": share_of_step(1)}),
    ("times T^2", "distil-logits", {"logit_divergence": times_temperature_squared}),
    ("the student alone softened", "distil-logits", {"logit_divergence": student_alone_softened}),
    ("not softened", "distil-logits", {"logit_divergence": not_softened}),
    ("divergence the other way", "distil-logits", {"divergence": reversed_divergence}),
    ("cross-entropy for divergence", "distil-logits", {"divergence": cross_entropy_with_the_teacher}),
    ("weight of the text forgotten", "distil-logits", {"weights_of_terms": weights_of_terms_with(text=1.0)}),
    ("weight of the logits forgotten", "distil-logits", {"weights_of_terms": weights_of_terms_with(logits=1.0)}),
    ("a quantised teacher", "distil-logits", {"terms_of": teacher_with(weights="b1.58")}),
    ("a teacher of another theta", "distil-logits", {"terms_of": teacher_with(rope_theta=500000.0)}),
    ("causal relations", "distil-attention", {"relations": relations_by(causal_products)}),
    ("relations of vectors of any length", "distil-attention", {"relations": relations_by(plain_products)}),
    ("relations over sqrt(width)", "distil-attention", {"relations": relations_by(scaled_products)}),
    ("no token related to itself", "distil-attention", {"relations": relations_by(without_itself)}),
    ("relation heads interleaved", "distil-attention", {"relations": interleaved_heads}),
    ("relations the other way", "distil-attention", {"divergence": reversed_divergence}),
    ("attention for relations", "distil-attention", {"relation_divergence": causal_divergence}),
    ("relations of q and k alone", "distil-attention", {"relation_divergence": of_two_states(0, 2)}),
    ("relations of k and v alone", "distil-attention", {"relation_divergence": of_two_states(1, 3)}),
    ("mean over q, k and v", "distil-attention", {"relation_divergence": mean_of_three}),
    ("sum over relation heads", "distil-attention", {"mean_over_tokens": sum_over_heads}),
    ("states before RoPE", "distil-attention", {"attention_block": states_before_rope}),
    ("the next layer", "distil-attention", {"layer_index": layer_beside}),
    ("the teacher's layer counted as the student's", "distil-attention", {"layer_index": layer_of_the_student}),
    ("relation heads of the queries", "distil-attention", {"relation_heads": student_heads}),
    ("relation heads forgotten", "distil-both", {"relation_heads": kv_heads_always}),
    ("weight of the relations forgotten", "distil-both", {"weights_of_terms": weights_of_terms_with(attention=1.0)}),
    ("relations of micro-batches summed", "distil-both", {"totals_of": relations_per_batch}),
    ("every target counts", "messages-mean", {"next_batch": batch_without("weights")}),
    ("every target learnt", "messages-mean", {"cross_entropy": all_targets_learnt}),
    ("weights of the token before", "messages-mean", {"next_batch": weights_shifted}),
    ("a mean over all targets", "messages-mean", {"totals_of": all_targets_count}),
    ("attention over examples", "messages-mean", {"next_batch": batch_without("segments")}),
    ("attention over examples", "messages-sum", {"unseen": packed_as_one}),
    ("targets not shifted", "messages-mean", {"next_batch": lambda starts, data, recipe: replace(
        RIGHT["next_batch"](starts, data, recipe), targets=RIGHT["next_batch"](starts, data, recipe).tokens)}),
    ("mean for sum", "messages-sum", {"factor_of": lambda recipe, totals: 1.0}),
    ("sum over all targets", "messages-sum", {"factor_of": lambda recipe, totals: 32.0}),
    ("sum for mean", "messages-mean", {"factor_of": lambda recipe, totals: totals["text"]}),
    ("a mean of micro-batches", "messages-sum", {"backward_of_step": batch_by_batch}),
    ("the teacher teaches every target", "messages-distil", {"logit_divergence": all_targets_taught}),
    ("the teacher sees over examples", "messages-distil", {"terms_of": teacher_over_segments}),
    ("relations over examples", "messages-distil", {"relations": related_over_segments}),
    ("relations of padding count", "messages-distil", {"mean_over_tokens": padding_counted}),
    ("relations by token, not by window", "messages-distil", {"mean_over_tokens": mean_over_all_tokens}),
    ("mean for sum, with a teacher", "messages-distil", {"factor_of": lambda recipe, totals: 1.0}),
    ("no norm of heads", "start-qwen3", {"head_norm": no_head_norm}),
    ("one norm over all heads", "start-qwen3", {"head_norm": norm_over_all_heads}),
    ("RoPE plain", "start-llama3-rope", {"scale_frequencies": lambda frequency, scaling: frequency}),
    ("RoPE stretched throughout", "start-llama3-rope", {"scale_frequencies": all_stretched}),
    ("RoPE's blend reversed", "start-llama3-rope", {"scale_frequencies": blend_reversed}),
    ("sub-norms skipped", "start-sub-norms", {"sub_norm": skipped_sub_norm}),
    ("sub-norms skipped", "start-sub-norms-tied", {"sub_norm": skipped_sub_norm}),
    ("sub-norms of another epsilon", "start-sub-norms", {"sub_norm": own_epsilon}),
]  # fmt: skip


def check_by_hand(report):
    """The shares of quantisation and the divergences against numbers worked out apart from this program's code."""
    def share(kind, step, sharpness=0):  # fmt: skip
        return objectives.quantisation_share({"quantization.warmup": kind, "quantization.warmup_steps": 4,
                                              "quantization.sharpness": sharpness}, step)  # fmt: skip

    report("lambda by hand: a line", [share("linear", s) for s in (0, 1, 4, 9)] == [0, 0.25, 1, 1])
    report("lambda by hand: exponential", abs(share("exponential", 2) - 63 / 64) < 1e-15)
    report("lambda by hand: sigmoid", abs(share("sigmoid", 1, 4 * math.log(3)) - 0.25) < 1e-15)  # 1 / (1 + 3).
    report("lambda by hand: the sigmoid's middle", share("sigmoid", 2) == 0.5)
    # KL of (1/4, 3/4) to (1/2, 1/2): log 2 - H = log 2 + (log 1/4 + 3 log 3/4) / 4.
    logits = torch.tensor([[[0.0, 2 * math.log(3)]]], dtype=torch.float64)
    batch = objectives.Batch(torch.zeros(1, 1), torch.zeros(1, 1))
    found = float(objectives.logit_divergence(logits, torch.zeros_like(logits), batch, 2.0))
    by_hand = math.log(2) + (math.log(1 / 4) + 3 * math.log(3 / 4)) / 4
    report("a divergence by hand", abs(found - by_hand) < 1e-15)
    # Two tokens: at right angles R = softmax(1, 0); in one direction both are (1/2, 1/2).
    square = torch.tensor([[[[3.0, 0.0], [0.0, 5.0]]]], dtype=torch.float64)
    line = torch.tensor([[[[2.0, 2.0], [7.0, 7.0]]]], dtype=torch.float64)
    p = math.e / (1 + math.e)
    by_hand = math.log(2) + p * math.log(p) + (1 - p) * math.log(1 - p)
    found = float(objectives.relation_divergence([square], [line], 1, None))
    report("relations by hand", abs(found - by_hand) < 1e-14)
    apart = torch.tensor([[0, 1]])
    report("relations of one token each", float(objectives.relation_divergence([square], [line], 1, apart)) == 0)
