// For tests in the workbench: a workspace with a tiny model and a dataset, its runs, and the
// installed runtime.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { root } from '../support/root.mjs';

export { root } from '../support/root.mjs';
export { installWorkbench } from './install.mjs';

/** The folder of the runtime that the build installed, for the setting lora.runtime.path. */
export function runtimeFolder() {
  const home =
    process.env.LORA_RUNTIME_HOME ?? path.join(homedir(), '.cache', 'lora-workbench', 'runtime');
  const name = readdirSync(home).find((folder) => folder.startsWith('tensorflow-'));
  if (!name) throw new Error('No runtime is installed: run npm run build.');
  return path.join(home, name);
}

const WORDS = [
  'one',
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
  'ten',
  'eleven',
  'twelve',
];

/** Creates a workspace folder with models/tiny and data/train.jsonl. */
export function makeWorkspace() {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-workspace-'));
  cpSync(
    path.join(root, 'test', 'fixtures', 'llama', 'base'),
    path.join(folder, 'models', 'tiny'),
    { recursive: true },
  );
  mkdirSync(path.join(folder, 'data'));
  const row = (word) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `say ${word}` },
        { role: 'assistant', content: word },
      ],
    });
  writeFileSync(path.join(folder, 'data', 'train.jsonl'), `${WORDS.map(row).join('\n')}\n`);
  return folder;
}

/** The id of the process that trains a run; undefined if none does. */
export function engineOf({ dir }) {
  const file = path.join(dir, 'engine.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).pid : undefined;
}

/** Ends the engines that still train after a failed test: they outlive the window. */
export function endEngines(workspace) {
  for (const run of runsOf(workspace)) {
    try {
      const engine = engineOf(run);
      if (engine !== undefined) process.kill(engine);
    } catch {
      // it has ended
    }
  }
}

/** A run without a record is the newest. */
const createdAt = ({ record }) => (record ? Date.parse(record.created) : Number.MAX_SAFE_INTEGER);

/** The runs of a workspace, oldest first: folder, run.json, lines of metrics.jsonl. */
export function runsOf(workspace) {
  const folder = path.join(workspace, '.lora', 'runs');
  const names = (() => {
    try {
      return readdirSync(folder).sort();
    } catch {
      return [];
    }
  })();
  return (
    names
      .map((name) => {
        const dir = path.join(folder, name);
        const read = (file) => {
          try {
            return readFileSync(path.join(dir, file), 'utf8');
          } catch {
            return null;
          }
        };
        const record = read('run.json');
        const metrics = (read('metrics.jsonl') ?? '')
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line));
        return { dir, record: record === null ? null : JSON.parse(record), metrics };
      })
      // the names of two runs of the same second are in no order
      .sort((a, b) => createdAt(a) - createdAt(b))
  );
}
