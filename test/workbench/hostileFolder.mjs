// A workspace of a stranger, with whatever may be put at the places of files.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { programPath } from '../../scripts/programs.mjs';
import { makeWorkspace, root } from './workspace.mjs';

/** Part of each path that a file of the stranger names. */
export const MARKER = '/lora-marker-of-a-stranger';
export const EVIL = 'evil.example';
const LINK = '[Resume](command:workbench.action.terminal.new?%7B%7D)';
const IMAGE = `![x](https://${EVIL}/x.png)`;
const UNSEEN = '\u202e\u2066\u2063';
/** Links, images, icons, HTML, the clipboard of a terminal, and what nobody sees. */
export const TEXT = `${LINK} ${IMAGE} <img src="https://${EVIL}/y.png"> $(zap) \u001b]52;c;eA==\u0007${UNSEEN}`;
/** The characters of a text that should not be there. */
export const unseenIn = (text) => [...UNSEEN, '\u001b'].filter((own) => text.includes(own));

const FILES = ['run.json', 'engine.json', 'metrics.jsonl', 'notes.json'];
const ATTACKS = {
  zero: (file) => symlinkSync('/dev/zero', file),
  pipe: (file) => execFileSync(programPath('mkfifo'), [file]),
  folder: (file) => mkdirSync(file),
  huge: (file) => {
    writeFileSync(file, '');
    truncateSync(file, 2 ** 40);
  },
};

/** run.json of a run that was interrupted. */
export const recordOf = (id, more = {}) => ({
  version: 1,
  id,
  name: id,
  state: 'interrupted',
  created: '2026-01-02T03:04:05.000Z',
  started: '2026-01-02T03:04:06.000Z',
  ended: null,
  recipe: {
    task: 'causal_lm',
    base: `${MARKER}/base`,
    dataset: `${MARKER}/data.jsonl`,
    validation: `${MARKER}/validation.jsonl`,
    lora: { r: 4, lora_alpha: 8, target_modules: 'all-linear', init_adapter: `${MARKER}/adapter` },
    training: {
      ...{ max_steps: 30, method: 'lora', num_train_epochs: 1, max_grad_norm: 1 },
      ...{ learning_rate: 1e-4, lr_scheduler_type: TEXT },
    },
    samples: { prompts: [TEXT], sample_steps: 0 },
  },
  recipe_path: `${MARKER}/lora.json`,
  base: { name: TEXT, architecture: 'llama', parameters: 1, fingerprint: [] },
  data: null,
  trainable_parameters: 1,
  total_steps: 30,
  versions: { extension: '0', node: '20', runtime: TEXT, device: TEXT },
  git_commit: null,
  result: {
    steps: 3,
    last_loss: 1.5,
    last_validation_loss: null,
    best_validation_loss: null,
    best_step: null,
    adapter: 'adapter',
  },
  error: null,
  ...more,
});

/** Writes a run that the Runs view calls `name`. */
export function writeRun(runs, id, { name = id, note = '', ...more } = {}) {
  const dir = path.join(runs, id);
  mkdirSync(dir, { recursive: true });
  const notes = { version: 1, name, tags: note === '' ? [] : [note], note };
  writeFileSync(path.join(dir, 'notes.json'), JSON.stringify(notes));
  writeFileSync(path.join(dir, 'run.json'), JSON.stringify(recordOf(id, { name, ...more })));
  return dir;
}

/** The run of links: its notes name it nowhere, as they are one of the links. */
export const LINKED = 'linked elsewhere';

/** A run whose log, checkpoints, metrics, adapter and notes are links to what is elsewhere. */
function writeLinkedRun(runs, elsewhere) {
  const dir = path.join(runs, 'linked');
  mkdirSync(dir, { recursive: true });
  writeFileSync(
    path.join(dir, 'run.json'),
    JSON.stringify(
      recordOf('linked', { name: LINKED, recipe_path: path.join(elsewhere, 'lora.json') }),
    ),
  );
  for (const name of [
    'engine.log',
    'metrics.jsonl',
    'checkpoints',
    'adapter',
    'best',
    'notes.json',
  ])
    symlinkSync(path.join(elsewhere, name), path.join(dir, name));
}

