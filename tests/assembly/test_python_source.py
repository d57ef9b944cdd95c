"""Insertion of PARAMS into Python files, checked by Python itself: the results are run."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assembler_runner.assembly.python_source import SourceFacts, facts, insert_parameters, syntax_error

PARAMS = {"user": "Zoë 🚀", "n": [1, 1.5, True, None]}

BINDING = """\
PARAMS = 1
PARAMS: dict = {}
a = PARAMS = 1
PARAMS, = [1]
a, PARAMS = 1, 2
(a, PARAMS) = 1, 2
[a, PARAMS] = 1, 2
(PARAMS) = 1
*PARAMS, b = 1, 2
a, (b, *PARAMS) = 1, (2, 3)
x = 1; PARAMS = 2
for PARAMS in []: pass
for (PARAMS) in []: pass
for a, PARAMS in []: pass
(PARAMS := 1)
print(PARAMS := 1)
[PARAMS := x for x in [1]]
if (PARAMS := 1): pass
with f() as PARAMS: pass
with f() as (PARAMS): pass
with f() as (a, PARAMS): pass
with f() as [a, *PARAMS]: pass
with f() as a, g() as PARAMS: pass
with (f() as a, g() as PARAMS): pass
try: pass⏎except E as PARAMS: pass
try: pass⏎except* E as PARAMS: pass
import PARAMS
import PARAMS.sub
import x as PARAMS
import x.y as PARAMS
from x import PARAMS
from x import (a, PARAMS,)
from x import a as PARAMS
from . import PARAMS
def PARAMS(): pass
async def PARAMS(): pass
@d⏎def PARAMS(): pass
class PARAMS: pass
def f():⏎ global PARAMS⏎ PARAMS = 1
def f():⏎ global x, PARAMS⏎ for PARAMS in []: pass
class A:⏎ global PARAMS⏎ PARAMS = 1
def f():⏎ def g():⏎  global PARAMS⏎  PARAMS = 1
if x: PARAMS = 1
if x:⏎  pass⏎else:⏎  PARAMS = 1
while x: PARAMS = 1
try:⏎  PARAMS⏎except NameError:⏎  PARAMS = {}
match x:⏎ case PARAMS: pass
match x:⏎ case (PARAMS): pass
match x:⏎ case [PARAMS, b]: pass
match x:⏎ case a, PARAMS: pass
match x:⏎ case [a, *PARAMS]: pass
match x:⏎ case {'a': PARAMS}: pass
match x:⏎ case {'a': [PARAMS]}: pass
match x:⏎ case {**PARAMS}: pass
match x:⏎ case C(PARAMS): pass
match x:⏎ case C(x=PARAMS): pass
match x:⏎ case 1 as PARAMS: pass
match x:⏎ case [1, 2 as PARAMS]: pass
match x:⏎ case C() as PARAMS if y: pass
""".splitlines()

READING = """\
PARAMS
PARAMS: dict
PARAMS += 1
PARAMS['x']
PARAMS['x'] = 1
PARAMS.x = 1
x: PARAMS = 1
x[PARAMS] = 1
f(PARAMS)
f(x=PARAMS)
f(*PARAMS, **PARAMS)
del PARAMS
assert PARAMS
[PARAMS for PARAMS in [1]]
[x for x in PARAMS]
for x in PARAMS: pass
with f() as PARAMS.x: pass
with f() as x[PARAMS]: pass
@PARAMS⏎def f(): pass
def f(): return PARAMS
def f(x=PARAMS): pass
def f(x: PARAMS): pass
def f(PARAMS): pass
def f(): PARAMS = 1
def f():⏎ import PARAMS
def f():⏎ global PARAMS⏎ print(PARAMS)
def f():⏎ global PARAMS⏎ PARAMS['a'] = 1
def f():⏎ global PARAMS⏎ def g(): PARAMS = 1
class A(PARAMS): pass
class A: PARAMS = 1
class A:⏎ def f(self): return PARAMS
lambda: PARAMS
lambda: (PARAMS := 1)
match PARAMS:⏎ case 1: pass
match x:⏎ case 1 if PARAMS: pass
match x:⏎ case PARAMS(): pass
match x:⏎ case PARAMS.x: pass
f'{PARAMS}'
f'{PARAMS=}'
f'{x:{PARAMS}}'
rf'{PARAMS}'
f"{'a' + PARAMS['b']}"
""".splitlines()

OTHER = """\
x = 1
# PARAMS
'PARAMS'
{'PARAMS': 1}
f'{{PARAMS}}'
f"{'{PARAMS}'}"
'{PARAMS}'.format(1)
PARAMSX = MY_PARAMS = params = 1
x.PARAMS
x.PARAMS = 1
f(PARAMS=1)
import x.PARAMS
import PARAMS as x
from PARAMS import x
from .PARAMS import x
from x import PARAMS as a
match x:⏎ case C(PARAMS=1): pass
match x:⏎ case C.PARAMS: pass
""".splitlines()

# Syntax newer than Python 3.11: its name, and whether PARAMS is bound.
NEWER = {
    "f'{PARAMS['x']}'": False,
    "f'{f'{PARAMS}'}'": False,
    "f'{⏎ PARAMS # why⏎}'": False,
    "f\"{'\\n'.join(PARAMS)}\"": False,
    "t'{PARAMS}'": False,
    "type X = PARAMS": False,
    "type PARAMS = int": True,
    "def f[T: PARAMS](): pass": False,
    "class A[T = PARAMS]: pass": False,
    "try: pass⏎except A, B: PARAMS": False,
    "try: pass⏎except A, B: PARAMS = 1": True,
}


def source_of(form: str) -> bytes:
    return form.replace("⏎", "\n").encode()


@pytest.mark.parametrize("form", BINDING)
def test_binding(form: str) -> None:
    ast.parse(source_of(form))
    assert facts(source_of(form)) == SourceFacts(uses=True, binds=True)


@pytest.mark.parametrize("form", READING)
def test_reading(form: str) -> None:
    ast.parse(source_of(form))
    assert facts(source_of(form)) == SourceFacts(uses=True, binds=False)


@pytest.mark.parametrize("form", OTHER)
def test_neither(form: str) -> None:
    ast.parse(source_of(form))
    assert facts(source_of(form)) == SourceFacts(uses=False, binds=False)


@pytest.mark.parametrize(("form", "binds"), NEWER.items())
def test_newer_syntax_is_accepted(form: str, binds: bool) -> None:
    assert syntax_error(source_of(form)) is None
    assert facts(source_of(form)) == SourceFacts(uses=True, binds=binds)


@pytest.mark.parametrize("form", ["from __future__ import annotations\nPARAMS", "def f(:\n  PARAMS\n", "\ufeffPARAMS"])
def test_reading_in_unusual_files(form: str) -> None:
    assert facts(form.encode()) == SourceFacts(uses=True, binds=False)


# The position of PARAMS: `@` represents the statement with the newlines around it.
HEADS = {
    "empty": "@{n}",
    "code": "@{n}x = 1\n",
    "code without end of line": "@{n}x = 1",
    "shebang": "#!/usr/bin/env python3\n@{n}x = 1\n",
    "encoding": "# -*- coding: utf-8 -*-\n@{n}x = 1\n",
    "shebang and encoding": "#!/usr/bin/env python3\n# vim: set fileencoding=utf-8 :\n@{n}x = 1\n",
    "comment and encoding": "# Greeter\n# coding=utf-8\n@{n}x = 1\n",
    "blank and encoding": "\n# coding=utf-8\n@{n}x = 1\n",
    "encoding too late": "@{n}# one\n# two\n# coding=utf-8\nx = 1\n",
    "comment": "@{n}# Greeter\nx = 1\n",
    "docstring": '"""Doc."""\n{n}@x = 1\n',
    "docstring of lines": '"""Doc.\n\n# no comment\n"""\n{n}@x = 1\n',
    "docstring in parentheses": '("Doc." # why\n "More.")\n{n}@x = 1\n',
    "docstring of parts": "'Doc.' r'''More\n'''\n{n}@x = 1\n",
    "docstring after comments": "#!/bin/python\n# Licence\n\n'Doc.'\n{n}@# more\nx = 1\n",
    "docstring and comment": "'Doc.'  # why\n{n}@x = 1\n",
    "docstring alone": "'Doc.'\n{n}@",
    "form feed": "\f'Doc.'\n{n}@x = 1\n",
    "bytes": "@{n}b'no'\nx = 1\n",
    "f-string": "@{n}f'no'\nx = 1\n",
    "part of an expression": "@{n}'no'.upper()\nx = 1\n",
    "second string": "'Doc.'\n{n}@'no'\nx = 1\n",
    "future": "from __future__ import annotations\n{n}@x = 1\n",
    "futures": "from __future__ import annotations\n\n# why\nfrom __future__ import division\n{n}@\nx = 1\n",
    "future of lines": "from __future__ import (\n    annotations,  # why\n)\n{n}@x = 1\n",
    "future with backslash": "from __future__ \\\n  import annotations\n{n}@x = 1\n",
    "docstring and future": '"""Doc."""\n\nfrom __future__ import annotations\n{n}@import os\n',
    "parentheses and future": '("Doc.")\nfrom __future__ import annotations\n{n}@import os\n',
    "backslash before future": "'Doc.'\n\\\nfrom __future__ import annotations\n{n}@import os\n",
    "all": "#!/bin/python\n# coding: utf-8\n'Doc.'\nfrom __future__ import annotations\n{n}@x = 1\n",
}

