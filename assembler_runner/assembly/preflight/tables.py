"""What the rules know: names, versions and identifiers, as data."""

from __future__ import annotations

import sys

COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")

HARDWARE = (
    *("cpu-basic", "cpu-upgrade", "cpu-performance", "cpu-xl", "zero-a10g", "t4-small", "t4-medium", "l4x1", "l4x4"),
    *("l40sx1", "l40sx4", "l40sx8", "a10g-small", "a10g-large", "a10g-largex2", "a10g-largex4", "a100-large", "a100x4"),
    *(
        "a100x8",
        "h100",
        "h100x8",
        "h200",
        "h200x8",
        "rtx-pro-6000",
        "rtx-pro-6000x2",
        "rtx-pro-6000x4",
        "rtx-pro-6000x8",
    ),
    *("v5e-1x1", "v5e-2x2", "v5e-2x4", "inf2x6"),
)
"""Flavours of the Hub (`SpaceHardware` of huggingface_hub, and those it had before)."""

CARD_KEYS = (
    *("title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version", "suggested_hardware"),
    *("suggested_storage", "app_file", "app_build_command", "app_port", "base_path", "fullWidth", "header"),
    *("short_description", "models", "datasets", "tags", "thumbnail", "pinned", "hf_oauth", "hf_oauth_scopes"),
    *("hf_oauth_expiration_minutes", "hf_oauth_authorized_org", "disable_embedding", "startup_duration_timeout"),
    *("custom_headers", "preload_from_hub", "license", "license_name", "license_link", "language", "library_name"),
)
"""Keys of a Space's front matter (Hub documentation, Spaces configuration reference)."""

LICENSES = frozenset(
    [
        "apache-2.0",
        "mit",
        "openrail",
        "bigscience-openrail-m",
        "creativeml-openrail-m",
        "bigscience-bloom-rail-1.0",
        "bigcode-openrail-m",
        "afl-3.0",
        "artistic-2.0",
        "bsl-1.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "c-uda",
        "cc",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "wtfpl",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "agpl-3.0",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "isc",
        "h-research",
        "intel-research",
        "lppl-1.3c",
        "ms-pl",
        "apple-ascl",
        "apple-amlr",
        "mpl-2.0",
        "odc-by",
        "odbl",
        "openmdw-1.0",
        "openrail++",
        "osl-3.0",
        "postgresql",
        "ofl-1.1",
        "ncsa",
        "unlicense",
        "zlib",
        "pddl",
        "lgpl-lr",
        "deepfloyd-if-license",
        "fair-noncommercial-research-license",
        "llama2",
        "llama3",
        "llama3.1",
        "llama3.2",
        "llama3.3",
        "llama4",
        "grok2-community",
        "gemma",
        "unknown",
        "other",
    ]
)
"""Identifiers of licences (Hub documentation, Licenses)."""

STDLIB = sys.stdlib_module_names | {"distutils", "imp", "asynchat", "asyncore", "smtpd", "cgi", "cgitb", "telnetlib"}

STDLIB_ON_INDEX = frozenset(
    [
        "antigravity",
        "argparse",
        "ast",
        "asyncio",
        "chunk",
        "configparser",
        "contextvars",
        "dataclasses",
        "datetime",
        "dis",
        "email",
        "enum",
        "functools",
        "graphlib",
        "hmac",
        "html",
        "http",
        "importlib",
        "ipaddress",
        "mailbox",
        "modulefinder",
        "pathlib",
        "readline",
        "resource",
        "secrets",
        "selectors",
        "statistics",
        "token",
        "typing",
        "uuid",
        "wave",
        "wsgiref",
    ]
)
"""Names of the standard library that a package index has packages for; they are needless, but do not fail."""

PYTHON_PACKAGE_NAMES = frozenset(("python", "python3", "pip3", "python-version"))

WINDOWS_ONLY = frozenset(
    [
        "pywin32",
        "pypiwin32",
        "pywinpty",
        "wmi",
        "winshell",
        "win10toast",
        "winsdk",
        "winrt",
        "comtypes",
        "pywinauto",
        "tensorflow-intel",
    ]
)
MAC_ONLY_PREFIXES = ("pyobjc", "tensorflow-macos", "tensorflow-metal")

CONDA_ONLY = frozenset(
    [
        "_libgcc_mutex",
        "_openmp_mutex",
        "ca-certificates",
        "libgcc-ng",
        "libstdcxx-ng",
        "libffi",
        "ncurses",
        "readline",
        "sqlite",
        "tk",
        "xz",
        "ld_impl_linux-64",
        "libgomp",
        "vc",
        "vs2015_runtime",
        "vs2015-runtime",
        "ucrt",
        "openssl",
        "bzip2",
        "libsqlite",
        "libzlib",
        "libuuid",
        "libnsl",
        "libexpat",
        "libgcc",
        "libstdcxx",
        "mkl-service",
        "cudatoolkit",
        "pytorch-cuda",
        "pytorch-mutex",
        "blas",
        "python_abi",
        "python-abi",
        "libxcrypt",
        "liblzma",
    ]
)

RENAMED = {
    "cv2": "opencv-python-headless",
    "pil": "pillow",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
    "crypto": "pycryptodome",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "serial": "pyserial",
    "jwt": "pyjwt",
    "docx": "python-docx",
    "pptx": "python-pptx",
    "magic": "python-magic",
    "dateutil": "python-dateutil",
    "faiss": "faiss-cpu",
    "opencv": "opencv-python-headless",
    "tensorflow-gpu": "tensorflow",
    "gi": "pygobject",
    "usb": "pyusb",
    "zmq": "pyzmq",
}
"""Names that are imported, or were packages once, → the package that is meant."""

FAILING_NAMES = frozenset(
    [
        "cv2",
        "pil",
        "yaml",
        "opencv",
        "dateutil",
        "magic",
        "pptx",
        "sklearn",
        "skimage",
        "dotenv",
        "faiss",
        "tensorflow-gpu",
        "crypto",
    ]
)
"""Those of them that are no package, or one that cannot be installed any more."""

KNOWN_GRADIO = ("6.31.0", "5.49.1", "4.44.1", "3.50.2", "3.9")
"""The newest version of each major series of Gradio."""

GONE_DEBIAN_PACKAGES = {
    "libgl1-mesa-glx": "libgl1",
    "libegl1-mesa": "libegl1",
    "libgles2-mesa": "libgles2",
    "python-dev": "python3-dev",
    "python-pip": "python3-pip",
}
"""Debian packages that are gone from the release of today's images → their successors."""

COMMAND_PORTS = {
    "uvicorn": 8000,
    "gunicorn": 8000,
    "hypercorn": 8000,
    "daphne": 8000,
    "waitress-serve": 8080,
    "flask": 5000,
    "streamlit": 8501,
    "panel": 5006,
    "bokeh": 5006,
    "chainlit": 8000,
    "solara": 8765,
    "voila": 8866,
    "shiny": 8000,
    "fastapi": 8000,
    "mlflow": 5000,
    "jupyter": 8888,
    "datasette": 8001,
    "reflex": 3000,
    "mkdocs": 8000,
}
"""Port that a command listens on where none is given."""

LOCAL_BY_DEFAULT = frozenset(
    (
        "uvicorn",
        "gunicorn",
        "hypercorn",
        "daphne",
        "flask",
        "panel",
        "bokeh",
        "datasette",
        "shiny",
        "mlflow",
        "mkdocs",
        "jupyter",
    )
)
"""Commands that listen on 127.0.0.1 only where no host is given."""
