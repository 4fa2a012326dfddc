#!/usr/bin/env python3
"""Makes vectors.json beside this file: templates, what they are rendered with, and what jinja2 makes of them.

usage: make_vectors.py                  needs jinja2 3.1 (pip install jinja2)

The environment is set up as transformers does it for chat templates. Templates are the files of chat/,
which have the shapes of published ones, each with every conversation of conversations.py, and the short
ones of features.py. A case is [template, variables, text], or [template, variables, null, message] for
one that ends in an error; the message is kept where the template itself raised it.
"""

import json
import pathlib
from datetime import datetime

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from conversations import CONVERSATIONS, SPECIAL
from features import FEATURES

HERE = pathlib.Path(__file__).resolve().parent
NOW = datetime(2026, 1, 2, 15, 4, 5)


class Raised(jinja2.exceptions.TemplateError):
    pass


class Generation(jinja2.ext.Extension):
    """{% generation %} marks the assistant's tokens for training: it renders what it holds."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: NOW.strftime(format)
    return env


def render(env, source, variables):
    try:
        return [env.from_string(source).render(**variables)]
    except Raised as e:
        return [None, str(e)]
    except Exception as e:  # every kind of mistake in a template
        assert not isinstance(e, AssertionError) or source.find("truncate") >= 0, source
        return [None, None]


def main():
    env = environment()
    templates, variables, cases = [], [], []

    def add(source, values):
        if source not in templates:
            templates.append(source)
        if values not in variables:
            variables.append(values)
        cases.append([templates.index(source), variables.index(values), *render(env, source, values)])

    for path in sorted((HERE / "chat").glob("*.jinja")):
        for conversation in CONVERSATIONS:
            add(path.read_text(encoding="utf-8"), {**SPECIAL, **conversation})
    for source, values in FEATURES:
        add(source, values)
    out = {"now": NOW.strftime("%Y-%m-%d %H:%M:%S"), "templates": templates, "variables": variables, "cases": cases}
    lines = ["{"]
    for key, value in out.items():
        if isinstance(value, str):
            lines.append(f"{json.dumps(key)}: {json.dumps(value)},")
            continue
        lines.append(f"{json.dumps(key)}: [")
        lines.append(",\n".join(json.dumps(v, ensure_ascii=False) for v in value))
        lines.append("]" if key == "cases" else "],")
    lines.append("}")
    (HERE / "vectors.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    errors = sum(case[2] is None for case in cases)
    print(f"{len(templates)} templates, {len(cases)} cases, {errors} of them errors")


if __name__ == "__main__":
    main()