# Other statements on the line of PARAMS, before and after the assignment.
CHAINS = {
    "'Doc.'; x = 1\n": ("'Doc.'; ", "; x = 1\n"),
    "'Doc.';\n": ("'Doc.'; ", ";\n"),
    "'Doc.' \\\n\nx = 1": ("'Doc.'; ", " \\\n\nx = 1"),
    "'Doc.'; \\\nx = 1": ("'Doc.'; ", "; \\\nx = 1"),
    "from __future__ import division; x = 1": ("from __future__ import division; ", "; x = 1"),
    "'Doc.'; from __future__ import division;": ("'Doc.'; from __future__ import division; ", ";"),
}

NEWLINES = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


def cut(head: str, newline: str, bom: str = "") -> tuple[bytes, bytes]:
    """Returns the text before and after the position."""
    before, _, behind = (bom + head).replace("{n}", "").replace("\n", newline).partition("@")
    return before.encode(), behind.encode()


def lines_of(parameters: dict[str, Any], head: str, newline: str) -> bytes:
    """The assignment with the line ends that belong to it."""
    if "\n" not in head:
        newline = "\n"  # a file of one line shows no other
    lines = f"PARAMS = {parameters!a}\n"
    return ("\n" + lines if "{n}@" in head else lines + "\n").replace("\n", newline).encode()


