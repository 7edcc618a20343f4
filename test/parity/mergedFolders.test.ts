import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { mergeModel } from '../../src/engine/merge/mergeModel';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { PLAIN_MERGE } from '../support/mergeOptions';
import { PEFT_CASES } from '../support/peftCases';
import { expectLogits } from '../support/peftChecks';
import {
  caseInput,
  fixtures,
  readFloats,
  readJson,
  tensorFlowOps,
  withBase,
  type SingleCase,
} from '../support/models';
import { temp } from '../support/temp';

/** In bf16, whose rounding test/parity/merge.test.ts compares bit for bit. */
const ROUNDED = 'llama-sharded';

/** The last adapter of each base: mostly that of the most modules. */
const ONE_OF_EACH = [
  ...new Map(PEFT_CASES.map((name) => [name.split('/')[0]!, name])).values(),
].filter((name) => !name.startsWith(ROUNDED));

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

describe('a merged folder', () => {
  it.each(ONE_OF_EACH)('has the logits of the adapted model: %s', async (name) => {
    const output = path.join(temp(), 'merged');
    const base = path.join(fixtures, name.split('/')[0]!, 'base');
    const adapters = [path.join(fixtures, name, 'adapter')];
    await mergeModel({ base, adapters, output, ...PLAIN_MERGE });
    const expected = readJson(name, 'expected.json') as SingleCase;
    const want = await readFloats(name, 'expected.safetensors');
    const input = caseInput(name, expected, want);
    await withBase(output, async (merged) => {
      expect(merged.missing).toEqual([]);
      const model = await loadModel(merged, EMPTY_ADAPTER, { ops });
      const logits = await model.logits(input);
      model.dispose();
      expectLogits(logits, want.get('adapter.logits')!, input);
    });
  });
});
