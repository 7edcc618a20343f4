// Canned runs, made in the page: values follow from the step alone. These functions are sent to the
// page as text, so they use nothing but each other.

const TOTAL = 300;

/** Steps of the whole run, of which `steps` are done. */
const totalOf = (steps, state) =>
  state === 'completed' ? steps : Math.max(TOTAL, Math.ceil(steps * 1.25));

function stepLine(step, total, above) {
  return {
    kind: 'step',
    step,
    epoch: (3 * step) / total,
    loss: 1 + above + 2 * Math.exp((-6 * step) / total) + 0.2 * Math.sin(step * 12.9898),
    grad_norm: 0.6 + 0.3 * Math.sin(step * 78.233),
    learning_rate: 1e-4 * (1 + Math.cos((Math.PI * step) / total)),
    tokens: 800,
    labelled_tokens: 300,
    tokens_per_second: 380 + 20 * Math.sin(step),
    memory: 2 ** 30 + step,
    elapsed: 2 * step,
  };
}

function stepColumns(steps, total, above, isMixture) {
  const lines = Array.from({ length: steps }, (_, i) => stepLine(i + 1, total, above));
  const fields = Object.keys(stepLine(0, total, above)).filter((name) => name !== 'kind');
  const column = (name) => Float64Array.from(lines, (line) => line[name]);
  const columns = Object.fromEntries(fields.map((name) => [name, column(name)]));
  return isMixture
    ? { ...columns, expert_load: columns.step.map((step) => 1.4 + 3 / (1 + step / 40)) }
    : columns;
}

const everyTenth = (columns) =>
  Object.fromEntries(
    Object.entries(columns).map(([name, column]) => [name, column.filter((_, i) => i % 10 === 9)]),
  );

/** Evaluation, sample and checkpoint at a step. */
function marksAt(step, total, above) {
  const loss = 1.2 + 2 * Math.exp((-6 * step) / total);
  const evaluation = {
    kind: 'eval',
    step,
    loss: above + loss,
    labelled_tokens: 900,
    scores: { perplexity: Math.exp(loss) },
    sources: [
      { name: 'own.jsonl', loss: above + loss + 0.2, labelled_tokens: 600 },
      { name: 'hf://owner/general (train)', loss: above + loss - 0.2, labelled_tokens: 300 },
    ],
    elapsed: 2 * step,
  };
  const sample = {
    kind: 'sample',
    step,
    prompt: 'Undo the last commit but keep its changes staged',
    completion: step ? 'git reset --soft HEAD~1' : 'You can\n\nundo it.',
    line: 17,
    before: [{ role: 'system', text: 'Answer with one git command.' }],
    expected: 'git reset --soft HEAD~1',
    exact: step > 0,
  };
  const checkpoint = { kind: 'checkpoint', step, path: `checkpoints/step-${step}` };
  return step ? [evaluation, sample, checkpoint] : [evaluation, sample];
}

function batchLine() {
  const pieces = [
    { text: 'user: Undo the last commit\nassistant: ', labelled: false },
    { text: 'git reset --soft HEAD~1', labelled: true },
  ];
  return { kind: 'batch', step: 0, rows: [{ line: 7, pieces }] };
}

function recipeOf(r, rate) {
  return {
    base: 'models/tiny',
    dataset: 'data/train.jsonl',
    lora: { r, lora_alpha: 2 * r, target_modules: 'all-linear' },
    training: {
      learning_rate: rate,
      num_train_epochs: 3,
      lr_scheduler_type: 'cosine',
      max_grad_norm: 1,
    },
    samples: { sample_steps: 50 },
  };
}

function recordOf({ state, steps, total, r, rate, ended, suites }) {
  return {
    version: 1,
    id: '20260131-142501-7f3a',
    name: 'Plain words to git',
    state,
    created: '2026-01-31T14:25:01Z',
    started: '2026-01-31T14:25:04Z',
    ended: ended ? '2026-01-31T14:40:00Z' : null,
    recipe: recipeOf(r, rate),
    recipe_path: 'lora.json',
    base: {
      name: 'tiny',
      architecture: 'llama',
      parameters: 134515008,
      fingerprint: [{ file: 'model.safetensors', size: 269060552, sha256: 'ab'.repeat(32) }],
    },
    data: {
      examples: 150,
      validation_examples: 30,
      tokens: 12030,
      labelled_tokens: 4022,
      sources: [
        {
          ...{ name: 'own.jsonl', weight: 1, examples: 120, tokens: 9000, labelled_tokens: 3000 },
          ...{ drawn: 120, share: 0.8 },
        },
        {
          ...{ name: 'hf://owner/general (train)', weight: 1, examples: 30, tokens: 3030 },
          ...{ labelled_tokens: 1022, drawn: 30, share: 0.2 },
        },
      ],
      fingerprint: [],
    },
    trainable_parameters: 305280 * r,
    total_steps: total,
    versions: { extension: '0.1.0', node: '20.0.0', runtime: 'libtensorflow', device: 'CPU' },
    git_commit: null,
    result: {
      steps,
      last_loss: null,
      last_validation_loss: null,
      best_validation_loss: null,
      best_step: null,
      adapter: ['completed', 'stopped'].includes(state) ? 'adapter' : null,
      ...(suites && {
        evaluation: suites,
        forgetting: { answers: { ...suites, verdict: 'worse' } },
      }),
    },
    error: null,
  };
}

function postRun({
  steps,
  state = 'running',
  evaluations = true,
  error = null,
  progress = null,
  dir,
  run_dir = '/runs/tiny',
  r = 8,
  rate = 2e-4,
  above = 0,
  outline = false,
  suites,
  isMixture,
}) {
  const total = totalOf(steps, state);
  window.stepLine = (step) => stepLine(step, total, above);
  const marks = [];
  const every = Math.max(10, Math.floor(steps / 12));
  for (let step = 0; evaluations && step <= steps; step += every)
    marks.push(...marksAt(step, total, above));
  const ended = ['stopped', 'completed', 'failed', 'interrupted'].includes(state);
  const columns = stepColumns(steps, total, above, isMixture);
  const snapshot = {
    kind: 'snapshot',
    run_dir,
    run: recordOf({ state, steps, total, r, rate, ended, suites }),
    progress,
    link: ended ? 'ended' : 'engine',
    status: { state, step: steps, total_steps: total, seconds_left: null, error },
    outline,
    steps: outline ? everyTenth(columns) : columns,
    lines: [...marks, batchLine()],
  };
  window.postMessage(dir === undefined ? snapshot : { kind: 'of', dir, message: snapshot }, '*');
}

const functions = [stepLine, stepColumns, marksAt, batchLine, recipeOf, recordOf, postRun];

/** Defines window.postRun in a page, which then keeps window.stepLine for more steps. */
export const RUN_SCRIPT = `{
const TOTAL = ${TOTAL};
const totalOf = ${totalOf};
const everyTenth = ${everyTenth};
${functions.join('\n')}
window.postRun = postRun;
}`;

/**
 * To be evaluated in a page: sends the snapshot of a run of `steps` steps. `dir`: for the page that
 * shows several runs; `above` is added to its losses.
 */
export const sendRun = (options) => window.postRun(options);
