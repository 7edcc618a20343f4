import { describe, expect, it } from 'vitest';
import { consentDetail } from '../../../../src/host/targets/consentDetail';
import { linkSentence } from '../../../../src/host/targets/remoteText';
import { sendRows } from '../../../../src/host/targets/sendRows';
import { memoryOf, reportDocument, reportSummary } from '../../../../src/host/targets/targetReport';
import { parseTargets } from '../../../../src/targets/targetList';
import type { TargetMachine, TargetReport } from '../../../../src/targets/target';

const GIB = 2 ** 30;
const machine: TargetMachine = {
  name: 'gpu-box',
  platform: 'linux-x64',
  cores: 16,
  memory: 64 * GIB,
  freeDisk: null,
  gpus: [{ name: 'NVIDIA L4', memory: 24 * GIB }],
};
const report = (change: Partial<TargetReport> = {}): TargetReport => ({
  machines: [machine],
  node: '22.1.0',
  runtime: null,
  missing: [],
  ...change,
});
const [entry] = parseTargets(
  '[{"name": "gpu-box", "kind": "ssh", "host": "me@gpu.example", "env": ["HF_TOKEN"]}]',
  '/t.json',
);

describe('what a target has', () => {
  it('fits in a line, or is what it lacks', () => {
    expect(reportSummary(report())).toBe('16 cores, 64 GiB, NVIDIA L4 (24 GiB)');
    expect(reportSummary(report({ machines: [machine, machine] }))).toBe(
      '2 machines, the first with 16 cores, 64 GiB, NVIDIA L4 (24 GiB)',
    );
    expect(reportSummary(report({ machines: [] }))).toBe('reachable');
    expect(reportSummary(report({ missing: ['No room: free 2 GB.'] }))).toBe('No room: free 2 GB.');
  });

  it('counts the memory of the largest GPU, else of the largest machine', () => {
    const small = { ...machine, gpus: [], memory: 8 * GIB };
    expect(memoryOf(report())).toBe(24 * GIB);
    expect(memoryOf(report({ machines: [small, { ...small, memory: 16 * GIB }] }))).toBe(16 * GIB);
    expect(memoryOf(report({ machines: [{ ...small, memory: null }] }))).toBeNull();
  });

  it('is a document that says what is missing and what is not known', () => {
    const text = reportDocument(entry!, report({ missing: ['Install tar.'] }));
    expect(text).toContain('Runs cannot be sent to it yet:\n\n- Install tar.');
    expect(text).toContain('- libtensorflow: installed with the first run');
    expect(text).toContain('- Free disk space: unknown');
    expect(reportDocument(entry!, report())).toContain('Runs can be sent to it.');
  });
});

describe('the question about a target of the workspace', () => {
  it('names kind, host, file and the variables that it would get', () => {
    const origin = { kind: 'workspace', file: '/w/.lora/targets.json' } as const;
    const text = consentDetail({ entry: entry!, origin });
    for (const part of ['SSH', 'me@gpu.example', 'HF_TOKEN', '/w/.lora/targets.json'])
      expect(text).toContain(part);
  });

  it('names the bucket that requests to are signed for', () => {
    const [ray] = parseTargets(
      '[{"name": "c", "kind": "ray", "address": "http://h:1", "storage": "s3://abc/d", "endpoint": "https://evil.example"}]',
      '/t.json',
    );
    const origin = { kind: 'workspace', file: '/w/.lora/targets.json' } as const;
    expect(consentDetail({ entry: ray!, origin })).toContain(
      'Storage: s3://abc/d (https://evil.example)',
    );
  });
});

describe('what is shown before a run is sent', () => {
  const items = [
    { label: 'engine', bytes: 8 * 2 ** 20, present: true },
    { label: 'base', bytes: 256 * 2 ** 20, present: false },
  ];
  const sending = {
    target: 'gpu-box',
    recipe: '/w/lora.json',
    plan: { items, there: ['/models/other'], report: report() },
  };

  it('counts only what is not there', () => {
    const [start, , engine, base, there] = sendRows(sending, { bytes: 2 * GIB, images: null });
    expect(start).toMatchObject({
      label: 'Start on gpu-box',
      description: 'sends 256 MiB',
      detail: 'needs about 2 GiB of its 24 GiB of memory',
    });
    expect(engine!.description).toBe('8 MiB, is there already');
    expect(base!.description).toBe('256 MiB, is sent');
    expect(there).toMatchObject({ label: '/models/other', description: 'is there already' });
  });

  it('says that the memory does not suffice', () => {
    expect(sendRows(sending, { bytes: 25 * GIB, images: null })[0]!.detail).toBe(
      'needs about 25 GiB of memory, more than its 24 GiB',
    );
  });
});

describe('a run that is not connected', () => {
  it('goes on: no sentence says that it has failed', () => {
    const at = Date.parse('2026-01-02T03:04:05Z');
    const away = linkSentence({ kind: 'unattended', since: at }, 'gpu-box', at);
    const lost = linkSentence(
      { kind: 'unreachable', since: at, reason: 'No route' },
      'gpu-box',
      at,
    );
    for (const text of [away, lost]) {
      expect(text).toContain('The run continues there');
      expect(text).not.toMatch(/fail|error|interrupt|unexpected/i);
    }
    expect(lost).toContain('No route. The run');
    expect(linkSentence({ kind: 'connected' }, 'gpu-box', at)).toBeNull();
  });
});
