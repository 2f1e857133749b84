//! Proving one answer about a record of 15 fields: ours beside stock `ark_groth16` on the same key,
//! and beside what most would pick instead, circom and snarkjs: the same statement with the same
//! public inputs (circom/record.circom). Needs Node.js and npm; says so and ends where they are not.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use ark_bls12_381::Fr;
use ark_crypto_primitives::sponge::poseidon::find_poseidon_ark_and_mds;
use ark_ff::{BigInteger as _, Field as _, PrimeField as _};
use sealgate_benches::sample::{Sample, constraints};
use sealgate_benches::{Cost, Fault, Run, times};
use sealgate_circuits::prover::{ProvingKey, stock};
use sealgate_circuits::record::RATE;
use sealgate_circuits::statement::Circuit;
use sealgate_circuits::verifier::VerifyingKey;
use serde_json::{Value as Json, json};

/// Rounds of the permutation (docs/spec/poseidon.md).
const FULL_ROUNDS: u64 = 8;
const PARTIAL_ROUNDS: u64 = 68;
/// Fields of the record.
const FIELDS: u8 = 15;
/// Bits of a slot in the program, and among them the claims.
const SLOT_BITS: usize = 8;
const CLAIMS: [usize; 2] = [6, 7];

fn main() -> Result<(), Fault> {
    let run = Run::begin("circom", 5);
    let folder = match install() {
        Ok(folder) => folder,
        Err(why) => {
            println!("skipped: circom and snarkjs cannot be installed: {why}");
            return Ok(());
        }
    };
    let sample = Sample::new(Circuit::Record15Slots4)?;
    let Sample { schema, values, salt, statement } = &sample;
    let peer_constraints = prepare(&folder, &sample)?;
    let key = ProvingKey::generate_development(Circuit::Record15Slots4)?;
    let verifying = VerifyingKey::from_bytes(Circuit::Record15Slots4, &key.verifying_key_bytes()?)?;
    let prepared = stock::prepare(&key);
    let mut peer = Peer::start(&folder)?;

    // The first proofs compile the peer's code; what they prove must be our statement.
    for _ in 0..2 {
        peer.cost("fullprove")?;
    }
    let proven = peer.ask("public")?;
    let wanted: Vec<String> = statement.public_inputs().iter().map(decimal).collect();
    if proven != wanted.join(" ") {
        return Err(format!("the peer proves something else: {proven}").into());
    }
    let accepted = peer.ask("false")?;
    if accepted != "0" {
        return Err(format!("the peer's circuit has witnesses for {accepted} false statements").into());
    }

    println!("\n{FIELDS} fields, 4 slots; circom's circuit with {peer_constraints} constraints");
    if let Some(ours) = constraints(&key.shape_digest().to_string()) {
        let meaning = format!("{ours} constraints in units of circom's, fully simplified");
        run.ratio("circom.constraints", f64::from(ours) / f64::from(peer_constraints), meaning);
    }
    let asked = std::cell::RefCell::new(peer);
    let ask = |command: &'static str| asked.borrow_mut().cost(command);
    let [ours, stock, circom, alone, process] = run.race([
        ("ours", Box::new(|| Cost::of(|| Ok(key.prove(schema, statement, values, salt).map(drop)?)))),
        (
            "stock ark-groth16",
            Box::new(|| Cost::of(|| Ok(stock::prove(&key, schema, statement, values, salt).map(drop)?))),
        ),
        ("circom and snarkjs, warm", Box::new(|| ask("fullprove"))),
        ("snarkjs without the witness, warm", Box::new(|| ask("prove"))),
        ("circom and snarkjs, a process a proof", Box::new(|| once(&folder))),
    ])?;
    run.ratio("circom.prove.cpu", times(ours.cpu, circom.cpu), "CPU time in units of circom's and snarkjs's, warm");
    run.ratio("circom.prove.wall", times(ours.wall, circom.wall), "the same in wall time");
    run.ratio(
        "circom.prove.alone",
        times(ours.cpu, alone.cpu),
        "CPU time of ours with its witness, in units of snarkjs's without",
    );
    run.ratio(
        "circom.process.cpu",
        times(ours.cpu, process.cpu),
        "CPU time in units of a whole process's, start and key included",
    );
    run.ratio(
        "circom.stock.prove.cpu",
        times(ours.cpu, stock.cpu),
        "CPU time in units of stock ark-groth16's on our key",
    );
    run.ratio(
        "circom.peers.cpu",
        times(circom.cpu, stock.cpu),
        "circom's and snarkjs's CPU time, warm, in units of stock ark-groth16's",
    );

    println!("\nverifying");
    let proof = key.prove(schema, statement, values, salt)?;
    let [ours, stock, snarkjs] = run.race([
        ("ours", Box::new(|| Cost::of(|| Ok(verifying.verify(statement, &proof)?)))),
        (
            "stock ark-groth16",
            Box::new(|| {
                Cost::of(|| {
                    let holds = stock::verify(&prepared, statement, &proof);
                    holds.then_some(()).ok_or_else(|| "stock refuses our proof".into())
                })
            }),
        ),
        ("snarkjs, warm", Box::new(|| ask("verify"))),
    ])?;
    run.ratio("circom.verify.cpu", times(ours.cpu, snarkjs.cpu), "CPU time to verify in units of snarkjs's, warm");
    run.ratio("circom.stock.verify.cpu", times(ours.cpu, stock.cpu), "the same in units of stock ark-groth16's");
    Ok(())
}

