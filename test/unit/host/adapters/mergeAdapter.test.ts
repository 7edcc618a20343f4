import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { mergeChoices } from '../../../../src/engine/merge/mergeChoices';
import { toQ8_0 } from '../../../../src/formats/gguf/quantise';
import type { Jobs } from '../../../../src/host/jobs/jobs';
import type { RunStore } from '../../../../src/host/runs/runStore';
import { asGguf } from '../../../support/ggufFixture';
import { ggufBytes } from '../../../support/ggufWriter';

interface Row {
  readonly label: string;
  readonly description?: string;
  readonly detail?: string;
}

/** What is chosen in each list, by a word of its label; and what the lists held. */
const dialogue = vi.hoisted(() => ({
  answers: [] as string[],
  lists: [] as { title: string; rows: readonly Row[] }[],
  notes: [] as string[],
  folder: '',
}));
vi.mock('vscode', async () => {
  const { fakeVscode } = await import('../../../support/fakeVscode');
  const fake = fakeVscode();
  const note = (text: string) => {
    dialogue.notes.push(text);
    return Promise.resolve(undefined);
  };
  return {
    ...fake,
    l10n: {
      t: (text: string, ...values: readonly unknown[]) =>
        text.replace(/\{(\d)\}/g, (_, i: string) => String(values[Number(i)])),
    },
    env: { ...fake.env, language: 'en' },
    workspace: {
      get workspaceFolders() {
        return [{ uri: { fsPath: dialogue.folder } }];
      },
      getConfiguration: () => ({ get: () => undefined }),
    },
    window: {
      ...fake.window,
      showInformationMessage: note,
      showWarningMessage: note,
      showQuickPick: (rows: readonly Row[], { title }: { readonly title: string }) => {
        dialogue.lists.push({ title, rows });
        const wanted = dialogue.answers.shift();
        return Promise.resolve(rows.find(({ label }) => wanted && label.includes(wanted)));
      },
      showInputBox: ({ value }: { readonly value: string }) => Promise.resolve(value),
    },
  };
});
const { mergeAdapterCommand } = await import('../../../../src/host/adapters/mergeAdapter');

const fixture = (...names: readonly string[]) => path.resolve('test/fixtures', ...names);

beforeEach(async () => {
  dialogue.folder = await mkdtemp(path.join(tmpdir(), 'lora-merge-'));
  dialogue.lists = [];
  dialogue.notes = [];
});
afterEach(() => rm(dialogue.folder, { recursive: true }));

/** The arguments of the merge that the dialogue starts; null: none. */
async function merged(base: string, adapter: string, answers: readonly string[]) {
  dialogue.answers = [...answers];
  let started: readonly string[] | null = null;
  const choices = await mergeChoices({ base, adapters: [adapter], warn: () => undefined });
  const run = (_: string, args: readonly string[]) => {
    if (args.includes('--sizes')) return Promise.resolve({ choices });
    started = args;
    const dtype = args[args.indexOf('--dtype') + 1];
    const output = args[args.indexOf('--output') + 1]!;
    const form = output.endsWith('.gguf') ? 'gguf' : 'folder';
    const sizes = choices.find((own) => own.form === form && own.dtype === dtype);
    const parity = { largest_gap: 0, top1_agreement: 1 };
    return Promise.resolve({ output, sizes, tensors: [], parity });
  };
  const store = { runs: [] } as unknown as RunStore;
  const request = { adapter, base, form: '', dtype: '' };
  await mergeAdapterCommand({ run } as unknown as Jobs, store, request);
  return started as readonly string[] | null;
}

const PLAIN = fixture('quantized/base');
const ADAPTER = fixture('quantized/bnb-nf4/adapter');
const GGUF_ADAPTER = fixture('llama-sharded/bf16-adapter/adapter');
const labels = () => dialogue.lists.map(({ rows }) => rows.map(({ label }) => label));
const details = () => dialogue.lists.map(({ rows }) => rows.map(({ detail }) => detail));

it('asks nothing but the output where weights are stored as in the base', async () => {
  expect(await merged(PLAIN, ADAPTER, [])).toContain('keep');
  expect(dialogue.lists).toEqual([]);
  expect(dialogue.notes).toEqual([expect.stringContaining('Weights are stored as in the base')]);
});

it.each([
  ['bnb-nf4', /^F32/, 'F32 (base NF4): 3 times'],
  ['bnb-nf4-bf16', /^BF16|^F32/, '(base NF4): '],
  ['bnb-fp4', /^F32|^F16|^BF16/, '(base FP4): '],
  ['bnb-int8', /^F16|^F32/, 'F16 (base INT8): 1.6 times'],
  ['gptq', /^F16|^F32/, 'F16 (base INT8): 2.2 times'],
] as const)(
  'says of %s that the merged model is larger, before it merges',
  async (name, types, text) => {
    const args = await merged(fixture('quantized', name), ADAPTER, ['Hugging Face model folder']);
    expect(args).toContain('keep');
    const [list] = dialogue.lists;
    expect(list!.rows[0]).toMatchObject({ description: expect.stringMatching(/KiB$/) as string });
    expect(details()[0]![0]).toContain('For transformers');
    expect(details()[0]![0]).toContain(text);
    for (const { label } of list!.rows)
      expect(label.replace('Hugging Face model folder, ', '')).toMatch(types);
    expect(dialogue.notes).toEqual([expect.stringMatching(/Same top token .* at 100%/)]);
  },
);

