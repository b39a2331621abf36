// A Node.js HTTP server with state in memory and a timer.
const http = require("http");
const crypto = require("crypto");
const token = crypto.randomBytes(8).toString("hex");
let count = 0;
let ticks = 0;
setInterval(() => { ticks += 1; }, 20);
http.createServer((request, response) => {
  count += 1;
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ token, count, ticks, pid: process.pid }));
}).listen(8000, "0.0.0.0", () => console.log("ready"));
