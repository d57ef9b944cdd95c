PARAMS = {'user': 'Ada'}

