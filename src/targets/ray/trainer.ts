import type { RayNode } from './jobsApi';
import { countOf } from '../../shared/values';

/** How a cluster trains. */
export interface TrainerSettings {
  /** ray-train: Ray Train trains, on several workers. Default: our engine. */
  readonly engine?: 'lora' | 'ray-train';
  /** Of ray-train. Default: 1. */
  readonly workers?: number;
  /** Of ray-train: a GPU for each worker. Default: false. */
  readonly use_gpu?: boolean;
  /** Of ray-train: whether each worker holds the whole base, or a part of it. Default: ddp. */
  readonly strategy?: 'ddp' | 'fsdp';
}

/** What an entry has that says nothing of it. */
export const TRAINER_DEFAULTS = {
  engine: 'lora',
  workers: 1,
  use_gpu: false,
  strategy: 'ddp',
} as const satisfies TrainerSettings;

/** What the launcher needs of the settings. */
export const trainerOf = ({ workers, use_gpu, strategy }: Required<TrainerSettings>) => ({
  workers,
  use_gpu,
  strategy,
});

/** A sentence if the cluster has no room for the workers of Ray Train. */
export function withoutWorkers(
  nodes: readonly RayNode[],
  { name, workers, use_gpu }: Required<TrainerSettings> & { readonly name: string },
): string[] {
  const rooms = nodes.map(({ offers: { cpus, gpus } }) => (use_gpu ? Math.min(cpus, gpus) : cpus));
  const room = rooms.reduce((sum, own) => sum + Math.floor(own), 0);
  if (room >= workers) return [];
  const what = use_gpu ? 'a CPU and a GPU' : 'a CPU';
  return [
    `The cluster has room for ${countOf(room, 'worker')} with ${what} each: lower "workers" in the entry of ${name}.`,
  ];
}
