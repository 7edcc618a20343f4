import { copyFileSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { LoraError } from '../../src/shared/errors';
import { createRandom } from '../../src/shared/random';
import { readerOf, type Reader, type ReaderCase } from './readerCase';
import { measured } from './usage';

/** How many inputs each reader gets, instead of the usual numbers. */
const INPUTS = process.env['FUZZ_INPUTS'];
/** Only the readers whose names contain it. */
const ONLY = process.env['FUZZ_ONLY'] ?? '';
const SEED = Number(process.env['FUZZ_SEED'] ?? 1);
const USUAL_INPUTS = 2_000;
/** What one input may use. */
const MOST_CPU_MS = 1_000;
const MOST_BYTES = 500e6;
const MOST_FAULTS = 20;

interface Outcome {
  refused: number;
  cpu: number;
  slowest: number;
  largest: number;
  readonly faults: string[];
}

/** Tests that each reader gives a result or a LoraError for damaged files, within the limits. */
export function fuzzCases(cases: readonly ReaderCase[]): void {
  const root = mkdtempSync(path.join(tmpdir(), 'lora-fuzz-'));
  describe.for(cases.filter(({ name }) => name.includes(ONLY)))('$name', (own) => {
    const inputs = Number(INPUTS ?? own.inputs ?? USUAL_INPUTS);
    it(
      `gives a result or a LoraError for ${inputs} damaged files`,
      async () => {
        const reader = readerOf(root, own);
        const before = openFiles();
        await expect(reader.read(), 'as it should be').resolves.toBeUndefined();
        const outcome: Outcome = { refused: 0, cpu: 0, slowest: 0, largest: 0, faults: [] };
        for (let n = 0; n < inputs && outcome.faults.length < MOST_FAULTS; n++)
          await tryInput(reader, { root, n }, outcome);
        const { refused, cpu, slowest, largest, faults } = outcome;
        if (INPUTS !== undefined)
          console.log(
            `${own.name}: ${refused} of ${inputs} refused; ${(cpu / inputs).toFixed(1)} ms, at most ${Math.round(slowest)} ms and ${Math.round(largest / 1e6)} MB`,
          );
        expect(faults).toEqual([]);
        expect(openFiles(), 'files that were not closed').toBeLessThanOrEqual(before);
        if (own.refuses === false) expect(refused).toBe(0);
        else if (inputs >= 200) expect(refused).toBeGreaterThan(inputs / 50);
      },
      Math.max(240_000, inputs * 100),
    );
  });
}

/** How many files the process has open; 0 where the system does not tell. */
const openFiles = (): number =>
  process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0;

async function tryInput(
  reader: Reader,
  { root, n }: { readonly root: string; readonly n: number },
  outcome: Outcome,
): Promise<void> {
  const file = reader.spoil(createRandom(SEED, reader.name, n));
  let fault: string | null = null;
  let isRefused = false as boolean;
  const read = () =>
    measured(async () => {
      try {
        await reader.read();
      } catch (error) {
        isRefused = true;
        fault = faultOf(error);
      }
    });
  const first = await read();
  // the first time may hold the collection of what earlier inputs left, and the compiler's work
  const { cpu, memory } = first.cpu > MOST_CPU_MS ? await read() : first;
  if (isRefused) outcome.refused++;
  outcome.cpu += cpu;
  outcome.slowest = Math.max(outcome.slowest, cpu);
  outcome.largest = Math.max(outcome.largest, memory);
  if (cpu > MOST_CPU_MS) fault ??= `took ${Math.round(cpu)} ms`;
  if (memory > MOST_BYTES) fault ??= `took ${Math.round(memory / 1e6)} MB`;
  if (fault === null) return;
  const kept = path.join(root, `fault-${n}-${path.basename(file)}`);
  copyFileSync(file, kept);
  outcome.faults.push(`${reader.name}, seed ${SEED}, input ${n}, kept as ${kept}: ${fault}`);
}

/** What is wrong with an error; null for a LoraError that says something. */
function faultOf(error: unknown): string | null {
  if (error instanceof LoraError)
    return error.message.length > 10 ? null : `says only ${error.message}`;
  return error instanceof Error
    ? (error.stack ?? error.message).split('\n').slice(0, 4).join(' ')
    : String(error);
}
