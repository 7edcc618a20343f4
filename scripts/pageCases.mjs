// Canned data for `npm run pages`: for each page its cases, with what the host puts into the page
// and a script that sends messages as the host would.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { tsImport } from 'tsx/esm/api';
import { exampleEvaluation } from '../test/support/evaluation.mjs';
import { recipeMessage, sizesMessage } from '../test/support/rankPage.mjs';
import { tableRow } from '../test/support/tableRow.mjs';
import { RUN_SCRIPT } from '../test/workbench/pages/sendRun.mjs';

const runFile = promisify(execFile);
const root = path.resolve(import.meta.dirname, '..');
const fixture = (name) => path.join(root, 'test/fixtures', name);
const source = (name) => tsImport(`../src/${name}`, import.meta.url);

const send = (message) => `window.postMessage(${JSON.stringify(message)}, '*');`;
const run = (options) => `${RUN_SCRIPT} window.postRun(${JSON.stringify(options)});`;

/** A run that gets a step each half second. */
const growing = (options) => `${run(options)}
  let step = ${options.steps};
  setInterval(() => {
    step += 1;
    window.postMessage({ kind: 'append', lines: [window.stepLine(step)] }, '*');
  }, 500);`;

const failure = {
  area: 'dataset',
  message: 'Row 12 of train.jsonl has no “messages”.',
  place: { file: 'data/train.jsonl', line: 12 },
  fix: 'Add the key, or remove the row.',
};

const onRun = (script) => ({ facts: { 'run-dir': '/runs/tiny' }, script });

const dashboard = {
  running: onRun(() => growing({ steps: 120 })),
  finished: onRun(() => run({ steps: 300, state: 'completed' })),
  failed: onRun(() => run({ steps: 40, state: 'failed', error: failure })),
  preparing: onRun(() =>
    run({
      steps: 0,
      state: 'preparing',
      evaluations: false,
      progress: { phase: 'loading model', fraction: 0.4 },
    }),
  ),
};

const RANKS = [1, 2, 4, 8, 16];
const sweep = {
  facts: { subject: JSON.stringify({ kind: 'sweep', folder: '/sweeps/git' }) },
  script: () => {
    const runs = RANKS.map((r) => ({ dir: `/runs/r${r}`, name: `git r ${r}` }));
    const list = {
      kind: 'runs',
      title: 'Ranks of git',
      sweep: { keys: ['lora.r'], missing: 0 },
      waiting: 0,
      runs,
    };
    const each = RANKS.map((r) =>
      run({ steps: 200, state: 'completed', dir: `/runs/r${r}`, r, above: 0.8 / r }),
    );
    return [send(list), ...each].join('\n');
  },
};

/** Two varied keys; one run has not finished. */
const grid = {
  facts: { subject: JSON.stringify({ kind: 'sweep', folder: '/sweeps/grid' }) },
  script: () => {
    const combinations = [2, 4, 8].flatMap((r) => [1e-4, 3e-4, 1e-3].map((rate) => ({ r, rate })));
    const dirOf = ({ r, rate }) => `/runs/${r}-${rate}`;
    const runs = combinations.map((one) => ({
      dir: dirOf(one),
      name: `git r ${one.r}, learning_rate ${one.rate.toExponential()}`,
    }));
    const sweep = { keys: ['lora.r', 'training.learning_rate'], missing: 0 };
    const list = { kind: 'runs', title: 'Sweep of git', sweep, waiting: 0, runs };
    const each = combinations.map((one, i) =>
      run({
        steps: 200,
        state: i === 8 ? 'running' : 'completed',
        dir: dirOf(one),
        ...one,
        above: 0.4 / one.r + 0.08 * Math.log10(one.rate / 3e-4) ** 2,
      }),
    );
    return [send(list), ...each].join('\n');
  },
};

