import { copyFileSync, cpSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  fixtures,
  makeRecipe,
  resumedBefore,
  tempFolder,
  train,
  weightsOf,
} from '../support/commandLine';
import { tensorsIn } from '../support/conversions';

const folder = path.join(fixtures, 'vision-language');
const MODELS = readdirSync(folder).filter((name) => !name.includes('.'));

/** The base of a fixture, with a tokenizer. */
function baseOf(name: string): string {
  const base = path.join(tempFolder(), name);
  cpSync(path.join(folder, name, 'base'), base, { recursive: true });
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(path.join(fixtures, 'llama/base', file), path.join(base, file));
  return base;
}

async function namesAndShapes(adapter: string): Promise<[string, readonly number[]][]> {
  const tensors = await tensorsIn(path.join(adapter, 'adapter_model.safetensors'));
  return [...tensors].map(([name, { shape }]): [string, readonly number[]] => [name, shape]).sort();
}

describe.each(MODELS)('a run on the language model of %s', (name) => {
  it('trains the modules that PEFT finds there, and resumes to the same bytes', async () => {
    const base = baseOf(name);
    const wanted = await namesAndShapes(path.join(folder, name, 'adapter'));
    const ends = wanted.map(([own]) => /([^.]+)\.lora_[AB]\.weight$/.exec(own)![1]!);
    const lora = { r: 2, target_modules: [...new Set(ends)] };
    const runDir = await train(makeRecipe({ top: { base }, lora }));
    const adapter = path.join(runDir, 'adapter');
    expect(await namesAndShapes(adapter)).toEqual(wanted);
    const { target_modules } = JSON.parse(
      readFileSync(path.join(adapter, 'adapter_config.json'), 'utf8'),
    ) as { target_modules: string[] };
    const modules = wanted.map(([own]) =>
      own.replace(/^base_model\.model\./, '').replace(/\.lora_[AB]\.weight$/, ''),
    );
    expect(target_modules.sort()).toEqual([...new Set(modules)].sort());
    expect(weightsOf(await resumedBefore(runDir, 12)).equals(weightsOf(runDir))).toBe(true);
  });
});
