"""Whether the files fit the type: what it starts with, and what they seem to be."""

from __future__ import annotations

from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.rules.entry import entry_hint
from assembler_runner.assembly.recognise import recognise
from assembler_runner.assembly.recognised import Recognised
from assembler_runner.core.fixes import Fix

_TYPES = ("gradio", "streamlit", "docker", "static")
_STARTED_OTHERWISE = ("node", "django")


def _guess(context: Context) -> Recognised:
    readme = "README.md"
    # What the card says was heard already; here the files themselves count.
    files = {path: file for path, file in context.files.items() if path != readme and context.given(path)}
    return recognise(files, _TYPES)


@rule(
    "no_app_file",
    "error",
    "entry",
    explanation="The file that a Space starts with was not sent. It is named by app_file, in the options or in "
    "README.md; without that it is app.py, or index.html of a static Space.",
    example="type gradio with main.py only",
    has_fix=True,
)
def no_app_file(context: Context) -> Iterator[Found]:
    """Finds a missing app file, and what was probably meant."""
    path = context.app_file
    if (
        path is None
        or path in context.files
        or context.options.get("app_build_command")
        or "app_build_command" in context.card.values
    ):
        return
    if context.sdk == "docker" and not context.dockerfile_is_made:
        return
    hint, fix = entry_hint(context)
    if context.space_type == "docker":
        guess = _guess(context)
        if (
            guess.needs_dockerfile
            or guess.framework in _STARTED_OTHERWISE
            or any(name.lower() == "dockerfile" and context.given(name) for name in context.files)
        ):
            return
        named = guess.options.get("app_file")
        if guess.space_type == "docker" and isinstance(named, str) and named in context.files:
            hint, fix = (
                f"Name {quote(named)} in options.app_file.",
                Fix(f"Start with {clean(named)}", True, (), {"app_file": named}),
            )
    message = f"A {context.space_type} Space starts with {quote(path)}, which is not among the files."
    yield Found(message, path, None, hint, {"app_file": clean(path)}, fix)


@rule(
    "dockerfile_needed",
    "error",
    "docker",
    explanation="A Dockerfile is made for apps in Python and Node.js; apps in other languages bring their own.",
    example="app.R and no Dockerfile",
)
def dockerfile_needed(context: Context) -> Iterator[Found]:
    """Finds apps that nothing can start without a Dockerfile of the sender's."""
    if context.space_type != "docker" or not context.dockerfile_is_made or (context.app_file or "") in context.files:
        return
    guess = _guess(context)
    if guess.needs_dockerfile:
        yield Found(
            guess.reason,
            "Dockerfile",
            None,
            "Send a Dockerfile that starts the app on port 7860.",
            {"framework": guess.framework},
        )


@rule(
    "other_type_meant",
    "warning",
    "entry",
    explanation="The app imports another framework than its type runs: with the Gradio SDK a Flask app never answers.",
    example="type gradio, and app.py imports flask",
)
def other_type_meant(context: Context) -> Iterator[Found]:
    """Finds apps that are sent with another type than they are made for."""
    path = context.app_file
    if (
        context.space_type not in ("gradio", "streamlit")
        or path not in context.python_paths
        or path is None
        or not context.given(path)
    ):
        return
    parsed = context.python(path)
    if parsed is None or context.space_type in parsed.imported or context.dockerfile is not None:
        return
    if any(
        context.space_type in other.imported
        for name in context.python_paths
        if (other := context.python(name)) is not None
    ):
        return
    guess = _guess(context)
    if (
        guess.space_type in ("docker", "streamlit", "gradio")
        and guess.space_type != context.space_type
        and guess.framework not in ("", "python")
    ):
        yield Found(
            f"{quote(path)} imports {clean(guess.framework)}, and the type {context.space_type} does not run it.",
            path,
            None,
            f"Send it with the type {guess.space_type}.",
            {"framework": guess.framework, "type": guess.space_type},
        )
