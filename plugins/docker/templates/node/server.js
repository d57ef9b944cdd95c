// A web server with Node.js, without packages; the parameters of the request are in params.json.
const http = require("http");
const params = require("./params.json");

const port = Number(process.env.PORT || 7860);

http
  .createServer((request, response) => {
    if (request.url === "/health") {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ status: "ok" }));
      return;
    }
    response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" });
    response.end(params.greeting + "\n");
  })
  .listen(port, "0.0.0.0", () => console.log(`listening on ${port}`));
