import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { cli, fixtures, tempFolder } from '../support/commandLine';
import { tensorsIn } from '../support/conversions';

const folder = path.join(fixtures, 'tied');

it.each(['save-both', 'save-embed', 'tied-save-embed-without-head'])(
  'an adapter that replaces the layers of a tied base has the logits of PEFT on the command line: %s',
  async (name) => {
    const want = await tensorsIn(path.join(folder, 'expected.safetensors'));
    const [input, output] = ['in.json', 'out.safetensors'].map((own) =>
      path.join(tempFolder(), own),
    ) as [string, string];
    const input_ids = [[...want.get('inputs.input_ids')!.data]];
    writeFileSync(input, JSON.stringify({ input_ids }));
    const { code, stderr } = await cli(
      ...['logits', '--base', path.join(folder, 'base'), '--input', input, '--output', output],
      ...['--adapter', path.join(folder, name, 'adapter')],
    );
    expect(code, stderr).toBe(0);
    const have = (await tensorsIn(output)).get('logits')!.data;
    const expected = want.get(`${name}.logits`)!.data;
    expect(have).toHaveLength(expected.length);
    const gaps = expected.map((value, i) => Math.abs(value - have[i]!));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(2e-5 * Math.max(1, ...expected.map(Math.abs)));
  },
);
