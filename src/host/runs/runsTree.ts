import * as vscode from 'vscode';
import { COMMANDS, CONTEXT_KEYS, VIEWS } from '../ids';
import { t } from '../l10n';
import { isActive, type Run } from './run';
import { rowOf } from './runRow';
import type { RunStore } from './runStore';

/** A row's identity for the editor: it stays while the run changes. */
export class RunNode {
  constructor(public run: Run) {}
}

const AGES_EVERY_MS = 60_000;

/** The Runs view. */
export class RunsTree implements vscode.TreeDataProvider<RunNode>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<RunNode[] | undefined>();
  private readonly view: vscode.TreeView<RunNode>;
  private readonly disposables: readonly { dispose(): unknown }[];
  private nodes: readonly RunNode[] | undefined;

  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly store: RunStore) {
    this.view = vscode.window.createTreeView(VIEWS.runs, { treeDataProvider: this });
    const ages = setInterval(() => this.view.visible && this.changed.fire(undefined), AGES_EVERY_MS);
    ages.unref();
    this.disposables = [
      this.view,
      this.changed,
      store.onDidChange(() => this.update()),
      this.view.onDidChangeVisibility(({ visible }) => store.watch(visible)),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.tellTrust()),
      { dispose: () => clearInterval(ages) },
    ];
  }

  /** The run whose row was clicked or is marked, while the view is seen. */
  get selected(): Run | undefined {
    return this.view.visible ? this.view.selection[0]?.run : undefined;
  }

  async getChildren(node?: RunNode): Promise<RunNode[]> {
    if (node) return [];
    if (!this.nodes) {
      await this.store.refresh();
      this.store.watch(this.view.visible);
      this.nodes = this.store.runs.map((run) => new RunNode(run));
    }
    return [...this.nodes];
  }

  getTreeItem({ run }: RunNode): vscode.TreeItem {
    const row = rowOf(run, Date.now());
    const item = new vscode.TreeItem(row.label);
    item.id = run.dir;
    item.description = row.description;
    item.iconPath = new vscode.ThemeIcon(row.icon, row.color === null ? undefined : new vscode.ThemeColor(row.color));
    item.contextValue = row.context;
    item.tooltip = tooltipOf(row.details);
    item.accessibilityInformation = { label: row.spoken };
    // Without arguments: the editor forgets those of a row that has just been drawn anew, and the click would find no command.
    item.command = { command: COMMANDS.openDashboard, title: t('Open Dashboard') };
    return item;
  }

  /** Redraws the rows that changed, or all when runs came, went or changed places. */
  private update(): void {
    const { runs } = this.store;
    const active = runs.filter(isActive).length;
    this.view.badge = active === 0 ? undefined : { value: active, tooltip: active === 1 ? t('1 run is training') : t('{0} runs are training', active) };
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.hasRuns, runs.length > 0);
    this.tellTrust();
    const known = new Map(this.nodes?.map((node) => [node.run.dir, node]));
    const sameRows = this.nodes?.length === runs.length && this.nodes.every((node, i) => node.run.dir === runs[i]!.dir);
    const changed: RunNode[] = [];
    this.nodes = runs.map((run) => {
      const node = known.get(run.dir) ?? new RunNode(run);
      if (JSON.stringify(node.run) !== JSON.stringify(run)) changed.push(node);
      node.run = run;
      return node;
    });
    this.changed.fire(sameRows ? changed : undefined);
  }

  /** Without runs the view's welcome says it. */
  private tellTrust(): void {
    const told = this.store.runs.length > 0 && !vscode.workspace.isTrusted;
    this.view.message = told ? t('This workspace is not trusted: runs can be viewed, but nothing is started or changed.') : '';
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }
}

function tooltipOf(details: readonly (readonly [string, string])[]): vscode.MarkdownString {
  const tooltip = new vscode.MarkdownString();
  for (const [label, value] of details) tooltip.appendMarkdown(`**${label}**: `).appendText(value).appendMarkdown('  \n');
  return tooltip;
}
