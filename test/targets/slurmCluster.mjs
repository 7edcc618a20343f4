// A Slurm cluster of one node on this machine, with ports and keys of its own.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { totalmem } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const FOLDERS = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];
const NEEDED = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'srun', 'scontrol', 'unshare'];

const programs = new Map(NEEDED.map((name) => [name, find(name)]));

function find(name) {
  return FOLDERS.map((folder) => path.join(folder, name)).find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why the tests cannot run; null: they can. */
export function slurmMissing() {
  const missing = NEEDED.filter((name) => programs.get(name) === undefined);
  if (missing.length > 0)
    return `There is no ${missing.join(', ')}: install slurm-wlm, munge and util-linux.`;
  return process.getuid() === 0 ? null : 'Slurm starts jobs as root only: run the tests as root.';
}

/** Ports that are free now. All are held until each is known, so that they differ. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

/** A controller and a node. The node has process ids of its own, as another machine has. */
export class SlurmCluster {
  constructor(folder) {
    this.folder = folder;
    this.children = [];
  }

  static async start(folder) {
    const cluster = new SlurmCluster(folder);
    for (const name of ['state', 'spool', 'log']) mkdirSync(cluster.file(name));
    writeFileSync(cluster.file('munge.key'), randomBytes(1024), { mode: 0o400 });
    const [controller, node] = await freePorts(2);
    writeFileSync(cluster.config, cluster.describe(controller, node));
    cluster.run('munged', [
      '--foreground',
      '--force',
      `--key-file=${cluster.file('munge.key')}`,
      `--socket=${cluster.file('munge.socket')}`,
      `--pid-file=${cluster.file('munged.pid')}`,
      `--seed-file=${cluster.file('munge.seed')}`,
      `--log-file=${cluster.file('log/munged.log')}`,
    ]);
    await wait(500);
    cluster.run('slurmctld', ['-D']);
    cluster.startNode();
    await cluster.untilIdle();
    return cluster;
  }

  file(name) {
    return path.join(this.folder, name);
  }

  get config() {
    return this.file('slurm.conf');
  }

  describe(controller, node) {
    return [
      'ClusterName=loopback',
      'SlurmctldHost=localhost(127.0.0.1)',
      'SlurmUser=root',
      'SlurmdUser=root',
      'AuthType=auth/munge',
      `AuthInfo=socket=${this.file('munge.socket')}`,
      `SlurmctldPort=${controller}`,
      `SlurmdPort=${node}`,
      `SlurmctldPidFile=${this.file('slurmctld.pid')}`,
      `SlurmdPidFile=${this.file('slurmd.pid')}`,
      `SlurmctldLogFile=${this.file('log/slurmctld.log')}`,
      `SlurmdLogFile=${this.file('log/slurmd.log')}`,
      `StateSaveLocation=${this.file('state')}`,
      `SlurmdSpoolDir=${this.file('spool')}`,
      'ProctrackType=proctrack/linuxproc',
      'TaskPlugin=task/none',
      'SelectType=select/cons_tres',
      'SelectTypeParameters=CR_CPU',
      'SchedulerType=sched/backfill',
      'SchedulerParameters=sched_interval=1,bf_interval=1',
      'ReturnToService=2',
      'MinJobAge=300',
      'KillWait=30',
      'MpiDefault=none',
      `NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=${Math.floor(totalmem() / 2 ** 21)} State=UNKNOWN`,
      'PartitionName=cpu Nodes=localhost Default=YES MaxTime=INFINITE State=UP',
      'PartitionName=night Nodes=localhost MaxTime=INFINITE State=DOWN',
      'PreemptType=preempt/partition_prio',
      'PreemptMode=REQUEUE',
      'PartitionName=low Nodes=localhost MaxTime=INFINITE State=UP PriorityTier=1',
      'PartitionName=high Nodes=localhost MaxTime=INFINITE State=UP PriorityTier=2',
      '',
    ].join('\n');
  }

  get env() {
    return { ...process.env, SLURM_CONF: this.config };
  }

  run(name, args, launcher = []) {
    const [program, ...rest] = [...launcher, programs.get(name), ...args];
    const child = spawn(program, rest, { env: this.env, stdio: 'ignore' });
    this.children.push(child);
    return child;
  }

  startNode() {
    const launcher = [programs.get('unshare'), '--pid', '--fork', '--kill-child', '--mount-proc'];
    this.run('slurmd', ['-D', '-N', 'localhost'], launcher);
  }

  /** A program of Slurm: what it prints. */
  ask(name, ...args) {
    const { status, stdout, stderr } = spawnSync(find(name), args, {
      env: this.env,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${name} ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  async untilIdle() {
    for (const end = Date.now() + 120_000; ; await wait(200)) {
      const { stdout = '' } = spawnSync(find('sinfo'), ['-h', '-N', '-p', 'cpu', '-o', '%T'], {
        env: this.env,
        encoding: 'utf8',
      });
      if (stdout.trim() === 'idle') return;
      if (Date.now() > end) throw new Error(`The node does not come up: ${this.logs()}`);
    }
  }

  logs() {
    return ['munged', 'slurmctld', 'slurmd']
      .map((name) => {
        try {
          return readFileSync(this.file(`log/${name}.log`), 'utf8').slice(-2_000);
        } catch {
          return '';
        }
      })
      .join('\n');
  }

  /** Ends all of it, with the jobs: they have ended when the first process of their node has. */
  async stop() {
    for (const child of this.children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill(child.spawnfile === programs.get('unshare') ? 'SIGKILL' : 'SIGTERM');
      await once(child, 'exit');
    }
  }
}
