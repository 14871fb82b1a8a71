#!/usr/bin/python3
"""Writes the first inputs of the grammar fuzzers into corpus/, beside this file."""
import pathlib

HERE = pathlib.Path(__file__).parent / "corpus"

GRAMMARS = {
    "arithmetic": ('root ::= sum\nsum ::= term (("+" | "-") term)*\nterm ::= [0-9]{1,3} | "(" sum ")"\n',
                   "12+(3-4)"),
    "unicode": ('root ::= ([\\u3041-\\u3093é] | "\\U0001F600" | "日本"){1,5} [^a-z] .?', "あé😀日本!"),
    "nested": ('root ::= (\n "a"? # comment\n ("b"{2,} | ""){0,9}\n)* "c"', "abbbbac"),
    "rules": ('root ::= a | b\na ::= "x" root?\nb ::= "\\"" [^"\\\\\\x00-\\x1F]* "\\""\n', "xx\"q\""),
    "cut": ("root ::= [あ-ん]+", b"\xe3\x81"),
    "broken": ("root ::= [a-", ""),
}
SCHEMAS = {
    "object": '{"type":"object","properties":{"a":{"type":"integer","minimum":-3,"maximum":120},'
              '"b":{"enum":["x",null]}},"required":["a"],"additionalProperties":{"type":"boolean"}}',
    "array": '{"type":"array","prefixItems":[{"const":1},{"type":"number","exclusiveMinimum":0}],'
             '"items":{"type":["string","null"],"maxLength":3},"minItems":1,"maxItems":4}',
    "recursive": '{"$defs":{"n":{"properties":{"v":true,"n":{"anyOf":[{"$ref":"#/$defs/n"},'
                 '{"type":"null"}]}},"required":["v"]}},"$ref":"#/$defs/n"}',
    "pattern": '{"type":"string","pattern":"^(a|[^b-d\\\\s]{2,3})\\\\d*\\\\.?(?:x|y)+$"}',
    "format": '{"type":"array","items":{"type":"string","format":"date-time"}}',
    "merged": '{"allOf":[{"minLength":2},{"maxLength":4},{"anyOf":[{"type":"string"},{"type":"null"}]}],'
              '"description":"d"}',
    "any": "{}",
}


def write(folder, name, data):
    path = HERE / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(data if isinstance(data, bytes) else data.encode())


for name, (grammar, text) in GRAMMARS.items():
    write("grammar", name, grammar.encode() + b"\0" + (text if isinstance(text, bytes) else text.encode()))
for name, schema in SCHEMAS.items():
    write("json_schema", name, schema)
