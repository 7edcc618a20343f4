import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findProgram } from '../../src/common/programs';
import { newRunId } from '../../src/shared/run';
import { openTarget } from '../../src/targets/openTarget';
import type { Target } from '../../src/targets/target';
import { readTargets } from '../../src/targets/targetList';
import {
  chats,
  filesIn,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  startCli,
  stepsOf,
  tempFolder,
  train,
  until,
  weightsOf,
} from '../support/commandLine';
import { dist } from '../support/tfjs';
import { NodeSshServer } from '../support/nodeSshServer.mjs';
import { contract } from '../targets/contract.mjs';

const folder = tempFolder();
/** Nothing of it may mean anything to a shell. */
const remote = path.join(folder, `it's "$(touch injected)" there`);
const targets = path.join(folder, 'targets.json');
const { signal } = new AbortController();
const METRICS = 'metrics.jsonl';
/** In the data of the run that is not sent as it is. */
const MARK = 'a word that does not arrive';
const MANY = 1_000_000;
let server: NodeSshServer;
let runs = 0;

const start = (...args: readonly string[]) => {
  const { child, end } = startCli(args, { LORA_TARGETS: targets });
  const said = { text: '' };
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (text: string) => {
      said.text += text;
    });
  return { child, said, end: end.then(({ code }) => ({ code, text: said.text })) };
};

async function usingTarget(use: (target: Target) => Promise<void>): Promise<void> {
  const [entry] = await readTargets(targets);
  const target = await openTarget(entry!, { dist, env: process.env });
  try {
    await use(target);
  } finally {
    target.dispose();
  }
}

const lora = (...args: readonly string[]) => start(...args).end;
const trainThere = (recipe: string, dir: string) =>
  start('train', recipe, '--on', 'box', '--run-dir', dir);
const newRun = () => path.join(folder, `20260101-000000-${(++runs).toString(16).padStart(4, '0')}`);
const there = (dir: string, name: string) =>
  readFileSync(path.join(remote, 'jobs', path.basename(dir), 'run', name));
const itemsThere = () => readdirSync(path.join(remote, 'items')).sort();
const stepCount = (dir: string) => (filesIn(dir).includes(METRICS) ? stepsOf(dir).length : 0);
/** What a step has computed, without how long it took. */
const numbersOf = (dir: string) =>
  stepsOf(dir).map(({ step, loss, grad_norm }) => ({ step, loss, grad_norm }));

function expectMirrored(dir: string): void {
  expect(readFileSync(path.join(dir, METRICS)).equals(there(dir, METRICS))).toBe(true);
  const weights = 'adapter/adapter_model.safetensors';
  expect(weightsOf(dir).equals(there(dir, weights))).toBe(true);
  expect(metricsOf(dir).length).toBeGreaterThan(0);
}

/** Changes one byte of the data on its way. */
function flipInData(bytes: Buffer): Buffer {
  const at = bytes.indexOf(MARK);
  if (at < 0) return bytes;
  const changed = Buffer.from(bytes);
  changed[at] = 'A'.charCodeAt(0);
  return changed;
}

