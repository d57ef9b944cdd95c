#!/usr/bin/env python3
"""Greets.

Two lines."""

from __future__ import annotations

PARAMS = {'user': 'Ada'}

import gradio as gr

gr.Interface(lambda: PARAMS["user"], None, "text").launch()
