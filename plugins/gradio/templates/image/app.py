"""Image in, image out: turns a picture around and makes it grey."""

import gradio as gr
from PIL import Image, ImageOps


def change(picture: Image.Image):
    """Returns the changed picture."""
    if picture is None:
        raise gr.Error("Choose a picture first.")
    turned = picture.rotate(PARAMS["angle"], expand=True)
    return ImageOps.grayscale(turned) if PARAMS["grey"] else turned


demo = gr.Interface(fn=change, inputs=gr.Image(type="pil"), outputs=gr.Image(type="pil"), title=PARAMS["title"])

if __name__ == "__main__":
    demo.launch()
