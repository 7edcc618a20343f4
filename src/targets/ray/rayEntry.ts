import type { TrainerSettings } from './trainer';
import { TRAINER_DEFAULTS } from './trainer';

/** A Ray cluster in the user's settings. */
export interface RayEntry extends TrainerSettings {
  readonly name: string;
  /** The dashboard, such as http://head:8265. */
  readonly address: string;
  /** A folder that all nodes see, or a bucket; null: everything goes through the dashboard. */
  readonly storage: string | null;
  /** Of a bucket: the server and the region. Null, as by default: the variables of AWS say. */
  readonly endpoint?: string | null;
  readonly region?: string | null;
  /** Names of environment variables that jobs get. Ray's dashboard shows their values. */
  readonly env: readonly string[];
  /** What a job reserves: 1 CPU, no GPU and no memory by default. Memory in bytes. */
  readonly num_cpus?: number;
  readonly num_gpus?: number;
  readonly memory?: number | null;
  /** The name of the environment variable with the token of the cluster; none by default. */
  readonly token?: string | null;
}

/** What the target needs of this machine. */
export interface RayContext {
  /** The folder of the bundles, which has the programs for Ray. */
  readonly dist: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** An entry with all that it leaves out. */
export const withDefaults = (entry: RayEntry): Required<RayEntry> => ({
  num_cpus: 1,
  num_gpus: 0,
  memory: null,
  token: null,
  endpoint: null,
  region: null,
  ...TRAINER_DEFAULTS,
  ...entry,
});
