"""Which package a module is from, and which packages a package brings with it: a table of well-known ones."""

from __future__ import annotations

_MODULES = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
    "dotenv": "python-dotenv",
    "docx": "python-docx",
    "pptx": "python-pptx",
    "fitz": "pymupdf",
    "jwt": "pyjwt",
    "dateutil": "python-dateutil",
    "Crypto": "pycryptodome",
    "serial": "pyserial",
    "faiss": "faiss-cpu",
    "pywt": "pywavelets",
    "moviepy": "moviepy",
    "sentence_transformers": "sentence-transformers",
    "huggingface_hub": "huggingface-hub",
    "flask_cors": "flask-cors",
    "flask_sqlalchemy": "flask-sqlalchemy",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "pytorch_lightning": "pytorch-lightning",
    "langchain_openai": "langchain-openai",
    "langchain_groq": "langchain-groq",
    "langchain_community": "langchain-community",
    "langchain_huggingface": "langchain-huggingface",
    "langchain_core": "langchain-core",
    "langchain_text_splitters": "langchain-text-splitters",
    "llama_cpp": "llama-cpp-python",
    "google.generativeai": "google-generativeai",
    "google.genai": "google-genai",
    "google.cloud.vision": "google-cloud-vision",
    "googleapiclient": "google-api-python-client",
    "mysql.connector": "mysql-connector-python",
    "psycopg2": "psycopg2-binary",
    "pypdf": "pypdf",
    "PyPDF2": "pypdf2",
    "wordcloud": "wordcloud",
    "speech_recognition": "speechrecognition",
    "gtts": "gtts",
    "edge_tts": "edge-tts",
    "yt_dlp": "yt-dlp",
    "Levenshtein": "levenshtein",
    "Bio": "biopython",
    "rdkit": "rdkit",
    "umap": "umap-learn",
    "community": "python-louvain",
    "telegram": "python-telegram-bot",
    "discord": "discord-py",
    "openpyxl": "openpyxl",
    "streamlit_option_menu": "streamlit-option-menu",
    "duckduckgo_search": "duckduckgo-search",
    "pydub": "pydub",
}
_SAME_NAME = ["accelerate", "aiohttp", "altair", "anthropic", "bitsandbytes", "bokeh", "chainlit", "chromadb", "cohere", "dash", "datasets", "diffusers", "duckdb", "einops", "emoji", "evaluate", "fastai", "fastapi", "feedparser", "flask", "gensim", "geopandas", "gradio", "graphviz", "groq", "gunicorn", "httpx", "imageio", "jax", "joblib", "kornia", "langchain", "langgraph", "librosa", "lightgbm", "loguru", "markdown", "matplotlib", "mediapipe", "networkx", "nltk", "numba", "numpy", "onnxruntime", "openai", "optimum", "pandas", "peft", "pinecone", "plotly", "polars", "pydeck", "pyvis", "qdrant_client", "rembg", "replicate", "requests", "rich", "scipy", "seaborn", "sentencepiece", "shap", "spaces", "spacy", "smolagents", "soundfile", "statsmodels", "streamlit", "sympy", "tensorflow", "tiktoken", "timm", "tokenizers", "torch", "torchaudio", "torchvision", "tqdm", "transformers", "trimesh", "tweepy", "ultralytics", "uvicorn", "wandb", "whisper", "wikipedia", "xgboost", "yfinance"]
MODULES = {
    **{name: name.replace("_", "-") for name in _SAME_NAME if name != "whisper"},
    **_MODULES,
    "whisper": "openai-whisper",
}

_GRADIO = (
    "aiofiles anyio fastapi ffmpy gradio-client httpx huggingface-hub jinja2 markupsafe numpy orjson packaging pandas pillow "
    "pydantic pydub python-multipart pyyaml ruff safehttpx semantic-version starlette tomlkit typer typing-extensions uvicorn "
    "requests tqdm python-dateutil rich click websockets pytz fsspec filelock certifi idna"
)
_HUB = "huggingface-hub requests tqdm pyyaml fsspec filelock packaging typing-extensions httpx numpy"
_TORCH = "numpy sympy networkx jinja2 fsspec filelock typing-extensions"
_STREAMLIT = (
    "altair blinker cachetools click numpy packaging pandas pillow protobuf pyarrow requests tenacity toml tornado "
    "typing-extensions watchdog gitpython pydeck python-dateutil jinja2 jsonschema pytz"
)

