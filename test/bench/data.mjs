/**
 * Time of the processor and peak memory of reading large data sets: chats of which most letters are
 * not ASCII, and one very long line. Linux only (/proc).
 *
 *     npm run bench:data -- --megabytes 2000
 *     npm run bench:data -- --megabytes 2000 --no-base    # without tokenizing
 */
import { spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../support/root.mjs';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '200' },
    'line-megabytes': { type: 'string', default: '50' },
    'no-base': { type: 'boolean', default: false },
    only: { type: 'string', default: 'check,inspect,train,line' },
  },
});
const base = values['no-base'] ? 'none' : path.join(root, 'test/fixtures/llama/base');
const folder = mkdtempSync(path.join(tmpdir(), 'lora-bench-data-'));
const POLL_MS = 50;
const TICKS_PER_SECOND = 100;

const SENTENCES = [
  'Der alte Müller ging früh am Morgen über die Brücke. ',
  'Старая мельница стояла у реки, и вода шумела. ',
  '那座老磨坊坐落在河边，水声不断。',
  'Το παλιό μυλωνάδικο ήταν δίπλα στο ποτάμι. ',
];
const sentences = (from, count) =>
  Array.from({ length: count }, (_, i) => SENTENCES[(from + i * i) % SENTENCES.length]).join('');

/** Writes chats of about 1.5 kB up to a size, and returns the number of rows. */
async function writeChats(file, bytes) {
  const stream = createWriteStream(file);
  let rows = 0;
  for (let written = 0; written < bytes; rows++) {
    const messages = [
      { role: 'user', content: `${rows} ${sentences(rows, 4)}` },
      { role: 'assistant', content: sentences(rows + 1, 6 + (rows % 20)) },
    ];
    const line = Buffer.from(`${JSON.stringify({ messages })}\n`);
    written += line.length;
    if (!stream.write(line)) await once(stream, 'drain');
  }
  stream.end();
  await once(stream, 'finish');
  return rows;
}

function recipeFor(dataset) {
  const file = path.join(folder, `${path.basename(dataset, '.jsonl')}.lora.json`);
  writeFileSync(
    file,
    JSON.stringify({
      base,
      dataset,
      labels: 'all',
      training: { max_steps: 1, max_length: 512, per_device_train_batch_size: 1, seed: 1 },
      validation_split: 0.00001,
      samples: { sample_steps: 0 },
    }),
  );
  return file;
}

/**
 * Runs the command line until it ends or prints `until`: its seconds, those of the processor, and
 * its peak memory.
 */
async function measure(args, until) {
  const started = performance.now();
  const child = spawn(process.execPath, [path.join(root, 'dist/cli.js'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let peak = 0;
  let ticks = 0;
  const poll = () => {
    try {
      const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      ticks = Number(stat[11] ?? ticks) + Number(stat[12] ?? 0);
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // it has ended
    }
  };
  const timer = setInterval(poll, POLL_MS);
  let seconds = null;
  child.stdout.setEncoding('utf8').on('data', (text) => {
    if (until === undefined || seconds !== null || !text.includes(until)) return;
    poll();
    seconds = (performance.now() - started) / 1000;
    child.kill('SIGKILL');
  });
  const [code] = await once(child, 'close');
  clearInterval(timer);
  seconds ??= (performance.now() - started) / 1000;
  return {
    seconds: Math.round(seconds),
    processor: Math.round(ticks / TICKS_PER_SECOND),
    megabytes: Math.round((peak * 1024) / 1e6),
    code,
  };
}

const row = (...cells) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
const only = values.only.split(',');

try {
  row('command', 'file', 'rows', 'seconds', 'of the processor', 'peak memory, MB');
  const chats = path.join(folder, 'chats.jsonl');
  const rows = await writeChats(chats, Number(values.megabytes) * 1e6);
  const recipe = recipeFor(chats);
  const show = ({ seconds, processor, megabytes }, command, size, count) =>
    row(command, `${size} MB`, count, seconds, processor, megabytes);
  if (only.includes('check'))
    show(await measure(['check', recipe]), 'check', values.megabytes, rows);
  if (only.includes('inspect'))
    show(await measure(['inspect', chats]), 'inspect', values.megabytes, rows);
  if (only.includes('train') && !values['no-base'])
    show(
      await measure(['train', recipe, '--run-dir', path.join(folder, 'run')], 'loading model'),
      'train, until the model is loaded',
      values.megabytes,
      rows,
    );
  if (only.includes('line')) {
    const line = path.join(folder, 'line.jsonl');
    const text = sentences(0, Math.ceil((Number(values['line-megabytes']) * 1e6) / 75));
    writeFileSync(line, `${JSON.stringify({ text })}\n`);
    show(await measure(['check', recipeFor(line)]), 'check, one line', values['line-megabytes'], 1);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
