"""The cases of the trainer's goldens: recipes, weights, models in folders and data, all from SEED.

make_train_goldens.py writes them and says how they are chosen.
"""

import numpy as np
import torch

import reference_model as ref
import train_reference as train

SEED = 20261122
VOCAB = 96
SEQUENCE = 16
STREAM = 410  # 25 windows and a rest: 40 positions need a second epoch, 120 a fifth.
FIRST_WEIGHT_MARGIN = 2e-4  # The initial weights are made to keep this from a rounding boundary.
STEPS = 20

SHAPES = {
    "bitnet-b1.58": dict(kv_heads=2, rope_theta=500000.0, rms_eps=1e-5, tied=True),
    "bitnet": dict(kv_heads=4, rope_theta=10000.0, rms_eps=1e-6, tied=True),
    "llama": dict(kv_heads=1, rope_theta=10000.0, rms_eps=1e-6, tied=False),
}
SHAPE = {"model.hidden": 16, "model.ffn": 24, "model.layers": 2, "model.heads": 4, "model.head_dim": 4,
         "model.vocab": VOCAB, "model.context": SEQUENCE}  # fmt: skip
COMMON = {
    "training.sequence": SEQUENCE,
    "training.batch": 2,
    "training.accumulate": 1,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.95,
    "optimizer.epsilon": 1e-8,
    "optimizer.clip": 1.0,
    "schedule.kind": "two-stage",
    "schedule.learning_rate": 4e-3,
    "schedule.second_learning_rate": 2.5e-3,
    "schedule.weight_decay": 0.1,
    "schedule.second_weight_decay": 0.0,
    "schedule.switch_at": 0.5,
    "schedule.warmup_steps": 3,
}
# case -> what it changes; the budget leaves the last step part of a step, so that it counts as a whole one.
# "start" and "teacher" name folders of MODELS, "windows" packed conversations, "later_step" a step, counted from 1,
# whose gradients are kept too: where quantisation warms up, step 1 has none of it.
CASES = {
    "bitnet-b1.58": {},
    "bitnet-b1.58-b1": {"model.weights": "b1"},
    "bitnet-b1.58-fp": {"model.weights": "fp"},
    "bitnet-b1.58-row": {"model.scale": "row"},
    "bitnet-b1.58-group": {"model.scale": 8},
    "bitnet": {"model.architecture": "bitnet"},
    "llama": {"model.architecture": "llama"},
    # Without quantisation there is no boundary to keep from: here is what needs more tokens, and the other schedules.
    "llama-fp": {"model.architecture": "llama", "model.weights": "fp", "training.accumulate": 3,
                 "schedule.kind": "cosine", "schedule.final_ratio": 0.1},
    "bitnet-fp": {"model.architecture": "bitnet", "model.weights": "fp", "optimizer.clip": 0.0,
                  "schedule.kind": "wsd", "schedule.decay_share": 0.3, "schedule.final_ratio": 0.05},
    # lambda 1/2, 1 - (7/8)^6 and 1 / (1 + e^-1.5) in the later step.
    "warmup-linear": {"model.architecture": "llama", "quantization.warmup": "linear", "quantization.warmup_steps": 8,
                      "later_step": 5},
    "warmup-exponential": {"model.scale": "row", "quantization.warmup": "exponential", "quantization.warmup_steps": 8,
                           "later_step": 2},
    "warmup-sigmoid": {"model.architecture": "bitnet", "model.scale": 8, "quantization.warmup": "sigmoid",
                       "quantization.warmup_steps": 8, "quantization.sharpness": 12.0, "later_step": 6},
    "start-qwen3": {"start": "qwen3"},
    "start-llama3-rope": {"start": "llama3-rope"},
    "start-sub-norms": {"start": "llama", "start.sub_norms": True},
    "start-sub-norms-tied": {"start": "llama-tied", "start.sub_norms": True},
    "distil-logits": {"teacher": "qwen3-wide", "distil.temperature": 3.0, "distil.text": 0.5, "distil.logits": 2.0},
    "distil-attention": {"teacher": "qwen3-wide", "distil.logits": 0.0, "distil.attention": 20.0, "distil.layer": -2},
    # BitNet Distillation's own recipe: the student is its teacher with sub-norms, and gets used to the digits.
    "distil-both": {"start": "llama-tied", "start.sub_norms": True, "teacher": "llama-tied",
                    "distil.temperature": 2.0, "distil.logits": 2.0, "distil.attention": 10.0, "distil.layer": 1,
                    "distil.relation_heads": 1, "training.accumulate": 2, "training.batch": 1,
                    "quantization.warmup": "linear", "quantization.warmup_steps": 10, "later_step": 6},
    "messages-mean": {"windows": True},
    "messages-sum": {"model.architecture": "llama", "windows": True, "training.loss": "sum",
                     "training.accumulate": 2, "training.batch": 1, "optimizer.clip": 0.0},
    "messages-distil": {"windows": True, "teacher": "qwen3-wide", "training.loss": "sum", "distil.attention": 20.0,
                        "distil.relation_heads": 4},
}  # fmt: skip
# Keys of a case that are no keys of a recipe.
FILES = ("start", "teacher", "windows", "later_step")
DISTIL = {"distil.temperature": 5.0, "distil.text": 1.0, "distil.logits": 1.0, "distil.attention": 0.0,
          "distil.layer": -1, "distil.relation_heads": 0}  # fmt: skip
LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}  # fmt: skip
# Full-precision models of the Hub's form. The wide one has another width, depth and number of heads than any student;
# "head" is the deviation of its embedding or head, so that it has something to say. In bf16 and f16 what is learnt
# from is float32 all the same.
MODELS = {
    "qwen3": dict(kind="qwen3", heads=4, kv_heads=2, head_dim=6, tied=True, rope_theta=1e6, dtype="BF16"),
    "llama3-rope": dict(kind="llama", heads=2, kv_heads=1, head_dim=8, tied=False, rope_theta=1000.0, dtype="F16",
                        scaling=LLAMA3_ROPE),
    "llama": dict(kind="llama", heads=4, kv_heads=1, head_dim=4, tied=False, rope_theta=10000.0),
    "llama-tied": dict(kind="llama", heads=4, kv_heads=2, head_dim=4, tied=True, rope_theta=10000.0),
    "qwen3-wide": dict(kind="qwen3", hidden=24, ffn=40, layers=3, heads=6, kv_heads=3, head_dim=8, tied=False,
                       rope_theta=10000.0, head=0.8, dtype="BF16"),
}  # fmt: skip


def recipe_of(case):
    """The keys of the case's config.json; a model that it starts from brings its shape."""
    changed = {"model.weights": "b1.58", "model.scale": "tensor", **CASES[case]}
    if "start" not in changed:
        changed = {"model.architecture": "bitnet-b1.58", **changed}
        shape = SHAPES[changed["model.architecture"]]
        changed = {**SHAPE, **{"model." + key: value for key, value in shape.items()}, **changed}
    if "teacher" in changed:
        changed = {**DISTIL, **changed}
    recipe = {**COMMON, **{key: value for key, value in changed.items() if key not in FILES}}
    recipe["training.tokens"] = STEPS * train.tokens_per_step(recipe) - 13
    return recipe


# --- weights ---------------------------------------------------------------------------------------------


