window.PARAMS = {
  "message": "\u003c/script>\u003cb>\u00e4 \ud83d\ude80\u003c/b>",
  "list": [
    1,
    1.0,
    true,
    null
  ],
  "line\u2028end": {}
};
