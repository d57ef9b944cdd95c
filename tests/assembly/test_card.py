"""The front matter of README.md: generated, completed or rejected; given text is preserved byte for byte."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assembler_runner.assembly.assemble import Assembly, assemble
from assembler_runner.assembly.card import complete_readme, read_card
from assembler_runner.core.errors import Finding
from tests.assembly.test_cases import bundled

CARD = {"title": "Greeter", "sdk": "gradio", "app_file": "app.py"}
MADE = b"---\ntitle: Greeter\nsdk: gradio\napp_file: app.py\n---\n"


def completed(readme: bytes, card: dict[str, Any] | None = None) -> tuple[bytes, list[Finding]]:
    return complete_readme(readme, read_card(readme), card or CARD)


def front_matter(readme: bytes) -> Any:
    _, block, _ = readme.decode("utf-8-sig").split("---", 2)
    return yaml.safe_load(block)


def gradio(readme: str | None = None, **options: Any) -> Assembly:
    plugin = bundled().get("gradio")
    assert plugin is not None
    files = {"app.py": b"import gradio\ngradio.Interface(str, 'text', 'text').launch()\n"}
    if readme is not None:
        files["README.md"] = readme.encode()
    return assemble(plugin, files, options=options)


def test_without_a_readme_one_is_made() -> None:
    assert completed(b"") == (MADE, [])


@pytest.mark.parametrize(
    "text", [b"# Hello\n", b"# Hello", b"\r\nHello\r\n", b"--- no\n", b"----\nHello\n---\n", b"---"]
)
def test_text_without_front_matter_stays_behind_the_new_one(text: bytes) -> None:
    assert completed(text) == (MADE + b"\n" + text, [])


def test_byte_order_mark_stays_first() -> None:
    assert completed(b"\xef\xbb\xbf# Hello\n") == (b"\xef\xbb\xbf" + MADE + b"\n# Hello\n", [])
    made, findings = completed(b"\xef\xbb\xbf---\ntitle: Mine\n---\n")
    assert made == b"\xef\xbb\xbf---\ntitle: Mine\nsdk: gradio\napp_file: app.py\n---\n"
    assert findings == []


def test_missing_keys_are_added_and_given_ones_stay() -> None:
    made, findings = completed(b"---\n# mine\ntitle:   'Mine'  # kept\nlicense: mit\n---\n\n# Hello\n---\nlast")
    added = b"sdk: gradio\napp_file: app.py\n"
    assert made == b"---\n# mine\ntitle:   'Mine'  # kept\nlicense: mit\n" + added + b"---\n\n# Hello\n---\nlast"
    assert findings == []


@pytest.mark.parametrize("readme", [MADE, MADE + b"text", MADE.replace(b"\n", b"\r\n"), MADE[:-1]])
def test_complete_front_matter_stays_as_it_is(readme: bytes) -> None:
    assert completed(readme) == (readme, [])


def test_windows_line_ends_stay() -> None:
    made, findings = completed(b"---\r\ntitle: Mine\r\n---\r\nText\r\nmixed\n")
    assert made == b"---\r\ntitle: Mine\r\nsdk: gradio\r\napp_file: app.py\r\n---\r\nText\r\nmixed\n"
    assert findings == []


@pytest.mark.parametrize(
    "block",
    [
        b"{title: Mine, tags: [a]}\n",
        b"  title: Mine\n  tags: [a]\n",
        b"title: Mine\ntags: [a]\n...\n",
        b"{title: Mine,\n tags:\n [a]}\n",
        b"? title\n: Mine\n? tags\n: - a\n",
    ],
)
def test_front_matter_in_another_style_keeps_its_values(block: bytes) -> None:
    made, findings = completed(b"---\n" + block + b"---\nText\n")
    assert front_matter(made) == {"title": "Mine", "tags": ["a"], "sdk": "gradio", "app_file": "app.py"}
    assert made.endswith(b"\n---\nText\n")
    assert findings == []


def test_empty_front_matter_is_filled() -> None:
    assert completed(b"---\n---\nText\n") == (MADE + b"Text\n", [])
    assert completed(b"---\n# nothing yet\n---\n")[0] == MADE.replace(b"---\n", b"---\n# nothing yet\n", 1)


@pytest.mark.parametrize(
    ("readme", "line"),
    [
        (b"---\ntitle: [\n---\n", 3),
        (b"---\ntitle: a: b\n---\n", 2),
        (b"---\ntitle: x\nemoji: 'open\n---\n", 4),
        (b"\xef\xbb\xbf---\r\ntitle: x\r\n\tsdk: y\r\n---\r\n", 3),
        (b"---\njust words\n---\n", 2),
        (b"---\n- a\n- b\n---\n", 2),
        (b"---\n1: one\n---\n", 2),
        (b"---\ntitle: \xff\n---\n", 2),
        (b"---\na: &a [x]\nb: *a\n---\n", 3),
        (b"---\ntitle: !!python/name:os.system\n---\n", 2),
        (b"---\na: " + b"[" * 5000 + b"\n---\n", None),
    ],
)
def test_front_matter_that_cannot_be_read_is_refused(readme: bytes, line: int | None) -> None:
    made, findings = completed(readme)
    assert made == readme
    assert [(one.code, one.severity, one.path) for one in findings] == [("invalid_front_matter", "error", "README.md")]
    assert findings[0].hint
    if line is not None:
        assert findings[0].line == line


def test_few_lines_cannot_expand_to_gigabytes() -> None:
    lines = [f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]" for n in range(1, 30)]
    readme = "\n".join(["---", "k0: &k0 [x, x]", *lines, "sdk: *k29", "---", ""]).encode()
    start = time.monotonic()
    assert [finding.code for finding in completed(readme)[1]] == ["invalid_front_matter"]
    assert time.monotonic() - start < 30


def test_another_sdk_is_refused() -> None:
    _, findings = completed(b"---\nsdk: docker\n---\n")
    assert [(finding.code, finding.severity) for finding in findings] == [("sdk_mismatch", "error")]


def test_request_and_readme_that_differ_in_how_it_runs_are_refused() -> None:
    readme = "---\npython_version: '3.11'\ntitle: A\n---\n"
    assert [finding.code for finding in gradio(readme, python_version="3.13", title="B").findings] == ["card_mismatch"]
    assert gradio(readme, python_version="3.11", title="B").findings == []


@pytest.mark.parametrize("written", ["'3.11'", '"3.11"', "3.11"])
def test_version_in_the_readme_counts_however_it_is_written(written: str) -> None:
    readme = f"---\ntitle: A\npython_version: {written}\n---\n"
    assembly = gradio(readme)
    assert assembly.findings == []
    assert f"\npython_version: {written}\n" in assembly.tree["README.md"].text()
    assert assembly.tree["README.md"].text().count("python_version") == 1


def test_choice_in_the_readme_counts_for_the_whole_tree() -> None:
    plugin = bundled().get("docker")
    assert plugin is not None
    assembly = assemble(plugin, {"app.py": b"", "README.md": b"---\napp_port: 8080\n---\n"})
    assert assembly.findings == []
    assert "EXPOSE 8080\n" in assembly.tree["Dockerfile"].text()


TITLES = [
    'a"\nsdk: docker',
    "yes",
    "1.0",
    ": x",
    "🚀",
    "null",
    "~",
    "---",
    "a\n---\nb",
    "# no",
    "{a: b}",
    "*a",
    "&a",
    "!x",
]


@pytest.mark.parametrize("title", TITLES)
def test_title_is_only_a_title(title: str) -> None:
    text = gradio(title=title).tree["README.md"].content
    assert front_matter_by_lines(text)["title"] == title
    assert front_matter_by_lines(text)["sdk"] == "gradio"
    assert read_card(text).values == front_matter_by_lines(text)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=100))
@example("\x85")
@example("\u2028 a\u2029")
@example("\ufeff")
@example("\x00")
@example(" a: \t")
@example("\n---\n")
def test_any_title_comes_back(title: str) -> None:
    text = gradio(title=title).tree["README.md"].content
    assert front_matter_by_lines(text)["title"] == title
    assert read_card(text).values == front_matter_by_lines(text)


@settings(deadline=None)
@given(
    st.text(max_size=40).map(str.encode) | st.binary(max_size=40), st.sampled_from([b"", b"---\n", b"---\r\na: b\r\n"])
)
def test_no_readme_stops_the_reading(text: bytes, start: bytes) -> None:
    made, findings = completed(start + text)
    assert findings or read_card(made).values.items() >= {"app_file": "app.py"}.items()
    assert findings or made.endswith(text.rpartition(b"---")[2])


def front_matter_by_lines(readme: bytes) -> dict[str, Any]:
    """The front matter as the Hub finds it: from the first line to the next one that is `---`."""
    lines = readme.decode().split("\n")
    assert lines[0] == "---"
    loaded: dict[str, Any] = yaml.safe_load("\n".join(lines[1 : lines.index("---", 1)]))
    return loaded


HOSTILE = {
    "base 60": b"a: 1" + b":1" * 32_000,
    "base 60, float": b"a: 1" + b":1" * 32_000 + b".5",
    "base 60 by tag": b"a: !!int 1" + b":1" * 32_000,
    "base 60 float by tag": b"a: !!float 1" + b":1" * 32_000,
    "hexadecimal": b"a: 0x" + b"f" * 60_000,
    "digits": b"a: " + b"9" * 60_000,
    "lists": b"a: [" + b"[]," * 21_000 + b"]",
    "nested lists": b"a: " + b"[" * 60_000,
    "nested keys": b"? " * 30_000,
    "nested dashes": b"- " * 30_000,
    "merges": b"a: 1\n" + b"<<: {}\n" * 9_000,
    "set": b"a: !!set {" + b"x," * 30_000 + b"}",
    "pairs": b"a: !!pairs [" + b"x: 1," * 10_000 + b"]",
    "timestamp": b"a: !!timestamp x",
    "no such day": b"a: 2001-99-99",
    "offset": b"a: 2001-01-01 01:01:01 +99:99",
    "boolean": b"a: !!bool x",
    "empty number": b"a: !!int _",
    "tag": b"a: !" + b"x" * 60_000 + b" 1",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_front_matter_costs_much_or_makes_a_number_of_any_length(name: str) -> None:
    began = time.process_time()
    card = read_card(b"---\n" + HOSTILE[name] + b"\n---\n# Text\n")
    assert time.process_time() - began < 2
    assert len(repr(card.findings)) < 1000
    numbers = [value for value in card.values.values() if isinstance(value, int)]
    assert all(abs(number) < 10**100 for number in numbers)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("1_000", 1000),
        ("0x1f", 31),
        ("017", 15),
        ("8501", 8501),
    ],
)
def test_numbers_are_those_of_the_hub(text: str, value: Any) -> None:
    assert read_card(f"---\na: {text}\n---\n".encode()).values == {"a": value}


@given(st.text("!&*?:-[]{},#|>'\"%@`~<= \n0123456789.xabenulty_", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_front_matter_is_read_or_a_finding(text: str) -> None:
    card = read_card(f"---\n{text}\n---\n".encode())
    assert isinstance(card.values, dict)
