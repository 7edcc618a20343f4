import path from 'node:path';
import type { AdapterMix } from '../servedModels';
import { ApiError } from './apiError';

/** The base without adapters. */
const BASE = 'base';

/** Folders of a run, whose own names say nothing. */
const UNNAMED = /^(?:adapter|best|step-\d+|checkpoints)$/;

/**
 * The names of adapters by their paths: that of the folder or file, or of the run that it is in.
 * Names that are there already end with a number.
 */
export function adapterNames(paths: readonly string[]): readonly string[] {
  const names: string[] = [];
  for (const own of paths) {
    const plain = nameOf(path.resolve(own));
    let name = plain;
    for (let i = 2; names.includes(name); i++) name = `${plain}-${i}`;
    names.push(name);
  }
  return names;
}

function nameOf(file: string): string {
  const name = path.basename(file).replace(/\.(?:safetensors|gguf)$/, '');
  const parent = path.dirname(file);
  if (UNNAMED.test(name) && parent !== file) return nameOf(parent);
  return name.replaceAll(/[^\w.-]+/g, '-') || 'adapter';
}

/** The models that are offered by name: the base, and the base with each adapter. */
export const modelIds = (adapters: readonly string[]): readonly string[] => [
  BASE,
  ...adapters.map((name) => `${BASE}+${name}`),
];

/**
 * The adapters of a model such as base+git-commands:0.5+style. Scales are 1 where none is given.
 *
 * @throws ApiError
 */
export function mixOf(model: string, adapters: readonly string[]): AdapterMix {
  const [base, ...parts] = model.split('+');
  const mix = parts.map((part) => {
    const { name, scale = '1' } =
      /^(?<name>[^:]*)(?::(?<scale>\d+\.?\d*|\.\d+))?$/.exec(part)?.groups ?? {};
    return { adapter: adapters.indexOf(name ?? ''), scale: Number(scale) };
  });
  const isKnown = base === BASE && mix.every(({ adapter, scale }) => adapter >= 0 && scale < 1e6);
  if (!isKnown) throw unknownModel(model, adapters);
  if (new Set(mix.map(({ adapter }) => adapter)).size < mix.length)
    throw new ApiError(400, `The model ${JSON.stringify(model)} has an adapter twice.`, {
      param: 'model',
    });
  return mix.sort((a, b) => a.adapter - b.adapter);
}

const unknownModel = (model: string, adapters: readonly string[]): ApiError =>
  new ApiError(
    404,
    `The model ${JSON.stringify(model.slice(0, 200))} does not exist: there are ${modelIds(adapters).slice(0, 20).join(', ')}, and sums such as base+NAME:0.5.`,
    { param: 'model', code: 'model_not_found' },
  );
