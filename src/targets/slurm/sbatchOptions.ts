import * as v from 'valibot';
import { described } from '../../shared/schemaParts';

const NAME = /^\w[\w.@:+-]{0,127}$/;
const LIST = /^\w[\w.@:=+,/-]{0,499}$/;
const NODES = /^[A-Za-z0-9][\w.,[\]-]{0,999}$/;
const FEATURES = /^[[(\w][\w.,&|*:()[\]-]{0,499}$/;
const COUNT = /^\d{1,9}$/;
const SIZE = /^\d{1,9}[KMGT]?$/i;
const TIME = /^(?:\d{1,4}-)?\d{1,5}(?::\d{1,2}){0,2}$/;
const GPUS = /^(?:[A-Za-z][\w.-]{0,63}:)?\d{1,5}(?:,[A-Za-z][\w.-]{0,63}:\d{1,5})*$/;

/** An option of sbatch, whose value has a form. It becomes one argument, never text of a shell. */
const option = (form: RegExp, such: string, description: string) =>
  v.optional(
    described(
      v.pipe(
        v.union([v.string(), v.number()], 'must be a text or a number'),
        v.check((value) => form.test(String(value)), `must be such as ${such}`),
      ),
      description,
    ),
  );

/** The options of sbatch that a target may set. All others are set for each job, or by Slurm. */
export const SbatchSchema = v.strictObject({
  account: option(NAME, 'research', 'The account that is charged.'),
  partition: option(LIST, 'gpu', 'The partition, or several with commas.'),
  qos: option(NAME, 'normal', 'The quality of service.'),
  reservation: option(LIST, 'course', 'A reservation.'),
  time: option(TIME, '4:00:00 or 1-12:00:00', 'How long a job may run; a number: minutes.'),
  'time-min': option(TIME, '1:00:00', 'How short its time may be made to start sooner.'),
  mem: option(SIZE, '64G', 'The memory of a job; without a unit: megabytes.'),
  'mem-per-cpu': option(SIZE, '4G', 'The memory for each core.'),
  'mem-per-gpu': option(SIZE, '32G', 'The memory for each GPU.'),
  'cpus-per-task': option(COUNT, '8', 'The cores of a job; one unless the cluster gives more.'),
  'cpus-per-gpu': option(COUNT, '8', 'The cores for each GPU.'),
  'threads-per-core': option(COUNT, '1', 'The hardware threads that are used of a core.'),
  gpus: option(GPUS, '1 or a100:1', 'The GPUs of a job.'),
  gres: option(LIST, 'gpu:a100:1', 'Generic resources.'),
  constraint: option(FEATURES, 'a100|h100', 'Features that the node must have.'),
  nodelist: option(NODES, 'node[01-04]', 'Nodes that are used.'),
  exclude: option(NODES, 'node[05,07]', 'Nodes that are not used.'),
  licenses: option(LIST, 'name:1', 'Licenses of the cluster.'),
  tmp: option(SIZE, '20G', 'The disk space that a node must have for temporary files.'),
  nice: option(COUNT, '100', 'How much its priority is lowered.'),
  wckey: option(NAME, 'project', 'A key of the accounting.'),
});

/** The options of sbatch in targets.json. */
export type SbatchOptions = v.InferOutput<typeof SbatchSchema>;

/** The options as arguments of sbatch. */
export const sbatchArguments = (options: SbatchOptions): readonly string[] =>
  Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${value}`],
  );
