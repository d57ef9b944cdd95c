"""Text in, text out: counts the words of what is typed."""

import gradio as gr


def answer(text):
    """Returns what is known about the text."""
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
