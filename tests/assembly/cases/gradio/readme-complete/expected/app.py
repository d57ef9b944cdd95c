import gradio as gr

gr.Interface(lambda: 1, None, 'text').launch()
