"""Texts."""

PARAMS = {'user': 'Ada'}


def greet():
    return PARAMS["user"]
