PARAMS = {}

import gradio as gr

gr.Interface(lambda: PARAMS, None, 'json').launch()
