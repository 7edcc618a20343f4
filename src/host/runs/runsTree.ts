import * as vscode from 'vscode';
import { fitsFilter, parseRunFilter } from '../../shared/runFilter';
import { CONTEXT_KEYS, VIEWS } from '../manifest/ids';
import { t } from '../text/l10n';
import { setTooltip, setViewMessage } from '../ui/treeItems';
import { GROUPINGS, type Grouping } from './arrangeRuns';
import { canResume, isActive, type RunSummary } from './run';
import { runBefore } from './runBefore';
import { readRunCard } from './runCard';
import { isUnattended } from '../targets/reattach';
import type { RunQueue } from '../queue/runQueue';
import {
  GroupNode,
  itemOf,
  offersOf,
  PartNode,
  QueuedNode,
  RunNode,
  RuntimeNode,
  type Node,
} from './runNodes';
import { partsOf } from './runParts';
import type { FoundFiles } from '../train/trainingFiles';
import type { RuntimeService } from '../runtime/runtimeService';
import { RowCommands } from './rowCommands';
import { RunRows } from './runRows';
import { tableRowOf } from './tableRow';
import { runTooltip } from './runTooltip';
import type { RunStore } from './runStore';

/** How often the ages of runs are refreshed. */
const REFRESH_MS = 60_000;
const GROUPING = 'lora.runsGrouping';

/** What the view shows. */
interface RunsTreeParts {
  readonly store: RunStore;
  readonly queue: RunQueue;
  readonly question: RuntimeService['question'];
  readonly found: FoundFiles;
}