@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "bom"])
@pytest.mark.parametrize("newline", NEWLINES.values(), ids=NEWLINES)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_place_of_the_assignment(head: str, newline: str, bom: str) -> None:
    before, behind = cut(head, newline, bom)
    made = insert_parameters(before + behind, {"a": 1})
    assert made == before + lines_of({"a": 1}, head, newline) + behind
    module = run(made)
    assert module["PARAMS"] == {"a": 1}
    assert module["__doc__"] == run(before + behind)["__doc__"]


@pytest.mark.parametrize("line", ["# coding: latin-1", "#!/bin/sh\n# -*- coding: iso-8859-1 -*-", "\n# coding=cp1252"])
def test_other_encodings_stay_runnable(line: str) -> None:
    source = f'{line}\nname = "Zoë"\n'.encode("latin-1")
    module = run(insert_parameters(source, PARAMS))
    assert (module["PARAMS"], module["name"]) == (PARAMS, "Zoë")


def test_other_encoding_in_docstring_stays_runnable() -> None:
    source = '# coding: latin-1\n"""Zoë."""\nfrom __future__ import annotations'.encode("latin-1")
    module = run(insert_parameters(source, PARAMS))
    assert (module["PARAMS"], module["__doc__"]) == (PARAMS, "Zoë.")


@pytest.mark.parametrize("source", ["def greet(:\n", "x = '\n", "\x00", "'Doc.' 1\n", "if x:\n"])
def test_broken_files_keep_their_bytes_too(source: str) -> None:
    made = insert_parameters(source.encode(), {"a": 1})
    assert without(made, b"PARAMS = {'a': 1}").replace(b"\n", b"") == source.encode().replace(b"\n", b"")


