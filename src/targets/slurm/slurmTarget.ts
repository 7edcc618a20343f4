import type { Duplex } from 'node:stream';
import type { Answer } from '../agent/protocol';
import { SshTarget, type SshOptions } from '../ssh/sshTarget';
import type { JobHandle, JobState, TargetMachine, TargetReport } from '../target';
import type { SlurmEntry } from '../targetSchema';
import type { NodeGroup } from './slurmText';

type Cluster = Answer<'cluster'>;

/**
 * A Slurm cluster, by the SSH target of its login node: the agent there hands jobs to Slurm and
 * asks it for their states, and reads their folders, which all nodes share.
 */
export class SlurmTarget extends SshTarget {
  override readonly kind = 'slurm';
  /** The jobs that were running when they were last looked at. */
  private readonly running = new Set<string>();

  constructor(
    private readonly slurm: SlurmEntry,
    options: SshOptions & { readonly sbatch: readonly string[] },
  ) {
    super(slurm, options);
  }

  override async check(signal: AbortSignal): Promise<TargetReport> {
    const report = await super.check(signal);
    const cluster = await this.ask('cluster', {}, { signal });
    return reportOf(report, cluster, this.slurm);
  }

  override async state(handle: JobHandle, signal: AbortSignal): Promise<JobState> {
    const state = await super.state(handle, signal);
    if (state.kind === 'running') this.running.add(handle.job);
    else this.running.delete(handle.job);
    return state;
  }

  /** A job may wait for days: no connection is tried before it runs. */
  override async connect(handle: JobHandle, signal: AbortSignal): Promise<Duplex | null> {
    const isRunning =
      this.running.has(handle.job) || (await this.state(handle, signal)).kind === 'running';
    return isRunning ? super.connect(handle, signal) : null;
  }
}

/** The report of the login node with the nodes that jobs may get in its place. */
export function reportOf(
  login: TargetReport,
  { missing, refusal, groups }: Cluster,
  { host, sbatch }: Pick<SlurmEntry, 'host' | 'sbatch'>,
): TargetReport {
  const problems = [...login.missing];
  if (missing.length > 0)
    problems.push(
      `${host} has no ${missing.join(', ')} on the PATH: "host" must be a login node of a Slurm cluster, and the PATH that of a login without a terminal.`,
    );
  if (refusal !== null) problems.push(`Slurm does not answer on ${host}: ${refusal}.`);
  if (missing.length > 0 || refusal !== null) return { ...login, machines: [], missing: problems };
  const wanted = sbatch.partition === undefined ? null : String(sbatch.partition).split(',');
  const known = new Set(groups.map(({ partition }) => partition));
  const unknown = (wanted ?? []).filter((name) => !known.has(name));
  if (unknown.length > 0)
    problems.push(
      `There is no partition ${unknown.join(', ')}. The cluster has: ${[...known].join(', ')}.`,
    );
  const hasDefault = groups.some(({ isDefault }) => isDefault);
  if (wanted === null && !hasDefault)
    problems.push(
      `The cluster has no default partition: name one as "partition" in "sbatch". It has: ${[...known].join(', ')}.`,
    );
  const usable = groups.filter(({ partition, isDefault }) =>
    wanted === null ? isDefault : wanted.includes(partition),
  );
  return {
    ...login,
    machines: usable.map((group) => machineOf(group, bytesOf(sbatch.mem), login.machines[0])),
    missing: problems,
  };
}

const machineOf = (
  { partition, isUp, nodes, count, cores, memory, gpus }: NodeGroup,
  most: number | null,
  login: TargetMachine | undefined,
): TargetMachine => ({
  name: `${partition}: ${nodes}${count > 1 ? ` (${count} nodes with each)` : ''}${isUp ? '' : ', down'}`,
  platform: null,
  cores,
  memory: most === null ? memory : Math.min(most, memory),
  freeDisk: login?.freeDisk ?? null,
  gpus: gpus.flatMap(({ name, count: each }) =>
    Array.from({ length: Math.min(each, 16) }, () => ({ name, memory: null })),
  ),
});

const UNITS = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const;

/** What "mem" of sbatch asks for; 0 is all memory of the node. */
function bytesOf(mem: string | number | undefined): number | null {
  const [, amount, unit = 'M'] = /^(\d+)([KMGT])?$/i.exec(String(mem)) ?? [];
  const bytes = Number(amount ?? 0) * UNITS[unit.toUpperCase() as keyof typeof UNITS];
  return bytes === 0 ? null : bytes;
}
