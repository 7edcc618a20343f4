import {
  ENDED_STATES,
  type EngineRecord,
  type RemoteRecord,
  type RunRecord,
  type RunState,
} from '../../shared/run';
import { isEngineAlive } from './engineRecord';
import { goesOnWithoutMirror } from './remoteRecord';

/** An engine writes run.json and engine.json within this time of starting. */
export const START_GRACE_MS = 15_000;

/**
 * The state to show at the time `now` (ms): a run whose engine ended without recording an end was
 * interrupted. A run on a target continues when the process that mirrors it has ended: it keeps the
 * state that was known last.
 */
export function effectiveState(
  record: Pick<RunRecord, 'state' | 'created'>,
  engine: EngineRecord | null,
  now: number,
  remote: RemoteRecord | null = null,
): RunState {
  if (ENDED_STATES.has(record.state) || goesOnWithoutMirror(remote)) return record.state;
  const starting = !engine && Math.abs(now - Date.parse(record.created)) < START_GRACE_MS;
  return starting || isEngineAlive(engine, now) ? record.state : 'interrupted';
}
