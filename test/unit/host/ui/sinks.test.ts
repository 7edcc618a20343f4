import { beforeEach, describe, expect, it, vi } from 'vitest';
import * as vscode from 'vscode';
import { diagnosticAt } from '../../../../src/host/ui/diagnostic';
import * as inputs from '../../../../src/host/ui/inputs';
import { openLog } from '../../../../src/host/ui/logChannel';
import * as messages from '../../../../src/host/ui/messages';
import { openPanel, setTitle } from '../../../../src/host/ui/panels';
import { withNotification, withStatus } from '../../../../src/host/ui/progress';
import { StatusItem } from '../../../../src/host/ui/statusItem';
import { namedTask } from '../../../../src/host/ui/task';
import { toolMessages } from '../../../../src/host/ui/tools';
import { Tooltip } from '../../../../src/host/ui/tooltip';
import { setTooltip, setViewMessage, treeItem } from '../../../../src/host/ui/treeItems';

vi.mock('vscode', async () => (await import('../../../support/fakeVscode')).fakeVscode());
beforeEach(() => vi.clearAllMocks());

/** The name of a run that a stranger has made. */
const NAME =
  'tiny [Resume](command:workbench.action.terminal.new?%7B%7D) $(zap)\u001b]52;c;eA==\u0007\u202e\n![x](https://evil.example/x)';

/** All texts in a value, of functions none. */
function textsIn(value: unknown, seen = new Set<unknown>()): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null || seen.has(value)) return [];
  seen.add(value);
  return Object.values(value).flatMap((part) => textsIn(part, seen));
}

function expectPlain(value: unknown): void {
  const texts = textsIn(value);
  expect(texts.join('')).toContain('Resume');
  for (const text of texts) {
    expect(text).not.toContain('](');
    expect(text).not.toContain('$(zap');
    expect(text).not.toMatch(/[\p{Cc}\u202e]/u);
  }
}

