#!/usr/bin/env python3
"""Writes gbnf.json and schemas.json beside itself: what other programs say of grammars and schemas.

Usage: make_golden.py           writes both
       make_golden.py --check   compares with what stands there; exits 77 without python3-jsonschema

gbnf.json: GBNF grammars beside regular expressions of the same language; Python's re says which
texts belong to it. schemas.json: JSON schemas and instances; python3-jsonschema says which are valid.
A case that is valid and yet not to be accepted says why under "narrower": docs/grammar.md lists these.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# (grammar, regular expression, texts)
GBNF = [
    (r'root ::= "abc"', r"abc", ["abc", "", "ab", "abcd", "ABC", "abc\n"]),
    (r'root ::= ""', r"", ["", "a", " "]),
    (r'root ::= "a" "b" "c"', r"abc", ["abc", "ab", "a b c", "acb"]),
    (r'root ::= "a" | "b" | "cd"', r"a|b|cd", ["a", "b", "cd", "c", "d", "ab", ""]),
    (r'root ::= "a" |', r"a|", ["a", "", "aa"]),
    (r'root ::= | "a"', r"|a", ["a", "", "aa"]),
    (r'root ::= "a"*', r"a*", ["", "a", "aa", "aaaaaaaaa", "aab", "b"]),
    (r'root ::= "a"+', r"a+", ["", "a", "aa", "aaaaaaaaa", "aab"]),
    (r'root ::= "a"?', r"a?", ["", "a", "aa"]),
    (r'root ::= "ab"*', r"(ab)*", ["", "ab", "abab", "aba", "abb", "aab"]),
    (r'root ::= "a"{3}', r"a{3}", ["", "aa", "aaa", "aaaa"]),
    (r'root ::= "a"{0}', r"", ["", "a"]),
    (r'root ::= "a"{1}', r"a", ["", "a", "aa"]),
    (r'root ::= "a"{2,}', r"a{2,}", ["", "a", "aa", "aaa", "aaaaaaaaaaaa", "aab"]),
    (r'root ::= "a"{2,4}', r"a{2,4}", ["a", "aa", "aaa", "aaaa", "aaaaa"]),
    (r'root ::= "a"{0,2}', r"a{0,2}", ["", "a", "aa", "aaa"]),
    (r'root ::= "a"{0,}', r"a*", ["", "a", "aaaa", "b"]),
    (r'root ::= "a" { 1 , 2 }', r"a{1,2}", ["", "a", "aa", "aaa"]),
    (r'root ::= ("a" | "bc"){2}', r"(a|bc){2}", ["aa", "abc", "bca", "bcbc", "a", "bc", "aaa"]),
    (r'root ::= ("a"?){3}', r"a{0,3}", ["", "a", "aa", "aaa", "aaaa"]),
    (r'root ::= ("a"*){2,5} "b"', r"a*b", ["b", "ab", "aaaaaaaaab", "", "a", "ba"]),
    (r'root ::= ("a"?){0,1000} "b"', r"a{0,1000}b",
     ["b", "a" * 1000 + "b", "a" * 1001 + "b", "a" * 500 + "b", "a" * 10]),
    (r'root ::= ("a"{2}){3}', r"(a{2}){3}", ["aaaaaa", "aaaaa", "aaaaaaa", "aaaa"]),
    (r'root ::= ("a"{1,2} "b"){2,3}', r"(a{1,2}b){2,3}",
     ["abab", "aabab", "ab", "abaabab", "aaabab", "abababab", "aabaabaab"]),
    (r'root ::= ("a" | "aa"){0,6}', r"(a|aa){0,6}", ["", "a" * 6, "a" * 12, "a" * 13, "a" * 11]),
    (r'root ::= ("a" | "aa"){3,4} "b"', r"(a|aa){3,4}b",
     ["aab", "aaab", "a" * 8 + "b", "a" * 9 + "b", "a" * 6 + "b"]),
    (r'root ::= [a-z]', r"[a-z]", ["a", "m", "z", "A", "`", "{", "", "ab"]),
    (r'root ::= [a-z0-9_]+', r"[a-z0-9_]+", ["a1_", "", "a-b", "_", "Z"]),
    (r'root ::= [^a-z]', r"[^a-z]", ["A", "a", "é", "\n", "あ", "😀", ""]),
    (r'root ::= [^"\\]*', r'[^"\\]*', ["", "abc", 'a"b', "a\\b", "日本語", "a\nb"]),
    (r'root ::= [a-]', r"[a-]", ["a", "-", "b", "]"]),
    (r'root ::= [-a]', r"[-a]", ["a", "-", "b"]),
    (r'root ::= [\[\]]+', r"[\[\]]+", ["[", "]", "[]", "\\", ""]),
    (r'root ::= [a^]', r"[a^]", ["a", "^", "b"]),
    (r'root ::= [\n\r\t ]*', r"[\n\r\t ]*", ["", "\n", " \t\r\n", "x", "\v"]),
    (r'root ::= "\"\\"', r'"\\', ['"\\', '"', "\\", '\\"']),
    (r'root ::= "\n\t\r"', r"\n\t\r", ["\n\t\r", "ntr"]),
    (r'root ::= "\x41\x7a"', r"Az", ["Az", "A", "x41"]),
    (r'root ::= "\u3042\U0001F600"', r"あ😀", ["あ😀", "あ", "😀"]),
    (r'root ::= "\xE9"', r"é", ["é", "e"]),
    (r'root ::= [\x30-\x39]{2}', r"[0-9]{2}", ["07", "7", "ab"]),
    (r'root ::= [ぁ-ん]+', r"[ぁ-ん]+", ["あいう", "ア", "", "あa"]),
    (r'root ::= [\u3041-\u3093]+', r"[ぁ-ん]+", ["ん", "ぁ", "ゔ", "ぐ"]),
    (r'root ::= [\U0001F600-\U0001F64F]', r"[😀-🙏]", ["😀", "🙏", "🙐", "a", "😁"]),
    (r'root ::= [é-ü]', r"[é-ü]", ["é", "ü", "ý", "è", "ö", "÷"]),
    (r'root ::= [߿-ࠀ]', r"[߿-ࠀ]", ["߿", "ࠀ", "߾", "ࠁ"]),
    (r'root ::= .', r"(?s).", ["a", "\n", "あ", "😀", "", "ab"]),
    (r'root ::= .*', r"(?s).*", ["", "any\nthing", "日本"]),
    (r'root ::= "a" . "c"', r"(?s)a.c", ["abc", "a\nc", "aéc", "ac", "abbc"]),
    ('root ::= a b\na ::= "x"\nb ::= "y"', r"xy", ["xy", "x", "yx"]),
    ('root ::= a* b?\na ::= [0-9]\nb ::= "."', r"[0-9]*\.?", ["", "12.", ".", "12", "1.2"]),
    ('root ::= (a | b)+ # a comment\n# another\na ::= "x" # "y"\n\nb ::= "z"\n', r"[xz]+",
     ["xz", "y", "", "zzx"]),
    ('root ::= (\n  "a" |\n  "b"\n  "c"\n)', r"a|bc", ["a", "bc", "b", "c", "ac"]),
    ('root ::= "a" |\n  "b"', r"a|b", ["a", "b", "ab"]),
    ('root ::=\n  "a"\n', r"a", ["a", ""]),
    ('root ::= "a" ( "b" ( "c" | "d" )? )* "e"', r"a(b[cd]?)*e",
     ["ae", "abe", "abce", "abcbde", "ace", "abcde", "abcdbe"]),
    ('root ::= item ("," item)*\nitem ::= [a-z]+', r"[a-z]+(,[a-z]+)*",
     ["a", "a,b", "ab,cd,e", ",", "a,", "a,,b", ""]),
    ('root ::= list\nlist ::= [a-z] list | ""', r"[a-z]*", ["", "a", "abc", "aB"]),
    ('root ::= even\neven ::= "a" odd | ""\nodd ::= "a" even', r"(aa)*",
     ["", "a", "aa", "aaa", "aaaa", "a" * 41, "a" * 42]),
    ('root ::= x ("+" x)*\nx ::= [0-9]+ ("." [0-9]+)?', r"\d+(\.\d+)?(\+\d+(\.\d+)?)*",
     ["1", "1+2", "1.5+22.25", "1.+2", "+1", "1+", "1..2"]),
    ('root ::= ("\\"" [^"]* "\\"")', r'"[^"]*"', ['""', '"a b"', '"', '"a""', 'a']),
    ('root ::= ""* "a"', r"a", ["a", "", "aa"]),
    ('root ::= ("" | "a")+ "b"', r"a*b", ["b", "ab", "aab", "a"]),
    ('root ::= ("a" ("b"?)*){2}', r"(ab*){2}", ["aa", "abba", "abbbabb", "a", "bab", "aaa"]),
    ('root ::= ("x"{0,2} "y"?){2}', r"(x{0,2}y?){2}",
     ["", "xxyxxy", "xxxx", "xxxxx", "yy", "yyy", "xyxy", "xyyx"]),
    ('root ::= (("a" | "b"{2,3}){1,2} "c"?){2,}', r"((a|b{2,3}){1,2}c?){2,}",
     ["aa", "a", "ac", "bbbb", "bbb", "bbcac", "accc", "bcb", "abbcbbba"]),
]


def obj(**properties):
    return {"type": "object", "properties": properties, "required": list(properties),
            "additionalProperties": False}


S, I, N, B = ({"type": t} for t in ("string", "integer", "number", "boolean"))
TREE = {"$defs": {"node": {"type": "object", "properties": {
    "v": I, "left": {"$ref": "#/$defs/node"}, "right": {"anyOf": [{"$ref": "#/$defs/node"},
                                                                 {"type": "null"}]}},
    "required": ["v"], "additionalProperties": False}}, "$ref": "#/$defs/node"}
ANY = [1, -2.5, "a", "", None, True, False, [], {}, [1, [2, {"a": []}]], {"a": {"b": None}}]

# (schema, instances); an instance is a value, Raw text, or Narrow(value, why).


class Raw(str):
    """The text itself, not the JSON of a string."""


class Narrow:
    def __init__(self, value, why):
        self.value, self.why = value, why


SCHEMAS = [
    (True, ANY + [Raw("1 2"), Raw("nul"), Raw("[1,]"), Raw("{a:1}"), Raw("01"), Raw('"\x01"')]),
    ({}, ANY),
    ({"description": "any", "title": "t", "default": 1, "examples": [1], "$comment": "c"}, ANY),
    ({"type": "object"}, ANY),
    ({"type": "array"}, ANY),
    (S, ANY + ["日本語", "a\"b\\c/\n\t", "\u0001", Raw(r'"\u00e9\uD83D\uDE00"'), Raw(r'"\x"'), Raw('"a')]),
    (I, [0, 1, -1, 12345, 10**15, 1.5, "1", True, Raw("00"), Raw("-"), Raw("1e2.5"), Raw("+1"),
         Narrow(10**17, "at most 16 digits"), Narrow(Raw("1.0"), "whole numbers have no fraction")]),
    (N, [0, -1, 1.5, -0.25, 1e10, Raw("1e5"), Raw("1E-07"), Raw("2.50"), "1", None, Raw(".5"),
         Raw("1."), Raw("0x1"), Raw("-0")]),
    (B, [True, False, 0, "true", None]),
    ({"type": "null"}, [None, 0, False, ""]),
    ({"type": ["string", "null"]}, ["a", None, 1, [], True]),
    ({"type": ["integer", "boolean", "array"]}, [1, True, [1, "a"], "a", None, 1.5]),
    ({"enum": ["red", "green", 3, None, [1, 2], {"a": 1}, 1.5]},
     ["red", "green", 3, None, Raw("[1,2]"), Raw('{"a":1}'), 1.5, "blue", 4, [1], "re", {},
      Narrow(Raw("[1, 2]"), "values without white space")]),
    ({"type": "string", "enum": ["a", "b", "a\"c"]}, ["a", "b", "a\"c", "c", "", 1]),
    ({"type": "integer", "enum": [1, 2, "a"]}, [1, 2, "a", 3]),
    ({"const": "x"}, ["x", "y", 1]),
    ({"const": {"k": [1, None]}}, [Raw('{"k":[1,null]}'), {"k": [1]}, {}]),
    ({"type": "integer", "minimum": 0, "maximum": 255},
     [*range(0, 256, 5), 255, 256, -1, 1000, 99, 100, 199, 200, 249, 250]),
    ({"type": "integer", "minimum": -37, "maximum": 1204},
     [-38, -37, -36, -10, -9, -1, 0, 1, 9, 10, 99, 100, 999, 1000, 1199, 1200, 1204, 1205, 9999, -100]),
    ({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 10}, list(range(0, 15))),
    ({"type": "integer", "minimum": 18}, [17, 18, 19, 20, 99, 100, 12345678, -18, 0]),
    ({"type": "integer", "maximum": -18}, [-17, -18, -19, -20, -99, -100, -12345678, 18, 0]),
    ({"type": "integer", "maximum": 7}, [7, 8, 0, -1, -123456, 70]),
    ({"type": "integer", "minimum": 0.5, "maximum": 3.5}, [0, 1, 2, 3, 4]),
    ({"type": "integer", "exclusiveMinimum": 0}, [0, 1, 10, -1]),
    ({"type": "number", "minimum": 0, "maximum": 1},
     [0, 1, 0.5, 0.999999, 1.5, -0.5, 2, Raw("1.0"), Raw("0.0"), Raw("1.000001"), -1]),
    ({"type": "number", "exclusiveMinimum": 0}, [0, 0.5, Raw("0.000001"), 1, 17.25, -1, Raw("0.0")]),
    ({"type": "number", "exclusiveMinimum": -1, "exclusiveMaximum": 1},
     [-1, 1, 0, 0.5, -0.5, 0.999999, Raw("-0.999999"), Raw("1.0"), Raw("-1.0"), 1.5]),
    ({"type": "number", "minimum": -20, "maximum": -3},
     [-20, -3, -2.5, -3.5, -19.75, -20.5, 0, 5, -10]),
    ({"type": "number", "minimum": 10}, [10, 9.5, 10.5, 1e3, 100, 0]),
    ({"type": "string", "minLength": 2, "maxLength": 4},
     ["", "a", "ab", "abcd", "abcde", "日本", "日", "😀😀", "a\n", "\"\\\"\\"]),
    ({"type": "string", "minLength": 1}, ["", "a", "abc" * 50]),
    ({"type": "string", "maxLength": 3}, ["", "abc", "abcd", "é😀日"]),
    ({"type": "string", "maxLength": 0}, ["", "a"]),
    (obj(name=S, age=I), [{"name": "a", "age": 1}, {"name": "a"}, {}, {"age": 1}, {"name": 1, "age": 1},
                          {"name": "a", "age": 1, "z": 2}, [],
                          Narrow({"age": 1, "name": "a"}, "properties in the order of the schema")]),
    ({"type": "object", "properties": {"a": I, "b": S, "c": B}, "additionalProperties": False},
     [{}, {"a": 1}, {"b": "x"}, {"c": True}, {"a": 1, "b": "x"}, {"a": 1, "c": False},
      {"b": "x", "c": True}, {"a": 1, "b": "x", "c": True}, {"d": 1}, {"a": "x"}]),
    ({"type": "object", "properties": {"a": I, "b": S, "c": B, "d": N}, "required": ["b", "d"],
      "additionalProperties": False},
     [{}, {"b": "x"}, {"b": "x", "d": 1}, {"a": 1, "b": "x", "d": 2}, {"b": "x", "c": True, "d": 0.5},
      {"a": 1, "b": "x", "c": True, "d": 2}, {"a": 1, "d": 2}, {"d": 1}]),
    ({"type": "object", "properties": {"a": I}},
     [{}, {"a": 1}, {"a": "x"}, Narrow({"b": 1}, "no other properties unless asked for")]),
    ({"type": "object", "properties": {"a": I, "ab": S}, "additionalProperties": True},
     [{}, {"a": 1}, {"a": 1, "z": [1, 2]}, {"a": "x"}, {"z": "a", "abc": 1}, {"ab": 1}, {"ab": "x", "": 0},
      {"b": None}, {"日本": 1}]),
    ({"type": "object", "properties": {"é": I, "é2": S}, "additionalProperties": B},
     [{"é": 1}, {"é": True}, {"é2": True}, {"é2": "a", "é3": True}, {"e": False}, {"e": 1}]),
    ({"type": "object", "additionalProperties": I},
     [{}, {"a": 1}, {"a": 1, "b": 2}, {"a": "x"}, {"a\"b": 1}]),
    ({"type": "object", "additionalProperties": False}, [{}, {"a": 1}]),
    ({"type": "object", "required": ["a"]}, [{}, {"a": 1}, {"a": 1, "b": 2}, {"b": 1}]),
    ({"type": "object", "properties": {"a": I, "x": False}, "additionalProperties": True},
     [{"a": 1}, {"x": 1}, {"a": 1, "x": 1}, {"y": 1}]),
    (obj(**{"we/ird~ \"n": S}), [{"we/ird~ \"n": "a"}, {}]),
    ({"type": "array", "items": I}, [[], [1], [1, 2, 3], ["a"], [1, "a"], [[1]]]),
    ({"type": "array", "items": S, "minItems": 2, "maxItems": 3},
     [[], ["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"], ["a", 1]]),
    ({"type": "array", "minItems": 1}, [[], [1], [1, "a", None]]),
    ({"type": "array", "maxItems": 1}, [[], [1], [1, 2]]),
    ({"type": "array", "maxItems": 0}, [[], [1]]),
    ({"type": "array", "items": False}, [[], [1]]),
    ({"type": "array", "prefixItems": [I, S]}, [[], [1], [1, "a"], [1, "a", None, 2], ["a"], [1, 2]]),
    ({"type": "array", "prefixItems": [I, S], "items": False}, [[], [1], [1, "a"], [1, "a", 2], ["a"]]),
    ({"type": "array", "prefixItems": [I, S, B], "minItems": 2, "items": N, "maxItems": 5},
     [[], [1], [1, "a"], [1, "a", True], [1, "a", True, 1.5], [1, "a", True, 1.5, 2],
      [1, "a", True, 1.5, 2, 3], [1, "a", 1.5], [1, "a", True, "b"]]),
    ({"type": "array", "prefixItems": [I, S, B], "maxItems": 2}, [[], [1, "a"], [1, "a", True]]),
    ({"type": "array", "items": {"type": "array", "items": I}}, [[], [[]], [[1], [2, 3]], [1], [["a"]]]),
    ({"anyOf": [S, I]}, ["a", 1, None, 1.5, []]),
    ({"anyOf": [obj(a=I), obj(b=S)]}, [{"a": 1}, {"b": "x"}, {"a": "x"}, {}, {"a": 1, "b": "x"}]),
    ({"oneOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]}, ["a", "abc", None, 1]),
    ({"type": "object", "properties": {"k": S}, "anyOf": [{"required": ["k"]}, {"required": ["j"],
      "properties": {"j": I}}], "additionalProperties": True},
     [{"k": "a"}, {"j": 1}, {}, {"k": 1}]),
    ({"allOf": [{"type": "object", "properties": {"a": I}, "required": ["a"]},
                {"type": "object", "properties": {"b": S}, "required": ["b"]}]},
     [{"a": 1, "b": "x"}, {"a": 1}, {"b": "x"}, {"a": "x", "b": "x"}, {}]),
    ({"allOf": [{"minimum": 3}, {"maximum": 20}, {"minimum": 5}], "type": "integer"}, [3, 5, 20, 21, 12]),
    ({"allOf": [{"type": ["string", "integer"]}, {"type": ["number", "null"]}]}, [1, 1.5, "a", None]),
    ({"allOf": [{"type": "object", "properties": {"a": I}, "additionalProperties": False},
                {"properties": {"b": I}}]}, [{}, {"a": 1}, {"b": 1}, {"a": 1, "b": 1}]),
    ({"allOf": [{"properties": {"a": {"minimum": 3}}}, {"properties": {"a": I}, "required": ["a"]}],
      "type": "object"}, [{"a": 3}, {"a": 2}, {"a": 3.5}, {}]),
    ({"allOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]},
                {"anyOf": [{"type": "integer"}, {"type": "null"}]}]}, [1, "a", None, 1.5]),
    ({"anyOf": [S, {"type": "integer", "minimum": 3, "maximum": 2}, False]}, ["a", 3, 2, None]),
    ({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}]}, [1, 2, 3, 4]),
    ({"allOf": [{"$ref": "#/$defs/p"}], "$defs": {"p": obj(x=I)}}, [{"x": 1}, {}, {"x": "a"}]),
    (TREE, [{"v": 1}, {"v": 1, "left": {"v": 2}}, {"v": 1, "right": None},
            {"v": 1, "left": {"v": 2, "left": {"v": 3}}, "right": {"v": 4, "right": None}},
            {"v": 1, "left": None}, {"left": {"v": 1}}, {}, {"v": "a"}]),
    ({"definitions": {"s": {"type": "string", "maxLength": 1}}, "type": "array",
      "items": {"$ref": "#/definitions/s"}}, [[], ["a", "b"], ["ab"], [1]]),
    ({"type": "object", "properties": {"v": I, "next": {"$ref": "#"}}, "required": ["v"],
      "additionalProperties": False}, [{"v": 1}, {"v": 1, "next": {"v": 2, "next": {"v": 3}}},
                                       {"v": 1, "next": {}}, {"v": 1, "next": None}]),
    ({"$defs": {"a/b": I, "c~d": S, "e f": B}, "type": "array", "prefixItems": [
        {"$ref": "#/$defs/a~1b"}, {"$ref": "#/$defs/c~0d"}, {"$ref": "#/$defs/e%20f"}]},
     [[1, "a", True], ["a"], [1, 2], [1, "a", 1]]),
    ({"$defs": {"p": {"type": "object", "properties": {"x": I}, "required": ["x"]}},
      "$ref": "#/$defs/p", "properties": {"y": S}, "required": ["y"]},
     [{"x": 1, "y": "a"}, {"x": 1}, {"y": "a"}]),
    ({"properties": {"a": I}, "required": ["a"]}, [{"a": 1}, {"a": "x"}, {},
                                                   Narrow("text", "keywords say the type")]),
    ({"items": I}, [[1], ["a"], Narrow(1, "keywords say the type")]),
    ({"type": "string", "pattern": "^[a-z]+$"}, ["abc", "", "aBc", "a1"]),
    ({"type": "string", "pattern": "^\\d{3}-\\d{4}$"}, ["123-4567", "1234567", "123-456", "a123-4567"]),
    ({"type": "string", "pattern": "b+"}, ["b", "abc", "ac", "", "日b本"]),
    ({"type": "string", "pattern": "^a"}, ["a", "abc", "ba", "a\"\n"]),
    ({"type": "string", "pattern": "z$"}, ["z", "abz", "za", ""]),
    ({"type": "string", "pattern": "^(foo|ba[rz])(-x)?$"}, ["foo", "bar", "baz-x", "ba", "foo-", "foobar"]),
    ({"type": "string", "pattern": "^a|b$"}, ["a", "ax", "xb", "b", "xax", "bx"]),
    ({"type": "string", "pattern": "^\\w+\\s\\w+$"}, ["a b", "ab_1 2", "a  b", "ab"]),
    ({"type": "string", "pattern": "^[^a-z]{2}$"}, ["AB", "1\"", "\\\n", "aB", "A", "日本"]),
    ({"type": "string", "pattern": "^\"\\\\\\.\\/[\\t\"]$"}, ['"\\./\t', '"\\.//', '"\\./"']),
    ({"type": "string", "pattern": "^.{1,3}$"}, ["a", "abc", "abcd", "", "a\tb"]),
    ({"type": "string", "pattern": "^(?:a(b|c)?)*?$"}, ["", "a", "abac", "b", "abc"]),
    ({"type": "string", "pattern": "^[A-Z]{2,}[\\d-]*\\x21\\u0041$"}, ["AB!A", "ABC1-2!A", "A!A", "AB!"]),
    ({"type": "string", "format": "date"}, ["2024-02-28", "2023-12-31", "2023-13-01", "2023-04-31",
                                            "2023-1-1", "x", Narrow("2024-02-29", "no leap days")]),
    ({"type": "string", "format": "ipv4"}, ["1.2.3.4", "255.255.255.255", "256.1.1.1", "1.2.3", "a"]),
    ({"type": "string", "format": "ipv6"}, ["1:2:3:4:5:6:7:8", "fe80:0:0:0:0:0:0:1",
                                            Narrow("::1", "all eight groups"), "1:2", "x"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000",
                                            "123e4567e89b12d3a456426614174000", "x"]),
    ({"type": "string", "format": "email"}, ["a@b.co", "first.last@example.com", "nobody"]),
]
SPACED = {"a": [1, {"b": []}], "c": {}}


def gbnf_golden():
    out = []
    for grammar, pattern, texts in GBNF:
        cases = [{"text": text, "in": re.fullmatch(pattern, text) is not None} for text in texts]
        out.append({"grammar": grammar, "pattern": pattern, "cases": cases})
    return out


def parsed(text):
    """The value, or None twice where a strict parser refuses the text."""
    try:
        return True, json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return False, None


def schemas_golden():
    import jsonschema

    out = []
    for schema, instances in SCHEMAS:
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        cases = []
        for instance in instances:
            why = instance.why if isinstance(instance, Narrow) else None
            value = instance.value if why else instance
            texts = [str(value)] if isinstance(value, Raw) else [
                json.dumps(value, ensure_ascii=False, separators=separators)
                for separators in ((",", ":"), (", ", ": "))]
            for text in dict.fromkeys(texts):
                is_json, read = parsed(text)
                case = {"text": text, "valid": is_json and validator.is_valid(read)}
                if why:
                    assert case["valid"], (schema, text)
                    case["narrower"] = why
                cases.append(case)
        out.append({"schema": json.dumps(schema, ensure_ascii=False), "cases": cases})
    cases = [{"text": json.dumps(SPACED, indent=indent), "valid": True} for indent in (None, 0, 1, 2, 4)]
    cases.append({"text": json.dumps(SPACED, indent=30), "valid": True,
                  "narrower": "a bounded amount of white space"})
    cases.append({"text": " {}", "valid": True, "narrower": "no white space around the value"})
    cases.append({"text": "[  1]", "valid": True, "narrower": "a bounded amount of white space"})
    out.append({"schema": "{}", "cases": cases})
    return out


def main():
    made = {"gbnf.json": gbnf_golden()}
    try:
        made["schemas.json"] = schemas_golden()
    except ImportError:
        print("python3-jsonschema is not installed: schemas.json is not made")
    wrong = []
    for name, value in made.items():
        text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
        if sys.argv[1:] != ["--check"]:
            (HERE / name).write_text(text, encoding="utf-8")
        elif (HERE / name).read_text(encoding="utf-8") != text:
            wrong.append(name)
    if wrong:
        print("not what make_golden.py makes:", *wrong)
        return 1
    return 0 if "schemas.json" in made else 77


if __name__ == "__main__":
    sys.exit(main())