/** The Runs view. */
export class RunsTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Node[] | undefined>();
  private readonly view: vscode.TreeView<Node>;
  private readonly rowCommands = new RowCommands();
  private readonly disposables: readonly { dispose(): unknown }[];
  private readonly rows = new RunRows();
  /** Whether VS Code has asked for the rows. */
  private listed = false;
  private filter = '';
  /** The last values given to VS Code, which draws again whatever it is given. */
  private told = '';

  /** For VS Code: rows to refresh. */
  readonly onDidChangeTreeData = this.changed.event;

  constructor(
    private readonly parts: RunsTreeParts,
    private readonly memory: vscode.Memento,
  ) {
    const { store, queue, question, found } = parts;
    this.view = vscode.window.createTreeView(VIEWS.runs, {
      treeDataProvider: this,
      canSelectMany: true,
      showCollapseAll: true,
    });
    const timer = setInterval(() => this.view.visible && this.redraw(), REFRESH_MS);
    timer.unref();
    this.disposables = [
      this.view,
      this.rowCommands,
      this.changed,
      store.onDidChange(() => this.update()),
      queue.onDidChange(() => {
        this.tell();
        this.changed.fire(undefined);
      }),
      question.onDidChange(() => this.changed.fire(undefined)),
      found.onDidChange(() => this.changed.fire(undefined)),
      this.view.onDidChangeVisibility(({ visible }) => store.watch(visible)),
      ...this.watchPointer(),
      vscode.workspace.onDidGrantWorkspaceTrust(() => {
        this.tell();
        this.changed.fire(undefined);
      }),
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
    this.update();
  }

  /** Shows only the runs that match the filter; all if it is blank. */
  setFilter(filter: string): void {
    this.filter = filter.trim();
    this.update();
  }

  /** For VS Code: the rows below a row, or the top ones. */
  async getChildren(node?: Node): Promise<Node[]> {
    if (node instanceof GroupNode) return [...node.nodes];
    if (node instanceof RunNode)
      return (await partsOf(node.run)).map((part) => new PartNode(node, part));
    if (node) return [];
    if (!this.listed) {
      await this.parts.store.refresh();
      this.parts.store.watch(this.view.visible);
      this.listed = true;
      this.rows.update(this.matching(), this.grouping);
      this.tell();
    }
    const waiting = this.parts.queue.items.map((item, i) => new QueuedNode(item, i + 1));
    const missing = this.parts.question.isOpen ? [new RuntimeNode()] : [];
    return [...missing, ...waiting, ...this.rows.top, ...this.offers()];
  }

  /** What to train, where there are no runs yet: it is named once it was found. */
  private offers(): Node[] {
    const { store, found } = this.parts;
    if (store.runs.length > 0 || this.filter !== '') return [];
    if (found.current === null) void found.look();
    return found.current === null ? [] : offersOf(found.current);
  }

  /** For VS Code: the row above a row. */
  getParent(node: Node): Node | undefined {
    if (node instanceof PartNode) return node.parent;
    return node instanceof RunNode ? this.rows.parentOf(node) : undefined;
  }

  /** For VS Code: how a row is shown. */
  getTreeItem(node: Node): vscode.TreeItem {
    return itemOf(node, this.rowCommands);
  }

  /** For VS Code: adds the tooltip when the user hovers over a row. */
  async resolveTreeItem(item: vscode.TreeItem, node: Node): Promise<vscode.TreeItem> {
    this.rows.hover(node instanceof RunNode ? node : null, Date.now());
    if (!(node instanceof RunNode)) return item;
    const { run } = node;
    const card = await readRunCard(run, this.parts.store.record(run.dir), this.runBefore(run));
    setTooltip(item, runTooltip(run, card));
    return item;
  }

  /** The last run before this one with the same base or recipe. */
  private runBefore(run: RunSummary) {
    const before = runBefore(this.parts.store.runs, run);
    const record = before && this.parts.store.record(before.dir);
    return record ? { name: before.name, record } : null;
  }

  /** Actions of the user elsewhere show that no card is open any more. */
  private watchPointer(): vscode.Disposable[] {
    const left = () => this.rows.hover(null, Date.now());
    return [
      this.view.onDidChangeSelection(left),
      this.view.onDidChangeVisibility(left),
      vscode.window.onDidChangeActiveTextEditor(left),
      vscode.window.onDidChangeTextEditorSelection(left),
      vscode.window.tabGroups.onDidChangeTabs(left),
    ];
  }

  private matching(): RunSummary[] {
    const { filter } = this;
    const { store } = this.parts;
    if (filter === '') return [...store.runs];
    const parsed = parseRunFilter(filter);
    return store.runs.filter((run) => fitsFilter(tableRowOf(run, store.record(run.dir)), parsed));
  }

  /** Refreshes the rows that changed, or all of them when rows were added, removed or moved. */
  private update(): void {
    this.tell();
    if (!this.listed) return;
    if (this.rows.update(this.matching(), this.grouping)) this.changed.fire(undefined);
    else this.redraw();
  }

  private redraw(): void {
    const due = this.rows.takeDue(Date.now());
    if (due.length > 0) this.changed.fire(due);
  }

  /** Updates the badge, the context keys and the texts around the rows. */
  private tell(): void {
    const { runs } = this.parts.store;
    const told = {
      active: runs.filter(isActive).length,
      keys: {
        [CONTEXT_KEYS.hasRuns]: runs.length > 0,
        [CONTEXT_KEYS.hasRunning]: runs.some(({ state }) => state === 'running'),
        [CONTEXT_KEYS.hasActive]: runs.some(isActive),
        [CONTEXT_KEYS.hasResumable]: runs.some(canResume),
        [CONTEXT_KEYS.hasUnattended]: runs.some(isUnattended),
        [CONTEXT_KEYS.hasAdapters]: runs.some(({ adapter }) => adapter !== null),
        [CONTEXT_KEYS.hasModels]: runs.some(({ model }) => model !== null),
        [CONTEXT_KEYS.hasQueued]: this.parts.queue.items.length > 0,
        // without runs, the welcome view says how to begin, whatever the filter
        [CONTEXT_KEYS.runsFiltered]: runs.length > 0 && this.filter !== '',
      },
      message: this.message(),
    };
    if (JSON.stringify(told) === this.told) return;
    this.told = JSON.stringify(told);
    const { active, keys, message } = told;
    this.view.badge =
      active === 0
        ? undefined
        : { value: active, tooltip: t('{0} {0|run is|runs are} training', active) };
    for (const [key, value] of Object.entries(keys))
      void vscode.commands.executeCommand('setContext', key, value);
    setViewMessage(this.view, message);
  }

  /** What stands above the rows; when there are none, the welcome view says it. */
  private message(): string {
    const all = this.parts.store.runs.length;
    if (all === 0) return '';
    const shown = this.matching().length;
    if (this.filter !== '' && shown > 0)
      return t('“{0}”: {1} of {2} {2|run|runs}', this.filter, shown, all);
    if (this.filter !== '')
      return this.parts.queue.items.length > 0 ? t('No run matches “{0}”.', this.filter) : '';
    return vscode.workspace.isTrusted
      ? ''
      : t('This workspace is not trusted. You can view runs, but not start or change them.');
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }
}
