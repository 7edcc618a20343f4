// A Ray cluster of some nodes on this machine, with ports and folders of its own. Whoever starts it
// stops it. Nothing of another cluster on this machine is touched.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

export const RAY_VERSION = '2.60.0';
/** Of the variable by which the processes of a node are found. */
const MARK = 'LORA_TEST_RAY_NODE';
const START_MS = 300_000;
/** Ray gives a node up that takes longer than 30 s, as on a busy machine. */
const ATTEMPTS = 4;

/** Where scripts/test-targets.mjs installs Ray. */
export const rayHome = () =>
  path.join(homedir(), '.cache', 'lora-workbench', 'ray', `venv-${RAY_VERSION}`);

/** A port of the loopback interface that nobody uses now. */
export const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** The ids of the processes of a node: by their environment, or by the logs that they have open. */
const processesOf = ({ mark, folder }) =>
  readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      if (readFileSync(`/proc/${name}/environ`, 'latin1').split('\0').includes(mark)) return true;
      // Ray's agents overwrite their environment with their titles
      return readdirSync(`/proc/${name}/fd`).some((fd) =>
        readlinkSync(`/proc/${name}/fd/${fd}`).startsWith(`${folder}${path.sep}`),
      );
    } catch {
      return false;
    }
  });

/** A node of a cluster: its processes. */
class RayNode {
  constructor({ args, folder, env, home }) {
    const id = randomBytes(8).toString('hex');
    this.mark = `${MARK}=${id}`;
    this.folder = folder;
    this.child = spawn(
      path.join(home, 'bin', 'ray'),
      [
        'start',
        '--block',
        '--disable-usage-stats',
        '--object-store-memory=80000000',
        `--temp-dir=${folder}`,
        ...args,
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...process.env,
          PATH: `${path.join(home, 'bin')}:${process.env.PATH}`,
          [MARK]: id,
          ...env,
        },
      },
    );
    this.output = '';
    for (const stream of [this.child.stdout, this.child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (this.output += text));
  }

  /** Ends all its processes at once, as a power failure does. */
  async kill() {
    for (let left; (left = processesOf(this)).length > 0; await wait(100))
      for (const pid of left)
        try {
          process.kill(Number(pid), 'SIGKILL');
        } catch {
          // it has ended
        }
  }
}

/** A cluster that asks for a token. Its head offers `cpus`; more nodes can be added. */
export class RayCluster {
  nodes = [];

  /** `home`: the environment of Python that has Ray. */
  static async start({ cpus = 1, env = {}, home = rayHome() } = {}) {
    const cluster = new RayCluster();
    cluster.home = home;
    cluster.folder = mkdtempSync(path.join(tmpdir(), 'lora-ray-'));
    cluster.token = randomBytes(32).toString('hex');
    cluster.env = {
      RAY_AUTH_MODE: 'token',
      RAY_AUTH_TOKEN: cluster.token,
      // workers get no less of a busy machine than others
      RAY_worker_niceness: '0',
      ...env,
    };
    cluster.port = await freePort();
    const dashboard = await freePort();
    cluster.address = `http://127.0.0.1:${dashboard}`;
    cluster.head = await cluster.#add(1, [
      '--head',
      `--port=${cluster.port}`,
      '--include-dashboard=true',
      '--dashboard-host=127.0.0.1',
      `--dashboard-port=${dashboard}`,
      `--num-cpus=${cpus}`,
      `--ray-client-server-port=${await freePort()}`,
    ]);
    return cluster;
  }

  /** One more node. */
  async addNode({ cpus = 1 } = {}) {
    const before = await this.living();
    return this.#add(before + 1, [`--address=127.0.0.1:${this.port}`, `--num-cpus=${cpus}`]);
  }

  /** How many nodes are alive. */
  async living() {
    const headers = { Authorization: `Bearer ${this.token}` };
    const answer = await fetch(`${this.address}/nodes?view=summary`, { headers });
    const { data } = await answer.json();
    return data.summary.filter(({ raylet }) => raylet.state === 'ALIVE').length;
  }

  async stop() {
    for (const node of this.nodes.reverse()) await node.kill();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Starts a node, and waits until the cluster has this many. */
  async #add(count, args) {
    let output = '';
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const folder = path.join(this.folder, `${this.nodes.length}`);
      mkdirSync(folder);
      const own = [
        `--dashboard-agent-listen-port=${await freePort()}`,
        '--node-ip-address=127.0.0.1',
      ];
      const node = new RayNode({ args: [...own, ...args], folder, env: this.env, home: this.home });
      this.nodes.push(node);
      const end = Date.now() + START_MS;
      while (Date.now() < end && node.child.exitCode === null) {
        if ((await this.living().catch(() => 0)) === count) return node;
        await wait(200);
      }
      await node.kill();
      output = node.output;
    }
    await this.stop();
    throw new Error(`A node did not start.\n${output}`);
  }
}
