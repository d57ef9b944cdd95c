window.PARAMS = {
  "key": "value"
};
