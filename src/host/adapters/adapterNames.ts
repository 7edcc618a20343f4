import path from 'node:path';
import { isInFolder, isSamePath } from '../../common/samePath';
import type { RunSummary } from '../runs/run';
import { distinctNames, runDetails } from '../runs/distinctNames';
import type { RunStore } from '../runs/runStore';

/** The name of an adapter by its path: its folder's name, or that of its run's folder. */
export function adapterName(adapter: string): string {
  const name = path.basename(adapter);
  return name === 'adapter' ? path.basename(path.dirname(adapter)) : name;
}

/** The run whose folder contains the adapter. */
export const runOfAdapter = (store: RunStore, adapter: string): RunSummary | undefined =>
  store.runs.find(({ dir }) => isInFolder(adapter, dir));

/**
 * The display name of an adapter: the name of its run, followed by the checkpoint's unless it
 * is the adapter that the run ended with.
 */
export function adapterLabel(store: RunStore, adapter: string): string {
  const run = runOfAdapter(store, adapter);
  if (!run) return adapterName(adapter);
  return run.adapter !== null && isSamePath(adapter, run.adapter)
    ? run.name
    : `${run.name}, ${path.basename(adapter)}`;
}

/** The labels of adapters; equal ones are made distinct. */
export const adapterLabels = (store: RunStore, adapters: readonly string[]): readonly string[] =>
  distinctNames(
    adapters.map((adapter) => {
      const run = runOfAdapter(store, adapter);
      const folders = [path.basename(path.dirname(adapter)), adapter];
      return {
        name: adapterLabel(store, adapter),
        details: run ? [...runDetails(run), adapter] : folders,
      };
    }),
  );
