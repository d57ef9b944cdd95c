// params.json is made with the Space.
const params = require("./params.json");

require("http")
  .createServer((request, answer) => answer.end(`${params.greeting}\n`))
  .listen(7860);
