// The peer's side of the benchmark: snarkjs on the compiled circuit in the working directory.
//
//   node snarkjs.mjs setup   powers of tau, proving key and verifying key, all made here
//   node snarkjs.mjs once    one proof from the files on disk, as a command line would make it
//   node snarkjs.mjs serve   commands on standard input, one a line; see below
//
// Lines for the benchmark begin with "= "; costs are "wall cpu" in microseconds, CPU time being
// that of all threads, user and system.
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import * as snarkjs from "snarkjs";

const { groth16, powersOfTau, r1cs, wtns, zKey } = snarkjs;
const json = (file) => JSON.parse(readFileSync(file, "utf8"));
const memory = (file) => ({ type: "mem", data: new Uint8Array(readFileSync(file)) });
const say = (...words) => console.log("=", ...words);
const CIRCUIT = "record_js/record.wasm";

async function setup() {
  const info = await r1cs.info("record.r1cs");
  const rows = info.nConstraints + info.nPubInputs + info.nOutputs + 1;
  const entropy = () => randomBytes(32).toString("hex");
  await powersOfTau.newAccumulator(info.curve, Math.ceil(Math.log2(rows)), "tau0.ptau");
  await powersOfTau.contribute("tau0.ptau", "tau1.ptau", "bench", entropy());
  await powersOfTau.preparePhase2("tau1.ptau", "tau2.ptau");
  await zKey.newZKey("record.r1cs", "tau2.ptau", "record0.zkey");
  await zKey.contribute("record0.zkey", "record.zkey", "bench", entropy());
  writeFileSync("verification_key.json", JSON.stringify(await zKey.exportVerificationKey("record.zkey")));
  ["tau0.ptau", "tau1.ptau", "tau2.ptau", "record0.zkey"].forEach((file) => rmSync(file));
  say(info.nConstraints);
}

async function once() {
  await groth16.fullProve(json("input.json"), CIRCUIT, "record.zkey");
  const { user, system } = process.cpuUsage();
  say(Math.round(performance.now() * 1000), user + system);
}

async function cost(work) {
  const [cpu, wall] = [process.cpuUsage(), performance.now()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  say(Math.round((performance.now() - wall) * 1000), user + system);
}

async function serve() {
  // Circuit and key are in memory, and the curve's code is compiled by the first proof: what is
  // measured is the proof.
  const [circuit, key, verifying, input] = [memory(CIRCUIT), memory("record.zkey"), json("verification_key.json"), json("input.json")];
  let proven, witness;
  const commands = {
    // Both steps, and the second alone.
    fullprove: () => cost(async () => (proven = await groth16.fullProve(input, circuit, key))),
    prove: () => cost(() => groth16.prove(key, witness)),
    verify: () => cost(() => groth16.verify(verifying, proven.publicSignals, proven.proof)),
    // The public inputs of a proof that snarkjs has verified.
    public: async () => say(...((await groth16.verify(verifying, proven.publicSignals, proven.proof)) ? proven.publicSignals : ["refused"])),
    // How many of the inputs in false.json have a witness: none should.
    false: async () => {
      console.error = () => {}; // circom's code reports every refusal
      const made = json("false.json").map((input) => wtns.calculate(input, circuit, { type: "mem" }).then(() => 1, () => 0));
      say((await Promise.all(made)).reduce((sum, one) => sum + one, 0));
    },
  };
  witness = { type: "mem" };
  await wtns.calculate(input, circuit, witness);
  for await (const line of createInterface({ input: process.stdin })) {
    await commands[line]();
  }
}

await { setup, once, serve }[process.argv[2]]();
process.exit(0); // worker threads would wait for ever
