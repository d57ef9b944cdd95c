# -*- coding: latin-1 -*-
PARAMS = {'user': 'Zo\xeb'}

name = 'Zoë'
print(name, PARAMS)
