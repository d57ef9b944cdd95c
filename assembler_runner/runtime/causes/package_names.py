"""Names that differ between where a thing is used and where it is got: modules, libraries, programs."""

from __future__ import annotations

DISTRIBUTIONS: dict[str, str] = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "Crypto": "pycryptodome",
    "dateutil": "python-dateutil",
    "discord": "discord.py",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "ffmpeg": "ffmpeg-python",
    "fitz": "PyMuPDF",
    "git": "GitPython",
    "google.cloud.storage": "google-cloud-storage",
    "google.genai": "google-genai",
    "google.generativeai": "google-generativeai",
    "google.protobuf": "protobuf",
    "gtts": "gTTS",
    "haystack": "haystack-ai",
    "igraph": "python-igraph",
    "IPython": "ipython",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "kafka": "kafka-python",
    "langchain_community": "langchain-community",
    "langchain_core": "langchain-core",
    "langchain_huggingface": "langchain-huggingface",
    "langchain_openai": "langchain-openai",
    "langchain_text_splitters": "langchain-text-splitters",
    "ldap": "python-ldap",
    "llama_cpp": "llama-cpp-python",
    "llama_index": "llama-index",
    "lxml_html_clean": "lxml-html-clean",
    "magic": "python-magic",
    "markdown": "Markdown",
    "mpl_toolkits": "matplotlib",
    "multipart": "python-multipart",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow",
    "pkg_resources": "setuptools<81",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pytorch_lightning": "pytorch-lightning",
    "rest_framework": "djangorestframework",
    "sentence_transformers": "sentence-transformers",
    "serial": "pyserial",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "slugify": "python-slugify",
    "socks": "PySocks",
    "speech_recognition": "SpeechRecognition",
    "telegram": "python-telegram-bot",
    "umap": "umap-learn",
    "usb": "pyusb",
    "whisper": "openai-whisper",
    "win32api": "pywin32",
    "wx": "wxPython",
    "yaml": "PyYAML",
    "youtube_transcript_api": "youtube-transcript-api",
    "yt_dlp": "yt-dlp",
    "zmq": "pyzmq",
}
"""Import name → name of the distribution, where they differ by more than case."""

GONE_FROM_PYTHON: dict[str, str] = {
    "aifc": "3.13",
    "asynchat": "3.12",
    "asyncore": "3.12",
    "audioop": "3.13",
    "cgi": "3.13",
    "cgitb": "3.13",
    "chunk": "3.13",
    "crypt": "3.13",
    "distutils": "3.12",
    "imghdr": "3.13",
    "imp": "3.12",
    "mailcap": "3.13",
    "nntplib": "3.13",
    "pipes": "3.13",
    "smtpd": "3.12",
    "sndhdr": "3.13",
    "telnetlib": "3.13",
    "uu": "3.13",
    "xdrlib": "3.13",
}
"""Module of the standard library → the Python version that removed it (PEP 594, PEP 632)."""

LIBRARY_PACKAGES: dict[str, str] = {
    "libGL": "libgl1",
    "libEGL": "libegl1",
    "libgthread": "libglib2.0-0",
    "libglib": "libglib2.0-0",
    "libSM": "libsm6",
    "libXext": "libxext6",
    "libXrender": "libxrender1",
    "libX11": "libx11-6",
    "libgomp": "libgomp1",
    "libsndfile": "libsndfile1",
    "libportaudio": "libportaudio2",
    "libmagic": "libmagic1",
    "libpq": "libpq5",
    "libxml2": "libxml2",
    "libcairo": "libcairo2",
    "libpango": "libpango-1.0-0",
    "libgobject": "libglib2.0-0",
    "libespeak": "espeak-ng",
    "libtesseract": "tesseract-ocr",
    "libzbar": "libzbar0",
    "libnss3": "libnss3",
    "libodbc": "unixodbc",
}
"""Beginning of a shared library's file name → Debian package."""

PROGRAM_PACKAGES: dict[str, str] = {
    "pdftoppm": "poppler-utils",
    "pdfinfo": "poppler-utils",
    "tesseract": "tesseract-ocr",
    "espeak": "espeak-ng",
    "convert": "imagemagick",
    "soffice": "libreoffice",
    "libreoffice": "libreoffice",
    "java": "default-jre-headless",
    "javac": "default-jdk-headless",
    "dot": "graphviz",
    "gcc": "build-essential",
    "g++": "build-essential",
    "cc": "build-essential",
    "c++": "build-essential",
    "make": "build-essential",
    "node": "nodejs",
    "chromium-browser": "chromium",
    "google-chrome": "chromium",
    "pg_config": "libpq-dev",
    "mysql_config": "default-libmysqlclient-dev",
    "sox": "sox libsox-fmt-all",
}
"""Program → Debian package, where the names differ."""


def distribution_of(module: str) -> str:
    """Returns the line for requirements.txt that brings a module."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if known := DISTRIBUTIONS.get(".".join(parts[:end])):
            return known
    return parts[0]


def package_of_library(file: str) -> str:
    """Returns the Debian package that brings a shared library."""
    known = sorted((name for name in LIBRARY_PACKAGES if file.startswith(name)), key=len)
    return LIBRARY_PACKAGES[known[-1]] if known else file.partition(".so")[0].lower()


def package_of_program(program: str) -> str:
    """Returns the Debian package that brings a program."""
    name = program.rpartition("/")[2]
    return PROGRAM_PACKAGES.get(name, name)
