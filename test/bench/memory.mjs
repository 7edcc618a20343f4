// npm run bench:memory: the estimated memory of a training step compared to the measured memory, in
// f32 and bf16, with and without gradient checkpointing.
import { ourTraining } from './ours.mjs';

const ATTENTION = 'q_proj,k_proj,v_proj,o_proj';
const ALL = `${ATTENTION},gate_proj,up_proj,down_proj`;
const train = await ourTraining();

/** A line of the table: the estimate and the measurement of two steps. */
function measureStep(cells, options) {
  const run = train(['--steps', 1, '--warmup', 1, ...options]);
  const measured = [
    run.estimate_mb.toFixed(0),
    run.peak_rss_mb.toFixed(0),
    (run.estimate_mb / run.peak_rss_mb).toFixed(2),
    run.tokens_per_s.toFixed(0),
  ];
  console.log(`| ${[...cells, ...measured].join(' | ')} |`);
}

console.log(
  '| targets | base | batch | recomputed layers | estimated, MB | measured, MB | ratio | tokens per second |\n|---|---|---|---|---|---|---|---|',
);
for (const [targets, names] of [
  ['q, k, v, o', ATTENTION],
  ['all-linear', ALL],
]) {
  for (const dtype of ['float32', 'bfloat16']) {
    for (const [batch, length, recompute] of [
      [4, 256, 0],
      [4, 256, 29],
      [1, 1024, 0],
      [8, 128, 0],
      [4, 512, 15],
      [1, 64, 0],
    ])
      measureStep(
        [targets, dtype, `${batch} x ${length}`, recompute],
        [
          ...['--dtype', dtype, '--batch', batch, '--seq', length],
          ...['--recompute', recompute, '--targets', names],
        ],
      );
  }
}
const DPO = ['--targets', ATTENTION, '--objective', 'dpo', '--supervised', 0.5];
for (const [name, dtype, batch, length, more] of [
  ['all-linear', 'bfloat16', 4, 48, ['--targets', ALL]],
  ['all-linear', 'float32', 4, 48, ['--targets', ALL]],
  ['all-linear, nf4', 'bfloat16', 4, 48, ['--targets', ALL, '--quantize', 'nf4']],
  ['all-linear, nf4', 'bfloat16', 4, 256, ['--targets', ALL, '--quantize', 'nf4']],
  ['q, k, v, o, dpo', 'float32', 4, 128, DPO],
  ['q, k, v, o, dpo', 'bfloat16', 4, 256, DPO],
  ...['bfloat16', 'float32'].flatMap((dtype) =>
    [48, 256].flatMap((length) => [
      ['q, k, v, o, embed_tokens', dtype, 4, length, ['--save', 'embed_tokens']],
      ['q, k, v, o, lm_head', dtype, 4, length, ['--save', 'lm_head']],
      ['q, k, v, o, 1000 tokens', dtype, 4, length, ['--tokens', 1000]],
      ['all-linear, DoRA', dtype, 4, length, ['--targets', ALL, '--dora']],
    ]),
  ),
  ['all-linear, DoRA', 'bfloat16', 4, 256, ['--targets', ALL, '--dora', '--recompute', 29]],
  ['all-linear, DoRA', 'float32', 4, 256, ['--targets', ALL, '--dora', '--recompute', 29]],
  ['all-linear, DoRA, nf4', 'bfloat16', 4, 48, ['--targets', ALL, '--dora', '--quantize', 'nf4']],
  ['q, v, DoRA', 'bfloat16', 4, 256, ['--targets', 'q_proj,v_proj', '--dora']],
  ['q, embed_tokens, DoRA', 'bfloat16', 4, 48, ['--targets', 'q_proj,embed_tokens', '--dora']],
  ['q, embed_tokens, DoRA', 'float32', 4, 48, ['--targets', 'q_proj,embed_tokens', '--dora']],
  ['q, lm_head, DoRA', 'bfloat16', 4, 48, ['--targets', 'q_proj,lm_head', '--dora']],
  ['q, lm_head, DoRA', 'float32', 4, 48, ['--targets', 'q_proj,lm_head', '--dora']],
  ['full', 'float32', 4, 48, ['--method', 'full']],
  ['full', 'float32', 4, 256, ['--method', 'full']],
])
  measureStep(
    [name, dtype, `${batch} x ${length}`, more.includes('--recompute') ? more.at(-1) : 0],
    ['--dtype', dtype, '--batch', batch, '--seq', length, ...more],
  );
