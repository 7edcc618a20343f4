import path from 'node:path';
import type * as vscode from 'vscode';
import type { RunGroup } from './arrangeRuns';
import type { RunSummary } from './run';
import type { QueuedRun } from '../queue/runQueue';
import type { RunPart } from './runParts';
import type { RowCommands } from './rowCommands';
import { treeRowOf } from './treeRow';
import { COMMANDS } from '../commands/commandTable';
import { t } from '../text/l10n';
import { treeItem } from '../ui/treeItems';

/**
 * The row of a run. VS Code identifies rows by their objects, so it is kept while the run changes.
 */
export class RunNode {
  constructor(public run: RunSummary) {}
}

/** The row of a group of runs. */
export class GroupNode {
  constructor(
    public group: RunGroup,
    public nodes: readonly RunNode[],
  ) {}
}

/** A row below a run: a checkpoint, the adapter, the log, … */
export class PartNode {
  constructor(
    readonly parent: RunNode,
    readonly part: RunPart,
  ) {}
}

/** The row of a queued run. `place`: its position, from 1. */
export class QueuedNode {
  constructor(
    readonly item: QueuedRun,
    readonly place: number,
  ) {}
}

/** A row of the Runs view. */
export type Node = RunNode | GroupNode | PartNode | QueuedNode;

/** How VS Code shows a row. */
export function itemOf(node: Node, commands: RowCommands): vscode.TreeItem {
  if (node instanceof GroupNode) return groupItem(node);
  if (node instanceof QueuedNode) return queuedItem(node);
  return node instanceof PartNode ? partItem(node, commands) : runItem(node, commands);
}

function runItem({ run }: RunNode, commands: RowCommands): vscode.TreeItem {
  const { label, description, icon, color, context, spoken } = treeRowOf(run, Date.now());
  const command = { command: COMMANDS.openDashboard.id, title: t('Open Dashboard') };
  return treeItem({
    id: run.dir,
    label,
    description,
    icon,
    color,
    context,
    spoken,
    command: commands.on(run.dir, command, run.dir),
    ...(run.state !== 'broken' && { children: 'hidden' }),
  });
}

function groupItem({ group: { key, label, runs } }: GroupNode): vscode.TreeItem {
  return treeItem({
    id: `group ${key}`,
    label,
    description: String(runs.length),
    context: 'group',
    spoken: t('{0}, {1} {1|run|runs}', label, runs.length),
    children: 'shown',
  });
}

function queuedItem({ item: { id, name, recipe }, place }: QueuedNode): vscode.TreeItem {
  return treeItem({
    id: `queued ${id}`,
    label: name ?? path.basename(recipe),
    description: place === 1 ? t('next') : t('waiting, position {0}', place),
    icon: 'clock',
    context: 'queued',
    tooltip: recipe,
  });
}

function partItem(node: PartNode, commands: RowCommands): vscode.TreeItem {
  const { label, description, icon, kind, path: place, adapter } = node.part;
  const id = `${kind} ${place}`;
  return treeItem({
    id,
    label,
    description,
    icon,
    context: ['part', kind, adapter && 'adapter'].filter(Boolean).join(' '),
    tooltip: place,
    command: commands.on(id, { command: COMMANDS.openRunPart.id, title: t('Open') }, node),
  });
}
