import type { MergeOptions } from '../../src/engine/merge/mergeModel';

/** The options of a plain merge on this thread; base, adapters and output are the test's own. */
export const PLAIN_MERGE: Omit<MergeOptions, 'base' | 'adapters' | 'output'> = {
  scale: 1,
  dtype: 'keep',
  max_shard_size: null,
  ops: null,
  signal: new AbortController().signal,
  warn: () => undefined,
  onProgress: () => undefined,
};
