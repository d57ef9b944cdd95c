const params = require('./params.json');
require('http').createServer((_, answer) => answer.end(`Hello, ${params.name}`)).listen(7860);
