"""A small dashboard; its data are the parameters of the Space."""

import streamlit as st

from figures import summary

rain = PARAMS["rain"]
unit = PARAMS["unit"]

st.title(PARAMS["title"])
month = st.selectbox("Month", list(rain))
st.metric(month, f"{rain[month]} {unit}")
st.bar_chart(rain)
st.caption(summary())
