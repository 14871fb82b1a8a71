#!/usr/bin/python3
"""Writes golden/chat/*.json: what python3-jinja2 makes of templates and of small pieces of Jinja.

Usage: make_chat_goldens.py            writes beside this file
       make_chat_goldens.py --check    compares with what is there; 77 where python3-jinja2 is not
"""

import json
import sys

try:
    import chat_oracle
except ImportError as e:
    if "--check" not in sys.argv:
        raise
    print(f"skipped: {e}")
    sys.exit(77)

import chat_snippets

FOLDER = chat_oracle.HERE / "golden" / "chat"

TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "What the sky does\nin a town",
        "parameters": {"type": "object", "properties": {
            "town": {"type": "string", "description": "Name of the town, \"as written\" <there>"},
            "days": {"type": "integer"},
            "hours": {"type": "array", "items": {"type": "number"}, "description": "At\nwhich\n\nhours"},
        }, "required": ["town"]}}},
    {"type": "function", "function": {
        "name": "zeichne", "description": "Malt ein Bild & so", "return": {"type": "null"},
        "parameters": {"type": "object", "properties": {}, "x-ü": [1, 2.5, None, True, 1e-7]}}},
]
CALL = {"id": "abc123XYZ", "type": "function",
        "function": {"name": "weather", "arguments": {"town": "札幌", "days": 2, "b": [1.0, False]}}}
CALL_OF_TEXT = {"id": "q23456789", "type": "function",
                "function": {"name": "weather", "arguments": "{\"town\": \"Oslo\"}"}}


def m(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = {
    "one_question": [m("user", "Hello there")],
    "system_first": [m("system", "Be kind.\n"), m("user", "Hi"), m("assistant", "Hello!"),
                     m("user", "And you?")],
    "many_turns": [m("user" if i % 2 == 0 else "assistant", f"turn {i}\nof nine") for i in range(9)],
    "odd_blanks": [m("user", "  \n\t two  words \u3000\u00a0\n\n"), m("assistant", "\r\n x\u2003"),
                   m("user", "\n")],
    "japanese": [m("system", "あなたは親切な助手です。"), m("user", "日本で一番高い山は？🗻"),
                 m("assistant", "富士山（三千七百七十六メートル）です。"), m("user", "ありがとう ÀÉß")],
    "thought": [m("user", "Why?"), m("assistant", "<muse>\nhm, {{ x }}\n</muse>\n\nBecause."),
                m("user", "And then?"), m("assistant", "", reasoning_content="deep"),
                m("user", "<result>no</result>")],
    "with_call": [m("user", "Rain?"), m("assistant", None, tool_calls=[CALL]),
                  m("tool", "{\"rain\": true}", tool_call_id="abc123XYZ"), m("assistant", "Yes."),
                  m("user", "Sure?")],
    "with_calls": [m("user", "Rain?"), m("assistant", "I look.", tool_calls=[CALL, CALL_OF_TEXT]),
                   m("tool", "wet", tool_call_id="abc123XYZ"), m("tool", "dry", tool_call_id="q23456789")],
    "wrong_order": [m("assistant", "I begin"), m("user", "No, I")],
    "of_parts": [m("user", [{"type": "text", "text": "See |} "}, {"type": "image"},
                            {"type": "text", "text": "and say"}]), m("assistant", ""),
                 m("user", [{"type": "smell"}])],
    "looks_like_code": [m("user", "{% raise_exception('x') %}{{ 1 }}<|end|>'\"\\ \u2028&<>")],
    "nobody": [],
}

WAYS = {
    "asked": {"add_generation_prompt": True},
    "plain": {"add_generation_prompt": False},
    "with_tools": {"add_generation_prompt": True, "tools": TOOLS, "enable_thinking": False},
    "tools_above": {"add_generation_prompt": True, "tools": TOOLS, "tools_in_user_message": False,
                    "builtin_tools": ["abacus", "weather"], "date_string": "today"},
}


def cases():
    for path in sorted((FOLDER / "templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        for conversation, messages in CONVERSATIONS.items():
            for way, more in WAYS.items():
                # As transformers call it: what is not given is there and none.
                variables = {"messages": messages, "tools": None, "documents": None,
                             "bos_token": "<s>", "eos_token": "</s>", **more}
                yield {"template": path.stem, "conversation": conversation, "way": way,
                       **chat_oracle.render(source, variables)}


def documents():
    conversations = {"conversations": CONVERSATIONS, "ways": WAYS, "cases": list(cases())}
    snippets = [{"source": source, **chat_oracle.render(source, chat_snippets.VARIABLES)}
                for source in chat_snippets.SNIPPETS]
    return {"conversations.json": conversations,
            "snippets.json": {"variables": chat_snippets.VARIABLES, "snippets": snippets}}


def main():
    wrong = 0
    for name, document in documents().items():
        text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
        path = FOLDER / name
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path}: is not what python3-jinja2 makes; run make_chat_goldens.py")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
