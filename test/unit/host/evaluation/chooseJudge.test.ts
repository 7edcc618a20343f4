import { expect, it, vi } from 'vitest';
import * as vscode from 'vscode';

vi.mock('vscode', async () => ({
  ...(await import('../../../support/fakeVscode')).fakeVscode(),
  lm: { selectChatModels: () => Promise.resolve([]) },
}));
const { chooseJudge } = await import('../../../../src/host/evaluation/chooseJudge');

it('an endpoint that judges gets no key but the one that was typed', async () => {
  const type = (key: string) =>
    vi
      .mocked(vscode.window.showInputBox)
      .mockResolvedValueOnce('https://judge.example/v1')
      .mockResolvedValueOnce('m')
      .mockResolvedValueOnce(key);
  const args = ['--judge', 'https://judge.example/v1#m'];
  type('typed');
  expect(await chooseJudge()).toMatchObject({ args, env: { LORA_JUDGE_KEY: 'typed' } });
  type('');
  expect(await chooseJudge()).toMatchObject({ args, env: { LORA_JUDGE_KEY: '' } });
});
