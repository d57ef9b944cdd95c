PARAMS = {'title': 'Mine', 'sales': []}

import streamlit as st

st.title(PARAMS['title'])
st.bar_chart(PARAMS['sales'])
