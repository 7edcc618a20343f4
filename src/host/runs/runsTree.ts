import * as vscode from 'vscode';
import { CONTEXT_KEYS, VIEWS } from '../manifest/ids';
import { t } from '../text/l10n';
import { setTooltip, setViewTexts } from '../ui/treeItems';
import { fits, GROUPINGS, groupRuns, type Grouping } from './arrangeRuns';
import { isActive, type RunSummary } from './run';
import { readRunCard } from './runCard';
import type { RunQueue } from '../queue/runQueue';
import { GroupNode, itemOf, PartNode, QueuedNode, RunNode, type Node } from './runNodes';
import { partsOf } from './runParts';
import { RowCommands } from './rowCommands';
import { runTooltip } from './runTooltip';
import type { RunStore } from './runStore';

/** How often the ages of runs are refreshed. */
const REFRESH_MS = 60_000;
const GROUPING = 'lora.runsGrouping';

/** The Runs view. */
export class RunsTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Node[] | undefined>();
  private readonly view: vscode.TreeView<Node>;
  private readonly rowCommands = new RowCommands();
  private readonly disposables: readonly { dispose(): unknown }[];
  private nodes: readonly RunNode[] | undefined;
  private groups: readonly GroupNode[] = [];
  private filter = '';

  /** For VS Code: rows to refresh. */
  readonly onDidChangeTreeData = this.changed.event;

  constructor(
    private readonly store: RunStore,
    private readonly queue: RunQueue,
    private readonly memory: vscode.Memento,
  ) {
    this.view = vscode.window.createTreeView(VIEWS.runs, {
      treeDataProvider: this,
      canSelectMany: true,
      showCollapseAll: true,
    });
    const timer = setInterval(() => this.view.visible && this.changed.fire(undefined), REFRESH_MS);
    timer.unref();
    this.disposables = [
      this.view,
      this.rowCommands,
      this.changed,
      store.onDidChange(() => this.update()),
      queue.onDidChange(() => this.changed.fire(undefined)),
      this.view.onDidChangeVisibility(({ visible }) => store.watch(visible)),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.updateMessage()),
      { dispose: () => clearInterval(timer) },
    ];
  }

  /** The selected rows. */
  get selection(): readonly unknown[] {
    return this.view.selection;
  }

  /** How runs are grouped, remembered for the workspace. */
  get grouping(): Grouping {
    return GROUPINGS.find((grouping) => grouping === this.memory.get(GROUPING)) ?? 'none';
  }

  /** The filter; empty when all runs are shown. */
  get filterText(): string {
    return this.filter;
  }

  /** Changes the grouping. */
  async group(by: Grouping): Promise<void> {
    await this.memory.update(GROUPING, by);
    this.arrange();
  }

  /** Shows only the runs that match the filter; all if it is blank. */
  setFilter(filter: string): void {
    this.filter = filter.trim();
    void vscode.commands.executeCommand(
      'setContext',
      CONTEXT_KEYS.runsFiltered,
      this.filter !== '',
    );
    this.arrange();
  }

  /** For VS Code: the rows below a row, or the top ones. */
  async getChildren(node?: Node): Promise<Node[]> {
    if (node instanceof GroupNode) return [...node.nodes];
    if (node instanceof RunNode)
      return (await partsOf(node.run)).map((part) => new PartNode(node, part));
    if (node) return [];
    if (!this.nodes) {
      await this.store.refresh();
      this.store.watch(this.view.visible);
      this.nodes = this.store.runs
        .filter((run) => fits(run, this.filter))
        .map((run) => new RunNode(run));
      this.regroup();
    }
    const waiting = this.queue.items.map((item, i) => new QueuedNode(item, i + 1));
    return [...waiting, ...(this.grouping === 'none' ? this.nodes : this.groups)];
  }

  /** For VS Code: the row above a row. */
  getParent(node: Node): Node | undefined {
    if (node instanceof PartNode) return node.parent;
    return node instanceof RunNode
      ? this.groups.find((group) => group.nodes.includes(node))
      : undefined;
  }

  /** For VS Code: how a row is shown. */
  getTreeItem(node: Node): vscode.TreeItem {
    return itemOf(node, this.rowCommands);
  }

  /** For VS Code: adds the tooltip when the user hovers over a row. */
  async resolveTreeItem(item: vscode.TreeItem, node: Node): Promise<vscode.TreeItem> {
    if (node instanceof RunNode)
      setTooltip(
        item,
        runTooltip(
          node.run,
          await readRunCard(node.run, this.store.record(node.run.dir), this.runBefore(node.run)),
        ),
      );
    return item;
  }

  /** The last run before this one with the same base or recipe. */
  private runBefore(run: RunSummary) {
    const alike = (other: RunSummary) =>
      (other.recipePath !== null && other.recipePath === run.recipePath) ||
      (other.base !== null && other.base === run.base);
    const before = this.store.runs.find((other) => other.created < run.created && alike(other));
    const record = before && this.store.record(before.dir);
    return record ? { name: before.name, record } : null;
  }

  /** Updates the badge, the context keys and the rows. */
  private update(): void {
    const { runs } = this.store;
    const active = runs.filter(isActive).length;
    this.view.badge =
      active === 0
        ? undefined
        : {
            value: active,
            tooltip: t('{0} {0|run is|runs are} training', active),
          };
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.hasRuns, runs.length > 0);
    this.updateMessage();
    this.arrange();
  }

  /** Refreshes the rows that changed, or all of them when rows were added, removed or moved. */
  private arrange(): void {
    setViewTexts(this.view, { description: this.filter === '' ? '' : t('“{0}”', this.filter) });
    if (!this.nodes) return;
    const shown = this.store.runs.filter((run) => fits(run, this.filter));
    const known = new Map(this.nodes.map((node) => [node.run.dir, node]));
    const before = this.shape();
    const changed: RunNode[] = [];
    this.nodes = shown.map((run) => {
      const node = known.get(run.dir) ?? new RunNode(run);
      if (JSON.stringify(node.run) !== JSON.stringify(run)) changed.push(node);
      node.run = run;
      return node;
    });
    this.regroup();
    this.changed.fire(this.shape() === before ? changed : undefined);
  }

  private regroup(): void {
    const { grouping, nodes } = this;
    const nodeOf = new Map(nodes!.map((node) => [node.run, node]));
    this.groups =
      grouping === 'none'
        ? []
        : groupRuns(
            nodes!.map((node) => node.run),
            grouping,
          ).map(
            (group) =>
              new GroupNode(
                group,
                group.runs.map((run) => nodeOf.get(run)!),
              ),
          );
  }

  /** Identifies the rows and their order. */
  private shape(): string {
    const dirs = (nodes: readonly RunNode[]) => nodes.map((node) => node.run.dir);
    return JSON.stringify([
      this.grouping,
      this.groups.map(({ group, nodes }) => [group.key, dirs(nodes)]),
      dirs(this.nodes ?? []),
    ]);
  }

  /** Shows a message in an untrusted workspace; without runs, the welcome view does so. */
  private updateMessage(): void {
    const showMessage = this.store.runs.length > 0 && !vscode.workspace.isTrusted;
    setViewTexts(this.view, {
      message: showMessage
        ? t('This workspace is not trusted. You can view runs, but not start or change them.')
        : '',
    });
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }
}
