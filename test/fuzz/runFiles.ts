import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { compileChatTemplate } from '../../src/data/chat/template';
import { readEngineRecord } from '../../src/formats/run/engineRecord';
import { readRemoteRecord } from '../../src/formats/run/remoteRecord';
import { readRecord } from '../../src/engine/run/runFolder';
import { planDownload, type HubFile } from '../../src/engine/download/plan';
import { listHubFiles } from '../../src/engine/download/hub';
import { parseMetrics } from '../../src/shared/metrics/parse';
import { LoraError } from '../../src/shared/errors';
import { readNotes, writeNotes } from '../../src/host/runs/runNotes';
import { NOTES_FILE } from '../../src/shared/run';
import type { Random } from '../../src/shared/random';
import { json } from './damage';
import type { ReaderCase } from './readerCase';

const METRICS = [
  { kind: 'step', step: 1, loss: 2.5, learning_rate: 1e-4, elapsed: 1 },
  { kind: 'eval', step: 1, loss: 2, labelled_tokens: 5, scores: { accuracy: 0.5 }, elapsed: 2 },
  { kind: 'sample', step: 1, prompt: 'a', completion: 'b' },
  { kind: 'checkpoint', step: 1, path: 'checkpoints/step-1' },
  { kind: 'resume', step: 1 },
  { kind: 'batch', step: 1, rows: [{ line: 1, pieces: [{ text: 'a', labelled: true }] }] },
];
const RECORD = {
  version: 1,
  name: 'a',
  state: 'stopped',
  created: '2026-01-01T00:00:00.000Z',
  recipe: { base: 'b', dataset: 'd', lora: { r: 8 }, training: { seed: 1 } },
  result: { steps: 1, last_loss: 2, adapter: 'adapter', model: null },
  error: null,
};
const ENGINE = { pid: 1, pipe: '/x', heartbeat: RECORD.created, started: RECORD.created };
const REMOTE = {
  version: 1,
  target: { name: 'gpu-box', kind: 'ssh', place: 'gpu.example' },
  job: '20260102-030405-abcd',
  handle: { pid: 7, name: 'a', other: null },
  sent: { a: 'b' },
  clock_ahead: 5,
  connection: { state: 'lost', since: RECORD.created, reason: 'c' },
  checkpoints: ['step-1'],
  stage: { kind: 'sending', sent: 1, total: 2 },
};
const NOTES = { name: 'a', tags: ['b', 'c'], note: 'd\ne' };
const LFS = { oid: 'c'.repeat(64), size: 9 };
const HUB = [
  { type: 'file', path: 'config.json', size: 5, oid: 'a'.repeat(40) },
  { type: 'file', path: 'model.safetensors', size: 9, oid: 'b'.repeat(40), lfs: LFS },
  { type: 'directory', path: 'onnx', size: 0, oid: 'd'.repeat(40) },
];
export const TEMPLATE = `{%- set found = namespace(n=0) -%}
{%- macro turn(role, content) -%}<|{{ role }}|>{{ content | trim }}<|end|>{%- endmacro -%}
{%- for message in messages -%}
{%- if message.role == 'user' and not loop.last -%}{%- set found.n = found.n + 1 -%}{%- endif -%}
{{ turn(message['role'], message.content) }}{{ '-' * found.n }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' ~ range(3) | join(',') }}{%- endif -%}`;

const PARTS = [
  '{% for a in range(99999999) %}{% for b in range(99999999) %}x{% endfor %}{% endfor %}',
  "{{ 'x' * 999999999 }}",
  '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
  '{% set x = messages %}{{ x }}{{ x | tojson }}',
  "{{ messages[0].content.replace('', 'a' * 9999) }}",
  '{{ [[1] * 9999] * 9999 }}',
  "{{ '%99999999d' | format(1) }}",
  '{{ 10 ** 10 ** 10 }}',
  '{% if',
  '}}',
  '{{ ((((',
  '{%- endfor -%}',
];

