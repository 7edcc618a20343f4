import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inFixtures, lastLine } from '../support/cliResults';
import { editJson, startCli, tempFolder } from '../support/commandLine';
import { startPushHub, type Misbehaviour, type PushHub } from '../support/pushHub';

let hub: PushHub;
beforeEach(async () => {
  hub = await startPushHub();
});
afterEach(() => hub.close());

const BASE = 'owner/base-model';
const REPOSITORY = 'me/git-commands';
const CARD = '---\nlibrary_name: peft\n---\n\n# LoRA adapter\n';

/** A PEFT adapter with a card, a link and a file that is no part of it. */
function adapterFolder(base: unknown = BASE): string {
  const folder = path.join(tempFolder(), 'adapter');
  cpSync(inFixtures('llama/lora-qv/adapter'), folder, { recursive: true });
  editJson(path.join(folder, 'adapter_config.json'), { base_model_name_or_path: base });
  writeFileSync(path.join(folder, 'README.md'), CARD);
  writeFileSync(path.join(folder, '.env'), 'SECRET=1');
  writeFileSync(path.join(folder, 'x\nUploaded'), '');
  symlinkSync('/etc/hostname', path.join(folder, 'vocab.txt'));
  return folder;
}

const push = (adapter: string, args: readonly string[] = [], token = 'hf_test') =>
  startCli(['push', '--adapter', adapter, '--to', REPOSITORY, ...args], {
    HF_ENDPOINT: hub.endpoint,
    HF_TOKEN: token,
  }).end;

const filesOf = (name = REPOSITORY) => hub.repositories.get(name)!.files;

