import * as v from 'valibot';
import { described, int, nonNegative, path, positive } from '../shared/schemaParts';
import { DEFAULT_ROOT } from './agent/places';
import { isValidBucketUrl } from './s3/place';
import { SbatchSchema } from './slurm/sbatchOptions';
import { isHost } from './ssh/remoteCommand';

/** Safe in tabs, terminals and file names. */
const NAME = /^[A-Za-z0-9][\w.-]{0,63}$/;
const ADDRESS = /^https?:\/\/\S+$/;
const VARIABLE = /^[A-Za-z_]\w*$/;

const common = {
  name: described(
    v.pipe(
      v.string(),
      v.regex(NAME, 'must be letters, digits, dots, dashes and underscores, 64 at most'),
    ),
    'What the target is called: lora train RECIPE --on NAME.',
  ),
  bases: v.optional(
    described(
      v.record(v.string(), path()),
      'Base models that the target has, which are not sent. Here: the name of the file or folder, ' +
        'its name on the Hub (owner/name), or the SHA-256 of its weights. There: the absolute ' +
        'path, or owner/name, which is in the Hub cache there (not on Ray).',
    ),
    {},
  ),
  env: v.optional(
    described(
      v.array(v.pipe(v.string(), v.regex(VARIABLE, 'must be the name of a variable'))),
      'Names of environment variables that jobs get with their values here, such as HF_TOKEN.',
    ),
    [],
  ),
};

/** What a machine that is reached by SSH has in common, also as the login node of Slurm. */
const overSsh = {
  host: described(
    v.pipe(
      v.string(),
      v.check(isHost, 'must be a host of your ssh configuration, HOST or USER@HOST'),
    ),
    'A host as ssh takes it; port, user, key and jump hosts are those of your ssh configuration.',
  ),
  config: v.optional(
    described(v.nullable(path()), 'An ssh configuration file instead of ~/.ssh/config.'),
    null,
  ),
  root: v.optional(
    described(path(), 'The folder there that holds what is sent, and the runs.'),
    DEFAULT_ROOT,
  ),
  node: v.optional(
    described(
      v.nullable(path()),
      'The path of Node there, 20 or newer. null: the one on the PATH, else one from PyPI.',
    ),
    null,
  ),
};

const SshSchema = v.strictObject({
  ...common,
  kind: described(v.literal('ssh'), 'A machine that runs jobs, reached by SSH.'),
  ...overSsh,
});

const RaySchema = v.strictObject({
  ...common,
  kind: described(v.literal('ray'), 'A Ray cluster.'),
  address: described(
    v.pipe(v.string(), v.regex(ADDRESS, 'must be an address such as http://head:8265')),
    "The cluster's dashboard, such as http://head:8265.",
  ),
  storage: v.optional(
    described(
      v.nullable(
        v.pipe(
          v.string(),
          v.check(
            (storage) => storage.startsWith('/') || isValidBucketUrl(storage),
            'must be the absolute path of a folder, or s3://bucket/prefix',
          ),
        ),
      ),
      'A folder that all nodes see, or s3://bucket/prefix, which keeps the runs. null: everything ' +
        'goes through the dashboard.',
    ),
    null,
  ),
  endpoint: v.optional(
    described(
      v.nullable(v.pipe(v.string(), v.regex(ADDRESS, 'must be an address such as https://host'))),
      "The server of the bucket. null: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon's.",
    ),
    null,
  ),
  region: v.optional(
    described(
      v.nullable(v.pipe(v.string(), v.regex(/^[a-z0-9-]{1,64}$/, 'must be such as eu-west-1'))),
      'The region of the bucket. null: AWS_REGION, AWS_DEFAULT_REGION, or us-east-1.',
    ),
    null,
  ),
  num_cpus: v.optional(described(positive(), 'The cores that a job reserves.'), 1),
  num_gpus: v.optional(described(nonNegative(), 'The GPUs that a job reserves.'), 0),
  memory: v.optional(
    described(v.nullable(positive()), 'The memory in bytes that a job reserves. null: none.'),
    null,
  ),
  token: v.optional(
    described(
      v.nullable(v.pipe(v.string(), v.regex(VARIABLE, 'must be the name of a variable'))),
      'The environment variable with the token of the cluster. null: it needs none.',
    ),
    null,
  ),
  engine: v.optional(
    described(
      v.picklist(['lora', 'ray-train']),
      'What trains: the same engine as here, or PyTorch and PEFT on the workers of Ray Train.',
    ),
    'lora',
  ),
  workers: v.optional(described(int(1), 'The workers of ray-train, with a CPU each.'), 1),
  use_gpu: v.optional(described(v.boolean(), 'Whether each worker of ray-train has a GPU.'), false),
  strategy: v.optional(
    described(
      v.picklist(['ddp', 'fsdp']),
      'ddp: each worker of ray-train holds the base. fsdp: they hold a part of it each.',
    ),
    'ddp',
  ),
});

const SlurmSchema = v.strictObject({
  ...common,
  kind: described(v.literal('slurm'), 'A Slurm cluster, by its login node.'),
  ...overSsh,
  sbatch: v.optional(
    described(SbatchSchema, 'Options of sbatch, such as {"partition": "gpu", "time": "4:00:00"}.'),
    {},
  ),
});

/** The schema of an entry by its kind. */
export const ENTRY_SCHEMAS = { ssh: SshSchema, ray: RaySchema, slurm: SlurmSchema } as const;

/** targets.json. */
export const TargetsSchema = v.array(v.variant('kind', [SshSchema, RaySchema, SlurmSchema]));

export type SshEntry = v.InferOutput<typeof SshSchema>;
export type RayEntry = v.InferOutput<typeof RaySchema>;
export type SlurmEntry = v.InferOutput<typeof SlurmSchema>;
/** One target as targets.json describes it, with all defaults. */
export type TargetEntry = SshEntry | RayEntry | SlurmEntry;
