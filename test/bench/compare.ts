/**
 * Compares two adapters on all linear layers of SmolLM2-135M: milliseconds of each round, as JSON.
 * Arguments: path of the model, rounds.
 */
import { openBase, targetableModules } from '../../src/formats/openBase';
import { compareAdapters } from '../../src/lora/compare';
import { newAdapter, PLAIN_LORA } from '../../src/lora/newAdapter';
import { matchTargets } from '../../src/lora/targets';
import type { Adapter } from '../../src/lora/adapter';

async function main([file, rounds]: readonly string[]): Promise<void> {
  const base = await openBase(file!);
  const modules = matchTargets(targetableModules(base), { target_modules: 'all-linear' }).matched;
  await base.close();
  const make = (seed: number): Adapter => {
    const plain = newAdapter(
      modules,
      { ...PLAIN_LORA, r: 8, lora_alpha: 16, target_modules: 'all-linear' },
      'base',
      { seed },
    );
    return {
      ...plain,
      modules: plain.modules.map((m, i) => ({
        ...m,
        B: m.B.map((_, j) => Math.sin(seed * j + i)),
      })),
    };
  };
  const [a, b] = [make(1), make(2)];
  const times = Array.from({ length: Number(rounds) }, () => {
    const start = performance.now();
    compareAdapters(a, b);
    return performance.now() - start;
  });
  console.log(JSON.stringify({ modules: modules.length, times }));
}

void main(process.argv.slice(2));
