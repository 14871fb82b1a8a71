#!/usr/bin/env python3
"""Writes a tiny random ternary model with a tokenizer as a Hugging Face folder: make_tiny_model.py OUT

The architecture is BitNet b1.58 2B4T's, the tokenizer byte-level BPE over single bytes and a few
merges. It writes nonsense, but through every part of the program; its head knows how frequent
letters are, so that it beats a uniform guess, as `tern verify` wants. Needs only Python itself.
"""

import json
import random
import struct
import sys
from pathlib import Path

HIDDEN, FFN, LAYERS, HEADS, KV_HEADS = 256, 512, 2, 4, 2
MERGES = ["t h", "th e", "Ġ the", "i n", "a n", "an d"]
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]


def byte_alphabet():
    """GPT-2's printable character for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 256
    for byte in range(256):
        if byte in plain:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(extra)
            extra += 1
    return table


def tokenizer():
    vocab = {char: i for i, char in enumerate(byte_alphabet().values())}
    for merge in MERGES:
        vocab[merge.replace(" ", "")] = len(vocab)
    added = [{"id": len(vocab) + i, "content": text, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False, "special": True}
             for i, text in enumerate(SPECIAL)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": None, "pre_tokenizer": byte_level, "post_processor": None,
            "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocab, "merges": MERGES}}


def frequency(piece):
    """Roughly the log of how much more often a piece comes than a rare byte, in English."""
    letters = "Ġetaoinshrdlcumwfgypbvk,."
    return 3.0 if piece in letters or len(piece) > 1 else 0.0


def bf16(values):
    return b"".join(struct.pack("<f", v)[2:] for v in values)


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(20240227)
    tokens = tokenizer()
    vocab = len(tokens["model"]["vocab"]) + len(SPECIAL)
    bos = vocab - len(SPECIAL)

    # Every embedding has 1 in common; along it the head adds a piece's frequency.
    embedding = bf16(1 + rng.gauss(0, 1) for _ in range(vocab * HIDDEN))
    pieces = [*tokens["model"]["vocab"], *SPECIAL]
    bias = [frequency(p) / (0.65 * HIDDEN) if p not in SPECIAL else 0.0 for p in pieces]
    head = bf16(bias[row] + rng.gauss(0, 0.1) for row in range(vocab) for _ in range(HIDDEN))
    tensors = {"model.embed_tokens.weight": ("BF16", [vocab, HIDDEN], embedding),
               "lm_head.weight": ("BF16", [vocab, HIDDEN], head)}
    kv = HIDDEN * KV_HEADS // HEADS
    shapes = {"self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (kv, HIDDEN),
              "self_attn.v_proj": (kv, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
              "mlp.gate_proj": (FFN, HIDDEN), "mlp.up_proj": (FFN, HIDDEN),
              "mlp.down_proj": (HIDDEN, FFN)}
    norms = {"input_layernorm": HIDDEN, "post_attention_layernorm": HIDDEN,
             "self_attn.attn_sub_norm": HIDDEN, "mlp.ffn_sub_norm": FFN}
    # The bytes whose four two-bit codes are all digits.
    codes = [b for b in range(256) if all((b >> s) & 3 != 3 for s in (0, 2, 4, 6))]
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name, (rows, cols) in shapes.items():
            packed = bytes(rng.choices(codes, k=rows // 4 * cols))
            tensors[at + name + ".weight"] = ("U8", [rows // 4, cols], packed)
            tensors[at + name + ".weight_scale"] = ("BF16", [1], bf16([0.02]))
        for name, size in norms.items():
            tensors[at + name + ".weight"] = ("BF16", [size], bf16([1.0] * size))
    tensors["model.norm.weight"] = ("BF16", [HIDDEN], bf16([1.0] * HIDDEN))

    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (out / "model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))
    (out / "tokenizer.json").write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8")
    (out / "config.json").write_text(json.dumps({
        "architectures": ["BitNetForCausalLM"], "model_type": "bitnet", "hidden_act": "relu2",
        "hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": vocab,
        "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "max_position_embeddings": 512,
        "tie_word_embeddings": False, "bos_token_id": bos, "eos_token_id": bos + 1,
        "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                                "quantization_mode": "offline"}}, indent=2) + "\n")


if __name__ == "__main__":
    main()
