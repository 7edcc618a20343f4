import { arrangeRuns, describeGroup, type Grouping } from './arrangeRuns';
import { isDue } from './redraw';
import type { RunSummary } from './run';
import { GroupNode, RunNode } from './runNodes';
import { treeRowOf } from './treeRow';

type Row = RunNode | GroupNode;

/** When VS Code is asked again to draw a row that it has not drawn. */
const ASK_AGAIN_MS = 10_000;

/** The rows of runs and groups, each the same object as long as its run or group is listed. */
export class RunRows {
  private runNodes = new Map<string, RunNode>();
  private groupNodes = new Map<string, GroupNode>();
  private rows: readonly Row[] = [];
  /** What rows showed when VS Code was asked to draw them again, and when that was. */
  private readonly asked = new WeakMap<Row, { shown: unknown; at: number }>();

  /** The rows that are not below others. */
  get top(): readonly Row[] {
    return this.rows;
  }

  /** Takes in the runs to list; returns whether rows were added, removed or moved. */
  update(runs: readonly RunSummary[], grouping: Grouping): boolean {
    const before = this.shape();
    const nodeOf = new Map(runs.map((run) => [run.dir, this.runNode(run)]));
    this.runNodes = nodeOf;
    this.rows = arrangeRuns(runs, grouping).map((entry) => {
      if (!('runs' in entry)) return nodeOf.get(entry.dir)!;
      const node = this.groupNodes.get(entry.key) ?? new GroupNode(entry);
      node.group = entry;
      node.nodes = entry.runs.map(({ dir }) => nodeOf.get(dir)!);
      return node;
    });
    const groups = this.rows.filter((row) => row instanceof GroupNode);
    this.groupNodes = new Map(groups.map((node) => [node.group.key, node]));
    return this.shape() !== before;
  }

  /** The row above a run's. */
  parentOf(node: RunNode): GroupNode | undefined {
    return [...this.groupNodes.values()].find(({ nodes }) => nodes.includes(node));
  }

  /**
   * Takes the rows that must be drawn again, each once until it was drawn: when VS Code is busy, it
   * keeps all requests, and each closes a card. `now`: in milliseconds since 1970.
   */
  takeDue(now: number): Row[] {
    const groups = [...this.groupNodes.values()].filter(
      ({ drawn, group }) => drawn !== undefined && drawn !== describeGroup(group),
    );
    const runs = [...this.runNodes.values()].filter(
      ({ drawn, run }) => drawn && isDue(drawn, treeRowOf(run, now), now),
    );
    const alone = runs.filter((node) => !groups.some(({ nodes }) => nodes.includes(node)));
    return [...groups, ...alone].filter((row) => this.ask(row, now));
  }

  /** Whether VS Code is to be asked to draw a row again; notes that it is. */
  private ask(row: Row, now: number): boolean {
    const shown = row instanceof RunNode ? row.drawn?.row : row.drawn;
    const before = this.asked.get(row);
    if (before && before.shown === shown && now - before.at < ASK_AGAIN_MS) return false;
    this.asked.set(row, { shown, at: now });
    return true;
  }

  /** Notes that the card of a row was opened, which closes the others; null: only the latter. */
  hover(hovered: RunNode | null, now: number): void {
    for (const node of this.runNodes.values())
      if (node.drawn) node.drawn = { ...node.drawn, hovered: node === hovered ? now : null };
  }

  private runNode(run: RunSummary): RunNode {
    const node = this.runNodes.get(run.dir) ?? new RunNode(run);
    node.run = run;
    return node;
  }

  /** Identifies the rows and their order. */
  private shape(): string {
    return JSON.stringify(
      this.rows.map((row) =>
        row instanceof RunNode ? row.run.dir : [row.group.key, row.nodes.map(({ run }) => run.dir)],
      ),
    );
  }
}
