// Prints what AsyncAPI's own parser finds wrong in a document, Avro payloads included: node asyncapi.cjs MODULES FILE
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const from = createRequire(process.argv[2] + "/package.json");
const { Parser } = from("@asyncapi/parser");
const { AvroSchemaParser } = from("@asyncapi/avro-schema-parser");

(async () => {
  const parser = new Parser();
  parser.registerSchemaParser(AvroSchemaParser());
  const { document, diagnostics } = await parser.parse(readFileSync(process.argv[3], "utf8"));
  const wrong = diagnostics.filter((one) => one.severity === 0).map((one) => `${one.path.join("/")}: ${one.message}`);
  console.log(JSON.stringify({ wrong, channels: document ? document.channels().all().length : 0 }));
})();