/// A number in decimal, as snarkjs reads and writes it.
fn decimal(element: &Fr) -> String {
    element.into_bigint().to_string()
}

/// The peer's folder under `target/`, with the packages of the lock file.
fn install() -> Result<PathBuf, String> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("circom");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("circom");
    let failed = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(&to).map_err(failed)?;
    for file in ["package.json", "package-lock.json", "record.circom", "snarkjs.mjs"] {
        std::fs::copy(from.join(file), to.join(file)).map_err(failed)?;
    }
    let (lock, installed) = (to.join("package-lock.json"), to.join("installed.json"));
    let wanted = std::fs::read(&lock).map_err(failed)?;
    output(Command::new("node").arg("--version")).map_err(|error| error.to_string())?;
    if std::fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(to);
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&to);
    output(&mut npm).map_err(|error| error.to_string())?;
    std::fs::write(installed, wanted).map_err(failed)?;
    Ok(to)
}

/// Standard output of a command that must succeed.
fn output(command: &mut Command) -> Result<String, Fault> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        return Err(format!("{command:?}: {out}{err}").into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn node(folder: &Path, mode: &str) -> Command {
    let mut command = Command::new("node");
    command.args(["snarkjs.mjs", mode]).current_dir(folder);
    command
}

/// What follows "= " in a line of snarkjs.mjs.
fn said(output: &str) -> Option<&str> {
    output.lines().find_map(|line| line.strip_prefix("= "))
}

/// Compiles the circuit and makes its keys, unless this was done before for the same files; writes
/// the inputs. Returns the number of constraints.
fn prepare(folder: &Path, sample: &Sample) -> Result<u32, Fault> {
    let inputs = Inputs::of(sample)?;
    std::fs::write(folder.join("input.json"), inputs.json().to_string())?;
    std::fs::write(folder.join("false.json"), Json::from(inputs.falsified()).to_string())?;
    std::fs::write(folder.join("constants.circom"), poseidon_constants())?;

    let mut made_of = Vec::new();
    for file in ["package-lock.json", "record.circom", "constants.circom", "snarkjs.mjs"] {
        made_of.extend(std::fs::read(folder.join(file))?);
    }
    let (stamp, count) = (folder.join("made_of"), folder.join("constraints"));
    if std::fs::read(&stamp).is_ok_and(|found| found == made_of) {
        return Ok(std::fs::read_to_string(&count)?.parse()?);
    }
    let _ = std::fs::remove_file(&stamp);
    println!("# compiling the circuit and making its keys, once: minutes");
    let mut circom = Command::new("node");
    circom.args(["node_modules/circom2/cli.js", "record.circom", "--r1cs", "--wasm", "--prime", "bls12381", "--O2"]);
    output(circom.current_dir(folder))?;
    let printed = output(&mut node(folder, "setup"))?;
    let constraints = said(&printed).ok_or("the setup does not tell the number of constraints")?;
    std::fs::write(count, constraints)?;
    std::fs::write(stamp, made_of)?;
    Ok(constraints.parse()?)
}

/// The permutation's constants as functions of circom, from a generator that is not the product's
/// and agrees with it (docs/spec/poseidon.md#checks).
fn poseidon_constants() -> String {
    let (rounds, matrix) = find_poseidon_ark_and_mds::<Fr>(255, RATE, FULL_ROUNDS, PARTIAL_ROUNDS, 0);
    let table = |rows: &[Vec<Fr>]| {
        let row = |row: &Vec<Fr>| format!("[{}]", row.iter().map(decimal).collect::<Vec<_>>().join(", "));
        rows.iter().map(row).collect::<Vec<_>>().join(",\n    ")
    };
    let mut text = String::from("pragma circom 2.0.0;\n");
    for (name, rows) in [("ROUND_CONSTANTS", rounds), ("MATRIX", matrix)] {
        let _ = write!(text, "\nfunction {name}() {{\n    return [{}];\n}}\n", table(&rows));
    }
    text
}

/// Inputs of the circom circuit.
#[derive(Clone)]
struct Inputs {
    public: Vec<Fr>,
    values: Vec<Fr>,
    salt: Fr,
}

impl Inputs {
    fn of(sample: &Sample) -> Result<Inputs, Fault> {
        let salt = Fr::from_le_bytes_mod_order(&borsh::to_vec(&sample.salt)?);
        let values = sample.values.iter().map(|value| value.to_field()).collect();
        Ok(Inputs { public: sample.statement.public_inputs(), values, salt })
    }

    fn json(&self) -> Json {
        let decimals = |elements: &[Fr]| elements.iter().map(decimal).collect::<Vec<_>>();
        let (head, bounds) = self.public.split_at(self.public.len().min(4));
        let bounds: Vec<Vec<String>> = bounds.chunks(2).map(decimals).collect();
        let mut inputs = json!({ "bounds": bounds, "values": decimals(&self.values), "salt": decimal(&self.salt) });
        if let Some(inputs) = inputs.as_object_mut() {
            let names = ["commitment", "tag", "context", "program"];
            inputs.extend(names.iter().zip(head).map(|(name, element)| ((*name).to_owned(), decimal(element).into())));
        }
        inputs
    }

    /// False statements: another commitment, tag, disclosed value or field; another claim in a slot
    /// that compares; another record or salt.
    fn falsified(&self) -> Vec<Json> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Inputs)| {
            let mut other = self.clone();
            change(&mut other);
            all.push(other.json());
        };
        for i in [0, 1, 4] {
            add(&|inputs| inputs.public.iter_mut().skip(i).take(1).for_each(|input| *input += Fr::ONE));
        }
        let claims = (1..4).flat_map(|slot| CLAIMS.map(|claim| slot * SLOT_BITS + claim));
        for bit in std::iter::once(0).chain(claims) {
            add(&|inputs| {
                for program in inputs.public.iter_mut().skip(3).take(1) {
                    let weight = Fr::from(2u64).pow([bit as u64]);
                    *program += if program.into_bigint().get_bit(bit) { -weight } else { weight };
                }
            });
        }
        add(&|inputs| inputs.values.iter_mut().skip(9).take(1).for_each(|value| *value += Fr::ONE));
        add(&|inputs| inputs.salt += Fr::ONE);
        all
    }
}

