import { copyFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { LoraError } from '../../src/shared/errors';
import { createRandom } from '../../src/shared/random';
import { readers } from './readers';

const INPUTS = Number(process.env['FUZZ_INPUTS'] ?? 10_000);
/** Only the readers whose names contain it. */
const ONLY = process.env['FUZZ_ONLY'] ?? '';
const SEED = Number(process.env['FUZZ_SEED'] ?? 1);
const SLOWEST_MS = 5_000;
const MOST_BYTES = 1.5e9;

it(
  `gives a result or a LoraError for ${INPUTS} damaged files`,
  async () => {
    const root = mkdtempSync(path.join(tmpdir(), 'lora-fuzz-'));
    const all = (await readers(root)).filter(({ name }) => name.includes(ONLY));
    for (const { name, read } of all)
      await expect(read(), `${name} as it should be`).resolves.toBeUndefined();
    const outcomes = new Map(all.map(({ name }) => [name, { read: 0, refused: 0 }]));
    const faults: string[] = [];
    for (let n = 0; n < INPUTS && faults.length < 20; n++) {
      const own = all[n % all.length]!;
      const file = own.spoil(createRandom(SEED, 'fuzz', n));
      const start = performance.now();
      const fault = await Promise.resolve()
        .then(() => own.read())
        .then(
          () => {
            outcomes.get(own.name)!.read++;
            return null;
          },
          (error: unknown) => {
            outcomes.get(own.name)!.refused++;
            if (error instanceof LoraError)
              return error.message.length > 10 ? null : `says only ${error.message}`;
            return error instanceof Error
              ? (error.stack ?? error.message).split('\n').slice(0, 4).join(' ')
              : String(error);
          },
        );
      const seconds = performance.now() - start;
      const slow = seconds > SLOWEST_MS ? `took ${Math.round(seconds)} ms` : null;
      if (fault ?? slow) {
        const kept = path.join(root, `fault-${n}-${path.basename(file)}`);
        copyFileSync(file, kept);
        faults.push(`${own.name}, seed ${SEED}, input ${n}, kept as ${kept}: ${fault ?? slow!}`);
      }
      own.restore();
    }
    expect(faults).toEqual([]);
    expect(1024 * process.resourceUsage().maxRSS).toBeLessThan(MOST_BYTES);
    if (INPUTS >= 10_000)
      for (const [name, { read, refused }] of outcomes)
        expect([name, refused > 20, read + refused > 100]).toEqual([name, true, true]);
  },
  Math.max(120_000, INPUTS * 30),
);
