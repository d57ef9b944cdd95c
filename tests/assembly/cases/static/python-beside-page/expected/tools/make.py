PARAMS = {'message': 'both'}

print(PARAMS)