describe.skipIf(process.platform === 'win32')('over SSH', () => {
  beforeAll(async () => {
    if (findProgram('ssh', process.env) === null)
      throw new Error('There is no ssh: install the OpenSSH client (openssh-client).');
    server = await NodeSshServer.start(folder);
    const box = { name: 'box', kind: 'ssh', host: 'box', root: remote };
    writeFileSync(targets, JSON.stringify([{ ...box, config: server.file('config') }]));
  });
  afterAll(async () => {
    // a test that has failed may have left one
    await usingTarget(async (target) => {
      for (const handle of await target.jobs(signal)) await target.stop(handle, signal);
    });
    await server.down();
  });

  it('trains there as here, brings everything, and sends nothing twice', async () => {
    const recipe = makeRecipe();
    const [dir, again] = [newRun(), newRun()];
    const { code, text } = await trainThere(recipe, dir).end;
    expect(code, text).toBe(0);
    expect(text).toMatch(/Sending .* engine .*, base .*, dataset/);
    expectMirrored(dir);
    expect(recordOf(dir).state).toBe('completed');
    const here = await train(recipe);
    expect(numbersOf(dir)).toEqual(numbersOf(here));
    expect(weightsOf(dir).equals(weightsOf(here))).toBe(true);
    const second = await trainThere(recipe, again).end;
    expect(second.text).toContain('Nothing is sent to box. It has already: engine, base, dataset');
    expect(weightsOf(again).equals(weightsOf(dir))).toBe(true);
    expect(filesIn(folder).some((name) => path.basename(name) === 'injected')).toBe(false);
  });

  it('finds a base in the cache of the Hub there', async () => {
    const hub = path.join(folder, 'hub');
    const snapshot = path.join(hub, 'models--lab--tiny', 'snapshots', '0a1b');
    cpSync(path.join(fixtures, 'llama/base'), snapshot, { recursive: true });
    const file = path.join(folder, 'hub targets.json');
    const [box] = JSON.parse(readFileSync(targets, 'utf8')) as [object];
    writeFileSync(file, JSON.stringify([{ ...box, bases: { 'lab/tiny': 'lab/tiny' } }]));
    const recipe = makeRecipe({ top: { base: snapshot }, training: { max_steps: 2 } });
    const plan = () => startCli(['targets', 'plan', 'box', recipe], { LORA_TARGETS: file }).end;
    expect((await plan()).stderr).toContain('box has no lab/tiny in its cache of the Hub.');
    process.env['HF_HUB_CACHE'] = hub;
    const { stdout } = await plan().finally(() => delete process.env['HF_HUB_CACHE']);
    expect(stdout).toContain(`${snapshot} is there already`);
    expect(stdout).not.toMatch(/^base:/m);
  });

  it('refuses a host whose key is not known, or another one', async () => {
    server.writeConfig({ known: null });
    const unknown = await lora('targets', 'check', 'box');
    expect(unknown.code).toBe(1);
    expect(unknown.text).toMatch(/The key of box is not known, .*\nLog in once in a terminal/s);
    expect(readFileSync(server.file('known_hosts'), 'utf8')).toBe('');
    server.writeConfig({ known: 'other' });
    expect((await lora('targets', 'check', 'box')).text).toMatch(/another one than before/);
    server.writeConfig({ key: 'stranger' });
    expect((await lora('targets', 'check', 'box')).text).toMatch(/box refuses the login/);
    server.writeConfig({});
  });

  it('refuses a file that arrives with another byte, and sends it again', async () => {
    const rows = chats().map((row) => ({ ...row, MARK }));
    const recipe = makeRecipe({ training: { max_steps: 2 } }, rows);
    const before = itemsThere();
    server.tamper = flipInData;
    const { code, text } = await trainThere(recipe, newRun()).end;
    server.tamper = (bytes) => bytes;
    expect(code).toBe(1);
    expect(text).toContain('data.jsonl did not arrive as it was sent');
    expect(itemsThere().filter((name) => !name.startsWith('.'))).toEqual(before);
    const again = await trainThere(recipe, newRun()).end;
    expect(again.code, again.text).toBe(0);
    expect(itemsThere()).toHaveLength(before.length + 1);
  });

  it('catches up after a cut to the same bytes, and stops', async () => {
    const dir = newRun();
    const run = trainThere(makeRecipe({ training: { max_steps: MANY, save_steps: 500 } }), dir);
    await until(() => stepCount(dir) > 20, 'steps');
    await server.down();
    await until(() => run.said.text.includes('The run continues there'), 'the word of the cut');
    const cut = stepCount(dir);
    const size = there(dir, METRICS).length;
    await until(() => there(dir, METRICS).length > size, 'steps without a connection');
    expect(stepCount(dir)).toBe(cut);
    await server.up();
    await until(() => stepCount(dir) > cut, 'the steps since then');
    // the folder is followed again first: the stop waits for the engine's pipe
    const stopped = await lora('stop', dir);
    expect(stopped.code, stopped.text).toBe(0);
    expect((await run.end).code).toBe(130);
    expect(recordOf(dir).state).toBe('stopped');
    expectMirrored(dir);
  });

  it('does not take the end of an earlier engine for that of one that dies at once', async () => {
    const dir = newRun();
    const run = trainThere(makeRecipe({ training: { max_steps: MANY } }), dir);
    await until(() => stepCount(dir) > 2, 'steps');
    expect((await lora('stop', dir)).code).toBe(0);
    expect((await run.end).code).toBe(130);
    const steps = stepCount(dir);
    const engine = itemsThere().find((id) =>
      filesIn(path.join(remote, 'items', id)).includes('worker.js'),
    );
    const worker = path.join(remote, 'items', engine!, 'worker.js');
    const cli = path.join(path.dirname(worker), 'cli.js');
    const program = readFileSync(cli);
    // the agent still installs the runtime with it
    writeFileSync(
      cli,
      Buffer.concat([
        Buffer.from("if (process.argv[2] === 'train') process.abort();\n"),
        program.subarray(program.indexOf('\n') + 1),
      ]),
    );
    const { code, text } = await lora('train', '--resume', dir).finally(() =>
      writeFileSync(cli, program),
    );
    expect(code, text).toBe(1);
    expect(text).toContain('The engine on box ended without a message');
    expect(recordOf(dir).state).not.toBe('stopped');
    const again = start('train', '--resume', dir);
    await until(() => stepCount(dir) > steps, 'more steps');
    expect((await lora('stop', dir)).code).toBe(0);
    expect((await again.end).code).toBe(130);
  });

  it('removes what no run there uses, and nothing else', async () => {
    const rows = [{ prompt: 'not used', completion: 'by another run' }];
    const [dir, going] = [newRun(), newRun()];
    expect((await trainThere(makeRecipe({ training: { max_steps: 2 } }, rows), dir).end).code).toBe(
      0,
    );
    const run = trainThere(makeRecipe({ training: { max_steps: MANY } }), going);
    await until(() => stepCount(going) > 0, 'steps');
    const part = path.join(remote, 'items', `.${'0'.repeat(40)}.part`);
    mkdirSync(path.join(part, 'files'), { recursive: true });
    writeFileSync(path.join(part, 'files', 'a'), 'a');
    const before = itemsThere();
    // what is new may belong to a run that is being sent
    expect((await lora('targets', 'clean', 'box', '--yes')).text).toContain('or is new.');
    expect(itemsThere()).toEqual(before);
    expect((await lora('stop', '--remove', dir)).code).toBe(0);
    const listed = await lora('targets', 'clean', 'box', '--older', '0');
    expect(listed.code, listed.text).toBe(1);
    expect(listed.text).toContain('remove them with lora targets clean box --yes');
    expect(itemsThere()).toEqual(before);
    const cleaned = await lora('targets', 'clean', 'box', '--older', '0', '--yes');
    expect(cleaned.code, cleaned.text).toBe(0);
    expect(cleaned.text).toContain(`run ${path.basename(going)}  running`);
    const left = itemsThere();
    expect(left.length).toBeLessThan(before.length - 1);
    expect(left).not.toContain(path.basename(part));
    expect((await lora('stop', going)).code).toBe(0);
    expect((await run.end).code).toBe(130);
    // all that a run needs is still there, but for the engine it is sent again if it is not
    const again = start('train', '--resume', going);
    const steps = stepCount(going);
    await until(() => stepCount(going) > steps, 'more steps');
    expect(again.said.text).toContain('Nothing is sent to box.');
    expect((await lora('stop', going)).code).toBe(0);
    await again.end;
  });

  it('trains the runs of a sweep side by side, and follows those that were left', async () => {
    const recipe = makeRecipe({ training: { max_steps: 2_000, save_steps: 200 } });
    const out = path.join(folder, 'a sweep');
    const vary = ['--vary', 'lora.r=1,2', '--vary', 'training.seed=1'];
    const on = ['--on', 'box', '--parallel', '2', '--out', out];
    const first = start('sweep', recipe, ...vary, ...on);
    const own = path.join(out, 'runs');
    const dirs = () =>
      (existsSync(own) ? readdirSync(own) : []).map((name) => path.join(own, name));
    await until(() => dirs().length === 2 && dirs().every((dir) => stepCount(dir) > 0), 'steps');
    first.child.kill('SIGINT');
    expect((await first.end).code).toBe(130);
    const left = dirs();
    const { code, text } = await lora('sweep', '--resume', out);
    expect(code, text).toBe(0);
    expect(dirs()).toEqual(left);
    for (const dir of left) {
      expect(recordOf(dir).state).toBe('completed');
      expectMirrored(dir);
    }
    const unknown = await lora('sweep', recipe, ...vary, '--on', 'another');
    expect(unknown.code).toBe(1);
    expect(unknown.text).toContain('There is no target "another"');
  });

  it('pauses the runs of a tune at their rungs there, and takes the best to its end', async () => {
    const report_to = ['tensorboard'];
    const recipe = makeRecipe({ top: { report_to }, training: { max_steps: 1_000 } });
    const vary = ['--vary', 'training.learning_rate=1e-5,1e-3', '--vary', 'lora.r=2'];
    const { code, text } = await lora('tune', recipe, '--minutes', '20', ...vary, '--on', 'box');
    expect(code, text).toBe(0);
    expect(text).toMatch(/resumed, to rung 2\n(?:.*\n)*.*resumed, to rung 4\n/);
    const own = path.join(path.dirname(recipe), '.lora/runs');
    const dirs = readdirSync(own).map((name) => path.join(own, name));
    expect(dirs.map((dir) => recordOf(dir).state).sort()).toEqual(['completed', 'stopped']);
    expect(filesIn(path.dirname(recipe))).toContain('lora.tuned.lora.json');
    // trackers are fed here: those there would not know the servers
    for (const dir of dirs) {
      expect(filesIn(path.join(dir, 'tensorboard')).length).toBeGreaterThan(0);
      const thereIn = path.join(remote, 'jobs', path.basename(dir), 'run');
      expect(filesIn(thereIn)).not.toContain('tensorboard');
    }
  });

  it('reaches an engine whose first words arrive with the answer', async () => {
    server.gatherMs = 50;
    const connects = contract['connects to a running engine, and ends it']!;
    await usingTarget((target) => connects({ target, folder: tempFolder(), newRunId })).finally(
      () => {
        server.gatherMs = 0;
      },
    );
  });

  describe('the contract of targets', () => {
    it.each(Object.entries(contract))('%s', (_name, check) =>
      usingTarget((target) => check({ target, folder: tempFolder(), newRunId })),
    );
  });
});
