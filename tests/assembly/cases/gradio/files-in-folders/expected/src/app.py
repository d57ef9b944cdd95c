PARAMS = {'user': 'Ada'}

import gradio as gr
from texts.hello import greet

gr.Interface(greet, None, 'text').launch()
