// The same as worker.py for V8: node worker.mjs PROGRAM, a line in, a line out.
import { closeSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { WASI } from "node:wasi";

const program = JSON.parse(process.argv[2]);
const module = new WebAssembly.Module(readFileSync(program.path));
const out = `${mkdtempSync(`${tmpdir()}/wardian-bench-`)}/stdout`;
const now = () => [process.hrtime.bigint(), process.cpuUsage()];
const since = ([wall, cpu]) => {
  const used = process.cpuUsage(cpu);
  return [Number(process.hrtime.bigint() - wall) / 1e9, (used.user + used.system) / 1e6];
};
let begin, total, marked;
const bench = {
  start() { marked = true; begin = now(); },
  end() { const [wall, cpu] = since(begin); total[0] += wall; total[1] += cpu; },
};

function run() {
  const stdin = openSync(program.stdin || "/dev/null"), stdout = openSync(out, "w");
  const wasi = new WASI({
    version: "preview1", args: [program.argv0, ...program.args.map(String)], env: Object.fromEntries(program.env),
    preopens: Object.fromEntries(program.dirs.map(([host, guest]) => [guest, host])), stdin, stdout, returnOnExit: true,
  });
  const env = { clock_ms: () => Date.now() & 0x7fffffff };
  const instance = new WebAssembly.Instance(module, { ...wasi.getImportObject(), bench, env });
  if (program.invoke) instance.exports[program.invoke](...program.args);
  else if (wasi.start(instance)) throw new Error("exit code");
  closeSync(stdin);
  closeSync(stdout);
}

function timed(repeat) {
  total = [0, 0];
  marked = false;
  const start = now();
  for (let i = 0; i < repeat; i++) run();
  const [wall, cpu] = marked ? total : since(start);
  const digest = createHash("sha256").update(readFileSync(out)).digest("hex").slice(0, 16);
  return JSON.stringify({ wall: wall / repeat, cpu: cpu / repeat, out: digest });
}

timed(1);
timed(1);
console.log(timed(1));
createInterface({ input: process.stdin }).on("line", (line) => console.log(timed(Number(line))));
