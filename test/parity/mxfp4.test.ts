import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import {
  fixtures,
  gap,
  inputOf,
  largest,
  loadFixture,
  readFloats,
  readJson,
  tensorFlowOps,
  withBase,
  type SingleCase,
} from '../support/models';

const folder = path.join(fixtures, 'gpt_oss-mxfp4/base');

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

describe('experts packed in MXFP4', () => {
  it('are the numbers that transformers reads', async () => {
    const want = await readFloats('gpt_oss-mxfp4', 'unpacked.safetensors');
    await withBase(folder, async (base) => {
      for (const [name, whole] of want) {
        const [, module, parameter] = /^(.+\.experts)\.(\w+)$/.exec(name)!;
        for (let expert = 0; expert < 3; expert++) {
          const part = `${module!}.${expert}.${parameter!}.weight`;
          const [rows, width] = base.weights.tensors.get(part)!.shape as [number, number];
          const have = await base.weights.readF32(part);
          const own = whole.subarray(expert * rows * width, (expert + 1) * rows * width);
          expect(have, part).toEqual(
            have.map((_, i) => own[(i % width) * rows + Math.floor(i / width)]!),
          );
        }
      }
    });
  });

  it.each([false, true])('give the same logits, kept in blocks: %s', async (quantized) => {
    const { inputs } = readJson('gpt_oss-mxfp4', 'expected.json') as SingleCase;
    const want = (await readFloats('gpt_oss-mxfp4', 'expected.safetensors')).get('base.logits')!;
    const model = await loadFixture(ops, 'gpt_oss-mxfp4/base', null, { quantized });
    const have = await model.logits(inputOf(inputs));
    expect(gap(have, want)).toBeLessThanOrEqual(5e-5 * Math.max(1, largest(want)));
    model.dispose();
  });

  it('are refused where the config does not tell of them', async () => {
    const copy = mkdtempSync(path.join(tmpdir(), 'lora-mxfp4-'));
    cpSync(folder, copy, { recursive: true });
    const config = path.join(copy, 'config.json');
    const own = JSON.parse(readFileSync(config, 'utf8')) as Record<string, unknown>;
    delete own['quantization_config'];
    writeFileSync(config, JSON.stringify(own));
    await expect(openBase(copy)).rejects.toThrow('The weights are quantised');
  });
});
