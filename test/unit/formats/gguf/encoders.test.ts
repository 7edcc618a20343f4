import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openBase } from '../../../../src/formats/openBase';
import type { ReadSpecOptions } from '../../../../src/formats/architecture/readSpec';
import { LoraError } from '../../../../src/shared/errors';
import { encoderGguf } from '../../../support/ggufEncoders';
import type { GgufParts } from '../../../support/ggufFixture';
import { ggufBytes, type Value } from '../../../support/ggufWriter';
import { fixtures } from '../../../support/models';

const folder = mkdtempSync(path.join(tmpdir(), 'lora-gguf-encoders-'));
const file = path.join(folder, 'encoder.gguf');
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const baseOf = (name: string): string => path.join(fixtures, name, 'base');

const write = ({ metadata, tensors }: GgufParts): string => {
  writeFileSync(file, ggufBytes(metadata, tensors));
  return file;
};

const withValue = (parts: GgufParts, key: string, value: Value): GgufParts => ({
  ...parts,
  metadata: [...parts.metadata.filter(([name]) => name !== key), [key, value]],
});

async function refusal(parts: GgufParts, options: ReadSpecOptions = {}): Promise<LoraError> {
  const error: unknown = await openBase(write(parts), options).then(
    (base) => base.close(),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(LoraError);
  return error as LoraError;
}

/** The positions that RoBERTa has for padding are never used, and are zeros in a GGUF file. */
function withoutPadding(name: string, data: Float32Array, width: number): Float32Array {
  const isPositions = name.endsWith('position_embeddings.weight');
  return isPositions ? Float32Array.from(data).fill(0, 0, 2 * width) : data;
}

async function expectSame(name: string, labels: boolean): Promise<void> {
  const task = labels ? 'seq_cls' : 'embedding';
  const gguf = await openBase(write(await encoderGguf(baseOf(name), labels)));
  const original = await openBase(baseOf(name), { task });
  expect(gguf.spec).toEqual(original.spec);
  expect(gguf.missing).toEqual([]);
  const isRoberta = gguf.spec.family.endsWith('roberta');
  for (const [own, { shape }] of gguf.weights.tensors) {
    const stored = await original.weights.readF32(own);
    expect(shape, own).toEqual(original.weights.tensors.get(own)?.shape);
    const want = isRoberta ? withoutPadding(own, stored, shape[1] ?? 1) : stored;
    expect(await gguf.weights.readF32(own), own).toEqual(want);
  }
  await Promise.all([gguf.close(), original.close()]);
}

describe('a GGUF file of an encoder', () => {
  it.each(['roberta', 'xlm-roberta', 'distilbert', 'modernbert'])(
    'is the encoder of the Hugging Face folder: %s',
    (name) => expectSame(name, false),
  );

  it.each(['bert', 'roberta', 'xlm-roberta', 'modernbert'])(
    'is a classifier with the layers for labels: %s',
    async (name) => {
      await expectSame(name, true);
      const base = await openBase(file);
      expect(base.config).toMatchObject({ id2label: { 0: 'no', 1: 'maybe', 2: 'yes' } });
      expect(base.config['architectures']).toEqual([
        expect.stringMatching(/ForSequenceClassification$/),
      ]);
      await base.close();
    },
  );

  it('has no padding with another id than 1 in RoBERTa', async () => {
    const parts = await encoderGguf(baseOf('roberta'));
    const key = 'tokenizer.ggml.padding_token_id';
    const { message, place } = await refusal(withValue(parts, key, { u32: 0 }));
    expect(message).toMatch(/The padding has the id 0, not 1/);
    expect(place).toEqual({ file, key });
  });

  it.each<[string, Value, RegExp]>([
    ['modern-bert.pooling_type', { u32: 2 }, /not the mean of all tokens/],
    ['modern-bert.attention.causal', { bool: true }, /causal attention/],
    ['modern-bert.hidden_activation', { text: 'relu' }, /activation "relu" is not supported/],
  ])('is refused with %s %j', async (key, value, reason) => {
    const parts = await encoderGguf(baseOf('modernbert'));
    const { message, place } = await refusal(withValue(parts, key, value));
    expect(message).toMatch(reason);
    expect(place?.key).toBe(key);
  });

  it('has windows where a list says so', async () => {
    const parts = await encoderGguf(baseOf('modernbert'));
    const key = 'modern-bert.attention.sliding_window_pattern';
    const isLocal = [true, false, false, true];
    const base = await openBase(write(withValue(parts, key, { bools: isLocal })));
    expect(base.spec.layers.map(({ attention }) => attention.window !== null)).toEqual(isLocal);
    await base.close();
  });
});

describe('layers for labels in a GGUF file', () => {
  it('are refused for DistilBERT, whose activation llama.cpp lacks', async () => {
    const { message, place } = await refusal(await encoderGguf(baseOf('distilbert'), true));
    expect(message).toMatch(/a classifier, which is not supported: .*DistilBERT has ReLU/);
    expect(place?.tensor).toMatch(/^cls\./);
  });

  it('are refused for BERT without its pooler, which the converter leaves out', async () => {
    const { metadata, tensors } = await encoderGguf(baseOf('bert'), true);
    const rest = tensors.filter(({ name }) => !/^cls\.(?:weight|bias)$/.test(name));
    const { message, place } = await refusal({ metadata, tensors: rest });
    expect(message).toMatch(/one of its layers is missing/);
    expect(place?.tensor).toBe('cls.weight');
  });

  it('are not read for sentence embeddings, nor with other labels than are named', async () => {
    const parts = await encoderGguf(baseOf('roberta'), true);
    const { message } = await refusal(parts, { task: 'embedding' });
    expect(message).toMatch(/has no layers for the task "embedding", only for: seq_cls/);
    const key = 'bert.classifier.output_labels';
    const other = await refusal(withValue(parts, key, { texts: ['a', 'b'] }));
    expect(other.message).toBe('The file names 2 labels, and has 3.');
  });

  it('have the pooling that the file names for ModernBERT', async () => {
    const parts = await encoderGguf(baseOf('modernbert'), true);
    const key = 'modern-bert.classifier.pooling_type';
    const base = await openBase(write(withValue(parts, key, { u32: 2 })));
    expect(base.spec.head).toMatchObject({ kind: 'labels', pool: 'first' });
    await base.close();
    const { message } = await refusal(withValue(parts, key, { u32: 3 }));
    expect(message).toBe('The pooling 3 of the classifier is not supported.');
  });
});
