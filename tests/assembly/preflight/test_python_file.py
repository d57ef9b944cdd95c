"""Python files: what the compiler rejects, and where PARAMS goes in files without statements."""

from __future__ import annotations

import ast
import warnings

import pytest

from assembler_runner.assembly.preflight.python_file import parse_python
from assembler_runner.assembly.python_source import insert_parameters

REJECTED = """\
return 1
if x:⏎ return 1
class A:⏎ return 1
def f():⏎ class A:⏎  return 2
break
def f():⏎ continue
for x in y:⏎ def f():⏎  break
def f(a, a): pass
def f(*a, a): pass
try:⏎ x⏎except:⏎ x⏎except A:⏎ x
x = 1⏎from __future__ import annotations
from __future__ import nonsense
def f():⏎ from x import *
yield 1
await x
class A:⏎ yield 1
def f():⏎ nonlocal x
lambda a, a: 1
*a, *b = c
a = *b
def f(x):⏎ global x
[x async for x in y]
__debug__ = 1
match x:⏎ case a:⏎  pass⏎ case b:⏎  pass
class A:⏎ [a := 1 for a in b]
""".splitlines()


@pytest.mark.parametrize("form", REJECTED)
def test_what_only_the_compiler_rejects_is_found(form: str) -> None:
    source = form.replace("⏎", "\n")
    ast.parse(source)
    with pytest.raises(SyntaxError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(source, "source.py", "exec", dont_inherit=True)
    assert parse_python(source.encode()).compile_error == (caught.value.msg, caught.value.lineno)


@pytest.mark.parametrize("form", ["for x in y:⏎ break", "def f():⏎ if x:⏎  return 1", "async def f():⏎ await x"])
def test_what_it_accepts_has_no_error(form: str) -> None:
    assert parse_python(form.replace("⏎", "\n").encode()).compile_error is None


@pytest.mark.parametrize(
    "head", ["#!/usr/bin/env python", "# coding: latin-1", "#!/bin/sh\n# coding: utf-8", "\ufeff#!x"]
)
def test_a_head_without_a_newline_stays_first(head: str) -> None:
    made = insert_parameters(head.encode(), {"a": 1}).decode()
    assert made == f"{head}\nPARAMS = {{'a': 1}}\n\n"


@pytest.mark.parametrize("end", ["", "  # why"])
@pytest.mark.parametrize("head", ["'Doc.'", "from __future__ import annotations"])
def test_no_end_of_line_behind_the_head(head: str, end: str) -> None:
    assert insert_parameters((head + end).encode(), {"a": 1}) == f"{head}{end}\nPARAMS = {{'a': 1}}\n".encode()
