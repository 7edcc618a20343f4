import path from 'node:path';
import type * as vscode from 'vscode';
import { describeGroup, type RunGroup } from './arrangeRuns';
import type { DrawnRow } from './redraw';
import type { RunSummary } from './run';
import { placeOf, type QueuedRun } from '../queue/runQueue';
import type { RunPart } from './runParts';
import type { RowCommands } from './rowCommands';
import { treeRowOf } from './treeRow';
import type { TrainingFiles } from '../train/trainingFiles';
import { COMMANDS } from '../commands/commandTable';
import { WALKTHROUGH_ID } from '../manifest/ids';
import { formatNumber, t } from '../text/l10n';
import { treeItem } from '../ui/treeItems';

/**
 * The row of a run. VS Code identifies rows by their objects, so it is kept while the run changes.
 */
export class RunNode {
  /** As VS Code shows it; undefined while it does not. */
  drawn: DrawnRow | undefined;
  constructor(public run: RunSummary) {}
}

/** The row of a group of runs, kept like that of a run. */
export class GroupNode {
  nodes: readonly RunNode[] = [];
  /** What VS Code shows beside its label; undefined while it does not show it. */
  drawn: string | undefined;
  constructor(public group: RunGroup) {}
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

/** The row that says that a run waits for the runtime to be installed. */
export class RuntimeNode {
  readonly id = 'runtime';
}

/** A row that offers to train, where there are no runs yet. */
export class OfferNode {
  constructor(readonly offer: TrainingFiles | 'train' | 'walkthrough') {}
}

/** The rows where there are no runs yet, but something to train was found. */
export const offersOf = (found: TrainingFiles): OfferNode[] =>
  ([found, 'train', 'walkthrough'] as const).map((offer) => new OfferNode(offer));

/** A row of the Runs view. */
export type Node = RunNode | GroupNode | PartNode | QueuedNode | RuntimeNode | OfferNode;

/** How VS Code shows a row. */
export function itemOf(node: Node, commands: RowCommands): vscode.TreeItem {
  if (node instanceof GroupNode) return groupItem(node, commands);
  if (node instanceof QueuedNode) return queuedItem(node);
  if (node instanceof RuntimeNode) return runtimeItem(node);
  if (node instanceof OfferNode) return offerItem(node, commands);
  return node instanceof PartNode ? partItem(node, commands) : runItem(node, commands);
}

function runItem(node: RunNode, commands: RowCommands): vscode.TreeItem {
  const { run } = node;
  const now = Date.now();
  const row = treeRowOf(run, now);
  node.drawn = { row, at: now, hovered: null };
  const { label, description, icon, color, context, spoken } = row;
  const command = { command: COMMANDS.previewRun.id, title: t('Open Dashboard') };
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

function groupItem(node: GroupNode, commands: RowCommands): vscode.TreeItem {
  const { key, label, sweep, runs } = node.group;
  const description = describeGroup(node.group);
  node.drawn = description;
  const common = { id: key, label, description };
  if (sweep === null)
    return treeItem({
      ...common,
      context: 'group',
      spoken: t('{0}, {1} {1|run|runs}', label, runs.length),
      children: 'shown',
    });
  const command = { command: COMMANDS.openSweep.id, title: t('Open') };
  return treeItem({
    ...common,
    icon: 'layers',
    context: 'sweep',
    spoken: `${label}, ${description}`,
    command: commands.on(key, command, sweep),
    children: 'hidden',
  });
}

function queuedItem({ item, place }: QueuedNode): vscode.TreeItem {
  const position = place === 1 ? t('next') : t('waiting, position {0}', place);
  const before = 'resume' in item ? t('continues') : item.on?.target;
  return treeItem({
    id: `queued ${item.id}`,
    label: item.name ?? path.basename(placeOf(item)),
    description: before === undefined ? position : `${before} · ${position}`,
    icon: 'clock',
    context: 'queued',
    tooltip: placeOf(item),
  });
}

/** A click asks again; a button of the row installs it. */
function runtimeItem({ id }: RuntimeNode): vscode.TreeItem {
  const label = t('Waiting for the runtime');
  const description = t('Install');
  return treeItem({
    id,
    label,
    description,
    icon: 'cloud-download',
    color: 'list.warningForeground',
    context: id,
    tooltip: t('Training needs libtensorflow, which is not installed yet.'),
    spoken: `${label}. ${description}`,
    command: { command: COMMANDS.askRuntime.id, title: t('Install Runtime') },
  });
}

function offerItem({ offer }: OfferNode, commands: RowCommands): vscode.TreeItem {
  const title = t('Train Adapter…');
  if (offer === 'train')
    return treeItem({
      id: 'offer train',
      label: t('Train Adapter…'),
      description: t('choose another model or dataset'),
      icon: 'add',
      context: 'offer',
      command: { command: COMMANDS.trainAdapter.id, title },
    });
  if (offer === 'walkthrough')
    return treeItem({
      id: 'offer walkthrough',
      label: t('New to LoRA? Open the walkthrough'),
      description: '',
      icon: 'book',
      context: 'offer',
      command: {
        command: 'workbench.action.openWalkthrough',
        title: t('New to LoRA? Open the walkthrough'),
        arguments: [WALKTHROUGH_ID],
      },
    });
  const { base, dataset } = offer;
  const command = { command: COMMANDS.trainAdapter.id, title };
  return treeItem({
    id: 'offer',
    label: t('Train {0} on {1}', path.basename(base.name), path.basename(dataset.path)),
    description: dataset.rows === null ? '' : t('{0} {0|row|rows}', formatNumber(dataset.rows)),
    icon: 'play',
    context: 'offer',
    tooltip: `${base.path}\n${dataset.path}`,
    command: commands.on('offer', command, { base: base.path, dataset: dataset.path }),
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
