// npm run bench: training and generation compared to PyTorch + PEFT with the same geometry, in
// turns, as ratios of medians; a profile; larger geometries.
// --rounds N, --steps N; --only training|compiled|avx2|full|quantized|start|metrics|generation|
// profile|recurrent|mixture|larger|gpu.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { smollm2Path } from '../../scripts/models.mjs';
import { measure, median, ourTraining, root } from './ours.mjs';
import { peftPython } from './peft/python.mjs';
import { realStart } from './realStart.mjs';

const { values: args } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '3' },
    only: { type: 'string' },
  },
});
const [rounds, steps] = [Number(args.rounds), ['--steps', args.steps]];
const python = peftPython();
const bench = path.join(import.meta.dirname, 'peft', 'bench.py');
const ours = await ourTraining();
const theirs = (rest, env = {}) => measure(python, [bench, ...rest], { env });

/** Medians of all, measured in turns: those of each key. */
function inTurns(measures, keys) {
  const runs = Array.from({ length: rounds }, () => measures.map((one) => one()));
  return keys.map((key) => measures.map((_, i) => median(runs.map((round) => round[i][key]))));
}

/** Medians of both, measured in turns. */
const alternate = (our, their, keys) => inTurns([our, their], keys);

const table = (...columns) =>
  console.log(`| ${columns.join(' | ')} |\n|${columns.map(() => '---').join('|')}|`);
const row = (...cells) => console.log(`| ${cells.join(' | ')} |`);

/** Speed, processor time and memory of both, and their ratios. */
const BESIDE_PEFT_KEYS = ['tokens_per_s', 'step_cpu_s', 'peak_rss_mb'];
const BESIDE_PEFT = ['tokens per second', 'processor time of a step, s', 'peak memory, MB'].flatMap(
  (name) => [name, 'PyTorch + PEFT', 'ratio'],
);
const besidePeft = (numbers) =>
  numbers.flatMap(([a, b], i) => [
    ...[a, b].map((x) => x.toFixed(i === 1 ? 2 : 0)),
    (a / b).toFixed(2),
  ]);

const LINEAR = 'q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj';
/** The layers of Qwen 3.5 that mix tokens. */
const MIXERS = 'in_proj_qkv,in_proj_z,in_proj_b,in_proj_a,out_proj,q_proj,k_proj,v_proj,o_proj';
const LARGE_BATCH = ['--batch', 16, '--seq', 512];

/** What keeps both from instructions beyond AVX2. */
const AVX2 = {
  ours: { ONEDNN_MAX_CPU_ISA: 'AVX2', LORA_KERNELS_LEVEL: '1' },
  theirs: {
    ATEN_CPU_CAPABILITY: 'avx2',
    MKL_ENABLE_INSTRUCTIONS: 'AVX2',
    ONEDNN_MAX_CPU_ISA: 'AVX2',
  },
};

/** @throws Error where TensorFlow has used the processor */
function onGpu(run) {
  if (!/GPU/.test(run.device))
    throw new Error(
      `${run.device}: there is no GPU, or TensorFlow with CUDA is missing, which npm run test:gpu installs.`,
    );
  return run;
}

