import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { convertAdapterFile } from '../../../../src/engine/convert/convertAdapterFile';
import type { AdapterFormat } from '../../../../src/formats/adapterFormat';
import { temp } from '../../../support/temp';

const T5 = 'test/fixtures/t5';

const convert = (adapter: string, to: AdapterFormat, output: string, base: string | null = null) =>
  convertAdapterFile({
    adapter,
    to,
    base,
    output,
    partial: false,
    dtype: 'keep',
    merge: false,
    warn: () => undefined,
  });

it('an adapter of T5 in a GGUF file stays one of an encoder-decoder', async () => {
  const folder = temp();
  const [file, output] = [path.join(folder, 'qv.gguf'), path.join(folder, 'adapter')];
  await convert(`${T5}/qv/adapter`, 'gguf', file, `${T5}/base`);
  await convert(file, 'peft', output);
  const config: unknown = JSON.parse(
    await readFile(path.join(output, 'adapter_config.json'), 'utf8'),
  );
  expect(config).toMatchObject({ task_type: 'SEQ_2_SEQ_LM' });
});

it('an adapter of T5 is not written for mlx-lm', async () => {
  const output = path.join(temp(), 'adapter');
  const converted = await convert(`${T5}/qv/adapter`, 'mlx', output);
  expect(converted).toMatchObject({ kind: 'unsupported' });
});
