window.PARAMS = {
  "message": "both"
};
