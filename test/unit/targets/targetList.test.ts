import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { LoraError } from '../../../src/shared/errors';
import { checkTargets, parseTargets, targetsFile } from '../../../src/targets/targetList';

const FILE = path.resolve('targets.json');
const messagesOf = (text: string) =>
  checkTargets(text, FILE).problems.map(({ message, place }) => `${place?.line}: ${message}`);

describe('targets.json', () => {
  it('fills in defaults, and may have comments', () => {
    const text = '[\n// mine\n{"name": "gpu-box", "kind": "ssh", "host": "gpu-box"},]';
    expect(parseTargets(text, FILE)).toEqual([
      {
        name: 'gpu-box',
        kind: 'ssh',
        host: 'gpu-box',
        config: null,
        root: '~/.cache/lora-workbench/target',
        node: null,
        bases: {},
        env: [],
      },
    ]);
  });

  it('is refused with the line and the nearest key', () => {
    expect(messagesOf('[\n{"name": "a", "kind": "ssh",\n"hots": "x"}]')).toEqual([
      '3: Unknown key "hots". Did you mean "host"?',
      '2: "host" is missing.',
    ]);
    expect(messagesOf('{}')).toEqual([
      '1: The file must be a list of targets: [{"name": …, "kind": "ssh", …}].',
    ]);
    expect(messagesOf('[{"name": "a", "kind": "shh"}]')).toEqual([
      '1: "kind" must be one of ssh, ray, slurm, not "shh".',
    ]);
    expect(messagesOf('[{]')[0]).toMatch(/^1: Not valid JSON/);
  });

  it.each(['-oProxyCommand=x', 'a b', '$(x)'])('refuses the host %j', (host) => {
    const [message] = messagesOf(JSON.stringify([{ name: 'a', kind: 'ssh', host }]));
    expect(message).toContain('must be a host');
  });

  it.each(['a b', '../x', '', '\u001b', '-x'])('refuses the name %j', (name) => {
    expect(messagesOf(JSON.stringify([{ name, kind: 'ssh', host: 'a' }]))).toHaveLength(1);
  });

  it.each(['s3://', 's3://Bucket/prefix', 'runs', ''])('refuses the storage %j', (storage) => {
    const entry = { name: 'a', kind: 'ray', address: 'http://head:8265', storage };
    expect(messagesOf(JSON.stringify([entry]))[0]).toContain(
      'must be the absolute path of a folder',
    );
    for (const valid of ['/mnt/runs', 's3://bucket/some/prefix'])
      expect(messagesOf(JSON.stringify([{ ...entry, storage: valid }]))).toEqual([]);
  });

  it('refuses two targets of one name', () => {
    const target = { name: 'a', kind: 'ssh', host: 'a' };
    expect(messagesOf(JSON.stringify([target, target]))).toEqual([
      '1: Two targets are called "a".',
    ]);
    expect(() => parseTargets(JSON.stringify([target, target]), FILE)).toThrow(LoraError);
  });

  it("lies in the user's configuration, or where LORA_TARGETS says", () => {
    expect(targetsFile({ LORA_TARGETS: '/x/y.json' }, 'linux')).toBe(path.resolve('/x/y.json'));
    expect(targetsFile({ XDG_CONFIG_HOME: '/c' }, 'linux')).toBe(
      path.join('/c', 'lora-workbench', 'targets.json'),
    );
    expect(targetsFile({ XDG_CONFIG_HOME: 'relative' }, 'linux')).toContain('.config');
    expect(targetsFile({}, 'darwin')).toContain('Application Support');
    expect(targetsFile({ APPDATA: '/a' }, 'win32')).toBe(
      path.join('/a', 'lora-workbench', 'targets.json'),
    );
  });
});
