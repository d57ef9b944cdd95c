"""Image in, image out: rotates an image and converts it to grayscale."""

import gradio as gr
from PIL import Image, ImageOps


def change(picture: Image.Image):
    """Returns the changed image."""
    if picture is None:
        raise gr.Error("Choose an image first.")
    rotated = picture.rotate(PARAMS["angle"], expand=True)
    return ImageOps.grayscale(rotated) if PARAMS["grey"] else rotated


demo = gr.Interface(fn=change, inputs=gr.Image(type="pil"), outputs=gr.Image(type="pil"), title=PARAMS["title"])

if __name__ == "__main__":
    demo.launch()