const PARTS = {
  training() {
    table(
      'training',
      'tokens per second',
      'PyTorch + PEFT',
      'ratio',
      'peak memory, MB',
      'PyTorch + PEFT',
      'ratio',
    );
    const cases = [
      ['f32', []],
      ['bf16', []],
      ['f32, a quarter of the tokens labelled', ['--supervised', 0.25]],
      ['bf16, a quarter of the tokens labelled', ['--supervised', 0.25]],
      ['bf16, all linear layers', ['--targets', LINEAR]],
    ];
    for (const [name, rest] of cases) {
      const isHalf = name.startsWith('bf16');
      const [speed, memory] = alternate(
        () => ours([...steps, '--dtype', isHalf ? 'bfloat16' : 'float32', ...rest]),
        () => theirs([...steps, '--dtype', isHalf ? 'bf16' : 'f32', ...rest]),
        ['tokens_per_s', 'peak_rss_mb'],
      );
      row(
        name,
        ...[speed, memory].flatMap(([a, b]) => [a.toFixed(0), b.toFixed(0), (a / b).toFixed(2)]),
      );
    }
  },
  quantized() {
    table('a quantized base', ...BESIDE_PEFT);
    for (const rest of [['--quantize', 'nf4'], ['--quantize', 'int8'], []]) {
      const numbers = alternate(
        () => ours([...steps, '--dtype', 'bfloat16', '--targets', LINEAR, ...rest]),
        () => theirs([...steps, '--dtype', 'bf16', '--targets', LINEAR, ...rest]),
        BESIDE_PEFT_KEYS,
      );
      row(rest[1] ?? 'bf16', ...besidePeft(numbers));
    }
  },
  /** PyTorch at its strongest, and short rows. */
  compiled() {
    table(
      'bf16',
      'tokens per second',
      'PyTorch + PEFT',
      'ratio',
      'compiled',
      'ratio',
      'peak memory, MB',
      'PyTorch + PEFT',
      'compiled',
    );
    for (const [batch, length] of [
      [4, 256],
      [4, 48],
      [8, 32],
    ]) {
      const shape = [...steps, '--batch', batch, '--seq', length];
      const [speed, memory] = inTurns(
        [
          () => ours([...shape, '--dtype', 'bfloat16']),
          () => theirs([...shape, '--dtype', 'bf16']),
          () => theirs([...shape, '--dtype', 'bf16', '--compile', '--warmup', 3]),
        ],
        ['tokens_per_s', 'peak_rss_mb'],
      );
      const [a, ...others] = speed;
      const ratios = others.flatMap((b) => [b.toFixed(0), (a / b).toFixed(2)]);
      row(`${batch} x ${length}`, a.toFixed(0), ...ratios, ...memory.map((mb) => mb.toFixed(0)));
    }
  },
  /** As on a processor with AVX2 only. */
  avx2() {
    table('f32 by AVX2', ...BESIDE_PEFT);
    for (const [batch, length] of [
      [4, 256],
      [8, 32],
    ]) {
      const shape = [...steps, '--batch', batch, '--seq', length];
      const numbers = alternate(
        () => ours([...shape, '--dtype', 'float32'], undefined, AVX2.ours),
        () => theirs([...shape, '--dtype', 'f32'], AVX2.theirs),
        BESIDE_PEFT_KEYS,
      );
      row(`${batch} x ${length}`, ...besidePeft(numbers));
    }
  },
  full() {
    table(
      'full tuning',
      'tokens per second',
      'PyTorch',
      'ratio',
      'peak memory, MB',
      'PyTorch',
      'ratio',
    );
    const [speed, memory] = alternate(
      () => ours([...steps, '--method', 'full']),
      () => theirs([...steps, '--mode', 'full']),
      ['tokens_per_s', 'peak_rss_mb'],
    );
    row(
      'f32',
      ...[speed, memory].flatMap(([a, b]) => [a.toFixed(0), b.toFixed(0), (a / b).toFixed(2)]),
    );
  },
  async start() {
    const gguf = await smollm2Path();
    table('start of the process to the first step, s', 'LoRA Workbench', 'PyTorch + PEFT', 'ratio');
    const cases = [
      [
        'random weights, f32',
        () => ours(['--steps', 1, '--warmup', 0]),
        () => theirs(['--steps', 1, '--warmup', 0]),
      ],
      [
        'the real .gguf file and a dataset',
        () => realStart(gguf),
        () => theirs(['--steps', 1, '--warmup', 0, '--gguf', gguf]),
      ],
    ];
    for (const [name, our, their] of cases) {
      const [[a, b]] = alternate(our, their, ['start_s']);
      row(name, a.toFixed(2), b.toFixed(2), (a / b).toFixed(2));
    }
  },
  metrics() {
    const dir = mkdtempSync(path.join(tmpdir(), 'lora-bench-'));
    try {
      const rows = Array.from({ length: 40 }, (_, i) =>
        JSON.stringify({
          messages: [
            { role: 'user', content: `say ${i}` },
            { role: 'assistant', content: String(i) },
          ],
        }),
      );
      writeFileSync(path.join(dir, 'rows.jsonl'), `${rows.join('\n')}\n`);
      writeFileSync(
        path.join(dir, 'lora.json'),
        JSON.stringify({
          base: path.join(root, 'test', 'fixtures', 'llama', 'base'),
          dataset: 'rows.jsonl',
          validation_split: 0,
          samples: { sample_steps: 0 },
          training: { max_steps: 2000, save_steps: 5000 },
        }),
      );
      const run = path.join(dir, 'run');
      execFileSync(
        process.execPath,
        [path.join(root, 'dist', 'cli.js'), 'train', path.join(dir, 'lora.json'), '--run-dir', run],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      );
      const { started, ended } = JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8'));
      const last = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .findLast((line) => line.kind === 'step');
      console.log(
        `Outside of steps, with metrics, status and checkpoints: ${((Date.parse(ended) - Date.parse(started) - 1000 * last.elapsed) / last.step).toFixed(2)} ms a step.`,
      );
    } finally {
      rmSync(dir, { recursive: true });
    }
  },
  generation() {
    table('generation, one sequence', 'tokens per second', 'transformers', 'ratio');
    for (const [name, dtype, half] of [
      ['f32', 'float32', 'f32'],
      ['bf16', 'bfloat16', 'bf16'],
    ]) {
      const [[a, b]] = alternate(
        () => ours(['--dtype', dtype, '--generate', 64]),
        () => theirs(['--dtype', half, '--generate', 64]),
        ['tokens_per_s'],
      );
      row(name, a.toFixed(1), b.toFixed(1), (a / b).toFixed(2));
    }
  },
  profile() {
    for (const dtype of ['float32', 'bfloat16']) {
      console.log(`\nA step in ${dtype}, by operation:\n`);
      ours([...steps, '--dtype', dtype, '--profile'], (stderr) =>
        console.log(
          stderr
            .split('\n')
            .filter((line) => /ms a step/.test(line))
            .slice(0, 16)
            .join('\n'),
        ),
      );
    }
  },
  recurrent() {
    table(
      'Qwen3.5-0.8B, eight layers, 2 x 512',
      'tokens per second',
      'PyTorch + PEFT',
      'ratio',
      'peak memory, MB',
      'PyTorch + PEFT',
      'ratio',
      'estimated, MB',
    );
    const model = 'qwen3.5-8-layers';
    const shape = ['--batch', 2, '--seq', 512, ...steps];
    for (const [name, dtype, half] of [
      ['f32', 'float32', 'f32'],
      ['bf16', 'bfloat16', 'bf16'],
    ]) {
      let estimate = 0;
      const [speed, memory] = alternate(
        () => {
          const run = ours(['--geometry', model, '--targets', MIXERS, '--dtype', dtype, ...shape]);
          estimate = run.estimate_mb;
          return run;
        },
        () => theirs(['--model', model, '--dtype', half, ...shape]),
        ['tokens_per_s', 'peak_rss_mb'],
      );
      row(
        name,
        ...[speed, memory].flatMap(([a, b]) => [a.toFixed(0), b.toFixed(0), (a / b).toFixed(2)]),
        estimate.toFixed(0),
      );
    }
  },
  /** On an NVIDIA GPU, with TensorFlow with CUDA; about two minutes a round. */
  gpu() {
    table('on the GPU', 'tokens per second', 'PyTorch + PEFT', 'ratio');
    for (const [name, dtype, half, rest] of [
      ['f32, 4 x 256', 'float32', 'f32', []],
      ['bf16, 4 x 256', 'bfloat16', 'bf16', []],
      ['bf16, 16 x 512, all linear', 'bfloat16', 'bf16', ['--targets', LINEAR, ...LARGE_BATCH]],
    ]) {
      const [[a, b]] = alternate(
        () => onGpu(ours([...steps, ...rest, '--dtype', dtype])),
        () => theirs([...steps, ...rest, '--dtype', half, '--device', 'cuda']),
        ['tokens_per_s'],
      );
      row(name, a.toFixed(0), b.toFixed(0), (a / b).toFixed(2));
    }
  },
  mixture() {
    table('a mixture of 32 experts, 4 for each token, 4 x 256', ...BESIDE_PEFT);
    const model = 'mixture-32x4';
    const experts = 'mlp.experts.gate_up_proj,mlp.experts.down_proj';
    for (const [name, our, their] of [
      ['attention, f32', ['--dtype', 'float32'], ['--dtype', 'f32']],
      ['attention, bf16', ['--dtype', 'bfloat16'], ['--dtype', 'bf16']],
      [
        'experts, f32',
        ['--dtype', 'float32', '--targets', 'gate_up_proj,down_proj'],
        ['--dtype', 'f32', '--parameters', experts],
      ],
      [
        'experts, bf16',
        ['--dtype', 'bfloat16', '--targets', 'gate_up_proj,down_proj'],
        ['--dtype', 'bf16', '--parameters', experts],
      ],
    ]) {
      const numbers = alternate(
        () => ours(['--geometry', model, ...our, ...steps]),
        () => theirs(['--model', model, ...their, ...steps]),
        BESIDE_PEFT_KEYS,
      );
      row(name, ...besidePeft(numbers));
    }
  },
  larger() {
    table(
      'r = 8 on all linear layers, bf16, 4 x 512',
      'parameters',
      'trained',
      'tokens per second',
      'peak memory, MB',
      'estimated, MB',
      'full fine-tuning needs at least, MB',
    );
    for (const geometry of ['smollm2-135m', 'qwen2.5-0.5b', 'llama-1.5b']) {
      const run = ours([
        '--geometry',
        geometry,
        '--dtype',
        'bfloat16',
        '--batch',
        4,
        '--seq',
        512,
        '--targets',
        LINEAR,
        '--steps',
        1,
        '--warmup',
        1,
      ]);
      row(
        geometry,
        run.parameters.toLocaleString('en'),
        run.trainable.toLocaleString('en'),
        run.tokens_per_s.toFixed(0),
        run.peak_rss_mb.toFixed(0),
        run.estimate_mb.toFixed(0),
        run.full_mb.toFixed(0),
      );
    }
  },
};

console.log(
  `${cpus()[0].model}, ${cpus().length} cores; SmolLM2-135M's geometry, batch 4 x 256, r = 8 on q, k, v, o unless stated otherwise; median of ${rounds} rounds`,
);
const { gpu, ...onProcessor } = PARTS;
for (const [name, part] of Object.entries(args.only === 'gpu' ? { gpu } : onProcessor)) {
  if (args.only !== undefined && args.only !== name) continue;
  console.log();
  await part();
}
