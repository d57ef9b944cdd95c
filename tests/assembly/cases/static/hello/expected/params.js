window.PARAMS = {
  "message": "Static Space Test"
};
