// V8's side of the differential tests: one JSON request a line, one JSON answer a line.
import { createInterface } from "node:readline";

function run(request) {
  const binary = (text) => new Uint8Array(Buffer.from(text, "base64"));
  let module, adapter;
  try {
    module = new WebAssembly.Module(binary(request.module));
    adapter = new WebAssembly.Module(binary(request.adapter));
  } catch (error) {
    return { unsupported: String(error) };
  }
  const outcomes = [];
  const attempt = (act) => {
    try {
      outcomes.push({ values: act() });
      return true;
    } catch (error) {
      if (error instanceof WebAssembly.Exception) outcomes.push({ exception: true });
      else outcomes.push({ trap: String(error) });
      return false;
    }
  };
  let instance, glue;
  const made = attempt(() => {
    instance = new WebAssembly.Instance(module, {});
    glue = new WebAssembly.Instance(adapter, { m: instance.exports }).exports;
    return [];
  });
  if (!made) return { outcomes, memories: [] };
  for (const [name, args] of request.calls) {
    attempt(() => {
      const got = glue[name](...args.map((arg) => BigInt.asIntN(64, BigInt(arg))));
      const values = got === undefined ? [] : Array.isArray(got) ? got : [got];
      return values.map((value) => String(BigInt.asUintN(64, value)));
    });
    const last = outcomes.at(-1);
    if (last.trap !== undefined && last.trap.includes("Maximum call stack")) break;
  }
  const memories = request.memories.map((name) => Buffer.from(instance.exports[name].buffer).toString("base64"));
  return { outcomes, memories };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(run(JSON.parse(line))) + "\n");
}
