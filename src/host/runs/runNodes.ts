import path from 'node:path';
import * as vscode from 'vscode';
import type { RunGroup } from './arrangeRuns';
import type { RunSummary } from './run';
import type { QueuedRun } from '../queue/runQueue';
import type { RunPart } from './runParts';
import { treeRowOf } from './treeRow';
import { COMMANDS } from '../commands/commandTable';
import { t } from '../text/l10n';

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
export function itemOf(node: Node): vscode.TreeItem {
  if (node instanceof GroupNode) return groupItem(node);
  if (node instanceof QueuedNode) return queuedItem(node);
  return node instanceof PartNode ? partItem(node) : runItem(node);
}

function runItem({ run }: RunNode): vscode.TreeItem {
  const row = treeRowOf(run, Date.now());
  const item = new vscode.TreeItem(
    row.label,
    run.state === 'broken'
      ? vscode.TreeItemCollapsibleState.None
      : vscode.TreeItemCollapsibleState.Collapsed,
  );
  item.id = run.dir;
  item.description = row.description;
  item.iconPath = new vscode.ThemeIcon(
    row.icon,
    row.color === null ? undefined : new vscode.ThemeColor(row.color),
  );
  item.contextValue = row.context;
  item.accessibilityInformation = { label: row.spoken };
  // Without arguments, because VS Code drops those of a row that was just refreshed, and a click
  // would fail.
  item.command = { command: COMMANDS.openDashboard.id, title: t('Open Dashboard') };
  return item;
}

function groupItem({ group }: GroupNode): vscode.TreeItem {
  const item = new vscode.TreeItem(group.label, vscode.TreeItemCollapsibleState.Expanded);
  item.id = `group ${group.key}`;
  item.description = String(group.runs.length);
  item.contextValue = 'group';
  item.accessibilityInformation = {
    label:
      group.runs.length === 1
        ? t('{0}, 1 run', group.label)
        : t('{0}, {1} runs', group.label, group.runs.length),
  };
  return item;
}

function queuedItem({ item: { id, name, recipe }, place }: QueuedNode): vscode.TreeItem {
  const item = new vscode.TreeItem(name ?? path.basename(recipe));
  item.id = `queued ${id}`;
  item.description = place === 1 ? t('next') : t('waiting, position {0}', place);
  item.iconPath = new vscode.ThemeIcon('clock');
  item.contextValue = 'queued';
  item.tooltip = recipe;
  return item;
}

function partItem({ part }: PartNode): vscode.TreeItem {
  const item = new vscode.TreeItem(part.label);
  item.id = `${part.kind} ${part.path}`;
  item.description = part.description;
  item.iconPath = new vscode.ThemeIcon(part.icon);
  item.contextValue = ['part', part.kind, part.adapter && 'adapter'].filter(Boolean).join(' ');
  item.tooltip = part.path;
  item.command = { command: COMMANDS.openRunPart.id, title: t('Open') };
  return item;
}
