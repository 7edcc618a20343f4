import { beforeEach, describe, expect, it, vi } from 'vitest';
import * as vscode from 'vscode';
import type { HubServices } from '../../../../src/host/hub/hubToken';
import { LoraError } from '../../../../src/shared/errors';

vi.mock('vscode', async () => (await import('../../../support/fakeVscode')).fakeVscode());
const { pushAdapterCommand } = await import('../../../../src/host/hub/pushAdapter');
beforeEach(() => vi.clearAllMocks());

const PLAN = {
  repository: 'me/git',
  url: 'https://hub/me/git',
  private: true,
  base: 'owner/base',
  files: [{ path: 'adapter_model.safetensors', size: 2e6 }],
  left_out: ['.env'],
};

function servicesWith(run: unknown): HubServices {
  const secrets = { get: () => Promise.resolve('hf_secret') };
  return { jobs: { run }, secrets } as unknown as HubServices;
}

const callsOf = (mock: unknown) => (mock as ReturnType<typeof vi.fn>).mock.calls as unknown[][];

describe('uploading an adapter', () => {
  it('asks for the base where the adapter names a folder, shows the files, and uploads', async () => {
    const place = { file: 'adapter_config.json', key: 'base_model_name_or_path' };
    const run = vi
      .fn()
      .mockRejectedValueOnce(new LoraError('usage', 'no base', { place }))
      .mockResolvedValue(PLAN);
    vi.mocked(vscode.window.showInputBox)
      .mockResolvedValueOnce('me/git')
      .mockResolvedValueOnce('owner/base');
    vi.mocked(vscode.window.showInformationMessage).mockResolvedValue(undefined);
    await pushAdapterCommand(servicesWith(run), '/w/adapter');
    const args = ['push', '--adapter', '/w/adapter', '--to', 'me/git'];
    expect(callsOf(run).map(([, own, , env]) => [own, env])).toEqual([
      [args, { HF_TOKEN: 'hf_secret' }],
      [[...args, '--base-name', 'owner/base'], { HF_TOKEN: 'hf_secret' }],
      [[...args, '--base-name', 'owner/base', '--yes'], { HF_TOKEN: 'hf_secret' }],
    ]);
    expect(JSON.stringify(callsOf(vscode.window.showWarningMessage))).toMatch(
      /me\/git.*adapter_model\.safetensors.*owner\/base.*Not uploaded: \.env/,
    );
  });

  it('uploads nothing when the user does not agree', async () => {
    const run = vi.fn().mockResolvedValue(PLAN);
    vi.mocked(vscode.window.showInputBox).mockResolvedValueOnce('me/git');
    vi.mocked(vscode.window.showWarningMessage).mockResolvedValueOnce(undefined);
    await pushAdapterCommand(servicesWith(run), '/w/adapter');
    expect(run).toHaveBeenCalledOnce();
  });
});