PROVIDES: dict[str, frozenset[str]] = {
    name: frozenset(brought.split())
    for name, brought in {
        "gradio": _GRADIO,
        "spaces": "gradio httpx requests psutil pydantic packaging typing-extensions",
        "streamlit": _STREAMLIT,
        "transformers": f"{_HUB} tokenizers safetensors regex",
        "diffusers": f"{_HUB} pillow safetensors regex",
        "accelerate": f"{_HUB} torch psutil safetensors {_TORCH}",
        "datasets": f"{_HUB} pandas pyarrow dill multiprocess xxhash aiohttp",
        "sentence-transformers": f"{_HUB} transformers torch scikit-learn scipy pillow joblib tokenizers {_TORCH}",
        "evaluate": f"{_HUB} datasets pandas pyarrow dill",
        "timm": f"{_HUB} torch torchvision pillow {_TORCH}",
        "peft": f"{_HUB} torch transformers accelerate psutil tokenizers {_TORCH}",
        "torch": _TORCH,
        "torchvision": f"torch pillow {_TORCH}",
        "torchaudio": f"torch {_TORCH}",
        "ultralytics": f"torch torchvision opencv-python-headless matplotlib pandas pillow scipy seaborn tqdm requests pyyaml psutil polars {_TORCH}",
        "easyocr": f"torch torchvision opencv-python-headless scipy pillow scikit-image pyyaml shapely {_TORCH}",
        "openai-whisper": f"torch numba tiktoken tqdm requests {_TORCH}",
        "tensorflow": "numpy keras requests protobuf grpcio h5py tensorboard",
        "keras": "numpy h5py rich",
        "scikit-learn": "numpy scipy joblib threadpoolctl",
        "pandas": "numpy python-dateutil pytz",
        "matplotlib": "numpy pillow python-dateutil packaging contourpy cycler fonttools kiwisolver pyparsing",
        "seaborn": "numpy pandas matplotlib pillow",
        "plotly": "packaging narwhals tenacity",
        "scipy": "numpy",
        "scikit-image": "numpy scipy pillow networkx imageio tifffile",
        "opencv-python-headless": "numpy",
        "opencv-python": "numpy opencv-python-headless",
        "opencv-contrib-python": "numpy opencv-python-headless",
        "opencv-contrib-python-headless": "numpy opencv-python-headless",
        "flask": "jinja2 werkzeug click itsdangerous markupsafe blinker",
        "fastapi": "pydantic starlette typing-extensions anyio",
        "uvicorn": "click h11",
        "openai": "httpx pydantic tqdm anyio typing-extensions",
        "anthropic": "httpx pydantic anyio",
        "groq": "httpx pydantic anyio",
        "requests": "urllib3 certifi idna charset-normalizer",
        "httpx": "anyio certifi idna",
        "huggingface-hub": _HUB,
        "librosa": "numpy scipy scikit-learn joblib numba soundfile",
        "spacy": "numpy requests pydantic jinja2 tqdm typer",
        "nltk": "click joblib regex tqdm",
        "xgboost": "numpy scipy",
        "lightgbm": "numpy scipy",
        "yfinance": "pandas numpy requests beautifulsoup4",
        "faiss-cpu": "numpy packaging",
        "smolagents": f"{_HUB} rich jinja2 pillow python-dotenv",
        "tokenizers": "huggingface-hub",
        "pillow": "",
        "numpy": "",
        "pyyaml": "",
        "python-dotenv": "",
        "beautifulsoup4": "soupsieve typing-extensions",
        "sentencepiece": "",
        "einops": "",
        "safetensors": "",
        "tqdm": "",
        "gunicorn": "packaging",
        "pydantic": "typing-extensions",
        "jinja2": "markupsafe",
        "psutil": "",
        "protobuf": "",
        "bitsandbytes": f"torch {_TORCH}",
        "networkx": "",
        "sympy": "mpmath",
        "joblib": "",
        "regex": "",
        "emoji": "",
        "tiktoken": "regex requests",
        "pydub": "",
        "soundfile": "numpy",
        "altair": "jinja2 jsonschema packaging narwhals",
        "openpyxl": "",
        "lxml": "",
        "markdown": "",
        "python-multipart": "",
    }.items()
}
"""Package → what is installed with it, as far as apps import it (metadata of the packages)."""


def package_of(module: str) -> str | None:
    """Returns the package that a module is from; None for modules that are not in the table.

    Args:
        module: dotted name; the longest part that is known counts.
    """
    while module:
        if module in MODULES:
            return MODULES[module]
        module = module.rpartition(".")[0]
    return None
