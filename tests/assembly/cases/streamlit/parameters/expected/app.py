PARAMS = {'title': 'Sales', 'sales': [3, 1, 2]}

import streamlit as st

st.title(PARAMS['title'])
st.bar_chart(PARAMS['sales'])
