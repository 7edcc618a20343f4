const only = (from, allowed, reason) => ({
  name: `${from}-imports`,
  severity: 'error',
  comment: reason,
  from: { path: `^src/${from}/` },
  to: { path: '^(src|webview)/', pathNot: `^src/(${[from, ...allowed].join('|')})(/|.ts$)` },
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    only('shared', [], 'Every process imports shared; shared imports no other folder.'),
    only('common', ['shared'], 'Node helpers that every folder of src but shared may use.'),
    only('lora', ['shared', 'common'], 'The mathematics of adapters is pure.'),
    only('formats', ['shared', 'common', 'lora'], 'Files in and out know nothing of models.'),
    only('models', ['shared', 'common', 'lora', 'formats'], 'Forward passes know nothing of jobs.'),
    only(
      'data',
      ['shared', 'common', 'formats'],
      'Datasets and tokenizers know nothing of models.',
    ),
    only('runtime', ['shared', 'common'], 'Finding libtensorflow needs no other folder.'),
    only(
      'targets',
      ['shared', 'common', 'formats', 'runtime'],
      'Machines that runs are sent to know nothing of VS Code or of training.',
    ),
    only(
      'tfjs',
      ['shared', 'lora', 'formats'],
      'The library for tfjs runs in browsers, too: it knows no Node and no jobs.',
    ),
    only(
      'engine',
      ['shared', 'common', 'lora', 'formats', 'models', 'data', 'runtime', 'targets', 'tfjs'],
      'The engine knows nothing of VS Code.',
    ),
    only(
      'host',
      [
        'shared',
        'common',
        'lora',
        'formats',
        'runtime',
        'targets',
        'inspect/questions',
        'inspect/dataset/questions',
      ],
      'The extension host never loads models, the engine or tfjs.',
    ),
    only(
      'inspect',
      ['shared', 'common', 'lora', 'formats', 'data'],
      'The process that inspects files knows nothing of VS Code.',
    ),
    {
      name: 'host-opens-no-weights',
      severity: 'error',
      comment: 'Files of models can take much memory and time: src/inspect opens them.',
      from: { path: '^src/(host/|extension)' },
      to: {
        path: '^src/formats/(gguf|safetensors|loraFile|kohya|mlx)/|^src/formats/(openBase|openFile|huggingface|adapterFormat)|^src/formats/peft/(files|read)',
        pathNot: '^src/formats/gguf/partNames',
      },
    },
    {
      name: 'jobs-import-no-commands',
      severity: 'error',
      comment: 'Commands call the jobs of the engine, never the reverse.',
      from: { path: '^src/engine/', pathNot: '^src/engine/(commands/|cli)' },
      to: { path: '^src/engine/commands/' },
    },
    {
      name: 'no-tfjs-in-host',
      severity: 'error',
      from: { path: '^src/(shared|common|lora|formats|data|inspect|host|extension)' },
      to: { path: '@tensorflow' },
    },
    {
      name: 'vscode-only-in-host',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(host/|extension)' },
      to: { path: '^vscode$' },
    },
    {
      name: 'webview-imports-shared-only',
      severity: 'error',
      from: { path: '^webview/' },
      to: { path: '^src/', pathNot: '^src/shared/' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
  },
};
