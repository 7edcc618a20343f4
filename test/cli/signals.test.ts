import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixtures, startCli, tempFolder, until } from '../support/commandLine';

const base = ['--base', path.join(fixtures, 'llama/base')];

/** The signal that ended a process, or its exit code. */
const endOf = (child: ChildProcess): Promise<NodeJS.Signals | number | null> =>
  new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)));

function fileWith(name: string, value: object): string {
  const file = path.join(tempFolder(), name);
  writeFileSync(file, JSON.stringify(value));
  return file;
}

describe.skipIf(process.platform === 'win32')('a signal', () => {
  const output = path.join(tempFolder(), 'logits.safetensors');
  it.each([
    ['generate', '--prompt', 'the old mill'],
    ['evaluate', '--dataset', fileWith('data.jsonl', { text: 'the old mill' })],
    ['logits', '--input', fileWith('inputs.json', { input_ids: [[1, 2]] }), '--output', output],
  ])('ends %s within a native call that takes minutes', async (command, ...args) => {
    const blocked = path.join(tempFolder(), 'blocked');
    const { child } = startCli([command, ...base, ...args], {
      LORA_BLOCKED: blocked,
      NODE_OPTIONS: `--require ${path.resolve('test/support/blockMain.cjs')}`,
    });
    const end = endOf(child);
    await until(() => existsSync(blocked), 'the operation');
    child.kill('SIGINT');
    expect(await end).toBe('SIGINT');
    expect(readdirSync(path.dirname(output))).toEqual([]);
  });

  it('ends an answer that is being printed with what there is of it', async () => {
    const args = ['--prompt', 'the old mill', '--max-new-tokens', '400', '--temperature', '2'];
    const { child, end } = startCli(['generate', ...base, ...args]);
    child.stdout?.once('data', () => child.kill('SIGINT'));
    const { code, stdout } = await end;
    expect(code).toBe(130);
    expect(stdout).toMatch(/\S.*\n$/s);
  });
});
