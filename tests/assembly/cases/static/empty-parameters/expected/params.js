window.PARAMS = {};
