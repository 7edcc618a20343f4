import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { pathInJson, withBaseName } from '../../../../src/engine/push/localPaths';
import { pushFiles } from '../../../../src/engine/push/pushFiles';

const ADAPTER = path.resolve(import.meta.dirname, '../../../fixtures/llama/lora-qv/adapter');
const LOCAL = '/home/someone/base';

/** With a number that JavaScript would write otherwise. */
const tokenizerConfig = (name: string) =>
  `{"model_max_length": 1000000000000000019884624838656, "name_or_path": "${name}",
    "vocab_file": "/data/x/vocab.json"}`;

/** An adapter that was trained on a base of this disk, with its tokenizer. */
function adapterFolder(): string {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'lora-push-')), 'adapter');
  cpSync(ADAPTER, folder, { recursive: true });
  const file = path.join(folder, 'adapter_config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  const paths = { base_model_name_or_path: LOCAL, parent: 'C:\\Users\\someone\\parent' };
  writeFileSync(file, JSON.stringify({ ...config, ...paths }));
  writeFileSync(path.join(folder, 'tokenizer_config.json'), tokenizerConfig(LOCAL));
  writeFileSync(path.join(folder, 'README.md'), `Trained on ${LOCAL}.`);
  return folder;
}

describe('what is pushed', () => {
  it('names the base as on the Hub, also for the tokenizer, and warns of other paths', async () => {
    const { files, warnings } = await pushFiles(adapterFolder(), 'owner/base');
    const tokenizer = files.find((file) => file.path === 'tokenizer_config.json')!;
    expect(await (await tokenizer.content()).text()).toBe(tokenizerConfig('owner/base'));
    expect(warnings).toEqual([
      `README.md contains a path of this disk: ${LOCAL}`,
      'adapter_config.json contains a path of this disk: C:\\Users\\someone\\parent',
      'tokenizer_config.json contains a path of this disk: /data/x/vocab.json',
    ]);
  });

  it('keeps names on the Hub, and texts that are no paths', () => {
    const config = '{"name_or_path": "owner/other", "eos_token": "</s>", "sep_token": "/"}';
    expect(withBaseName(config, 'owner/base')).toBe(config);
    expect(pathInJson(config)).toBeNull();
  });
});
