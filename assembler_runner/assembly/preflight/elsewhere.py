"""Declarations of the codes that other parts of the service find while a request is read and assembled."""

from __future__ import annotations

from assembler_runner.assembly.preflight.declaration import Rule, Topic, declare
from assembler_runner.core.errors import Severity

_DECLARED: tuple[tuple[str, Severity, Topic, str, str], ...] = (
    (
        "type_recognized",
        "info",
        "entry",
        "The request names no type, so it was recognized from the files.",
        "app.py that imports streamlit, without space_type",
    ),
    (
        "type_assumed",
        "warning",
        "entry",
        "The request names no type and the files are of no known kind, so gradio was assumed.",
        "data.csv alone, without space_type",
    ),
    (
        "url_unknown",
        "info",
        "files",
        "The Hub has not answered yet whose token the service has, so the address of the Space is not known.",
        "the first request after a start without a connection to the Hub",
    ),
    (
        "submodule_left_out",
        "warning",
        "files",
        "A git repository contains a submodule, which is not fetched: its folder is left out.",
        "a repository with the submodule lib",
    ),
    (
        "fixed",
        "info",
        "files",
        "A safe fix was applied, as the request asks for.",
        '"fixes": "safe" and requirements.txt with a line of another system',
    ),
    (
        "invalid_front_matter",
        "error",
        "readme",
        "The lines between the two --- of README.md are no YAML, or no list of keys with values.",
        "title: a: b",
    ),
    ("readme_too_large", "error", "readme", "README.md is too large to be read as a card.", "README.md with 3 MB"),
    (
        "sdk_mismatch",
        "error",
        "readme",
        "README.md names another SDK than the type is published with.",
        "type docker with sdk: gradio",
    ),
    (
        "card_mismatch",
        "error",
        "readme",
        "README.md and the options of the request name different values.",
        "app_port: 8000 with options.app_port 7860",
    ),
    (
        "params_bound",
        "warning",
        "python",
        "A file sets PARAMS itself, or is one of those that parameters are written to; it is left as it is.",
        "PARAMS = {}",
    ),
    (
        "params_not_loaded",
        "info",
        "static",
        "Parameters were given, and no page loads params.js.",
        "index.html without params.js",
    ),
    (
        "source_too_large",
        "warning",
        "python",
        "A Python file is too large to be checked and to get PARAMS.",
        "app.py with 3 MB",
    ),
    (
        "number_out_of_range",
        "error",
        "request",
        "A parameter is infinite or not a number, which JSON has no form for.",
        "1e999",
    ),
    (
        "too_deep",
        "error",
        "request",
        "The parameters are nested more deeply than Python's parser takes.",
        "61 levels of lists",
    ),
    ("unknown_template", "error", "request", "The type has no template of this name.", '"template": "nothing"'),
    ("unknown_field", "error", "request", "A field, an option or a parameter is not known.", '"visibilty": "public"'),
    (
        "invalid_field",
        "error",
        "request",
        "A field, an option or a parameter has a value that is not allowed.",
        '"visibility": "hidden"',
    ),
    ("empty_path", "error", "files", "A file has no name.", '"files": {"": "x"}'),
    ("invalid_path", "error", "files", "A path is not valid Unicode.", "a lone surrogate"),
    ("path_too_long", "error", "files", "A path, or a part of it, has too many bytes.", "a name of 300 letters"),
    ("path_too_deep", "error", "files", "A path has too many parts.", "a/b/c/… with 40 parts"),
    ("control_character", "error", "files", "A path has a control character.", "a line end in a name"),
    ("backslash", "error", "files", "A path has a backslash, which is no separator here.", r"web\app.py"),
    ("absolute_path", "error", "files", "A path is absolute.", "/app.py"),
    (
        "path_traversal",
        "error",
        "files",
        "A path has a segment . or .., which could lead out of the Space.",
        "../app.py",
    ),
    ("empty_part", "error", "files", "A path has an empty segment.", "web//app.py"),
    ("file_and_folder", "error", "files", "A path is a file, and in another path a folder.", "web and web/app.py"),
    ("too_many_files", "error", "files", "There are more files than the service takes.", "10,001 files"),
    ("file_too_large", "error", "files", "A file is larger than the service takes.", "a file of 6 GB"),
    ("files_too_large", "error", "files", "The files together are larger than the service takes.", "20 GB in all"),
    ("hub_file_too_large", "error", "files", "A file is larger than the Hub takes.", "a file of 201 GB"),
    ("hub_too_many_files", "error", "files", "There are more files than the Hub takes.", "100,001 files"),
    (
        "hub_folder_too_full",
        "error",
        "files",
        "A folder has more entries than the Hub takes.",
        "10,001 pictures in one folder",
    ),
    (
        "hub_too_much_text",
        "error",
        "files",
        "The text files together are larger than one commit on the Hub takes.",
        "65 MB of JSON",
    ),
    (
        "target_not_available",
        "error",
        "request",
        "The realm cannot publish to this target.",
        '"target": "huggingface" without a token',
    ),
    (
        "namespace_not_allowed",
        "error",
        "request",
        "The realm may not publish to this namespace.",
        '"namespace": "another-org"',
    ),
    (
        "secrets_not_copied",
        "warning",
        "request",
        "A copy of a Space has none of its secrets, because their values are shown nowhere.",
        "the command duplicate for a Space with secrets, without secrets",
    ),
    ("unknown_space_type", "error", "request", "There is no type of this name.", '"space_type": "flask"'),
    (
        "secrets_on_static",
        "error",
        "request",
        "A static Space has no secrets: every visitor could read them.",
        "type static with secrets",
    ),
    (
        "machine_on_static",
        "error",
        "request",
        "A static Space runs on no machine, so that hardware and sleep time mean nothing.",
        "type static with hardware",
    ),
    (
        "not_used_locally",
        "warning",
        "request",
        "The target local runs no apps, so that secrets, hardware and sleep time have no effect.",
        "target local with secrets",
    ),
    (
        "duplicate_variable",
        "error",
        "request",
        "A name is a secret and a variable at once.",
        "MODE in secrets and in variables",
    ),
    (
        "unknown_bucket_file",
        "error",
        "request",
        "There is no bucket file of this id in the realm.",
        '{"bucket_file_id": "…"}',
    ),
    (
        "invalid_file",
        "error",
        "request",
        "A file is neither a text nor an object with content or bucket_file_id.",
        '"app.py": 3',
    ),
    (
        "invalid_encoding",
        "error",
        "request",
        "The content of a file is no base64.",
        '{"content": "%%", "encoding": "base64"}',
    ),
    (
        "null_file",
        "error",
        "request",
        "A file is null, which means deletion, where nothing can be deleted.",
        '"app.py": null',
    ),
    ("invalid_text", "error", "request", "A text is not valid Unicode, or has a NUL.", "a lone surrogate in a file"),
)

for _code, _severity, _topic, _explanation, _example in _DECLARED:
    declare(Rule(_code, _severity, _topic, _explanation, _example))

# The account may have changed since the Hub was asked about it, so a caller who knows better may allow them.
_OF_THE_ACCOUNT: tuple[tuple[str, str, str], ...] = (
    (
        "plan_required",
        "The plan of the Hub account does not allow this Space: gradio and docker need a paid plan, static is free.",
        "space_type gradio for a free account",
    ),
    (
        "payment_method_required",
        "The hardware costs money and the Hub account has no payment method.",
        "hardware t4-small without a payment method",
    ),
    (
        "namespace_not_writable",
        "The Hub token may not create Spaces in this namespace.",
        "the namespace of an organization in which the account only reads",
    ),
    ("token_only_reads", "The Hub token may only read.", "HF_TOKEN with the role read"),
)

for _code, _explanation, _example in _OF_THE_ACCOUNT:
    declare(Rule(_code, "error", "request", _explanation, _example, allowable=True))
