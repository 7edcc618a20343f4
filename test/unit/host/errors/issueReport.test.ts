import { describe, expect, it } from 'vitest';
import { ExtensionLog } from '../../../../src/host/errors/extensionLog';
import { issueReport, runtimeFact } from '../../../../src/host/errors/issueReport';

const facts = {
  extensionVersion: '1.2.3',
  editor: 'VS Code 1.96.0',
  os: 'Linux 6.1 x64',
  runtime: 'TensorFlow 2.18.0 (installed) on the CPU',
  log: [
    '[info] /home/ann/project/dist/cli.js train /home/ann/project/lora.json',
    '[error] It failed.',
  ],
  home: '/home/ann',
};

describe('an issue report', () => {
  it('names versions, system and runtime, and quotes the log', () => {
    const report = issueReport(facts);
    for (const line of [
      '- LoRA Workbench: 1.2.3',
      '- Editor: VS Code 1.96.0',
      '- Operating system: Linux 6.1 x64',
      '- Runtime: TensorFlow 2.18.0 (installed) on the CPU',
      '[error] It failed.',
    ])
      expect(report.split('\n')).toContain(line);
  });

  it('replaces the home folder by ~, with slashes and backslashes', () => {
    expect(issueReport(facts)).toContain('[info] ~/project/dist/cli.js train ~/project/lora.json');
    expect(issueReport(facts)).not.toContain('/home/ann');
    const windows = { home: 'C:\\Users\\ann', log: ['C:\\Users\\ann\\a and C:/Users/ann/b'] };
    expect(issueReport({ ...facts, ...windows })).toContain('~\\a and ~/b');
  });

  it.each([
    'c:\\users\\Ann Müller\\a', // VS Code writes the drive with a small letter
    'C:\\\\Users\\\\Ann Müller\\\\a', // in JSON
    'file:///c%3A/Users/Ann%20M%C3%BCller/a',
    'C:/Users/Ann Müller/a',
  ])('finds the home folder of Windows in %s', (line) => {
    const report = issueReport({ ...facts, home: 'C:\\Users\\Ann Müller', log: [line] });
    expect(report).toContain('~');
    expect(report).not.toMatch(/ann|m(?:ü|%C3%BC)ller/i);
  });

  it('keeps the end of a long log', () => {
    const log = Array.from({ length: 5_000 }, (_, i) => `message ${i}`);
    const report = issueReport({ ...facts, log });
    expect(report.length).toBeLessThan(7_000);
    expect(report).toContain('message 4999');
    expect(report).not.toContain('message 1000\n');
  });

  it('describes each kind of runtime in one line', () => {
    const folder = '/r';
    expect(runtimeFact(null)).toBe('none installed');
    expect(runtimeFact({ kind: 'wasm', source: 'wasm', why: '' })).toBe('WebAssembly on the CPU');
    expect(
      runtimeFact({
        kind: 'tensorflow',
        source: 'cuda',
        folder,
        binding: folder,
        tensorflow_version: '2.18.0',
        device: 'gpu',
        bf16: 'slow',
        why: '',
      }),
    ).toBe('TensorFlow 2.18.0 (cuda) on the GPU');
  });
});

it('no message of the log ends its block in an issue report', () => {
  const report = issueReport({
    extensionVersion: '1',
    editor: 'x',
    os: 'x',
    runtime: 'x',
    log: ['a', '`````` ![x](https://evil.example)', '````'],
    home: '',
  });
  const [, fence] = /^(`{3,})text$/m.exec(report)!;
  expect(report.split('\n').filter((line) => line.startsWith(fence!))).toHaveLength(2);
});

describe('the log', () => {
  it('passes messages on to its channel and remembers the newest', () => {
    const written: string[] = [];
    const write = (message: string) => void written.push(message);
    const nothing = () => undefined;
    const log = new ExtensionLog({
      info: write,
      warn: write,
      error: write,
      show: nothing,
      dispose: nothing,
    });
    for (let i = 0; i < 100; i++) log.info(`message ${i}`);
    log.error('broken');
    expect(written).toHaveLength(101);
    expect(log.recent().length).toBeLessThan(100);
    expect(log.recent().at(-2)).toMatch(/^\S+Z \[info\] message 99$/);
    expect(log.recent().at(-1)).toMatch(/\[error\] broken/);
  });
});