/** Markdown that shows the name, without a link or an image. */
function expectPlainMarkdown(value: unknown): void {
  const texts = textsIn(value);
  expect(texts.join('')).toContain('Resume');
  for (const text of texts) expect(text).not.toMatch(/(?<!\\)\[|:\/\/|\u202e|(?!\n)\p{Cc}/u);
}

const callsOf = (mock: unknown): unknown => (mock as ReturnType<typeof vi.fn>).mock.calls;
const clipboardCalls = (): unknown =>
  callsOf((vscode.env.clipboard as unknown as { readonly writeText: unknown }).writeText);

describe('a run whose name is a link to a command', () => {
  it.each(['information', 'warning', 'error'] as const)(
    'has none in a notification (%s)',
    async (level) => {
      const button = { title: NAME, command: 'x' };
      expect(await messages.notify(level, NAME, [button])).toBe(button);
      expect(await messages.notify(level, NAME, [NAME])).toBe(NAME);
      const { showInformationMessage, showWarningMessage, showErrorMessage } = vscode.window;
      const shown = [showInformationMessage, showWarningMessage, showErrorMessage].flatMap(
        (mock) => callsOf(mock) as readonly (readonly [string, { readonly title: string }])[],
      );
      expect(shown).toHaveLength(2);
      for (const [text, { title }] of shown) expectPlain([text, title]);
    },
  );

  it('has none in a dialog', async () => {
    expect(await messages.confirm(NAME, 'a', 'Delete')).toBe(true);
    expectPlain(callsOf(vscode.window.showWarningMessage));
    await messages.confirm('Delete?', NAME, 'Delete');
    for (const text of textsIn(callsOf(vscode.window.showWarningMessage)))
      expect(text).not.toContain('](');
  });

  it('has none in the status bar', () => {
    messages.showDone(NAME);
    expectPlain(callsOf(vscode.window.setStatusBarMessage));
    const alignment = vscode.StatusBarAlignment.Left;
    const item = new StatusItem('id', NAME, { alignment, priority: 1 });
    item.show({ icon: 'pass', text: NAME, tooltip: NAME.replace('\n', ' ') });
    const shown = vi.mocked(vscode.window.createStatusBarItem).mock.results[0]!
      .value as vscode.StatusBarItem;
    expectPlain([shown.name, shown.text, shown.tooltip]);
    item.show({ icon: 'pass', text: '', tooltip: new Tooltip().paragraph(NAME) });
    expectPlainMarkdown(shown.tooltip);
  });

  it('has none in progress', async () => {
    await withNotification(NAME, (report) => {
      report(NAME, 1);
      return Promise.resolve();
    });
    await withStatus(NAME, () => Promise.resolve());
    expectPlain(callsOf(vscode.window.withProgress));
  });

  it('has none in lists, neither in titles nor in rows', async () => {
    const row = { label: NAME, description: NAME, detail: NAME };
    const options = { title: NAME, placeHolder: NAME };
    expect(await inputs.pickRow([row], options)).toBe(row);
    expect(await inputs.pickRows([row], () => true, options)).toEqual([row]);
    const calls = callsOf(vscode.window.showQuickPick) as readonly [
      readonly { readonly row: unknown }[],
      unknown,
    ][];
    for (const [items, shown] of calls)
      expectPlain([items.map((item) => ({ ...item, row: null })), shown]);
  });

  it('has none in an input box, not even in what is wrong with the text', async () => {
    await inputs.askText({
      title: NAME,
      prompt: NAME,
      placeHolder: NAME,
      validate: () => Promise.resolve(NAME),
    });
    expectPlain(callsOf(vscode.window.showInputBox));
    const [[options]] = callsOf(vscode.window.showInputBox) as [[vscode.InputBoxOptions]];
    expectPlain(await options.validateInput!(''));
  });

  it('has none in the Runs view, in titles, problems, tasks and panels', () => {
    const view = {} as unknown as vscode.TreeView<unknown>;
    setViewMessage(view, NAME);
    const panel = openPanel('view', { viewColumn: vscode.ViewColumn.Active });
    setTitle(panel, NAME);
    expectPlain([
      view,
      panel.title,
      treeItem({
        id: 'id',
        label: NAME,
        description: NAME,
        context: '',
        tooltip: NAME,
        spoken: NAME,
      }),
      diagnosticAt(new vscode.Range(0, 0, 0, 0), NAME, 'error').message,
      namedTask({
        definition: { type: 'lora' },
        folder: {} as vscode.WorkspaceFolder,
        name: NAME,
        detail: NAME,
        terminal: () => ({}) as vscode.Pseudoterminal,
        problemMatcher: '',
      }),
    ]);
  });

  it('has neither a link nor an image in hovers and in the chat', () => {
    const item = new vscode.TreeItem('');
    setTooltip(
      item,
      new Tooltip()
        .facts([[NAME, NAME]])
        .list([NAME])
        .paragraph(NAME),
    );
    expectPlainMarkdown(item.tooltip);
    const { invocationMessage, confirmationMessages } = toolMessages(NAME, {
      title: '',
      message: NAME,
    });
    expectPlainMarkdown([invocationMessage, confirmationMessages]);
  });

  it('cannot forge a line of the log', () => {
    const log = openLog('LoRA');
    log.warn('one\n2026-01-01 00:00:00.000 [info] forged \u001b[2J');
    const channel: unknown = vi.mocked(vscode.window.createOutputChannel).mock.results[0]!.value;
    const text = 'one\n    2026-01-01 00:00:00.000 [info] forged \\u001b[2J';
    expect((channel as { readonly warn: unknown }).warn).toHaveBeenCalledWith(text);
    expect(log.recent()[0]).toMatch(/Z \[warning\] one\n {4}2026/);
  });
});

describe('the clipboard', () => {
  it('gets no control characters', async () => {
    await messages.copyToClipboard('| a\u001b[201~ |\n');
    expect(clipboardCalls()).toEqual([['| a\\u001b[201~ |\n']]);
  });

  it('gets no path that would run something in a terminal', async () => {
    await messages.copyPath('/w/a b');
    await expect(messages.copyPath('/w/a\nrm -rf x\n')).rejects.toThrow(/control characters/);
    expect(clipboardCalls()).toEqual([['/w/a b']]);
  });
});
