import { formatSize } from '../../common/formatSize';
import { LoraError } from '../../shared/errors';
import { isBucketUrl } from '../s3/place';
import type { BundleItem } from '../target';
import type { RayNode } from './jobsApi';
import type { RayEntry } from './rayEntry';
import { withoutWorkers } from './trainer';

/** The API of jobs that this speaks is stable since then. */
const OLDEST_RAY = [2, 9] as const;
/** The head keeps packages in its memory. */
const MAX_SENT_BYTES = 2 * 2 ** 30;

/** A sentence if the cluster runs a Ray that is too old. */
export function tooOld(version: string): string[] {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < OLDEST_RAY[0] || (major === OLDEST_RAY[0] && minor < OLDEST_RAY[1]);
  return isOld ? [`The cluster runs Ray ${version}: ${OLDEST_RAY.join('.')} is needed.`] : [];
}

/** A sentence if no node has room for a job. */
export function withoutRoom(nodes: readonly RayNode[], entry: Required<RayEntry>): string[] {
  const { name, num_cpus, num_gpus } = entry;
  if (nodes.length === 0) return ['The cluster has no node that is alive.'];
  if (entry.engine === 'ray-train') return withoutWorkers(nodes, entry);
  const fits = nodes.some(({ offers }) => offers.cpus >= num_cpus && offers.gpus >= num_gpus);
  if (fits) return [];
  return [
    `No node has the ${num_cpus} CPUs and ${num_gpus} GPUs that a job reserves: lower num_cpus or num_gpus in the entry of ${name}.`,
  ];
}

/** Sentences about a storage that the engine cannot use, or what is said of none. */
export function unfitStorage(entry: Required<RayEntry>): string[] {
  const { storage, engine, endpoint, region } = entry;
  const isBucket = storage !== null && isBucketUrl(storage);
  if (isBucket && engine === 'ray-train')
    return [
      '"storage" is a bucket, which "engine": "ray-train" cannot use: name a folder that all nodes see, or null.',
    ];
  if (isBucket || (endpoint === null && region === null)) return [];
  return ['"endpoint" and "region" are those of a bucket, but "storage" names none.'];
}

/** What a job waits for. */
export const roomInWords = ({ num_cpus, num_gpus }: Required<RayEntry>): string =>
  `${num_cpus} CPU${num_cpus === 1 ? '' : 's'}${num_gpus > 0 ? ` and ${num_gpus} GPU` : ''}`;

/** @throws LoraError('target') for more than the head of a cluster can keep */
export function refuseTooMuch(items: readonly BundleItem[]): void {
  const bytes = items.flatMap(({ files }) => files).reduce((sum, { size }) => sum + size, 0);
  if (bytes <= MAX_SENT_BYTES) return;
  throw new LoraError(
    'target',
    `There are ${formatSize(bytes)} to send: the head of a cluster keeps at most ${formatSize(MAX_SENT_BYTES)} in its memory.`,
    {
      fix: 'Name a folder that all nodes see in the entry of the target ("storage"), or where they have the base already ("bases").',
    },
  );
}
