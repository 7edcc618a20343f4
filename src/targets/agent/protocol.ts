import * as v from 'valibot';
import { MAX_GPU_KINDS, MAX_GROUPS } from '../slurm/slurmText';
import { MAX_FILES, MAX_JOBS } from '../target';

// What the agent answers. All of it is checked, as every answer that comes over a network.

const text = (most: number) => v.pipe(v.string(), v.maxLength(most));
const size = () => v.pipe(v.number(), v.integer(), v.minValue(0));
const names = () => v.pipe(v.array(text(4_096)), v.maxLength(MAX_FILES));

const takes = () => ({ bytes: size(), changed: size() });

const MachineSchema = v.object({
  name: text(255),
  platform: v.nullable(text(64)),
  cores: v.nullable(size()),
  memory: v.nullable(size()),
  freeDisk: v.nullable(size()),
  gpus: v.pipe(v.array(v.object({ name: text(255), memory: v.nullable(size()) })), v.maxLength(64)),
});

const JobStateSchema = v.variant('kind', [
  v.object({ kind: v.literal('queued'), reason: v.nullable(text(1_000)) }),
  v.object({ kind: v.literal('running') }),
  v.object({
    kind: v.literal('ended'),
    exitCode: v.nullable(v.pipe(v.number(), v.integer())),
    reason: v.nullable(text(1_000)),
    isLost: v.boolean(),
  }),
  v.object({ kind: v.literal('unknown') }),
]);

const NodeGroupSchema = v.object({
  partition: text(128),
  isDefault: v.boolean(),
  isUp: v.boolean(),
  nodes: text(200),
  count: size(),
  cores: size(),
  memory: size(),
  gpus: v.pipe(v.array(v.object({ name: text(64), count: size() })), v.maxLength(MAX_GPU_KINDS)),
});

/** The answers of the agent by the names of its methods. */
export const ANSWERS = {
  /** Names the root, before anything else. */
  hello: v.object({ root: text(4_096), node: text(64) }),
  clock: v.object({ now: v.number() }),
  machine: v.object({ machine: MachineSchema, runtime: v.nullable(text(255)) }),
  /** What Slurm has here; `refusal`: why it does not tell. */
  cluster: v.object({
    missing: v.array(text(64)),
    refusal: v.nullable(text(1_000)),
    groups: v.pipe(v.array(NodeGroupSchema), v.maxLength(MAX_GROUPS)),
  }),
  present: v.object({ present: names() }),
  /** Where the Hub cache has a model; null: it has not. */
  model: v.object({ path: v.nullable(text(4_096)) }),
  /** What is kept here. `changed`: by the clock of this machine. */
  usage: v.object({
    items: v.pipe(
      v.array(
        v.object({
          id: text(64),
          isComplete: v.boolean(),
          usedBy: v.pipe(v.array(text(64)), v.maxLength(MAX_JOBS)),
          ...takes(),
        }),
      ),
      v.maxLength(MAX_FILES),
    ),
    jobs: v.pipe(
      v.array(
        v.object({
          job: text(64),
          state: v.picklist(['queued', 'running', 'ended', 'unknown']),
          ...takes(),
        }),
      ),
      v.maxLength(MAX_JOBS),
    ),
  }),
  /** The items that are gone. */
  clean: v.object({ removed: names() }),
  begin: v.variant('state', [
    v.object({ state: v.literal('present') }),
    /** Another connection is sending it. */
    v.object({ state: v.literal('busy') }),
    /** The bytes of each file that an interrupted transfer has left. */
    v.object({
      state: v.literal('begun'),
      sizes: v.record(v.string(), size()),
      free: size(),
    }),
  ]),
  write: v.object({ size: size() }),
  finish: v.object({}),
  runtime: v.object({ runtime: v.nullable(text(255)) }),
  /** The id of the process, or the number of the Slurm job. */
  start: v.object({ number: size() }),
  jobs: v.object({ jobs: v.pipe(v.array(text(64)), v.maxLength(MAX_JOBS)) }),
  state: v.object({ state: JobStateSchema }),
  list: v.object({
    files: v.pipe(
      v.array(v.object({ path: text(4_096), size: size(), version: text(255) })),
      v.maxLength(MAX_FILES),
    ),
  }),
  read: v.object({}),
  hash: v.object({ sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) }),
  stop: v.object({}),
  remove: v.object({}),
  /** From then on the connection is that of the engine's pipe; false: it cannot be reached. */
  join: v.object({ joined: v.boolean() }),
} as const;

/** The methods of the agent. */
export type Method = keyof typeof ANSWERS;
/** The answer of a method. */
export type Answer<M extends Method> = v.InferOutput<(typeof ANSWERS)[M]>;

/** What the agent is asked. */
export interface Questions {
  readonly hello: { readonly root: string };
  readonly clock: Nothing;
  readonly machine: Nothing;
  readonly cluster: Nothing;
  readonly present: { readonly items: readonly string[] };
  /** owner/name. */
  readonly model: { readonly name: string };
  readonly usage: Nothing;
  readonly clean: { readonly items: readonly string[] };
  readonly begin: { readonly item: string };
  /** The bytes of the message belong at the offset. */
  readonly write: { readonly item: string; readonly file: string; readonly offset: number };
  readonly finish: { readonly item: string; readonly files: readonly SentFile[] };
  /** Brings the runtime of an engine, unless it is there. */
  readonly runtime: { readonly engine: string };
  readonly start: StartedJob;
  readonly jobs: Nothing;
  readonly state: OfJob;
  readonly list: OfJob;
  readonly read: OfFile & { readonly offset: number; readonly maxBytes: number };
  readonly hash: OfFile;
  readonly stop: OfJob;
  readonly remove: OfJob;
  readonly join: OfJob;
}

type Nothing = Readonly<Record<string, never>>;

interface OfJob {
  readonly job: string;
}

interface OfFile extends OfJob {
  readonly file: string;
}

/** A file as it must be once it was sent. */
export interface SentFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** A job to start. */
export interface StartedJob {
  readonly job: string;
  readonly engine: string;
  readonly recipe: string;
  readonly resume: boolean;
  /** Variables of the engine's environment, which go nowhere else. */
  readonly env: Readonly<Record<string, string>>;
  /** Arguments of sbatch; null: the job is a process of this machine. */
  readonly sbatch: readonly string[] | null;
}