/** What belongs to the user, outside of the workspace. */
function makeElsewhere() {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-elsewhere-'));
  for (const name of ['checkpoints/step-2', 'adapter', 'best']) {
    mkdirSync(path.join(folder, name), { recursive: true });
    writeFileSync(path.join(folder, name, 'mine'), 'mine');
  }
  for (const name of ['engine.log', 'metrics.jsonl', 'notes.json', 'lora.json'])
    writeFileSync(path.join(folder, name), '{}\n');
  writeRun(path.join(folder, 'lora', 'runs'), 'elsewhere');
  return folder;
}

function safetensors(file) {
  const header = JSON.stringify({
    __metadata__: { [`key ${TEXT}`]: TEXT },
    [`tensor ${TEXT}`]: { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
  });
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  writeFileSync(file, Buffer.concat([size, Buffer.from(header), Buffer.alloc(4)]));
}

/** A .gguf file with one entry of metadata and one tensor, both with hostile names. */
function gguf(file) {
  const u32 = (value) => Buffer.from(Uint32Array.of(value).buffer);
  const u64 = (value) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
  const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
  const [TYPE_STRING, F32] = [8, 0];
  const head = Buffer.concat([
    Buffer.from('GGUF'),
    ...[u32(3), u64(1), u64(1)],
    ...[text(`key ${TEXT}`), u32(TYPE_STRING), text(TEXT)],
    ...[text('tensor \u202e[a](command:b)'), u32(1), u64(8), u32(F32), u64(0)],
  ]);
  const padding = Buffer.alloc((32 - (head.length % 32)) % 32);
  writeFileSync(file, Buffer.concat([head, padding, Buffer.alloc(32)]));
}

/** Creates the workspace, and a folder `elsewhere` that nothing in it may change. */
export function makeHostileWorkspace() {
  const workspace = makeWorkspace();
  const elsewhere = makeElsewhere();
  const runs = path.join(workspace, '.lora', 'runs');
  for (const [id, attack] of Object.entries(ATTACKS)) {
    mkdirSync(path.join(runs, id), { recursive: true });
    for (const name of FILES) attack(path.join(runs, id, name));
  }
  const named = writeRun(runs, 'named', { name: `named ${TEXT}`, note: TEXT });
  writeFileSync(
    path.join(named, 'metrics.jsonl'),
    `${JSON.stringify({ kind: 'sample', step: 0, prompt: TEXT, completion: TEXT })}\n` +
      `${JSON.stringify({ kind: 'checkpoint', step: 1, path: `${MARKER}/step-1` })}\n`,
  );
  writeRun(runs, 'failed', {
    state: 'failed',
    name: `failed ${TEXT}`,
    error: {
      area: 'base',
      message: TEXT,
      place: { file: `${MARKER}/config.json`, line: 1 },
      fix: TEXT,
      detail: TEXT,
      problems: [{ severity: 'error', message: TEXT, place: { file: `${MARKER}/a`, line: 1 } }],
    },
  });
  writeLinkedRun(runs, elsewhere);
  symlinkSync(path.join(elsewhere, 'lora', 'runs', 'elsewhere'), path.join(runs, 'elsewhere'));
  mkdirSync(path.join(workspace, 'sub/a'), { recursive: true });
  mkdirSync(path.join(workspace, 'sub/b/.lora'), { recursive: true });
  symlinkSync(path.join(elsewhere, 'lora'), path.join(workspace, 'sub/a/.lora'));
  symlinkSync(path.join(elsewhere, 'lora', 'runs'), path.join(workspace, 'sub/b/.lora/runs'));
  writeFileSync(
    path.join(workspace, 'far.lora.json'),
    JSON.stringify({
      base: `${MARKER}/base`,
      dataset: `/${MARKER}/data.jsonl`,
      validation: `../../../../../../..${MARKER}/validation.jsonl`,
      lora: { init_adapter: `${MARKER}/adapter`, frozen_adapters: [`${MARKER}/frozen`] },
    }),
  );
  cpSync(path.join(root, 'test/fixtures/llama/lora-qv/adapter'), path.join(workspace, 'stranger'), {
    recursive: true,
  });
  writeFileSync(
    path.join(workspace, 'stranger', 'adapter_config.json'),
    JSON.stringify({
      peft_type: 'LORA',
      r: 4,
      lora_alpha: 8,
      target_modules: [TEXT],
      base_model_name_or_path: `${MARKER}/base ${TEXT}`,
    }),
  );
  safetensors(path.join(workspace, 'names.safetensors'));
  gguf(path.join(workspace, 'names.gguf'));
  return { workspace, runs, elsewhere };
}
