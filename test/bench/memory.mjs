// npm run bench:memory: the estimated memory of a training step compared to the measured memory, in
// f32 and bf16, with and without gradient checkpointing.
import { ourTraining } from './ours.mjs';

const ATTENTION = 'q_proj,k_proj,v_proj,o_proj';
const train = await ourTraining();
console.log(
  '| targets | base | batch | recomputed layers | estimated, MB | measured, MB | ratio | tokens per second |\n|---|---|---|---|---|---|---|---|',
);
for (const [targets, names] of [
  ['q, k, v, o', ATTENTION],
  ['all-linear', `${ATTENTION},gate_proj,up_proj,down_proj`],
]) {
  for (const dtype of ['float32', 'bfloat16']) {
    for (const [batch, length, recompute] of [
      [4, 256, 0],
      [4, 256, 29],
      [1, 1024, 0],
      [8, 128, 0],
      [4, 512, 15],
      [1, 64, 0],
    ]) {
      const run = train([
        '--steps',
        1,
        '--warmup',
        1,
        '--dtype',
        dtype,
        '--batch',
        batch,
        '--seq',
        length,
        '--recompute',
        recompute,
        '--targets',
        names,
      ]);
      const cells = [
        targets,
        dtype,
        `${batch} x ${length}`,
        recompute,
        run.estimate_mb.toFixed(0),
        run.peak_rss_mb.toFixed(0),
        (run.estimate_mb / run.peak_rss_mb).toFixed(2),
        run.tokens_per_s.toFixed(0),
      ];
      console.log(`| ${cells.join(' | ')} |`);
    }
  }
}
