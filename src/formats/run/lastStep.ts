import path from 'node:path';
import { readTail } from '../../common/regularFile';
import type { StepLine } from '../../shared/metrics/lines';
import { parseMetrics } from '../../shared/metrics/parse';
import { RUN_FILES } from '../../shared/run';

const TAIL_BYTES = 65_536;

/** The newest step in metrics.jsonl, read from the end of the file; null when there is none. */
export async function readLastStep(dir: string): Promise<StepLine | null> {
  const tail = await readTail(path.join(dir, RUN_FILES.metrics), {
    maxBytes: TAIL_BYTES,
    links: 'refused',
  }).catch(() => null);
  if (!tail) return null;
  return parseMetrics(tail.text).findLast((line) => line.kind === 'step') ?? null;
}