describe('lora push', () => {
  it('shows what would be uploaded, and uploads it to a new private repository', async () => {
    const adapter = adapterFolder();
    const shown = await push(adapter);
    expect([shown.code, shown.stdout]).toEqual([
      0,
      expect.stringMatching(
        /^To be uploaded to .*me\/git-commands \(private, new\), for owner\/base-model:\n {2}adapter_config\.json [^]*Not uploaded: \.env, vocab\.txt, x Uploaded\nNothing was uploaded/,
      ),
    ]);
    expect(hub.requests).toEqual(['GET /api/models/me/git-commands']);
    const { code, stderr, stdout } = await push(adapter, ['--yes', '--json']);
    expect(code, stderr).toBe(0);
    expect(lastLine(stdout)).toMatchObject({ uploaded: true, private: true, exists: false });
    expect(hub.repositories.get(REPOSITORY)!.private).toBe(true);
    expect([...filesOf().keys()].sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
    ]);
    const weights = readFileSync(path.join(adapter, 'adapter_model.safetensors'));
    expect(filesOf().get('adapter_model.safetensors')!.equals(weights)).toBe(true);
    expect(filesOf().get('README.md')!.toString()).toBe(
      CARD.replace('---\n', `---\nbase_model: "${BASE}"\n`),
    );
    expect(hub.leaked).toEqual([]);
  });

  it('adds to a repository only when it is told to, and sends no large file again', async () => {
    const adapter = adapterFolder();
    expect((await push(adapter, ['--yes'])).code).toBe(0);
    const again = await push(adapter, ['--yes']);
    expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/on the Hub already/)]);
    expect((await push(adapter, ['--yes', '--update'])).code).toBe(0);
    expect(hub.repositories.get(REPOSITORY)!.commits).toBe(2);
    expect(hub.requests.filter((own) => own.startsWith('PUT'))).toHaveLength(1);
    hub.repositories.get(REPOSITORY)!.private = false;
    const open = await push(adapter, ['--yes', '--update']);
    expect(open.stderr).toMatch(/me\/git-commands is public/);
    expect((await push(adapter, ['--yes', '--update', '--public'])).code).toBe(0);
  });

  it('publishes no path of this disk', async () => {
    const adapter = adapterFolder('/home/someone/models/base');
    const refused = await push(adapter, ['--yes']);
    expect(refused.stderr).toMatch(/names no base that is on the Hub[^]*--base-name/);
    expect(hub.requests).toEqual([]);
    expect((await push(adapter, ['--yes', '--base-name', BASE])).code).toBe(0);
    expect(filesOf().get('adapter_config.json')!.toString()).not.toContain('someone');
    const cached = '/home/someone/.cache/huggingface/hub/models--owner--base-model/snapshots/abc';
    const { stdout } = await push(adapterFolder(cached), ['--update']);
    expect(stdout).toMatch(/for owner\/base-model/);
  });

  it('refuses what is no PEFT adapter, a wrong name, and a missing or wrong token', async () => {
    const adapter = adapterFolder();
    const cases: readonly (readonly [Promise<{ stderr: string; code: number | null }>, RegExp])[] =
      [
        [push(inFixtures('llama/formats/mlx')), /Only a PEFT adapter/],
        [push(path.join(adapter, 'README.md')), /Only a PEFT adapter/],
        [push(adapter, ['--base-name', '../x']), /--base-name must be/],
        [push(adapter, [], ''), /needs a token/],
        [push(adapter, [], 'secret'), /not an access token/],
        [push(adapter, ['--yes'], 'hf_other'), /may not write me\/git-commands/],
      ];
    for (const [ended, message] of cases) {
      const { code, stderr } = await ended;
      expect(code).not.toBe(0);
      expect(stderr).toMatch(message);
    }
    expect(hub.repositories.size).toBe(0);
    for (const HF_ENDPOINT of ['hub', 'file:///etc', 'https://']) {
      const args = ['push', '--adapter', adapter, '--to', REPOSITORY];
      const { code, stderr } = await startCli(args, { HF_ENDPOINT, HF_TOKEN: 'hf_test' }).end;
      expect([code, stderr]).toEqual([2, expect.stringMatching(/not the address of a Hub server/)]);
    }
  });

  it.each<readonly [string, Misbehaviour, RegExp]>([
    [
      'makes a public repository',
      (place, usual) =>
        place.startsWith('GET') && usual.body !== undefined
          ? { body: { private: false } }
          : undefined,
      /has not made .* private: nothing is uploaded/,
    ],
    [
      'answers HTML',
      (place) => (place.includes('preupload') ? { body: '<html>' } : undefined),
      /cannot be understood/,
    ],
    [
      'answers too much',
      (place) => (place.includes('preupload') ? { body: 'x'.repeat(2 ** 21) } : undefined),
      /cannot be understood/,
    ],
    [
      'answers null',
      (place) => (place.includes('batch') ? { body: 'null' } : undefined),
      /cannot be understood/,
    ],
    [
      'redirects',
      (place) =>
        place.includes('create')
          ? { status: 307, headers: { location: 'http://127.0.0.1:1/' } }
          : undefined,
      /status 307/,
    ],
    [
      'sends the file to this machine',
      batchWith({ href: 'http://localhost:1/x' }),
      /which is refused/,
    ],
    [
      'sends the file to a service of the network',
      batchWith({ href: 'http://169.254.169.254/latest' }),
      /which is refused/,
    ],
    ['sends the file to a file', batchWith({ href: 'file:///etc/passwd' }), /which is refused/],
    ['sends the file to nowhere', batchWith({ href: 'http://' }), /not an address/],
    [
      'injects headers',
      batchWith({ href: '/x', header: { 'x-a': 'b\r\nx: y' } }),
      /cannot be understood/,
    ],
    ['wants parts', batchWith({ href: '/x', header: { chunk_size: '5' } }), /in parts/],
    [
      'refuses the file',
      (place) => (place.startsWith('PUT') ? { status: 403 } : undefined),
      /storage of the Hub answered with status 403/,
    ],
    [
      'fails at the end',
      (place) => (place.includes('/commit/') ? { status: 500 } : undefined),
      /status 500: nothing is published/,
    ],
  ])('says so in a sentence when the Hub %s', async (_, how, message) => {
    hub.misbehave(how);
    const { code, stderr } = await push(adapterFolder(), ['--yes']);
    expect([code, stderr]).toEqual([1, expect.stringMatching(message)]);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(hub.leaked).toEqual([]);
  });
});

/** A batch whose only object has another place to upload to. */
function batchWith(upload: object): Misbehaviour {
  return (place, { body }) => {
    if (!place.includes('batch')) return undefined;
    const [object] = (body as { objects: { oid: string }[] }).objects;
    return { body: { objects: [{ oid: object!.oid, actions: { upload } }] } };
  };
}
