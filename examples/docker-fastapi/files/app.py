"""A small JSON service. It brings no Dockerfile: the service adds one that runs `python app.py`."""

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def home() -> dict:
    """Returns the parameters of the Space."""
    return PARAMS


@app.get("/greet/{name}")
def greet(name: str) -> dict:
    """Greets a person by name."""
    return {"text": f"{PARAMS['greeting']}, {name}!"}


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=7860)