const playgroundState = (phase) => ({
  kind: 'state',
  base: 'tiny',
  adapters: [{ path: '/runs/a/adapter', name: 'Plain words to git' }],
  prompts: ['Undo the last commit but keep its changes staged'],
  phase,
});
const onBase = (phase) => ({
  facts: { base: '/models/tiny' },
  script: () => send(playgroundState(phase)),
});
const playground = {
  ready: onBase({ kind: 'ready', has_chat_template: true, device: 'libtensorflow on CPU' }),
  loading: onBase({ kind: 'loading', fraction: 0.4 }),
  failed: onBase({ kind: 'failed', message: 'The base model cannot be read.' }),
};

async function compareWith(a, b, ...options) {
  const cli = path.join(root, 'dist/cli.js');
  const { stdout } = await runFile(
    process.execPath,
    [cli, 'compare', fixture(a), fixture(b), ...options, '--json'],
    { maxBuffer: 2 ** 26 },
  );
  const comparison = JSON.parse(stdout.trim().split('\n').at(-1));
  return send({ kind: 'comparison', names: ['first', 'second'], curves: true, comparison });
}
const ofPair = (script) => ({ facts: { a: '/runs/a/adapter', b: '/runs/b/adapter' }, script });
const compare = {
  'two adapters': ofPair(() => compareWith('real/smollm2/train/final', 'real/smollm2/pair_b')),
  'with the base': ofPair(() =>
    compareWith(
      'llama/pair-mixed-rank/adapter_a',
      'llama/pair-mixed-rank/adapter_b',
      '--base',
      fixture('llama/base'),
    ),
  ),
  failed: ofPair(() => send({ kind: 'failed', message: 'There is no adapter in this folder.' })),
};

const inspectFile = (name) => ({
  facts: {},
  script: async () => {
    const { openTensorFile } = await source('inspect/tensorFile.ts');
    const file = await openTensorFile(fixture(name));
    await file.close();
    return send({ kind: 'file', name: path.basename(name), ...file.facts });
  },
});
const inspect = {
  safetensors: inspectFile('real/smollm2/train/final/adapter_model.safetensors'),
  gguf: inspectFile('llama/formats/gguf/adapter.gguf'),
  failed: { facts: {}, script: () => send({ kind: 'fault', message: 'x.safetensors: damaged' }) },
};

const ofRecipe = (script) => ({ facts: { recipe: '/w/lora.json' }, script });
const configure = {
  recipe: ofRecipe(async () => {
    const facts = { examples: 150, tokens: 6_000, longest: 45 };
    return send({ ...(await recipeMessage({}, undefined, 8e9, { facts })), dirty: true });
  }),
  sizes: ofRecipe(async () => `${send(await recipeMessage())} ${send(await sizesMessage(12e9))}`),
  failed: ofRecipe(() => send({ kind: 'fault', message: 'lora.json:3: "r" must be at least 1.' })),
};

/** A merge into a .gguf file of another type, which loses some updates to rounding. */
const certificateMessage = {
  kind: 'certificate',
  name: 'SmolLM2-git-commands.F16.gguf',
  form: 'gguf',
  certificate: {
    version: 1,
    created: '2026-01-02T10:00:00.000Z',
    formula: "W' = W + s·BA",
    scale: 1,
    partial: false,
    dtype: 'keep',
    base: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    adapters: ['.lora/runs/git-commands/adapter'],
    inputs: [{ file: '../models/SmolLM2-Q4_1.gguf', sha256: 'a'.repeat(64) }],
    outputs: [{ file: 'SmolLM2-git-commands.F16.gguf', sha256: 'b'.repeat(64) }],
    untied: false,
    sizes: {
      base_bytes: 98e6,
      bytes: 246e6,
      stored: [
        { from: 'Q4_1', to: 'F16', tensors: 210, bytes: 212e6 },
        { from: 'Q8_0', to: 'Q8_0', tensors: 1, bytes: 33e6 },
      ],
    },
    tensors: Array.from({ length: 12 }, (_, i) => ({
      name: `blk.${i}.attn_q.weight`,
      dtype: 'F16',
      delta_norm: 0.2 + i / 40,
      rounding_error: 1e-4,
      unmoved: 9_000,
      elements: 331_776,
    })),
    parity: { prompts: 5, largest_gap: 0.004, largest_logit: 24.1, top1_agreement: 1 },
  },
};
const certificate = {
  'gguf file': { facts: {}, script: () => send(certificateMessage) },
  failed: { facts: {}, script: () => send({ kind: 'fault', message: 'merge.json: damaged' }) },
};

