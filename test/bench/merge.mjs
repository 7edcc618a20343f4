// npm run bench:merge: merging an adapter into a synthetic, sharded Llama of 8 GB: peak memory and
// time, compared to copying the files. --layers N (0.4 GB each), --rounds N.
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  cpSync,
  mkdtempSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { programPath } from '../../scripts/programs.mjs';

const { values } = parseArgs({
  options: { layers: { type: 'string', default: '20' }, rounds: { type: 'string', default: '3' } },
});
const [layers, rounds] = [Number(values.layers), Number(values.rounds)];
const root = path.resolve(import.meta.dirname, '../..');
const [hidden, intermediate, vocab, r] = [4096, 11008, 32000, 8];
const linear = {
  'self_attn.q_proj': [hidden, hidden],
  'self_attn.k_proj': [hidden, hidden],
  'self_attn.v_proj': [hidden, hidden],
  'self_attn.o_proj': [hidden, hidden],
  'mlp.gate_proj': [intermediate, hidden],
  'mlp.up_proj': [intermediate, hidden],
  'mlp.down_proj': [hidden, intermediate],
};
const work = mkdtempSync(path.join(tmpdir(), 'bench-merge-'));
const model = path.join(work, 'model');
const adapter = path.join(work, 'adapter');

// bf16 of 0.008 to 0.03, both signs
const noise = new Uint16Array(1 << 22).map(() => 0x3c00 | (Math.random() * 0x8200));
const bf16 = Buffer.from(noise.buffer);
const tiles = (bytes) =>
  Array.from({ length: Math.ceil(bytes / bf16.length) }, (_, i) =>
    bf16.subarray(0, Math.min(bf16.length, bytes - i * bf16.length)),
  );

function writeTensors(file, tensors, dtype, data) {
  const size = { BF16: 2, F32: 4 }[dtype];
  let end = 0;
  const header = Buffer.from(
    JSON.stringify(
      Object.fromEntries(
        tensors.map(([name, shape]) => [
          name,
          { dtype, shape, data_offsets: [end, (end += size * shape.reduce((a, b) => a * b, 1))] },
        ]),
      ),
    ),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const handle = openSync(file, 'w');
  for (const part of [
    length,
    header,
    ...tensors.flatMap(([, shape]) => data(size * shape.reduce((a, b) => a * b, 1))),
  ])
    writeSync(handle, part);
  closeSync(handle);
}

function makeModel() {
  mkdirSync(model);
  const shards = Array.from({ length: layers }, (_, i) =>
    Object.entries(linear)
      .map(([name, shape]) => [`model.layers.${i}.${name}.weight`, shape])
      .concat(
        ['input_layernorm', 'post_attention_layernorm'].map((name) => [
          `model.layers.${i}.${name}.weight`,
          [hidden],
        ]),
      ),
  );
  shards.push([
    ['model.embed_tokens.weight', [vocab, hidden]],
    ['model.norm.weight', [hidden]],
    ['lm_head.weight', [vocab, hidden]],
  ]);
  const weight_map = {};
  shards.forEach((tensors, i) => {
    const name = `model-${String(i + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`;
    writeTensors(path.join(model, name), tensors, 'BF16', tiles);
    for (const [tensor] of tensors) weight_map[tensor] = name;
  });
  writeFileSync(
    path.join(model, 'model.safetensors.index.json'),
    JSON.stringify({ metadata: {}, weight_map }),
  );
  writeFileSync(
    path.join(model, 'config.json'),
    JSON.stringify({
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      hidden_size: hidden,
      intermediate_size: intermediate,
      num_hidden_layers: layers,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      vocab_size: vocab,
      max_position_embeddings: 2048,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      hidden_act: 'silu',
      tie_word_embeddings: false,
      torch_dtype: 'bfloat16',
    }),
  );
}

function makeAdapter() {
  mkdirSync(adapter);
  const tensors = Array.from({ length: layers }, (_, i) =>
    Object.entries(linear).flatMap(([name, [out, into]]) =>
      [
        ['A', [r, into]],
        ['B', [out, r]],
      ].map(([factor, shape]) => [
        `base_model.model.model.layers.${i}.${name}.lora_${factor}.weight`,
        shape,
      ]),
    ),
  ).flat();
  const floats = (bytes) => [
    Buffer.from(
      Float32Array.from({ length: bytes / 4 }, () => 0.02 * (Math.random() - 0.5)).buffer,
    ),
  ];
  writeTensors(path.join(adapter, 'adapter_model.safetensors'), tensors, 'F32', floats);
  const target_modules = Object.keys(linear).map((name) => name.split('.')[1]);
  writeFileSync(
    path.join(adapter, 'adapter_config.json'),
    JSON.stringify({
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      r,
      lora_alpha: 16,
      lora_dropout: 0,
      bias: 'none',
      target_modules,
      base_model_name_or_path: model,
    }),
  );
}

/**
 * Seconds and peak resident memory in MB, without the comparison of outputs, which loads the model.
 */
async function merge(output) {
  const started = performance.now();
  const child = spawn(
    process.execPath,
    [
      path.join(root, 'dist', 'cli.js'),
      'merge',
      '--base',
      model,
      '--adapter',
      adapter,
      '--output',
      output,
      '--no-parity',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  let peak = 0;
  const watch = setInterval(() => {
    try {
      peak = Math.max(
        peak,
        Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0),
      );
    } catch {
      /* it has ended */
    }
  }, 100);
  const code = await new Promise((done) => {
    child.on('close', done);
  });
  clearInterval(watch);
  if (code !== 0) throw new Error(`The merge ended with ${code}.`);
  return { seconds: (performance.now() - started) / 1000, peak: peak / 1024 };
}

function copy(output) {
  const started = performance.now();
  cpSync(model, output, { recursive: true });
  return (performance.now() - started) / 1000;
}

const flush = () => execFileSync(programPath('sync'));
const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
try {
  makeModel();
  makeAdapter();
  const [merged, copied] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const output = path.join(work, 'output');
    flush();
    copied.push(copy(output));
    rmSync(output, { recursive: true });
    flush();
    merged.push(await merge(output));
    rmSync(output, { recursive: true });
  }
  const seconds = median(merged.map((own) => own.seconds));
  const bytes =
    2 * (2 * vocab * hidden + layers * (4 * hidden * hidden + 3 * hidden * intermediate));
  const largest = 2 * vocab * hidden;
  console.log(
    `${(bytes / 1e9).toFixed(1)} GB, largest tensor ${(largest / 1e6).toFixed(0)} MB: merged in ${seconds.toFixed(0)} s, copied in ${median(copied).toFixed(0)} s (${(seconds / median(copied)).toFixed(1)} times); peak memory ${Math.max(...merged.map(({ peak }) => peak)).toFixed(0)} MiB, ${((Math.max(...merged.map(({ peak }) => peak)) * 1.048576) / (bytes / 1e6)).toFixed(3)} of the model`,
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
