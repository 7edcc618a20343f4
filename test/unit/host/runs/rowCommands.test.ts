import { expect, it, vi } from 'vitest';
import * as vscode from 'vscode';
import { RowCommands } from '../../../../src/host/runs/rowCommands';
import { itemOf, PartNode, RunNode } from '../../../../src/host/runs/runNodes';
import { summaryOf } from '../../../support/runRecords';

vi.mock('vscode', async () => (await import('../../../support/fakeVscode')).fakeVscode());

it('a click on a row invokes its command on that row, without arguments that VS Code could drop', async () => {
  const opened: unknown[] = [];
  for (const id of ['lora.previewRun', 'lora.openRunPart'])
    vscode.commands.registerCommand(id, (argument: unknown) => void opened.push(argument));
  const commands = new RowCommands();
  const nodes = [1, 2].map((n) => new RunNode({ ...summaryOf(), dir: `/w/.lora/runs/r${n}` }));
  const part = new PartNode(nodes[0]!, {
    kind: 'log',
    label: 'Log',
    description: '',
    icon: 'output',
    path: '/w/.lora/runs/r1/engine.log',
    adapter: null,
  });
  for (const node of [nodes[1]!, part, nodes[0]!]) {
    const { command } = itemOf(node, commands);
    expect(command!.arguments).toBeUndefined();
    await vscode.commands.executeCommand(command!.command);
  }
  expect(opened).toEqual(['/w/.lora/runs/r2', part, '/w/.lora/runs/r1']);
});

it('the command of a row stays registered while the view is read again', () => {
  const commands = new RowCommands();
  const command = { command: 'lora.openRunPart', title: 'Open' };
  vi.mocked(vscode.commands.registerCommand).mockClear();
  const ids = [1, 2, 3].map((target) => commands.on('row', command, target).command);
  expect(new Set(ids).size).toBe(1);
  expect(vscode.commands.registerCommand).toHaveBeenCalledTimes(1);
});
