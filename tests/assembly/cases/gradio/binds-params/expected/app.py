import gradio as gr

PARAMS = {"user": "mine"}
gr.Interface(lambda: PARAMS["user"], None, "text").launch()
