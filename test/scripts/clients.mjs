// npm run test:clients -- --base MODEL --python PYTHON: other programs against a real
// `lora serve --http`: two tasks of lm-evaluation-harness, LangChain and LlamaIndex.
// PYTHON has test/scripts/clients/requirements.txt. Nothing is downloaded.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { base: { type: 'string' }, python: { type: 'string' } } });
const { base, python } = values;
if (!base || !python) throw new Error('Give a base and a Python: --base MODEL --python PYTHON.');
const folder = path.join(import.meta.dirname, 'clients');
const cli = path.resolve(import.meta.dirname, '../../dist/cli.js');
const work = mkdtempSync(path.join(tmpdir(), 'clients-'));
const server = spawn(
  process.execPath,
  [cli, 'serve', '--http', '--port', '0', '--base', base, '--json'],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);

/** The address, when the model is loaded. */
async function address() {
  for await (const line of createInterface({ input: server.stdout })) {
    const event = JSON.parse(line);
    if (event.kind === 'ready') return event.url;
  }
  throw new Error('The server has ended.');
}

/** Runs a program of Python in the folder of the tasks. */
function run(...args) {
  const env = {
    ...process.env,
    HF_HOME: work,
    HF_HUB_OFFLINE: '1',
    HF_DATASETS_OFFLINE: '1',
    OPENAI_API_KEY: 'none',
  };
  const child = spawn(python, args, { cwd: folder, env, stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${args[1]}: ${code}`)),
    );
  });
}

/** A task of lm-evaluation-harness, which takes the tokenizer from the server. */
const evaluate = (kind, url, task, ...further) =>
  run(
    '-m',
    'lm_eval',
    ...['--model', kind, '--model_args', `model=base,base_url=${url},max_retries=1`],
    ...['--include_path', folder, '--tasks', task, '--log_samples', '--output_path', work],
    ...further,
  );

try {
  const url = await address();
  await evaluate('local-completions', `${url}/completions`, 'capitals_choice', '--batch_size', '8');
  const chat = `${url}/chat/completions`;
  await evaluate('local-chat-completions', chat, 'capitals_chat', '--apply_chat_template');
  await run('libraries.py', url);
} finally {
  server.kill();
  rmSync(work, { recursive: true, force: true });
}
