import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyFileSync } from 'node:fs';
import path from 'node:path';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { openBase } from '../../src/formats/openBase';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import type { BaseModel } from '../../src/formats/baseModel';
import { loadModel } from '../../src/models/loadModel';
import type { ModelInput } from '../../src/models/model';
import { fixtures, gap, tensorFlowOps, readFloats, readJson, type Floats } from '../support/models';
import { minilmPath } from '../support/realModels';
import { cli, editJson, metricsOf, tempFolder, train } from '../support/commandLine';

interface Expected {
  readonly texts: readonly { readonly text: string; readonly ids: readonly number[] }[];
}

const { texts } = readJson('real/minilm/expected.json') as Expected;

/** All rows as one batch, padded on the right. */
function batchOf(rows: readonly (readonly number[])[]): ModelInput {
  const length = Math.max(...rows.map((row) => row.length));
  const filled = (row: readonly number[], value: (id: number) => number) =>
    Array.from({ length }, (_, i) => (i < row.length ? value(row[i]!) : 0));
  return {
    batch: rows.length,
    length,
    input_ids: Int32Array.from(rows.flatMap((row) => filled(row, (id) => id))),
    attention_mask: Int32Array.from(rows.flatMap((row) => filled(row, () => 1))),
  };
}

describe('all-MiniLM-L6-v2', () => {
  let base: BaseModel;
  let want: Floats;
  beforeAll(async () => {
    base = await openBase(await minilmPath());
    want = await readFloats('real/minilm/expected.safetensors');
  });
  afterAll(() => base.close());

  it('produces the reference ids, ignoring the padding and truncation of its tokenizer.json', async () => {
    const tokenizer = createTokenizer(await base.readTokenizer());
    for (const { text, ids } of texts) expect(tokenizer.encode(text)).toEqual(ids);
  });

  it.each([
    ['base', null],
    ['adapter', 'real/minilm/adapter'],
  ] as const)('computes the embeddings of transformers and PEFT: %s', async (name, folder) => {
    const adapter =
      folder === null
        ? EMPTY_ADAPTER
        : (await readPeftAdapter(path.join(fixtures, folder), adapterBaseOf(base))).adapter;
    const model = await loadModel(base, adapter, { ops: await tensorFlowOps() });
    const together = await model.logits(batchOf(texts.map((t) => t.ids)));
    expect(gap(together, want.get(`${name}.embeddings`)!)).toBeLessThanOrEqual(1e-5);
    const alone = await model.logits(batchOf([texts[1]!.ids]));
    expect(gap(alone, want.get(`${name}.embeddings`)!.subarray(384, 768))).toBeLessThanOrEqual(
      1e-5,
    );
    model.dispose();
  });
});

it('learns to classify from 200 texts and evaluates the same from the written adapter', async () => {
  const example = path.resolve(import.meta.dirname, '../../examples/text-classification');
  const folder = tempFolder();
  for (const file of ['train.jsonl', 'validation.jsonl', 'lora.json'])
    copyFileSync(path.join(example, file), path.join(folder, file));
  editJson(path.join(folder, 'lora.json'), { base: await minilmPath() });
  const runDir = await train(path.join(folder, 'lora.json'));
  const evals = metricsOf(runDir).filter((line) => line.kind === 'eval');
  expect(evals[0]!.scores!.accuracy).toBeLessThan(0.5);
  expect(evals.at(-1)!.scores!.accuracy).toBeGreaterThanOrEqual(0.9);
  const heldOut = path.join(folder, 'validation.jsonl');
  const { stdout } = await cli(
    'evaluate',
    '--base',
    await minilmPath(),
    '--adapter',
    path.join(runDir, 'adapter'),
    '--dataset',
    heldOut,
    '--json',
  );
  expect(JSON.parse(stdout)).toMatchObject({
    accuracy: evals.at(-1)!.scores!.accuracy,
    labels: ['account', 'billing', 'delivery', 'technical'],
  });
});
