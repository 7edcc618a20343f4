import path from 'node:path';
import * as v from 'valibot';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { RUN_FILES, type EngineRecord, type RemoteRecord } from '../../shared/run';
import { isEngineAlive } from './engineRecord';

const text = v.pipe(v.string(), v.maxLength(4_096));
const size = v.pipe(v.number(), v.integer(), v.minValue(0));

const StageSchema = v.variant('kind', [
  v.object({ kind: v.literal('checking') }),
  v.object({ kind: v.literal('sending'), sent: size, total: size }),
  v.object({ kind: v.literal('starting'), step: v.nullable(text) }),
  v.object({ kind: v.picklist(['queued', 'lost']), reason: v.nullable(text) }),
  v.object({ kind: v.literal('fetching'), received: size, total: size }),
]);

const RemoteSchema = v.object({
  version: v.literal(1),
  target: v.object({ name: text, kind: text, place: text }),
  job: v.pipe(v.string(), v.regex(/^\d{8}-\d{6}-[0-9a-f]{4}$/)),
  handle: v.nullable(v.record(v.string(), v.nullable(v.union([text, v.number()])))),
  sent: v.record(v.string(), v.string()),
  clock_ahead: v.nullable(v.number()),
  connection: v.object({
    state: v.picklist(['connected', 'lost', 'closed']),
    since: v.pipe(
      text,
      v.check((time) => !Number.isNaN(Date.parse(time)), 'is not a time'),
    ),
    reason: v.nullable(text),
  }),
  earlier: v.optional(v.record(v.string(), v.nullable(size))),
  checkpoints: v.pipe(v.array(text), v.maxLength(10_000)),
  stage: v.optional(StageSchema),
});

/** Reads remote.json of a run; null when there is none or it is not valid. */
export async function readRemoteRecord(runDir: string): Promise<RemoteRecord | null> {
  try {
    const file = path.join(runDir, RUN_FILES.remote);
    const content = await readTextFile(file, {
      maxBytes: MAX_BYTES.runRecord,
      links: 'refused',
    });
    const parsed = v.safeParse(RemoteSchema, JSON.parse(content));
    return parsed.success ? (parsed.output as RemoteRecord) : null;
  } catch {
    return null;
  }
}

/** Whether the job continues, or may continue, without the process that mirrors it. */
export const goesOnWithoutMirror = (remote: RemoteRecord | null): boolean =>
  remote !== null && remote.handle !== null && remote.stage?.kind !== 'lost';

/** How a run on a target is connected to this machine at the moment. */
export type RemoteLink =
  | { readonly kind: 'connected' }
  /** The process that mirrors the run cannot reach the target. */
  | { readonly kind: 'unreachable'; readonly since: number; readonly reason: string | null }
  /** Nothing mirrors the run. `since`: in milliseconds since 1970. */
  | { readonly kind: 'unattended'; readonly since: number }
  /** The run has ended: there is nothing to connect to. */
  | { readonly kind: 'ended' };

/** `engine`: that of the process that mirrors the run, which owns its folder. */
export function remoteLink(
  { connection: { state, since, reason } }: RemoteRecord,
  engine: EngineRecord | null,
  now: number,
): RemoteLink {
  const time = Date.parse(since);
  if (isEngineAlive(engine, now))
    return state === 'lost' ? { kind: 'unreachable', since: time, reason } : { kind: 'connected' };
  // killed while it was connected: its last heartbeat is the last that is known
  const isKilled = state === 'connected' && engine !== null;
  return { kind: 'unattended', since: isKilled ? Date.parse(engine.heartbeat) : time };
}
