"""Text in, text out: counts words and characters."""

import gradio as gr


def answer(text):
    """Returns the number of words and characters."""
    words = text.split()
    return f"{len(words)} words, {len(text)} characters"


demo = gr.Interface(
    fn=answer,
    inputs=gr.Textbox(label=PARAMS["label"], lines=3),
    outputs=gr.Textbox(label="Result"),
    title=PARAMS["title"],
    description=PARAMS["description"],
)

if __name__ == "__main__":
    demo.launch()