characters = st.characters(codec=None, exclude_categories=())  # control characters and lone surrogates, too
texts = st.text(characters, max_size=20)
numbers = st.integers() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=4)


@settings(deadline=None)
@given(st.sampled_from(list(HEADS.values())), st.sampled_from(list(NEWLINES.values())), objects)
@example("@{n}x = 1\n", "\n", {"": {"a": [[], {}, -0.0, 0, 1.0, True]}, "lone": "\udc80", "end": "\\'\"\n\r\x00\u2028"})
def test_any_json_object_arrives(head: str, newline: str, parameters: dict[str, Any]) -> None:
    sent = json.loads(json.dumps(parameters))
    before, behind = cut(head, newline)
    made = insert_parameters(before + behind, sent)
    assert made == before + lines_of(sent, head, newline) + behind
    assert exactly(run(made)["PARAMS"]) == exactly(sent)


@pytest.mark.parametrize(("source", "around"), CHAINS.items())
@settings(deadline=None)
@given(parameters=objects)
def test_any_json_object_arrives_within_a_line(
    source: str, around: tuple[str, str], parameters: dict[str, Any]
) -> None:
    before, behind = around
    made = insert_parameters(source.encode(), parameters)
    assert made == f"{before}PARAMS = {parameters!a}{behind}".encode()
    assert exactly(run(made)["PARAMS"]) == exactly(parameters)


@settings(max_examples=25, deadline=None)  # each one may start a program
@given(objects)
def test_any_json_object_goes_with_nested_quotes(parameters: dict[str, Any]) -> None:
    assert syntax_error(insert_parameters(b"def f():\n return f'Hi, {PARAMS['user']}'\n", parameters)) is None


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_no_bytes_stop_the_reading(source: bytes) -> None:
    assert isinstance(facts(b"PARAMS " + source), SourceFacts)
    assert b"PARAMS = {'a': 1}" in insert_parameters(source, {"a": 1})


VALID = [
    "",
    "\ufeffx = 1\r\n",
    "x = 1\ry = 2\r",
    "def f():\n return f'Hi, {PARAMS['user']}'\n",
    "type X[T = int] = list[T]\n",
    "# coding: latin-1\nname = 'Zoë'\n",
    "x = '\\d'\n",
    "x = " + "[" * 90 + "]" * 90,
]


@pytest.mark.parametrize("source", VALID)
def test_valid_code(source: str) -> None:
    assert syntax_error(source.encode("latin-1" if "latin-1" in source else "utf-8")) is None


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (b"def f(:\n", 1),
        (b"x = 1\ny = = 2\n", 2),
        (b"\xef\xbb\xbfx = 1\r\n\r\ny = = 2\r\n", 3),
        (b"x = 1\ry = = 2\r", 2),
        (b"if x:\npass\n", 2),
        (b"print 'hello'\n", 1),
        (b"x = f'{PARAMS['a']}'\ny = f'{'\n", 2),
        (b"x = '\xe9'\n", 1),
        (b"# coding: nonsense\n", 1),
        (b"x = 1\x00\n", 1),
    ],
)
def test_syntax_error_is_told_with_its_line(source: bytes, line: int) -> None:
    found = syntax_error(source)
    assert found is not None
    assert found[0]
    assert found[1] == line


@pytest.mark.parametrize("source", [b"x = " + b"[" * 5000, b"-" * 100_000 + b"1", b"x" + b".y" * 100_000])
def test_deeply_nested_code_is_told_and_does_no_harm(source: bytes) -> None:
    found = syntax_error(source)
    assert found is not None
    assert found[1] == 1


def run(source: bytes) -> dict[str, Any]:
    module: dict[str, Any] = {"__doc__": None}
    exec(compile(source, "source.py", "exec", dont_inherit=True), module)
    return module


def exactly(value: Any) -> Any:
    """The value with all types in sight: True is not 1, 1 is not 1.0, 0.0 is not -0.0."""
    if isinstance(value, Mapping):
        return {key: exactly(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [exactly(inner) for inner in value]
    return type(value), value, isinstance(value, float) and math.copysign(1, value)


def without(made: bytes, statement: bytes) -> bytes:
    before, found, behind = made.partition(statement)
    assert found
    return before + behind
