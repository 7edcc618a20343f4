import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import type { BaseModel } from '../../src/formats/baseModel';
import { openBase } from '../../src/formats/openBase';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { loadModel } from '../../src/models/loadModel';
import { asGguf, vocabularyOf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';
import { fixtures, gap, readFloats, readJson, tensorFlowOps } from '../support/models';
import { minilmPath } from '../support/realModels';

interface Expected {
  readonly texts: readonly { readonly text: string; readonly ids: readonly number[] }[];
}

const { texts } = readJson('real/minilm/expected.json') as Expected;
const folder = mkdtempSync(path.join(tmpdir(), 'lora-gguf-bert-'));

describe('a GGUF file of all-MiniLM-L6-v2', () => {
  let base: BaseModel;
  beforeAll(async () => {
    const source = await minilmPath();
    const { metadata, tensors } = await asGguf(source, 'bert');
    const file = path.join(folder, 'minilm.gguf');
    writeFileSync(file, ggufBytes([...metadata, ...vocabularyOf(source)], tensors));
    base = await openBase(file);
  });
  afterAll(async () => {
    await base.close();
    rmSync(folder, { recursive: true });
  });

  it('has the ids of its tokenizer', async () => {
    const tokenizer = createTokenizer(await base.readTokenizer());
    for (const { text, ids } of texts) expect(tokenizer.encode(text)).toEqual(ids);
  });

  it.each([
    ['base', null],
    ['adapter', 'real/minilm/adapter'],
  ] as const)('has the embeddings of transformers and PEFT: %s', async (name, adapterOf) => {
    const want = (await readFloats('real/minilm/expected.safetensors')).get(`${name}.embeddings`)!;
    const adapter =
      adapterOf === null
        ? EMPTY_ADAPTER
        : (await readPeftAdapter(path.join(fixtures, adapterOf), adapterBaseOf(base))).adapter;
    const model = await loadModel(base, adapter, { ops: await tensorFlowOps() });
    for (const [i, { ids }] of texts.entries()) {
      const input_ids = Int32Array.from(ids);
      const have = await model.logits({
        batch: 1,
        length: ids.length,
        input_ids,
        attention_mask: input_ids.map(() => 1),
      });
      expect(gap(have, want.subarray(i * 384, (i + 1) * 384))).toBeLessThanOrEqual(1e-5);
    }
    model.dispose();
  });
});
