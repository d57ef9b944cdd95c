PARAMS = {'user': 'Gradio Fan'}

import gradio as gr
def greet():
 return f'Hi, {PARAMS['user']}'
interface = gr.Interface(fn=greet, inputs=None, outputs='text')
interface.launch()