import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PreparedUse, UseTool } from '../../src/shared/useTools';
import { cliArgs, inFixtures, lastLine, newPath, type CliOptions } from '../support/cliResults';
import { cli, editJson, filesIn, tempFolder } from '../support/commandLine';
import { convert } from '../support/conversions';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';

const folder = inFixtures('llama/base');
const adapter = inFixtures('llama/lora-qv/adapter');

/** The same base as a .gguf file. */
async function ggufOf(model: string, arch: string, file = newPath('base.gguf')): Promise<string> {
  const { metadata, tensors } = await asGguf(model, arch);
  writeFileSync(file, ggufBytes(metadata, tensors));
  return file;
}

const run = (tool: UseTool, options: CliOptions) =>
  cli('use', '--in', tool, ...cliArgs({ adapter, ...options }), '--json');

async function use(tool: UseTool, options: CliOptions): Promise<PreparedUse> {
  const { code, stdout, stderr } = await run(tool, options);
  expect(code, stderr).toBe(0);
  return lastLine(stdout) as PreparedUse;
}

async function refused(tool: UseTool, options: CliOptions): Promise<string> {
  const { code, stdout, stderr } = await run(tool, options);
  expect(code, stdout).not.toBe(0);
  return stderr;
}

describe('lora use', () => {
  it('llama.cpp: writes the adapter as lora convert does, and starts llama-server with it', async () => {
    const base = await ggufOf(folder, 'llama');
    const output = tempFolder();
    const { files, commands, lines, merged } = await use('llama.cpp', { base, output });
    const file = path.join(output, 'lora-qv.gguf');
    expect(files).toEqual([file]);
    const { output: converted } = await convert(adapter, 'gguf', base);
    expect(readFileSync(file).length).toBe(readFileSync(converted).length);
    expect([commands, merged]).toEqual([[['llama-server', '-m', base, '--lora', file]], false]);
    expect(lines).toEqual([`llama-server -m ${base} --lora ${file}`]);
    expect(await refused('llama.cpp', { base, output })).toMatch(/exists already/);
    expect(await refused('llama.cpp', { base: folder, output })).toMatch(
      /reads \.gguf files, and the base is a Hugging Face folder/,
    );
    expect(await refused('llama.cpp', { base })).toMatch(/folder for them is missing/);
  });

  it('Ollama: writes a Modelfile beside the adapter, or beside the merged model', async () => {
    const base = await ggufOf(folder, 'llama');
    const output = path.join(tempFolder(), 'new', 'for ollama');
    const { commands, lines } = await use('ollama', { base, output, name: 'git' });
    expect(filesIn(output)).toEqual(['Modelfile', 'git.gguf']);
    const modelfile = path.join(output, 'Modelfile');
    expect(readFileSync(modelfile, 'utf8')).toBe(`FROM ${base}\nADAPTER ./git.gguf\n`);
    expect(commands).toEqual([
      ['ollama', 'create', 'git', '-f', modelfile],
      ['ollama', 'run', 'git'],
    ]);
    expect(lines?.[0]).toBe(`ollama create git -f '${modelfile}'`);
    // nothing is converted where the Modelfile could not be written
    expect(await refused('ollama', { base, output, name: 'other' })).toMatch(/Modelfile.*exists/);
    expect(filesIn(output)).toEqual(['Modelfile', 'git.gguf']);
    const whole = tempFolder();
    await use('ollama', { base: folder, output: whole, merge: true });
    expect(readFileSync(path.join(whole, 'Modelfile'), 'utf8')).toBe('FROM ./lora-qv\n');
    expect(filesIn(path.join(whole, 'lora-qv'))).toContain('model.safetensors');
  });

  it('Ollama: refuses adapters for architectures of its own engine, and offers to merge', async () => {
    const base = await ggufOf(inFixtures('qwen3/base'), 'qwen3');
    const own = { base, adapter: inFixtures('qwen3/regex/adapter'), output: tempFolder() };
    const message = await refused('ollama', own);
    expect(message).toMatch(/architecture qwen3 in its own engine, which takes no adapters/);
    expect(message).toMatch(/--merge/);
    const { merged, files } = await use('ollama', { ...own, merge: true });
    expect([merged, files.map((file) => path.basename(file))]).toEqual([
      true,
      ['regex.gguf', 'Modelfile'],
    ]);
  });

  it('LM Studio: merges into a model of its folder', async () => {
    const base = await ggufOf(folder, 'llama');
    const output = tempFolder();
    expect(await refused('lm-studio', { base, output })).toMatch(/LM Studio takes no adapters/);
    const { commands } = await use('lm-studio', { base, output, merge: true });
    expect(filesIn(output).filter((name) => name.endsWith('.gguf'))).toEqual([
      'lora-workbench/lora-qv/lora-qv.gguf',
    ]);
    expect(commands).toEqual([['lms', 'load', 'lora-workbench/lora-qv']]);
    expect(await refused('lm-studio', { base: folder, output, merge: true })).toMatch(/\.gguf/);
  });

  it('vLLM: uses a PEFT folder as it is, and converts others', async () => {
    const own = await use('vllm', { base: folder });
    expect([own.files, own.commands]).toEqual([
      [],
      [
        [
          ...['vllm', 'serve', folder, '--enable-lora', '--max-lora-rank', '8'],
          ...['--lora-modules', `lora-qv=${adapter}`],
        ],
      ],
    ]);
    const output = tempFolder();
    const mlx = inFixtures('llama/formats/mlx');
    await use('vllm', { base: folder, adapter: mlx, output, name: 'x' });
    expect(filesIn(path.join(output, 'x'))).toContain('adapter_config.json');
    const dora = inFixtures('qwen3/dora/adapter');
    expect(await refused('vllm', { base: inFixtures('qwen3/base'), adapter: dora })).toMatch(
      /vLLM does not support DoRA/,
    );
    const mixed = path.join(tempFolder(), 'mixed');
    cpSync(adapter, mixed, { recursive: true });
    editJson(path.join(mixed, 'adapter_config.json'), { alpha_pattern: { q_proj: 99 } });
    expect(await refused('vllm', { base: folder, adapter: mixed })).toMatch(
      /the modules have different scales, and vLLM reads only one/,
    );
    expect(await refused('vllm', { base: await ggufOf(folder, 'llama') })).toMatch(
      /reads Hugging Face folders/,
    );
  });

  it('mlx-lm and the own server: start with the adapter', async () => {
    const output = tempFolder();
    const { commands } = await use('mlx', { base: folder, output });
    const converted = path.join(output, 'lora-qv');
    expect(filesIn(converted)).toEqual(['adapter_config.json', 'adapters.safetensors']);
    expect(commands).toEqual([['mlx_lm.chat', '--model', folder, '--adapter-path', converted]]);
    const served = await use('server', { base: folder });
    expect(served.commands).toEqual([
      ['lora', 'serve', '--http', '--base', folder, '--adapter', adapter],
    ]);
  });

  it('refuses links, bad names, and bases that write no text', async () => {
    const base = await ggufOf(folder, 'llama');
    const output = tempFolder();
    symlinkSync(path.join(tempFolder(), 'elsewhere.gguf'), path.join(output, 'lora-qv.gguf'));
    expect(await refused('llama.cpp', { base, output })).toMatch(/links are not followed/);
    for (const name of ['../up', 'A', 'a b', '-x', 'x\ny', '$(id)'])
      expect(await refused('llama.cpp', { base, output, name })).toMatch(/--name takes/);
    const classifier = inFixtures('bert/seq-cls/adapter');
    expect(await refused('mlx', { base: inFixtures('bert/base'), adapter: classifier })).toMatch(
      /mlx-lm writes text, and the base does not/,
    );
    expect(filesIn(output)).toEqual(['lora-qv.gguf']);
  });

  it('gives no line for a shell where a path would be acted on, and quotes the others', async () => {
    const hostile = path.join(tempFolder(), "it's $(touch x)", 'ba\\se.gguf');
    mkdirSync(path.dirname(hostile), { recursive: true });
    await ggufOf(folder, 'llama', hostile);
    const output = tempFolder();
    const { lines, notes, commands } = await use('llama.cpp', { base: hostile, output });
    expect([lines, commands[0]![2]]).toEqual([null, hostile]);
    expect(notes.at(-1)).toMatch(/rename it to get the command/);
    const quoted = path.join(path.dirname(hostile), 'base.gguf');
    cpSync(hostile, quoted);
    const second = await use('llama.cpp', { base: quoted, output, name: 'b' });
    expect(second.lines?.[0]).toContain(`/it'"'"'s $(touch x)/base.gguf'`);
    const broken = path.join(tempFolder(), 'a\nSYSTEM evil.gguf');
    cpSync(hostile, broken);
    expect(await refused('ollama', { base: broken, output: tempFolder() })).toMatch(
      /A Modelfile cannot name this path/,
    );
  });
});
