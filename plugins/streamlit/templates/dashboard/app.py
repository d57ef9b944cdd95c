"""A dashboard: a number, a chart and a table of the figures in PARAMS."""

import streamlit as st

rows = PARAMS["rows"]
unit = PARAMS["unit"]

st.set_page_config(page_title=PARAMS["title"])
st.title(PARAMS["title"])

if not rows:
    st.info("There are no figures yet: send the parameter rows.")
    st.stop()

chosen = st.selectbox("Show", list(rows))
st.metric(chosen, f"{rows[chosen]} {unit}")
st.bar_chart(rows)
st.table([{"name": name, unit or "value": value} for name, value in rows.items()])
