"""A chat with replies by keyword; call your model in `reply`."""

import gradio as gr


def reply(message, history):
    """Returns the reply to a message."""
    for keyword, answer in PARAMS["answers"].items():
        if keyword.lower() in message.lower():
            return answer
    return PARAMS["fallback"]


demo = gr.ChatInterface(fn=reply, title=PARAMS["title"])

if __name__ == "__main__":
    demo.launch()
