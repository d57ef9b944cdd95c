"""A web API with FastAPI, served by uvicorn; its documentation is at /docs."""

from fastapi import FastAPI

app = FastAPI(title=PARAMS["title"])


@app.get("/")
def index():
    """Greets."""
    return {"message": PARAMS["greeting"]}


@app.get("/health")
def health():
    """Tells that the app lives."""
    return {"status": "ok"}
