"""Clean apps of many kinds: each has nothing wrong, so no rule may call anything in it an error or a secret.

`APPS` are whole apps; `ADDITIONS` are what people keep beside an app. Every app is also tried with each addition that
fits, so that a rule meets it in many surroundings. To add an app, add an entry.
"""

# ruff: noqa: E501 - whole files as texts on one line each

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

GRADIO = "import gradio as gr\n\n\ndef greet(name):\n    return f'Hello {name}'\n\n\n"
LAUNCH = "gr.Interface(greet, 'text', 'text').launch()\n"

APPS: dict[str, dict[str, Any]] = {
    "gradio-interface": {"app.py": GRADIO + LAUNCH},
    "gradio-blocks": {
        "app.py": GRADIO
        + "with gr.Blocks() as demo:\n    box = gr.Textbox()\n    box.submit(greet, box, box)\n\ndemo.launch()\n"
    },
    "gradio-main-guard": {"app.py": GRADIO + "if __name__ == '__main__':\n    " + LAUNCH},
    "gradio-queue": {
        "app.py": GRADIO + "demo = gr.Interface(greet, 'text', 'text')\ndemo.queue(max_size=20).launch()\n"
    },
    "gradio-from-module": {
        "app.py": "from ui import demo\n\ndemo.launch()\n",
        "ui.py": GRADIO + "demo = gr.Interface(greet, 'text', 'text')\n",
    },
    "gradio-package": {
        "app.py": "from tools import build\n\nbuild().launch()\n",
        "tools/__init__.py": "from .ui import build\n",
        "tools/ui.py": GRADIO + "def build():\n    return gr.Interface(greet, 'text', 'text')\n",
    },
    "gradio-token-of-environment": {
        "app.py": "import os\n\nimport gradio as gr\nfrom huggingface_hub import InferenceClient\n\n"
        "client = InferenceClient(token=os.environ.get('HF_TOKEN'))\ngr.load_chat('x').launch()\n"
    },
    "gradio-asks-for-key": {
        "app.py": GRADIO + "key = gr.Textbox(label='API key', placeholder='sk-...', type='password')\n" + LAUNCH
    },
    "gradio-transformers": {
        "app.py": "import gradio as gr\nfrom transformers import pipeline\n\npipe = pipeline('sentiment-analysis')\n"
        "gr.Interface.from_pipeline(pipe).launch()\n",
        "requirements.txt": "transformers==4.46.3\ntorch\n",
    },
    "gradio-pinned-sdk": {
        "app.py": GRADIO + LAUNCH,
        "README.md": "---\ntitle: Pinned\nsdk: gradio\nsdk_version: 4.44.1\n---\n",
        "requirements.txt": "gradio==4.44.1\npandas\n",
    },
    "gradio-old-sdk": {
        "app.py": "import gradio as gr\n\ngr.Interface(str, gr.inputs.Textbox(), 'text').launch()\n",
        "README.md": "---\ntitle: Old\nemoji: 📚\ncolorFrom: gray\ncolorTo: pink\nsdk: gradio\nsdk_version: 3.9\napp_file: app.py\n---\n",
    },
    "gradio-debian-packages": {
        "app.py": GRADIO + LAUNCH,
        "packages.txt": "ffmpeg\nlibsndfile1\n",
        "pre-requirements.txt": "pip>=24\n",
        "requirements.txt": "soundfile>=0.12\n",
    },
    "gradio-data": {"app.py": GRADIO + "rows = open('data/rows.csv').read()\n" + LAUNCH, "data/rows.csv": "a,b\n1,2\n"},
    "gradio-examples": {"app.py": GRADIO + "gr.Interface(greet, 'text', 'text', examples=['Ann', 'Bo']).launch()\n"},
    "gradio-unicode": {"app.py": "# Grüße\n" + GRADIO + LAUNCH, "données/été.txt": "soleil\n"},
    "gradio-windows-line-ends": {"app.py": (GRADIO + LAUNCH).replace("\n", "\r\n"), "notes.txt": "a\r\nb\r\n"},
    "gradio-byte-order-mark": {"app.py": "\ufeff" + GRADIO + LAUNCH},
    "gradio-async": {
        "app.py": "import gradio as gr\n\n\nasync def slow(text):\n    yield text\n\n\ngr.Interface(slow, 'text', 'text').launch()\n"
    },
    "gradio-match": {
        "app.py": GRADIO
        + "def kind(x):\n    match x:\n        case int():\n            return 'n'\n        case _:\n            return '?'\n\n\n"
        + LAUNCH
    },
    "gradio-optional-import": {
        "app.py": "try:\n    import cv2\nexcept ImportError:\n    cv2 = None\n" + GRADIO + LAUNCH,
        "requirements.txt": "gradio\n",
    },
    "gradio-spaces": {"app.py": "import spaces\n" + GRADIO.replace("def greet", "@spaces.GPU\ndef greet") + LAUNCH},
    "gradio-share-of-environment": {
        "app.py": GRADIO + "import os\ngr.Interface(greet, 'text', 'text').launch(share=bool(os.getenv('SHARE')))\n"
    },
    "gradio-fixtures": {
        "app.py": GRADIO + LAUNCH,
        "tests/test_app.py": "from app import greet\n\nTOKEN = 'hf_' + 'x' * 34\n\n\ndef test_greet():\n    assert greet('A')\n",
    },
    "gradio-notebook-beside": {
        "app.py": GRADIO + LAUNCH,
        "explore.ipynb": '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    },
    "gradio-other-file": {
        "web/main.py": GRADIO + LAUNCH,
        "README.md": "---\ntitle: Other\nsdk: gradio\napp_file: web/main.py\n---\n",
    },
    "gradio-full-card": {
        "app.py": GRADIO + LAUNCH,
        "README.md": "---\ntitle: 'All: of it'\nemoji: 👩🏽‍🔬\ncolorFrom: indigo\ncolorTo: yellow\nsdk: gradio\nsdk_version: 5.49.1\n"
        "python_version: '3.11'\napp_file: app.py\npinned: false\nshort_description: Everything a card can have\n"
        "models:\n- openai/whisper-base\ndatasets: [squad]\ntags: [mcp-server]\nlicense: apache-2.0\nfullWidth: true\nheader: mini\n"
        "hf_oauth: true\nhf_oauth_scopes:\n- inference-api\nhf_oauth_expiration_minutes: 480\ndisable_embedding: false\n"
        "startup_duration_timeout: 1h\nsuggested_hardware: t4-small\nthumbnail: https://example.org/a.png\n"
        "preload_from_hub:\n- openai/whisper-base config.json\ncustom_headers:\n  cross-origin-opener-policy: same-origin\n---\n# All\n",
    },
    "gradio-theme": {"app.py": GRADIO + "gr.Interface(greet, 'text', 'text', theme=gr.themes.Soft()).launch()\n"},
    "gradio-fastapi-mounted": {
        "app.py": GRADIO
        + "import uvicorn\nfrom fastapi import FastAPI\n\napp = gr.mount_gradio_app(FastAPI(), gr.Interface(greet, 'text', 'text'), '/')\n"
        "uvicorn.run(app, host='0.0.0.0', port=7860)\n"
    },
    "gradio-strict-requirements": {
        "app.py": GRADIO + LAUNCH,
        "requirements.txt": "# made by hand\n--extra-index-url https://download.pytorch.org/whl/cpu\ntorch==2.5.1+cpu ; sys_platform == 'linux'\n"
        "numpy>=1.26,<3\nhuggingface_hub[cli]\ntool @ git+https://github.com/owner/tool@v1.2\n",
    },
    "streamlit-simple": {"app.py": "import streamlit as st\n\nst.title('Figures')\nst.line_chart([1, 3, 2])\n"},
    "streamlit-cloud-name": {
        "streamlit_app.py": "import streamlit as st\n\nst.write('Hi')\n",
        "requirements.txt": "streamlit\n",
    },
    "streamlit-pages": {
        "🏠_Home.py": "import streamlit as st\n\nst.title('Home')\n",
        "pages/1_📈_Plot.py": "import streamlit as st\n\nst.line_chart([1, 2])\n",
        "requirements.txt": "streamlit>=1.40\n",
    },
    "streamlit-config": {
        "app.py": "import streamlit as st\n\nst.title('x')\nkey = st.secrets['OPENAI_API_KEY']\n",
        ".streamlit/config.toml": '[theme]\nbase = "dark"\n',
        "requirements.txt": "streamlit==1.41.0\nopenai\n",
    },
    "streamlit-included-requirements": {
        "app.py": "import streamlit as st\nimport pandas as pd\n\nst.dataframe(pd.DataFrame())\n",
        "requirements.txt": "-r requirements/base.txt\n",
        "requirements/base.txt": "streamlit\npandas\n",
    },
    "streamlit-git-requirement": {
        "app.py": "import streamlit as st\n\nst.title('x')\n",
        "requirements.txt": "streamlit\ngit+https://github.com/pallets/itsdangerous\n",
    },
    "streamlit-old-card": {
        "main.py": "import streamlit as st\n\nst.title('x')\n",
        "README.md": "---\ntitle: Old\nsdk: streamlit\nsdk_version: 1.21.0\napp_file: main.py\npython_version: '3.9'\n---\n",
        "requirements.txt": "pandas\n",
    },
    "flask-simple": {
        "app.py": "from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get('/')\ndef home():\n    return 'hi'\n\n\n"
        "if __name__ == '__main__':\n    app.run(host='0.0.0.0', port=7860)\n",
        "requirements.txt": "flask\n",
    },
    "flask-factory": {
        "app.py": "from shop import create_app\n\napp = create_app()\n",
        "shop/__init__.py": "from flask import Flask\n\n\ndef create_app():\n    return Flask(__name__)\n",
        "requirements.txt": "flask\ngunicorn\n",
        "Dockerfile": "FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nRUN pip install -r requirements.txt\n"
        'CMD ["gunicorn", "--bind", "0.0.0.0:7860", "app:app"]\n',
    },
    "fastapi-simple": {
        "main.py": "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n@app.get('/')\ndef home():\n    return {}\n",
        "requirements.txt": "fastapi\nuvicorn\n",
    },
    "fastapi-dockerfile": {
        "app/main.py": "from fastapi import FastAPI\n\napp = FastAPI()\n",
        "requirements.txt": "fastapi[standard]\n",
        "Dockerfile": "FROM python:3.12-slim\nRUN useradd -m -u 1000 user\nWORKDIR /code\nCOPY --chown=user requirements.txt .\n"
        "RUN pip install --no-cache-dir -r requirements.txt\nCOPY --chown=user app ./app\nUSER user\nEXPOSE 7860\n"
        'CMD ["fastapi", "run", "app/main.py", "--host", "0.0.0.0", "--port", "7860"]\n',
    },
    "django-project": {
        "manage.py": "import os\nimport sys\n\nfrom django.core.management import execute_from_command_line\n\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\nexecute_from_command_line(sys.argv)\n",
        "site1/settings.py": "import os\n\nSECRET_KEY = os.environ['SECRET_KEY']\nDEBUG = False\n",
        "site1/__init__.py": "",
        "requirements.txt": "django\n",
    },
    "marimo": {
        "app.py": "import marimo\n\napp = marimo.App()\n\nif __name__ == '__main__':\n    app.run()\n",
        "requirements.txt": "marimo\n",
    },
    "panel": {
        "app.py": "import panel as pn\n\npn.extension()\npn.Row('hi').servable()\n",
        "requirements.txt": "panel\n",
    },
    "dash": {
        "app.py": "from dash import Dash, html\n\napp = Dash()\napp.layout = html.H1('x')\n\nif __name__ == '__main__':\n    app.run()\n",
        "requirements.txt": "dash\n",
    },
    "shiny-python": {
        "app.py": "from shiny import App, ui\n\napp = App(ui.page_fluid('hi'), None)\n",
        "requirements.txt": "shiny\n",
    },
    "plain-python-server": {
        "main.py": "from http.server import HTTPServer, SimpleHTTPRequestHandler\n\nHTTPServer(('0.0.0.0', 7860), SimpleHTTPRequestHandler).serve_forever()\n"
    },
    "node-express": {
        "package.json": '{"scripts": {"start": "node server.js"}, "dependencies": {"express": "^4"}}',
        "server.js": "const app = require('express')();\napp.listen(process.env.PORT || 7860, '0.0.0.0');\n",
    },
    "node-dockerfile": {
        "Dockerfile": "FROM node:22-alpine\nUSER node\nWORKDIR /home/node/app\nCOPY --chown=node package*.json ./\nRUN npm ci\nCOPY --chown=node . .\n"
        'EXPOSE 7860\nCMD ["node", "server.js"]\n',
        "package.json": "{}",
        "package-lock.json": '{"lockfileVersion": 3}',
        "server.js": "require('http').createServer((q, s) => s.end('hi')).listen(7860);\n",
    },
    "go-dockerfile": {
        "Dockerfile": "FROM golang:1.23 AS build\nWORKDIR /src\nCOPY go.mod ./\nCOPY *.go ./\nRUN CGO_ENABLED=0 go build -o /app\n"
        'FROM gcr.io/distroless/static\nCOPY --from=build /app /app\nEXPOSE 7860\nENTRYPOINT ["/app"]\n',
        "go.mod": "module example.org/x\n\ngo 1.23\n",
        "main.go": "package main\n\nfunc main() {}\n",
    },
    "r-dockerfile": {
        "Dockerfile": 'FROM rocker/shiny:4.4\nCOPY app.R /srv/shiny-server/\nEXPOSE 7860\nCMD ["R", "-e", "shiny::runApp(\'/srv/shiny-server\', port = 7860, host = \'0.0.0.0\')"]\n',
        "app.R": 'library(shiny)\nshinyApp(fluidPage("hi"), function(input, output) {})\n',
    },
    "nginx-dockerfile": {
        "Dockerfile": "FROM nginx:alpine\nCOPY nginx.conf /etc/nginx/nginx.conf\nCOPY site/ /usr/share/nginx/html/\nEXPOSE 7860\n",
        "nginx.conf": "events {}\n",
        "site/index.html": "<h1>x</h1>\n",
    },
    "script-dockerfile": {
        "Dockerfile": "FROM debian:12\nRUN apt-get update && apt-get install -y --no-install-recommends nginx \\\n    && rm -rf /var/lib/apt/lists/*\n"
        'COPY start.sh /start.sh\nRUN chmod +x /start.sh\nEXPOSE 7860\nENTRYPOINT ["/start.sh"]\n',
        "start.sh": "#!/bin/bash\nset -e\nexec nginx\n",
    },
    "many-stages-dockerfile": {
        "Dockerfile": "# syntax=docker/dockerfile:1\nARG PY=3.12\nFROM node:22 AS web\nWORKDIR /web\nCOPY web/package.json ./\nRUN npm install && npm run build\n"
        "FROM python:${PY}-slim AS base\nENV PORT=7860 PYTHONUNBUFFERED=1\nFROM base\nWORKDIR /app\nCOPY --from=web /web/dist ./static\n"
        "COPY server.py .\nRUN <<EOF\npip install flask\nuseradd -m -u 1000 user\nEOF\nUSER user\nCMD python server.py --port $PORT\n",
        "web/package.json": '{"scripts": {"build": "vite build"}}',
        "server.py": "import flask\n",
    },
    "secret-mount-dockerfile": {
        "Dockerfile": "FROM python:3.12\nRUN --mount=type=secret,id=HF_TOKEN,mode=0444,required=true cat /run/secrets/HF_TOKEN > /dev/null\nCOPY app.py .\n"
        'CMD ["python", "app.py"]\n',
        "app.py": "print('x')\n",
    },
    "docker-other-port": {
        "Dockerfile": 'FROM python:3.12\nCOPY app.py .\nEXPOSE 8501\nCMD ["python", "app.py"]\n',
        "README.md": "---\ntitle: Port\nsdk: docker\napp_port: 8501\n---\n",
        "app.py": "print('x')\n",
    },
    "static-page": {"index.html": "<!doctype html>\n<title>x</title>\n<h1>Hello</h1>\n"},
    "static-site": {
        "index.html": '<!doctype html>\n<link rel="stylesheet" href="css/style.css">\n<a href="about.html">About</a>\n<script src="js/app.js?v=3"></script>\n',
        "about.html": '<!doctype html>\n<img src="img/logo.svg" alt="">\n<a href="index.html#top">Back</a>\n',
        "css/style.css": "h1 { color: teal; }\n",
        "js/app.js": "document.title = 'x';\n",
        "img/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    },
    "static-modules": {
        "index.html": '<script type="module" src="./app.js"></script>\n',
        "app.js": "import { h } from './lib.js';\nimport confetti from 'https://esm.sh/canvas-confetti';\n",
        "lib.js": "export const h = 1;\n",
    },
    "static-transformers-js": {
        "index.html": "<script type=\"module\">\nimport { pipeline } from 'https://cdn.jsdelivr.net/npm/@huggingface/transformers@3';\n</script>\n"
    },
    "static-built": {
        "dist/index.html": '<!doctype html>\n<script type="module" crossorigin src="./assets/index-D3f9.js"></script>\n',
        "dist/assets/index-D3f9.js": "console.log(1)\n",
    },
    "static-vite-with-build": {
        "index.html": '<div id="root"></div>\n<script type="module" src="/src/main.jsx"></script>\n',
        "package.json": '{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "^6"}}',
        "src/main.jsx": "document.body.append('hi');\n",
        "README.md": "---\ntitle: Vite\nsdk: static\napp_build_command: npm run build\napp_file: dist/index.html\n---\n",
    },
}

ADDITIONS: dict[str, dict[str, str]] = {
    "alone": {},
    "repository-files": {
        ".gitignore": "__pycache__/\n.env\n*.log\n",
        ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
        "LICENSE": "Permission is hereby granted, free of charge.\n",
        ".github/workflows/sync.yml": "env:\n  HF_TOKEN: ${{ secrets.HF_TOKEN }}\nrun: git push https://me:$HF_TOKEN@huggingface.co/spaces/me/x main\n",
    },
    "documents": {
        ".env.example": "OPENAI_API_KEY=sk-your-key-here\nHF_TOKEN=hf_xxx\nDATABASE_URL=postgresql://user:password@localhost:5432/db\n",
        "docs/setup.md": "# Setup\n\n    export OPENAI_API_KEY=sk-...\n    export HF_TOKEN=hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n\nUse `ssh-keygen`; the file starts with `-----BEGIN OPENSSH PRIVATE KEY-----`.\n",
        "keys/id_ed25519.pub": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG me@host\n",
        "certs/ca.pem": "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----\n",
    },
    "data": {
        "data/items.json": '{"hash": "d41d8cd98f00b204e9800998ecf8427e", "id": "3fa85f64-5717-4562-b3fc-2c963f66afa6"}',
        "data/table.csv": "name,sha256\na,e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
        "data/日本語 (1).txt": "text\n",
        "uv.lock": '[[package]]\nname = "x"\nsdist = { hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }\n',
        "model_config.json": '{"tokenizer": "hf-internal-testing/llama", "pad_token": "<pad>", "access_token_field": "token"}',
    },
}


def all_apps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields name and files of every app with every addition."""
    for name, files in APPS.items():
        for addition, more in ADDITIONS.items():
            yield f"{name}+{addition}", {**more, **files}
