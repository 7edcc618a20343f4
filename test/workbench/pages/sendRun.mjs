/**
 * Runs in the page: sends the snapshot of a run of `steps` steps, and keeps `window.stepLine` for
 * more. Values follow from the step alone. `dir`: for the page that shows several; `above` is added
 * to its losses.
 */
export function sendRun({
  steps,
  state = 'running',
  evaluations = true,
  error = null,
  progress = null,
  dir,
  r = 8,
  above = 0,
}) {
  const total = Math.max(300, Math.ceil(steps * 1.25));
  window.stepLine = (step) => ({
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
  });
  const lines = Array.from({ length: steps }, (_, i) => window.stepLine(i + 1));
  const columns = [
    'step',
    'epoch',
    'loss',
    'grad_norm',
    'learning_rate',
    'tokens',
    'labelled_tokens',
    'tokens_per_second',
    'memory',
    'elapsed',
  ];
  const marks = [];
  for (let step = 0; evaluations && step <= steps; step += Math.max(10, Math.floor(steps / 12))) {
    marks.push({
      kind: 'eval',
      step,
      loss: 1.2 + above + 2 * Math.exp((-6 * step) / total),
      labelled_tokens: 900,
      scores: { perplexity: Math.exp(1.2 + 2 * Math.exp((-6 * step) / total)) },
      elapsed: 2 * step,
    });
    marks.push({
      kind: 'sample',
      step,
      prompt: 'Undo the last commit but keep its changes staged',
      completion: step ? 'git reset --soft HEAD~1' : 'You can\n\nundo it.',
    });
    if (step) marks.push({ kind: 'checkpoint', step, path: `checkpoints/step-${step}` });
  }
  marks.push({
    kind: 'batch',
    step: 0,
    rows: [
      {
        line: 7,
        pieces: [
          { text: 'user: Undo the last commit\nassistant: ', labelled: false },
          { text: 'git reset --soft HEAD~1', labelled: true },
        ],
      },
    ],
  });
  const ended = ['stopped', 'completed', 'failed', 'interrupted'].includes(state);
  const run = {
    version: 1,
    id: '20260131-142501-7f3a',
    name: 'Plain words to git',
    state,
    created: '2026-01-31T14:25:01Z',
    started: '2026-01-31T14:25:04Z',
    ended: ended ? '2026-01-31T14:40:00Z' : null,
    recipe: {
      base: 'models/tiny',
      dataset: 'data/train.jsonl',
      lora: { r, lora_alpha: 2 * r, target_modules: 'all-linear' },
      training: {
        learning_rate: 2e-4,
        num_train_epochs: 3,
        lr_scheduler_type: 'cosine',
        max_grad_norm: 1,
      },
      samples: { sample_steps: 50 },
    },
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
      adapter: ended ? 'adapter' : null,
    },
    error: null,
  };
  const snapshot = {
    kind: 'snapshot',
    run,
    progress,
    link: ended ? 'ended' : 'engine',
    status: { state, step: steps, total_steps: total, seconds_left: null, error },
    steps: Object.fromEntries(
      columns.map((name) => [name, Float64Array.from(lines, (line) => line[name])]),
    ),
    lines: marks,
  };
  window.postMessage(dir === undefined ? snapshot : { kind: 'of', dir, message: snapshot }, '*');
}