def tensor_shapes(recipe):
    hidden, ffn, vocab = recipe["model.hidden"], recipe["model.ffn"], recipe["model.vocab"]
    q, kv = (recipe[f"model.{heads}"] * recipe["model.head_dim"] for heads in ("heads", "kv_heads"))
    shapes = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(recipe["model.layers"]):
        at = train.LAYER.format(layer)
        shapes[at + "input_layernorm.weight"] = (hidden,)
        for name, shape in (("q", (q, hidden)), ("k", (kv, hidden)), ("v", (kv, hidden)), ("o", (hidden, q))):
            shapes[f"{at}self_attn.{name}_proj.weight"] = shape
        if recipe["model.architecture"] == "qwen3":
            shapes[at + "self_attn.q_norm.weight"] = shapes[at + "self_attn.k_norm.weight"] = (
                recipe["model.head_dim"],)  # fmt: skip
        shapes[at + "post_attention_layernorm.weight"] = (hidden,)
        for name, shape in (("gate", (ffn, hidden)), ("up", (ffn, hidden)), ("down", (hidden, ffn))):
            shapes[f"{at}mlp.{name}_proj.weight"] = shape
        if train.sub_norm_names(recipe):
            attn, ffn_norm = train.sub_norm_names(recipe)
            shapes[at + attn], shapes[at + ffn_norm] = (hidden,), (ffn,)
    shapes["model.norm.weight"] = (hidden,)
    if not recipe["model.tied"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def near_boundary(w):
    """Which weights lie close to a rounding boundary of any kind and scale that a case uses."""
    near = np.zeros(w.shape, bool)
    for scale in ("tensor", "row", 8):
        parts = []
        for part in train.in_groups(torch.tensor(w), scale):
            share = part / part.abs().mean(dim=1, keepdim=True)
            centred = (part - part.mean(dim=1, keepdim=True)) / part.abs().mean(dim=1, keepdim=True)
            parts.append((share.abs() - 0.5).abs() < FIRST_WEIGHT_MARGIN)
            if scale == "tensor":
                parts[-1] |= centred.abs() < FIRST_WEIGHT_MARGIN
        near |= torch.cat(parts, dim=1).reshape(w.shape).numpy()
    return near


def rounded(w, dtype):
    """float32 values that `dtype` holds exactly."""
    if dtype == "BF16":
        return ref.bf16_to_f32(ref.f32_to_bf16(w))
    return w.astype(np.float16 if dtype == "F16" else np.float32).astype(np.float32)


def make_matrix(shape, rng, deviation=None, dtype="F32"):
    w = rounded(rng.normal(0, deviation or rng.uniform(0.02, 0.08), shape).astype(np.float32), dtype)
    while (near := near_boundary(w)).any():
        w[near] = rounded(w[near] * np.float32(1.01), dtype)
    return w


def make_tensors(recipe, rng, head=None, dtype="F32"):
    """float32 arrays by name; `head`: the deviation of what makes logits."""
    speaks = "model.embed_tokens.weight" if recipe["model.tied"] else "lm_head.weight"
    weights = {}
    for name, shape in tensor_shapes(recipe).items():
        noise = rng.normal(0, 0.1, shape).astype(np.float32)
        deviation = head if name == speaks else None
        weights[name] = rounded(1 + noise, dtype) if len(shape) == 1 else make_matrix(shape, rng, deviation, dtype)
    return weights


def make_weights(architecture):
    shape = {"model." + key: value for key, value in SHAPES[architecture].items()}
    rng = np.random.default_rng([SEED, list(SHAPES).index(architecture)])
    return make_tensors({**SHAPE, **shape, "model.architecture": architecture}, rng)


def make_model(name):
    """(config.json, {name: (dtype, array)}) of a folder of MODELS."""
    model = {"hidden": 16, "ffn": 24, "layers": 2, "dtype": "F32", "head": None, "scaling": None, **MODELS[name]}
    dtype = model["dtype"]
    config = {
        "architectures": [{"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}[model["kind"]]],
        "model_type": model["kind"],
        "hidden_size": model["hidden"], "intermediate_size": model["ffn"], "num_hidden_layers": model["layers"],
        "num_attention_heads": model["heads"], "num_key_value_heads": model["kv_heads"],
        "head_dim": model["head_dim"], "vocab_size": VOCAB, "hidden_act": "silu", "rms_norm_eps": 1e-06,
        "rope_theta": model["rope_theta"], "rope_scaling": model["scaling"], "max_position_embeddings": 64,
        "tie_word_embeddings": model["tied"], "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2,
        "torch_dtype": {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[dtype],
    }  # fmt: skip
    keys = ("hidden", "ffn", "layers", "heads", "kv_heads", "head_dim", "tied")
    recipe = {**{"model." + key: model[key] for key in keys}, "model.architecture": model["kind"], "model.vocab": VOCAB}
    tensors = make_tensors(recipe, np.random.default_rng([SEED, 1000, list(MODELS).index(name)]), model["head"], dtype)
    stored = {key: (dtype, ref.f32_to_bf16(array) if dtype == "BF16" else array) for key, array in tensors.items()}
    return config, stored


# --- data ------------------------------------------------------------------------------------------------


def make_stream(length=STREAM, seed=99):
    """A Markov chain: five likely successors for each token, so that there is something to learn."""
    rng = np.random.default_rng([SEED, seed])
    successors = rng.integers(0, VOCAB, (VOCAB, 5))
    token, stream = 0, []
    for _ in range(length):
        stream.append(int(token))
        likely = rng.random() < 0.9
        token = successors[token][min(int(rng.exponential(1.2)), 4)] if likely else rng.integers(0, VOCAB)
    return stream


def make_windows(count=25):
    """Packed examples: prompts that are not learnt, answers that are, padding of segment -1 behind the last one.

    Targets of weight 0 are ids as good as any other, so that who counts them is found out. The first window's answers
    were cut off: nothing in it counts.
    """
    rng = np.random.default_rng([SEED, 7])
    stream = iter(make_stream(2 * count * SEQUENCE, 98))
    windows = {"tokens": [], "targets": [], "weights": [], "segments": []}
    for window in range(count):
        tokens, targets, weights, segments = [], [], [], []
        while len(tokens) + 5 <= SEQUENCE:
            length = int(rng.integers(4, 10))
            if len(tokens) + length > SEQUENCE:
                break
            example = [next(stream) for _ in range(length + 1)]
            answer = int(rng.integers(1, length - 1))  # Position of the first target that counts.
            segment = segments[-1] + 1 if segments else 0
            tokens += example[:-1]
            targets += example[1:]
            weights += [float(window > 0 and i >= answer) for i in range(length - 1)] + [0.0]
            segments += [segment] * length
        padding = SEQUENCE - len(tokens)
        windows["tokens"].append(tokens + [0] * padding)
        windows["targets"].append(targets + [int(i) for i in rng.integers(0, VOCAB, padding)])
        windows["weights"].append(weights + [0.0] * padding)
        windows["segments"].append(segments + [-1] * padding)
    return windows