/// One proof by a process of its own: its CPU time from start to end.
fn once(folder: &Path) -> Result<Cost, Fault> {
    let printed = output(&mut node(folder, "once"))?;
    cost(said(&printed).unwrap_or_default())
}

fn cost(text: &str) -> Result<Cost, Fault> {
    let microseconds: Vec<u64> = text.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    match microseconds.as_slice() {
        [wall, cpu] => Ok(Cost { wall: Duration::from_micros(*wall), cpu: Duration::from_micros(*cpu) }),
        _ => Err(format!("'{text}' is no cost").into()),
    }
}

/// snarkjs in a process that stays, so that its start is not measured.
struct Peer {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(folder: &Path) -> Result<Peer, Fault> {
        let mut child = node(folder, "serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let commands = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Peer { child, commands, answers })
    }

    fn ask(&mut self, command: &str) -> Result<String, Fault> {
        writeln!(self.commands, "{command}")?;
        let mut line = String::new();
        while self.answers.read_line(&mut line)? > 0 {
            if let Some(answer) = said(&line) {
                return Ok(answer.to_owned());
            }
            line.clear();
        }
        Err(format!("snarkjs ended at '{command}'").into())
    }

    fn cost(&mut self, command: &str) -> Result<Cost, Fault> {
        cost(&self.ask(command)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