/** Inserts, removes and repeats parts of a chat template. */
export function damagedTemplate(original: Buffer, random: Random): string {
  let text = original.toString();
  for (let n = 1 + Math.floor(random() * 4); n > 0; n--) {
    const at = Math.floor(random() * text.length);
    const end = at + Math.floor(random() * 20);
    const between =
      random() < 0.4 ? PARTS[Math.floor(random() * PARTS.length)]! : text.slice(at, end).repeat(2);
    text = text.slice(0, at) + (random() < 0.3 ? '' : between) + text.slice(end);
  }
  return text;
}

/** A file of JSON, and what reads its text. */
const jsonCase = (
  name: string,
  content: unknown,
  damage: ReaderCase['damage'],
  read: (text: string, folder: string) => unknown,
): ReaderCase => {
  const target = name.replaceAll(' ', '-');
  return {
    name,
    files: { [target]: Buffer.from(JSON.stringify(content)) },
    target,
    damage,
    read: async (folder) => {
      await read(readFileSync(path.join(folder, target), 'utf8'), folder);
    },
  };
};

/** Readers of the files of a run, of chat templates and of the Hub's answers. */
export function runFileCases(): ReaderCase[] {
  const goodLines = parseMetrics(asLines(JSON.stringify(METRICS))).length;
  return [
    jsonCase('run.json', RECORD, json, (_, folder) => readRecord(folder)),
    jsonCase('engine.json', ENGINE, json, async (_, folder) => {
      if (!(await readEngineRecord(folder))) throw new LoraError('run', 'It is no record.');
    }),
    jsonCase('remote.json', REMOTE, json, async (_, folder) => {
      if (!(await readRemoteRecord(folder))) throw new LoraError('run', 'It is no record.');
    }),
    jsonCase('metrics.jsonl', METRICS, json, (text) => {
      if (parseMetrics(asLines(text)).length < goodLines)
        throw new LoraError('run', 'Lines were skipped.');
    }),
    jsonCase('notes.json', NOTES, json, readNotesInAllWays),
    jsonCase('hub answer', HUB, json, readHubAnswer),
    {
      name: 'chat template',
      files: { 'chat_template.jinja': Buffer.from(TEMPLATE) },
      target: 'chat_template.jinja',
      damage: damagedTemplate,
      read: (folder) => Promise.resolve().then(() => renderTemplate(folder)),
    },
  ];
}

/** Notes that cannot be read count as none, and are not overwritten. */
async function readNotesInAllWays(text: string, folder: string): Promise<void> {
  const notes = await readNotes(folder);
  const strings: unknown[] = [notes.name, notes.note, ...notes.tags];
  if (!strings.every((own) => typeof own === 'string')) throw new RangeError('no text');
  await writeNotes(folder, notes).catch((error: unknown) => {
    if (readFileSync(path.join(folder, NOTES_FILE), 'utf8') !== text)
      throw new RangeError('it was overwritten');
    throw error;
  });
  if (!isDeepStrictEqual(await readNotes(folder), notes)) throw new RangeError('other notes');
}

function renderTemplate(folder: string): void {
  const source = readFileSync(path.join(folder, 'chat_template.jinja'), 'utf8');
  const template = compileChatTemplate(source, { eos_token: '</s>' }, 'x', new Date(0));
  const messages = [
    { role: 'user', content: ' one two ' },
    { role: 'assistant', content: 'three' },
  ];
  const { text } = template.render(messages, true);
  if (text.length > 50e6) throw new RangeError(`the text has ${text.length} characters`);
}

/** The items of a JSON list as lines; anything else is one line. */
function asLines(text: string): string {
  try {
    const items: unknown = JSON.parse(text);
    if (Array.isArray(items)) return items.map((own) => `${JSON.stringify(own)}\n`).join('');
  } catch {
    // not JSON
  }
  return `${text}\n`;
}

/** Answers the Hub's list of files with the text, and plans a download. */
async function readHubAnswer(text: string): Promise<void> {
  const { fetch } = globalThis;
  globalThis.fetch = () =>
    Promise.resolve(new Response(text, { headers: { 'content-type': 'application/json' } }));
  try {
    const files: HubFile[] = await listHubFiles({
      endpoint: 'https://hub.invalid',
      repository: 'a/b',
      revision: 'main',
      token: null,
      signal: new AbortController().signal,
    });
    planDownload(files, { repository: 'a/b', file: null });
  } finally {
    globalThis.fetch = fetch;
  }
}
