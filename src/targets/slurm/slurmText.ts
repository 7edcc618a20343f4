import type { JobState } from '../target';

// What Slurm's programs print, read as data. Pure: the agent asks them.

/** What Slurm knows of a job. */
export interface SlurmJob {
  /** 'PENDING', 'RUNNING', 'TIMEOUT', … */
  readonly state: string;
  /** Slurm's own word, such as 'Resources'; null: none. */
  readonly reason: string | null;
  /** Null where a signal ended it. */
  readonly exitCode: number | null;
}

/**
 * The output of `scontrol --oneliner show job`. The fields that are read come before those with
 * texts of users. Null: it tells no job.
 */
export function parseScontrolJob(output: string): SlurmJob | null {
  const [, state] = /\bJobState=([A-Z_]+)/.exec(output) ?? [];
  if (state === undefined) return null;
  const [, reason = 'None'] = /\bReason=(\S{1,300})/.exec(output) ?? [];
  return {
    state,
    reason: reason === 'None' ? null : reason,
    exitCode: exitCodeOf(/\bExitCode=(\d+:\d+)/.exec(output)?.[1] ?? ''),
  };
}

/** The output of `sacct --noheader --parsable2 --format=State,ExitCode`. Null: it tells no job. */
export function parseSacct(output: string): SlurmJob | null {
  const [, state, code] = /^([A-Z_]+)[^|\n]{0,300}\|(\d+:\d+)$/m.exec(output) ?? [];
  if (state === undefined) return null;
  return { state, reason: null, exitCode: exitCodeOf(code!) };
}

function exitCodeOf(text: string): number | null {
  const [code, signal] = text.split(':');
  return code === undefined || signal !== '0' ? null : Number(code);
}

/** Why a job waits, in words. Others are shown as Slurm has them. */
const REASONS: Readonly<Record<string, string>> = {
  Resources: 'the nodes are busy',
  Priority: 'other jobs come first',
  BeginTime: 'it may not begin yet, as after a job was requeued',
  PartitionDown: 'the partition is down',
  PartitionInactive: 'the partition is inactive',
  PartitionNodeLimit: 'the partition does not give a job that many nodes',
  PartitionTimeLimit: 'it asks for more time than the partition gives',
  JobHeldUser: 'it is held: scontrol release lets it go on',
  JobHeldAdmin: 'the administrator holds it',
  NodeDown: 'its node is down',
  Licenses: 'its licenses are in use',
  Reservation: 'its reservation has not begun',
  InvalidAccount: 'its account is not valid',
  InvalidQOS: 'its QOS is not valid',
  JobLaunchFailure: 'it could not be started on its node',
};

function waitsFor(reason: string | null): string | null {
  if (reason === null) return null;
  const [code = ''] = reason.split(',');
  const words = REASONS[code];
  return words === undefined ? reason.replaceAll('_', ' ') : `${words} (${code})`;
}

const QUEUED: ReadonlySet<string> = new Set([
  'PENDING',
  'REQUEUED',
  'REQUEUE_FED',
  'REQUEUE_HOLD',
  'RESV_DEL_HOLD',
  'SPECIAL_EXIT',
]);

/** How Slurm ends a job, in words; lost: not by its doing, so that it may start again elsewhere. */
const ENDS: Readonly<Record<string, { readonly words: string | null; readonly isLost?: true }>> = {
  COMPLETED: { words: null },
  FAILED: { words: null },
  CANCELLED: { words: 'its Slurm job was cancelled' },
  TIMEOUT: { words: 'its Slurm job reached its time limit ("time" of "sbatch")' },
  DEADLINE: { words: 'its Slurm job reached its deadline' },
  OUT_OF_MEMORY: { words: 'its Slurm job needed more memory than it got ("mem" of "sbatch")' },
  NODE_FAIL: { words: 'its node failed', isLost: true },
  BOOT_FAIL: { words: 'its node could not be started', isLost: true },
  PREEMPTED: { words: 'another job took its place', isLost: true },
  REVOKED: { words: 'its Slurm job was revoked' },
};

/** The exit codes of the script of a job. */
export const NO_FOLDER = 71;
export const NO_NODE_THERE = 72;

const SCRIPT_FAILURES: Readonly<Record<number, string>> = {
  [NO_FOLDER]:
    'the node of its Slurm job does not see its folder, or cannot write there: "root" must be in a file system that all nodes share',
  [NO_NODE_THERE]:
    'the node of its Slurm job has no Node where the login node has it: name one that all nodes see as "node"',
};

/** Where a job is that Slurm knows. States that are not known here count as running. */
export function stateOf({ state, reason, exitCode }: SlurmJob): JobState {
  if (QUEUED.has(state)) return { kind: 'queued', reason: waitsFor(reason) };
  if (state === 'SUSPENDED') return { kind: 'queued', reason: 'it is suspended' };
  if (!Object.hasOwn(ENDS, state)) return { kind: 'running' };
  const { words, isLost = false } = ENDS[state]!;
  const failure = state === 'FAILED' && exitCode !== null && SCRIPT_FAILURES[exitCode];
  return { kind: 'ended', exitCode, reason: failure || endReason(words, reason), isLost };
}

/** FAILED has a reason of Slurm's where the job never began. */
function endReason(words: string | null, reason: string | null): string | null {
  if (words !== null || reason === null || reason === 'NonZeroExitCode') return words;
  return REASONS[reason] ?? `Slurm says ${reason.replaceAll('_', ' ')}`;
}

/** Nodes of a partition that have the same. */
export interface NodeGroup {
  readonly partition: string;
  readonly isDefault: boolean;
  /** Whether the partition takes jobs. */
  readonly isUp: boolean;
  /** As Slurm writes them: 'node[01-12]'. */
  readonly nodes: string;
  readonly count: number;
  readonly cores: number;
  /** In bytes. */
  readonly memory: number;
  readonly gpus: { readonly name: string; readonly count: number }[];
}

/** The most groups that are read. */
export const MAX_GROUPS = 256;
/** The format of sinfo that `parseSinfo` reads. */
export const SINFO_FORMAT = '%P|%a|%D|%c|%m|%G|%N';

/** The output of sinfo; lines of another form are left out. */
export const parseSinfo = (output: string): readonly NodeGroup[] =>
  output.split('\n', MAX_GROUPS).flatMap((line) => {
    const fields = /^([\w.-]{1,128})(\*?)\|(\w+)\|(\d+)\|(\d+)\+?\|(\d+)\+?\|([^|]*)\|(.*)$/.exec(
      line,
    );
    if (!fields) return [];
    const [, partition, star, available, count, cores, megabytes, gres, nodes] = fields;
    return [
      {
        partition: partition!,
        isDefault: star === '*',
        isUp: available === 'up',
        nodes: nodes!.slice(0, 200),
        count: Number(count),
        cores: Number(cores),
        memory: Number(megabytes) * 2 ** 20,
        gpus: gpusIn(gres!),
      },
    ];
  });

/** The most kinds of GPUs that are read of a node. */
export const MAX_GPU_KINDS = 64;

/** 'gpu:a100:4(S:0-1),gpu:2,shard:8' */
const gpusIn = (gres: string): NodeGroup['gpus'] =>
  [...gres.slice(0, 4_000).matchAll(/(?:^|,)gpu(?::([A-Za-z][\w.-]{0,63}))?:(\d{1,4})/g)]
    .slice(0, MAX_GPU_KINDS)
    .map(([, name = 'GPU', count]) => ({ name, count: Number(count) }));
