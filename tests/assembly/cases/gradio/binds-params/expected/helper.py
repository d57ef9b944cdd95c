PARAMS = {'user': 'theirs'}

def user():
    return PARAMS['user']
