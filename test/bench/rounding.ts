/**
 * What rounded products cost: the divergence of the next token's distribution from that of exact
 * ones, and how often the most likely token is the same, over a text. One line of JSON.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { openBase } from '../../src/formats/openBase';
import { loadModel } from '../../src/models/loadModel';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { TfBinding } from '../../src/models/ops/tfBinding';

const { values: args } = parseArgs({
  options: {
    tfjs: { type: 'string' },
    base: { type: 'string' },
    text: { type: 'string' },
    tokens: { type: 'string', default: '400' },
  },
});

function softmax(logits: Float32Array): Float64Array {
  const top = logits.reduce((best, z) => Math.max(best, z), -Infinity);
  const p = Float64Array.from(logits, (z) => Math.exp(z - top));
  const sum = p.reduce((a, b) => a + b);
  return p.map((own) => own / sum);
}

const largest = (p: Float64Array) => p.reduce((best, own, i) => (own > p[best]! ? i : best), 0);

async function main(): Promise<void> {
  const tf = createRequire(__filename)(args.tfjs!) as { backend(): { binding: TfBinding } };
  const base = await openBase(args.base!);
  const tokenizer = createTokenizer(await base.readTokenizer());
  const ids = tokenizer.encode(readFileSync(args.text!, 'utf8'), false);
  const count = Math.min(Number(args.tokens), ids.length - 1);
  const ops = new TensorFlowOps(tf.backend().binding);
  const options = { ops, base_dtype: 'float32', quantized: true } as const;
  const model = await loadModel(base, EMPTY_ADAPTER, options);
  const decoders = [model.decoder('exact'), model.decoder('rounded')];
  const sequences = decoders.map((decoder) => decoder.open());
  for (const [i, decoder] of decoders.entries())
    await decoder.read(sequences[i]!, Int32Array.of(ids[0]!), { isLast: true });
  const divergences: number[] = [];
  let same = 0;
  const losses = [0, 0];
  for (let at = 1; at < count; at++) {
    const pair: Float64Array[] = [];
    for (const [i, decoder] of decoders.entries())
      pair[i] = softmax((await decoder.step([sequences[i]!], [ids[at]!]))[0]!.logits);
    const [exact, rounded] = pair as [Float64Array, Float64Array];
    divergences.push(exact.reduce((sum, own, i) => sum + own * Math.log(own / rounded[i]!), 0));
    same += largest(exact) === largest(rounded) ? 1 : 0;
    pair.forEach((own, i) => (losses[i]! -= Math.log(own[ids[at + 1]!]!)));
  }
  const n = divergences.length;
  console.log(
    JSON.stringify({
      tokens: n,
      kl: divergences.reduce((a, b) => a + b) / n,
      most: Math.max(...divergences),
      same: same / n,
      losses: losses.map((sum) => sum / n),
    }),
  );
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