it('merges without rounding if asked, and not at all if the list is closed', async () => {
  const base = fixture('quantized/bnb-int8');
  expect(await merged(base, ADAPTER, ['F32'])).toContain('float32');
  expect(await merged(base, ADAPTER, [])).toBeNull();
});

interface Stored {
  readonly type: number;
  readonly bytesOf: (values: Float32Array) => Uint8Array;
}

const Q8_0: Stored = { type: 8, bytesOf: toQ8_0 };

/** Blocks of 32 zeros. */
const zeros = (type: number, bytes: number): Stored => ({
  type,
  bytesOf: (values) => new Uint8Array((values.length / 32) * bytes),
});

/** A .gguf base whose matrices are stored as `storedAs` says; null: in f32. */
async function ggufBase(storedAs: (name: string) => Stored | null) {
  const { metadata, tensors } = await asGguf(fixture('llama-sharded/base'), 'llama');
  const stored = tensors.map((own) => {
    const form = own.shape.length === 2 ? storedAs(own.name) : null;
    if (!form) return own;
    const bytes = form.bytesOf(Float32Array.from(own.data));
    return { ...own, stored: { type: form.type, bytes } };
  });
  const file = path.join(dialogue.folder, 'base.gguf');
  await writeFile(file, ggufBytes(metadata, stored));
  return file;
}

it('names Q8_0 beside other types only if weights in it are merged', async () => {
  const both = await ggufBase((name) => (/attn_q/.test(name) ? Q8_0 : zeros(2, 18)));
  await merged(both, GGUF_ADAPTER, ['GGUF file']);
  expect(details()[0]![0]).toMatch(/Stored as F16 \(base Q4_0\).*rounded to Q8_0 again/);
  const others = await ggufBase((name) => (/attn_[qv]/.test(name) ? null : Q8_0));
  await merged(others, GGUF_ADAPTER, ['GGUF file']);
  expect(dialogue.notes.at(-1)).toContain('Weights are stored as in the base model.');
});

it('offers of a base in Q8_0 that type, rounded again, and a folder', async () => {
  const file = await ggufBase(() => Q8_0);
  const args = await merged(file, GGUF_ADAPTER, ['GGUF file, Q8_0']);
  expect(args!.slice(-2)).toEqual(['--dtype', 'keep']);
  expect(labels()).toEqual([['GGUF file, Q8_0', 'Hugging Face model folder, F16']]);
  expect(details()).toEqual([
    [
      'For llama.cpp, Ollama and LM Studio. Merged weights are rounded to Q8_0 again.',
      'For transformers, vLLM and mlx-lm. Stored as F16 (base Q8_0): 1.8 times the size.',
    ],
  ]);
});

it.each([
  ['Q4_0', 2, 18, '1.3'],
  ['Q4_1', 3, 20, '1.2'],
  ['Q5_0', 6, 22, '1.2'],
  ['Q5_1', 7, 24, '1.2'],
  ['IQ4_NL', 20, 18, '1.3'],
  ['MXFP4', 39, 17, '1.3'],
])(
  'offers of a base in %s the changed weights in F16, all in Q8_0, and a folder',
  async (name, type, bytes, times) => {
    const file = await ggufBase(() => zeros(type, bytes));
    const args = await merged(file, GGUF_ADAPTER, ['GGUF file, Q8_0']);
    expect(args!.slice(-2)).toEqual(['--dtype', 'q8_0']);
    expect(labels()).toEqual([
      [`GGUF file, ${name}`, 'GGUF file, Q8_0', 'Hugging Face model folder, F16'],
    ]);
    for (const detail of details()[0]!) expect(detail).toMatch(/Stored as .* times the size\.$/);
    expect(details()[0]![0]).toContain(`F16 (base ${name}): ${times} times`);
  },
);

it('asks which weights to merge into where training quantized the base', async () => {
  const run = path.join(dialogue.folder, 'run');
  await cp(ADAPTER, path.join(run, 'adapter'), { recursive: true });
  for (const kind of ['nf4', 'int8']) {
    const recipe = { base: PLAIN, training: { quantize: kind } };
    await writeFile(path.join(run, 'run.json'), JSON.stringify({ recipe }));
    const adapter = path.join(run, 'adapter');
    const used = await merged(PLAIN, adapter, [`Into the ${kind} values used in training`]);
    expect(used!.slice(-2)).toEqual(['--quantize', kind]);
    expect(details().at(-1)).toEqual([
      'Full precision. Answers differ slightly from those in training.',
      `Answers as in training. Linear layers keep the rounding to ${kind}.`,
    ]);
    expect(await merged(PLAIN, adapter, ['as it is stored'])).not.toContain('--quantize');
    expect(await merged(PLAIN, adapter, [])).toBeNull();
  }
});
