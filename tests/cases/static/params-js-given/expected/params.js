window.PARAMS = {message: 'mine'};
