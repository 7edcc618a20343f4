import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { root } from './ours.mjs';

/**
 * The start of a run on real weights in a quantized file: from the start of the process to the
 * first step.
 */
export function realStart(base) {
  const dir = mkdtempSync(path.join(tmpdir(), 'lora-bench-'));
  try {
    writeFileSync(
      path.join(dir, 'lora.json'),
      JSON.stringify({
        base,
        dataset: path.join(root, 'examples', 'git-commands', 'train.jsonl'),
        validation_split: 0,
        lora: { r: 8, target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] },
        training: { max_steps: 1 },
        samples: { sample_steps: 0 },
      }),
    );
    const run = path.join(dir, 'run');
    const start = Date.now();
    execFileSync(
      process.execPath,
      [path.join(root, 'dist', 'cli.js'), 'train', path.join(dir, 'lora.json'), '--run-dir', run],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    return {
      start_s:
        (Date.parse(JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8')).started) - start) /
        1000,
    };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
