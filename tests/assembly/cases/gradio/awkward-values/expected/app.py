PARAMS = {'': 'empty key', 'true': True, 'one': 1, 'one point zero': 1.0, 'minus zero': -0.0, 'tiny': 5e-324, 'huge': 1606938044258990275541962092341162602522202993782792835301376, 'null': None, 'nested': [[], {}, [{'a': [1]}]], 'quotes': '\'"""\\', 'lines': 'a\r\nb\u2028c\x00\x7f', 'astral': '\U0001f680', 'lone': '\ud800', 'looks like code': '{PARAMS} %s #\\'}

import gradio as gr

gr.Interface(lambda: PARAMS, None, 'json').launch()
