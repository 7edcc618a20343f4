import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Environment } from '../common/programs';
import { RayTarget } from './ray/rayTarget';
import { sbatchArguments } from './slurm/sbatchOptions';
import { SlurmTarget } from './slurm/slurmTarget';
import { SshTarget, type SshOptions } from './ssh/sshTarget';
import type { Target, TargetKind } from './target';
import type { TargetEntry } from './targetSchema';

/** What opening a target needs beside its entry. */
export interface OpenOptions {
  /** The folder of the bundles. */
  readonly dist: string;
  /** Where the variables that the entry names have their values. */
  readonly env: Environment;
}

type Open<E extends TargetEntry> = (entry: E, options: OpenOptions) => Promise<Target>;

/** How each kind of target is opened. */
const KINDS: { readonly [K in TargetKind]: Open<Extract<TargetEntry, { kind: K }>> } = {
  ssh: async (entry, options) => new SshTarget(entry, await sshOptions(entry, options)),
  ray: (entry, { dist, env }) => Promise.resolve(new RayTarget(entry, { dist, env })),
  slurm: async (entry, options) =>
    new SlurmTarget(entry, {
      ...(await sshOptions(entry, options)),
      sbatch: sbatchArguments(entry.sbatch),
    }),
};

/** Opens a target, without a connection yet. The caller disposes of it. */
export const openTarget = (entry: TargetEntry, options: OpenOptions): Promise<Target> =>
  (KINDS[entry.kind] as Open<TargetEntry>)(entry, options);

const sshOptions = async (entry: TargetEntry, { dist, env }: OpenOptions): Promise<SshOptions> => ({
  agent: await readFile(path.join(dist, 'agent.js')),
  env: namedVariables(entry, env),
  platforms: await readdir(path.join(dist, 'binding')).catch(() => []),
});

/** The variables that jobs of a target get. */
export function namedVariables(
  { env: names }: TargetEntry,
  env: Environment,
): Record<string, string> {
  const known = names.filter((name) => env[name] !== undefined);
  return Object.fromEntries(known.map((name) => [name, env[name]!]));
}
