import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { crc32c, maskedCrc32c } from '../../../src/formats/tensorboard/crc32c';
import {
  readEvents,
  restartEvent,
  scalarsEvent,
  textEvent,
  versionEvent,
} from '../../../src/formats/tensorboard/events';
import { createRandom } from '../../../src/shared/random';
import { readFields } from '../../../src/formats/tensorboard/protobuf';
import { readRecords, recordOf } from '../../../src/formats/tensorboard/records';

const FIXTURE = path.resolve(
  import.meta.dirname,
  '../../fixtures/trackers/events.out.tfevents.1.host',
);

describe('the checksum of records', () => {
  it('is CRC-32C, masked as TFRecord does', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    // by TensorBoard's own masked_crc32c
    expect(maskedCrc32c(Buffer.from('123456789'))).toBe(3347755237);
  });
});

describe('event files', () => {
  it('are read as TensorBoard writes them, without what a restart made void', () => {
    const { scalars, isEventFile, isDamaged } = readEvents(readFileSync(FIXTURE));
    expect([isEventFile, isDamaged]).toEqual([true, false]);
    const of = (tag: string) =>
      scalars.filter((own) => own.tag === tag).map(({ step, value }) => [step, value]);
    expect(of('train/loss')).toEqual([
      [1, 3],
      [2, 1.5],
      [3, 1],
      [4, 0.5],
    ]);
    expect(of('eval/loss')).toEqual([[2, 2]]);
    expect(scalars[0]?.wall_time).toBe(1001);
  });

  it('are written as they are read', () => {
    const file = Buffer.concat([
      versionEvent(10),
      scalarsEvent({ wall_time: 11, step: 1 }, { 'train/loss': 2.5, 'train/é': NaN }),
      textEvent({ wall_time: 11, step: 0 }, 'recipe', '# text'),
      scalarsEvent({ wall_time: 12, step: 300 }, { 'train/loss': 0.5 }),
      restartEvent({ wall_time: 13, step: 300 }),
      scalarsEvent({ wall_time: 14, step: 300 }, { 'train/loss': 0.25 }),
    ]);
    expect(readEvents(file)).toEqual({
      isEventFile: true,
      isDamaged: false,
      scalars: [
        { wall_time: 11, step: 1, tag: 'train/loss', value: 2.5 },
        { wall_time: 11, step: 1, tag: 'train/é', value: NaN },
        { wall_time: 14, step: 300, tag: 'train/loss', value: 0.25 },
      ],
    });
  });

  it('give what precedes a cut or a wrong byte', () => {
    const [first, second] = [recordOf(Buffer.from('first')), recordOf(Buffer.from('second'))];
    const file = Buffer.concat([first, second]);
    for (let end = first.length; end < file.length; end++)
      expect(readRecords(file.subarray(0, end)).records).toHaveLength(1);
    const wrong = Buffer.from(file);
    wrong[first.length + 13]! ^= 1;
    expect(readRecords(wrong)).toMatchObject({ records: [Buffer.from('first')], isDamaged: true });
  });

  it('of strangers are read without harm', () => {
    const huge = Buffer.alloc(12, 0xff);
    expect(readRecords(huge)).toMatchObject({ records: [], isDamaged: true });
    const header = recordOf(Buffer.alloc(0)).subarray(0, 12);
    expect(readRecords(header)).toMatchObject({ records: [], isCut: true });
    for (const bytes of [[0xff], [0x0a, 0xff], [0x07], [0x0a, 0x7f, 0x00]])
      expect(readFields(Buffer.from(bytes))).toBeNull();
    expect(readEvents(recordOf(Buffer.from([0x2a, 0x02, 0x0a, 0x00])))).toEqual({
      scalars: [],
      isEventFile: false,
      isDamaged: false,
    });
  });

  it('are refused where a part would be left out', () => {
    const record = recordOf(Buffer.alloc(0));
    expect(() => readRecords(Buffer.alloc(1_000_001 * record.length, record))).toThrow(
      'more than 1000000 records',
    );
    const fields = Buffer.alloc(200_002, Buffer.from([0x08, 0x00]));
    expect(() => readFields(fields)).toThrow('more than 100000 values in a record');
  });

  it('with restarts lose what each of them made void, in one pass', () => {
    const scalar = (step: number) => scalarsEvent({ wall_time: 1, step }, { loss: step });
    const restart = (step: number) => restartEvent({ wall_time: 1, step });
    const steps = (...parts: readonly Buffer[]) =>
      readEvents(Buffer.concat(parts)).scalars.map(({ step }) => step);
    expect(
      steps(
        ...[scalar(1), scalar(2), scalar(3), restart(3), scalar(3), scalar(4), scalar(5)],
        ...[restart(2), scalar(2), restart(9), scalar(1)],
      ),
    ).toEqual([1, 2, 1]);
    const many = 40_000;
    const [kept, again] = [scalar(1), restart(2)];
    const hostile = [kept, again].map((own) => Buffer.alloc(many * own.length, own));
    expect(steps(...hostile)).toHaveLength(many);
  });

  it('with any bytes changed are read up to there, or not at all', () => {
    const file = readFileSync(FIXTURE);
    const random = createRandom(1, 'events');
    for (let i = 0; i < 2000; i++) {
      const changed = Buffer.from(file.subarray(0, Math.ceil(random() * file.length)));
      for (let k = 0; k < 3; k++)
        changed[Math.floor(random() * changed.length)] = Math.floor(random() * 256);
      expect(readEvents(changed).scalars.length).toBeLessThanOrEqual(8);
      const message = changed.subarray(12);
      expect(readEvents(recordOf(message)).scalars.length).toBeLessThanOrEqual(8);
    }
  });
});
