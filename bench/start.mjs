// A program from a cold start under V8: node start.mjs PROGRAM.
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

const program = JSON.parse(process.argv[2]);
const wasi = new WASI({
  version: "preview1", args: [program.argv0, ...program.args.map(String)], env: Object.fromEntries(program.env),
  preopens: Object.fromEntries(program.dirs.map(([host, guest]) => [guest, host])), returnOnExit: true,
});
const bench = { start() {}, end() {} };
const module = new WebAssembly.Module(readFileSync(program.path));
process.exitCode = wasi.start(new WebAssembly.Instance(module, { ...wasi.getImportObject(), bench }));
