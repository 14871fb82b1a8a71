"""The environment in which transformers render chat templates, out of Debian's python3-jinja2."""

import copy
import datetime
import json
from pathlib import Path

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

HERE = Path(__file__).resolve().parent
NOW = datetime.datetime(2024, 7, 6, 9, 5, 3)  # What strftime_now shows in tests; chat_render.cpp's too.


class Raised(Exception):
    """What raise_exception was given."""


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what a model wrote; its text is printed."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = jinja2.nodes.CallBlock(self.call_method("_printed"), [], [], body)
        return call.set_lineno(line)

    def _printed(self, caller):
        return caller()


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def environment():
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True,
        extensions=[Generation, jinja2.ext.loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = NOW.strftime
    return made


def render(source, variables):
    """{"output": text}, {"raised": sentence of raise_exception} or {"error": what Python said}."""
    try:
        return {"output": environment().from_string(source).render(**copy.deepcopy(variables))}
    except Raised as e:
        return {"raised": str(e)}
    except Exception as e:  # Whatever a template can do wrong in Python.
        return {"error": f"{type(e).__name__}: {e}"}
