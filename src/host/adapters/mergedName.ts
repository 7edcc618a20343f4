import path from 'node:path';
import { hubNameOfPath } from '../../formats/hub/hubName';
import type { RunStore } from '../runs/runStore';
import { adapterName, runOfAdapter } from './adapterNames';

/** How a file's name says the type of its weights: -Q4_1, .F16, -IQ4_XS. */
const TYPE = /[-._](?:i?q\d\w*|bf16|f16|f32|fp16)$/i;

/** The name of a model in the names of files that are made from it. */
export function modelStem(base: string): string {
  const hub = hubNameOfPath(base);
  const name = /\.(?:gguf|safetensors)$/.test(base) || hub === null ? path.basename(base) : hub;
  return path.posix
    .basename(name)
    .replace(/\.(?:gguf|safetensors)$/, '')
    .replace(TYPE, '');
}

/** The name of an adapter in such names: "git-commands" of the run "git-commands on SmolLM2". */
function adapterStem(store: RunStore, adapter: string): string {
  const run = runOfAdapter(store, adapter);
  if (!run) return path.basename(adapterName(adapter), path.extname(adapterName(adapter)));
  const name = run.notes.name || run.name.replace(/ on .*$/, '');
  return adapter === run.adapter ? name : `${name}-${path.basename(adapter)}`;
}

/** The name of a merged model, without an ending: base, adapter, and the type of most weights. */
export const mergedStem = (
  store: RunStore,
  { base, adapter }: { readonly base: string; readonly adapter: string },
  type: string | null,
): string => {
  const stem = `${modelStem(base)}-${adapterStem(store, adapter)}`;
  return type === null ? stem : `${stem}.${type}`;
};
