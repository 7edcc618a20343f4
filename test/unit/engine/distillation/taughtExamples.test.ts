import { describe, expect, it } from 'vitest';
import { collate } from '../../../../src/data/examples/batch';
import { examplesOf } from '../../../../src/data/examples/examples';
import type { Example, TokenExample, TokensExample } from '../../../../src/data/examples/example';
import { TaughtExamples, targetsIn } from '../../../../src/engine/distillation/taughtExamples';
import {
  TeacherFile,
  writeTeacherFile,
  type TeacherFileFacts,
} from '../../../../src/engine/distillation/teacherFile';
import type { LabelledInput } from '../../../../src/models/model';
import { temp } from '../../../support/temp';

/** A row of as many tokens, whose first two have no label. */
const rowOf = (length: number, first = 10): TokensExample => ({
  kind: 'tokens',
  line: 1,
  input_ids: Int32Array.from({ length }, (_, i) => first + i),
  labels: Int32Array.from({ length }, (_, i) => (i < 2 ? -100 : first + i)),
});

const SETTINGS = { temperature: 1, kd_ratio: 0.5, top_k: 2 };

/** Says of each labelled token that it is the most probable one, and the one after it. */
const teacher = {
  topTokens: ({ labels, batch, length }: LabelledInput) => {
    const own = Array.from({ length: batch }, (_, row) =>
      Array.from(labels.subarray(row * length + 1, (row + 1) * length)),
    )
      .flat()
      .filter((label) => label !== -100);
    return Promise.resolve({
      ids: Int32Array.from(own.flatMap((label) => [label, label + 1])),
      logps: Float32Array.from(own.flatMap((label) => [-1 / label, -2])),
    });
  },
};

const taught = (train: Example[], validation: Example[] = []): TaughtExamples =>
  new TaughtExamples({
    train: examplesOf(train),
    validation: examplesOf(validation),
    collate: (examples) => Promise.resolve(collate(examples as TokenExample[], 0)),
  });

async function written(examples: TaughtExamples, change: Partial<TeacherFileFacts> = {}) {
  const folder = temp();
  const facts = {
    fingerprint: 'own',
    tokens: examples.tokens,
    top_k: 2,
    vocab_size: 1000,
    ...change,
  };
  const progress: number[] = [];
  await writeTeacherFile(folder, facts, (part) =>
    examples.measure(part, teacher, SETTINGS, (done) => progress.push(done)),
  );
  return { folder, facts, progress };
}

describe('targetsIn', () => {
  it('counts the tokens that are predicted', () => {
    expect(targetsIn(rowOf(6))).toBe(4);
    const all = { ...rowOf(3), labels: Int32Array.of(1, 2, 3) };
    expect(targetsIn(all)).toBe(2);
    expect(targetsIn({ kind: 'packed', parts: [all, rowOf(6)] })).toBe(6);
  });
});

describe('what a teacher says', () => {
  const rows = Array.from({ length: 70 }, (_, i) => rowOf(3 + ((7 * i) % 20), 10 * (i + 1)));

  it('is written in the order of the examples, and read for each of them', async () => {
    const examples = taught(rows, [rowOf(5)]);
    const { folder, facts, progress } = await written(examples);
    const file = (await TeacherFile.open(folder, facts))!;
    for (const index of [0, 5, 33, 69]) {
      const { teacher: found } = await examples.batch('train', [index], {
        file,
        settings: SETTINGS,
      });
      const labels = Array.from(rows[index]!.labels.subarray(2));
      expect(found!.ids).toEqual(Int32Array.from(labels.flatMap((label) => [label, label + 1])));
      expect(found!.logps[0]).toBeCloseTo(-1 / labels[0]!, 6);
    }
    const two = await examples.batch('train', [9, 2], { file, settings: SETTINGS });
    expect(two.teacher!.ids).toHaveLength(2 * (targetsIn(rows[9]!) + targetsIn(rows[2]!)));
    expect(two.teacher!.ids[0]).toBe(rows[9]!.labels[2]);
    expect(progress.at(-1)).toBe(1);
    await file.close();
  });

  it('is made again where it is of something else', async () => {
    const { folder, facts } = await written(taught(rows));
    const openedWith = async (change: Partial<TeacherFileFacts>) => {
      const file = await TeacherFile.open(folder, { ...facts, ...change });
      await file?.close();
      return file !== null;
    };
    expect(await openedWith({})).toBe(true);
    expect(await openedWith({ fingerprint: 'other' })).toBe(false);
    expect(await openedWith({ top_k: 3 })).toBe(false);
    expect(await openedWith({ tokens: { train: 3, validation: 0 } })).toBe(false);
    expect(await openedWith({ tokens: { ...facts.tokens, validation: 1 } })).toBe(false);
    expect(await TeacherFile.open(temp(), facts)).toBeNull();
  });

  it('is refused where it names tokens that do not exist', async () => {
    const { folder, facts } = await written(taught([rowOf(6)]), { vocab_size: 12 });
    const file = (await TeacherFile.open(folder, facts))!;
    await expect(file.read('train', 0, 4)).rejects.toThrow(/damaged/);
    await file.close();
  });
});
