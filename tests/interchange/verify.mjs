// Lets snarkjs judge cases: reads a JSON list of { key, public, proof }, prints a JSON list of
// true, false, or the text of what it threw.
import { readFileSync } from "node:fs";
import { groth16 } from "snarkjs";

const verdicts = [];
for (const { key, public: inputs, proof } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  verdicts.push(await groth16.verify(key, inputs, proof).catch((error) => String(error)));
}
console.log(JSON.stringify(verdicts));
process.exit(0); // its worker threads would wait for ever
