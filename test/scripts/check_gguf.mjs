// Models of the fixtures and of make_gguf_models.py as GGUF files, merged ones and adapters: what
// llama.cpp computes with them, next to transformers and PEFT.
//
//     node test/scripts/check_gguf.mjs PYTHON LIBRARIES [CASE]        (after npm run build)
//
// PYTHON: with torch, transformers, peft and gguf. LIBRARIES: the folder with libllama.so and
// libggml.so.
import { build } from 'esbuild';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const [python, libraries, only] = process.argv.slice(2);
const root = path.resolve(import.meta.dirname, '../..');
const fixtures = path.join(root, 'test', 'fixtures');
const cli = path.join(root, 'dist', 'cli.js');
const OLMO3_ROPE = {
  full_attention: {
    rope_type: 'yarn',
    rope_theta: 500000,
    factor: 4,
    original_max_position_embeddings: 8,
  },
  sliding_attention: { rope_type: 'default', rope_theta: 500000 },
};
/** The case, the architecture, and what is changed of its config. */
const CASES = [
  ['hunyuan/lora', 'hunyuan-dense', { attention_bias: false }], // llama.cpp has none after attention
  ['olmo3/all-linear', 'olmo2', { rope_parameters: OLMO3_ROPE }],
  [
    'exaone4/attn',
    'exaone4',
    { sliding_window: null, layer_types: Array(4).fill('full_attention') },
  ],
  ['ministral3/attn', 'mistral3', {}],
  ['lfm2/all-linear', 'lfm2', {}],
  ['qwen3/dora', 'qwen3', {}],
];

const folder = mkdtempSync(path.join(tmpdir(), 'lora-gguf-'));
const bundle = path.join(folder, 'fixture.cjs');
await build({
  absWorkingDir: root,
  stdin: {
    contents:
      'export { asGguf, originalOf } from "./test/support/ggufFixture"; export { ggufBytes } from "./test/support/ggufWriter";',
    resolveDir: root,
  },
  outfile: bundle,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  define: { 'import.meta.dirname': JSON.stringify(path.join(root, 'test', 'support')) },
  logLevel: 'error',
});
const { asGguf, originalOf, ggufBytes } = createRequire(import.meta.url)(bundle);
const lora = (...args) =>
  execFileSync(process.execPath, [cli, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });

/** Merges and converts the adapter of a case, and prints what llama.cpp computes. */
function compare(name, folderOfCase, original, { base, merged, adapter }) {
  const trained = path.join(folderOfCase, 'adapter');
  rmSync(merged, { force: true });
  rmSync(adapter, { force: true });
  lora('merge', '--base', base, '--adapter', trained, '--output', merged, '--no-parity');
  let written = adapter;
  try {
    lora('convert', '--adapter', trained, '--base', base, '--to', 'gguf', '--output', adapter);
  } catch {
    written = '-'; // such as DoRA, which the format lacks
  }
  const check = path.join(import.meta.dirname, 'check_gguf.py');
  const args = [check, libraries, folderOfCase, original, base, merged, written];
  const { stdout, status } = spawnSync(python, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  console.log(`${name}: ${status === 0 ? stdout.trim() : 'failed'}`);
}

try {
  for (const [name, arch, change] of CASES.filter(([own]) => !only || own.startsWith(only))) {
    const [family] = name.split('/');
    const original = originalOf(family, change);
    const isWithoutBiases = change.attention_bias === false;
    const stored = isWithoutBiases ? path.join(fixtures, family, 'base') : original;
    const { metadata, tensors: all } = await asGguf(stored, arch);
    const tensors = isWithoutBiases ? all.filter((own) => !own.name.endsWith('.bias')) : all;
    const [rows] = tensors.find((own) => own.name === 'token_embd.weight').shape;
    const [base, merged, adapter] = ['base', 'merged', 'adapter'].map((own) =>
      path.join(folder, `${own}.gguf`),
    );
    const more = [
      ['tokenizer.ggml.model', { text: 'no_vocab' }],
      [`${arch}.vocab_size`, { u32: rows }],
    ];
    writeFileSync(base, ggufBytes([...metadata, ...more], tensors));
    compare(name, path.join(fixtures, name), original, { base, merged, adapter });
  }
  const made = path.join(folder, 'made');
  const script = path.join(import.meta.dirname, 'make_gguf_models.py');
  spawnSync(python, [script, made, ...(only ? [only] : [])], { stdio: 'ignore' });
  const own = readdirSync(folder).includes('made') ? readdirSync(made) : [];
  for (const name of own) {
    const at = (file) => path.join(made, name, file);
    const files = { base: at('base.gguf'), merged: at('merged.gguf'), adapter: at('adapter.gguf') };
    compare(name, at(''), at('original'), files);
  }
} finally {
  rmSync(folder, { recursive: true });
}