const table = (rows) => ({ facts: {}, script: () => send({ kind: 'runs', rows }) });
const runs = {
  table: table([
    tableRow('night', 8, 0.397, { tags: ['good'] }),
    tableRow('r16 · 0.405', 16, 0.405),
    tableRow('r1 · 0.620', 1, 0.62),
  ]),
  empty: table([]),
};

const CHATS = [
  ['What does a LoRA adapter change?', 'Two thin matrices beside each weight.'],
  ['Was ändert ein LoRA-Adapter?', 'Zwei schmale Matrizen neben jedem Gewicht.'],
  ['How much is 6 and 7?', '6 and 7 are 13.'],
];

const dataRow = ([question, answer], row) => ({
  row,
  number: row + 1,
  turns: [
    { role: 'user', text: question },
    { role: 'assistant', text: answer },
  ],
  messages: 2,
  length: question.length + answer.length,
  tokens: null,
  isCut: false,
  fault: null,
  twin: null,
  like: null,
  isExcluded: false,
});

const data = {
  chats: {
    facts: { file: '/data/train.jsonl', recipe: '', base: '' },
    script: () =>
      [
        {
          kind: 'dataset',
          name: 'train.jsonl',
          format: 'JSON Lines',
          bytes: 4096,
          unit: 'line',
          readOnly: null,
          base: null,
          recipe: null,
          maxLength: null,
          validation: null,
          canDraft: false,
        },
        {
          kind: 'progress',
          view: 0,
          version: 0,
          total: CHATS.length,
          isComplete: true,
          counts: { all: CHATS.length, faults: 0, twins: 0, near: null, cut: null, excluded: 0 },
          jobs: [],
          undo: 0,
        },
        { kind: 'rows', view: 0, version: 0, from: 0, rows: CHATS.map(dataRow) },
      ]
        .map(send)
        .join('\n'),
  },
};

async function evaluationMessages() {
  const [{ briefOf, openedOf }, { Voting }] = await Promise.all([
    source('host/evaluation/rowViews.ts'),
    source('host/evaluation/voting.ts'),
  ]);
  const { evaluation: result, rows } = exampleEvaluation();
  const names = result.columns.map(({ name }) => name);
  const list = { kind: 'rows', from: 0, rows: rows.map(briefOf), isComplete: true };
  const shown = [{ kind: 'evaluation', name: 'git-commands', evaluation: result }, list];
  const ballot = new Voting(result.id, names, rows, []).next();
  return { shown, row: openedOf(rows[1]), ballot };
}
const ofEvaluation = (pick) => ({
  facts: { folder: '/w/.lora/evaluations/a' },
  script: async () =>
    pick(await evaluationMessages())
      .map(send)
      .join('\n'),
});
const evaluation = {
  scores: ofEvaluation(({ shown }) => shown),
  row: ofEvaluation(({ shown, row }) => [...shown, { kind: 'row', row }]),
  vote: ofEvaluation(({ shown, ballot }) => [...shown, { kind: 'ballot', ballot }]),
  failed: ofEvaluation(() => [{ kind: 'fault', message: 'There is no result.' }]),
};

/** The cases of each page, by the page's id and their names. */
export const cases = {
  dashboard,
  overlay: { sweep, grid },
  runs,
  playground,
  compare,
  configure,
  inspect,
  data,
  evaluation,
  certificate,
};
