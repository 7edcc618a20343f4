// Encoders as GGUF files: what llama.cpp computes with bases, merged models and adapters, next to
// transformers and PEFT, and the ids of their tokenizers here.
//
//     node test/scripts/check_gguf_encoders.mjs PYTHON LLAMA        (after npm run build)
//
// PYTHON: with torch, transformers, peft, gguf and sentencepiece. LLAMA: with llama-cpp-python.
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const [python, llama, made] = process.argv.slice(2);
const root = path.resolve(import.meta.dirname, '../..');
const cli = path.join(root, 'dist', 'cli.js');
const folder = mkdtempSync(path.join(tmpdir(), 'lora-encoders-'));
const bundle = path.join(folder, 'read.cjs');
await build({
  absWorkingDir: root,
  stdin: {
    contents:
      'export { openBase } from "./src/formats/openBase"; export { createTokenizer } from "./src/data/tokenizer/createTokenizer";',
    resolveDir: root,
  },
  outfile: bundle,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  logLevel: 'error',
});
const { openBase, createTokenizer } = createRequire(import.meta.url)(bundle);
const run = (program, ...args) =>
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });

/** How many of the texts have other ids than in transformers. */
async function otherIds(file, { inputs, ids }) {
  const base = await openBase(file);
  const tokenizer = createTokenizer(await base.readTokenizer());
  await base.close();
  const differ = inputs.filter((own, i) => {
    const text = Array.isArray(own) ? own[0] : own;
    const want = Array.isArray(own) ? ids[i].slice(0, tokenizer.encode(text).length) : ids[i];
    return JSON.stringify(tokenizer.encode(text)) !== JSON.stringify(want);
  });
  return differ.length;
}

try {
  const models = made ?? path.join(folder, 'models');
  if (!made) run(python, path.join(import.meta.dirname, 'make_gguf_encoders.py'), models);
  for (const name of readdirSync(models)) {
    const at = (file) => path.join(models, name, file);
    const [base, adapter] = [at('base.gguf'), at('adapter')];
    for (const file of ['merged.gguf', 'adapter.gguf']) rmSync(at(file), { force: true });
    run(
      process.execPath,
      cli,
      'merge',
      '--base',
      base,
      '--adapter',
      adapter,
      '--output',
      at('merged.gguf'),
      '--no-parity',
    );
    run(
      process.execPath,
      cli,
      'convert',
      '--adapter',
      adapter,
      '--base',
      base,
      '--to',
      'gguf',
      '--output',
      at('adapter.gguf'),
    );
    const other = await otherIds(base, JSON.parse(readFileSync(at('expected.json'), 'utf8')));
    console.log(`${name}: ${other} texts with other ids here`);
  }
  const check = path.join(import.meta.dirname, 'check_gguf_encoders.py');
  console.log(execFileSync(llama, [check, models], { encoding: 'utf8' }));
} finally {
  rmSync(folder, { recursive: true });
}
