import type { ErrorArea } from '../../shared/errors';

/** A command that package.json contributes. */
export interface CommandSpec {
  readonly id: `lora.${string}`;
  /** The area of what it throws, unless that is a LoraError, which names its own. */
  readonly area: ErrorArea;
  /**
   * It starts a program or writes into the workspace, so it is refused until the user trusts the
   * workspace. package.json disables it there, too (`"enablement": "isWorkspaceTrusted"`).
   */
  readonly needsTrust: boolean;
}

/**
 * Every command of the extension. To add one: an entry here, its contribution in package.json, and
 * `commands.add(COMMANDS.name, handler)` in the `register` function of a feature.
 */
export const COMMANDS = {
  trainAdapter: { id: 'lora.trainAdapter', area: 'recipe', needsTrust: true },
  runRecipe: { id: 'lora.runRecipe', area: 'recipe', needsTrust: true },
  configureRank: { id: 'lora.configureRank', area: 'recipe', needsTrust: true },
  pickRank: { id: 'lora.pickRank', area: 'recipe', needsTrust: true },
  queueRecipe: { id: 'lora.queueRecipe', area: 'recipe', needsTrust: true },
  sweepRanks: { id: 'lora.sweepRanks', area: 'recipe', needsTrust: true },
  moveQueuedUp: { id: 'lora.moveQueuedUp', area: 'run', needsTrust: false },
  moveQueuedDown: { id: 'lora.moveQueuedDown', area: 'run', needsTrust: false },
  removeQueued: { id: 'lora.removeQueued', area: 'run', needsTrust: false },
  overlayRuns: { id: 'lora.overlayRuns', area: 'run', needsTrust: false },
  tryAdapter: { id: 'lora.tryAdapter', area: 'adapter', needsTrust: true },
  tryModel: { id: 'lora.tryModel', area: 'base', needsTrust: true },
  openDashboard: { id: 'lora.openDashboard', area: 'run', needsTrust: false },
  previewRun: { id: 'lora.previewRun', area: 'run', needsTrust: false },
  showRunsTable: { id: 'lora.showRunsTable', area: 'run', needsTrust: false },
  openSweep: { id: 'lora.openSweep', area: 'run', needsTrust: false },
  pauseRun: { id: 'lora.pauseRun', area: 'run', needsTrust: true },
  resumeRun: { id: 'lora.resumeRun', area: 'run', needsTrust: true },
  stopRun: { id: 'lora.stopRun', area: 'run', needsTrust: true },
  revealAdapter: { id: 'lora.revealAdapter', area: 'run', needsTrust: false },
  revealAdapterInOS: { id: 'lora.revealAdapterInOS', area: 'run', needsTrust: false },
  copyAdapterPath: { id: 'lora.copyAdapterPath', area: 'run', needsTrust: false },
  openAdapter: { id: 'lora.openAdapter', area: 'run', needsTrust: false },
  revealModel: { id: 'lora.revealModel', area: 'run', needsTrust: false },
  mergeAdapter: { id: 'lora.mergeAdapter', area: 'adapter', needsTrust: true },
  compareAdapters: { id: 'lora.compareAdapters', area: 'adapter', needsTrust: true },
  selectForCompare: { id: 'lora.selectForCompare', area: 'adapter', needsTrust: false },
  compareWithSelected: { id: 'lora.compareWithSelected', area: 'adapter', needsTrust: true },
  combineAdapters: { id: 'lora.combineAdapters', area: 'adapter', needsTrust: true },
  resizeAdapter: { id: 'lora.resizeAdapter', area: 'adapter', needsTrust: true },
  convertAdapter: { id: 'lora.convertAdapter', area: 'adapter', needsTrust: true },
  extractAdapter: { id: 'lora.extractAdapter', area: 'adapter', needsTrust: true },
  unmergeModel: { id: 'lora.unmergeModel', area: 'base', needsTrust: true },
  openRecipe: { id: 'lora.openRecipe', area: 'run', needsTrust: false },
  openRunLog: { id: 'lora.openRunLog', area: 'run', needsTrust: false },
  deleteRun: { id: 'lora.deleteRun', area: 'run', needsTrust: true },
  refreshRuns: { id: 'lora.refreshRuns', area: 'run', needsTrust: false },
  runAgain: { id: 'lora.runAgain', area: 'run', needsTrust: true },
  openRecipeAsItWas: { id: 'lora.openRecipeAsItWas', area: 'run', needsTrust: false },
  renameRun: { id: 'lora.renameRun', area: 'run', needsTrust: true },
  tagRun: { id: 'lora.tagRun', area: 'run', needsTrust: true },
  noteRun: { id: 'lora.noteRun', area: 'run', needsTrust: true },
  revealRun: { id: 'lora.revealRun', area: 'run', needsTrust: false },
  copyRunPath: { id: 'lora.copyRunPath', area: 'run', needsTrust: false },
  openRunPart: { id: 'lora.openRunPart', area: 'run', needsTrust: false },
  groupRuns: { id: 'lora.groupRuns', area: 'run', needsTrust: false },
  filterRuns: { id: 'lora.filterRuns', area: 'run', needsTrust: false },
  clearRunsFilter: { id: 'lora.clearRunsFilter', area: 'run', needsTrust: false },
  downloadBase: { id: 'lora.downloadBase', area: 'base', needsTrust: true },
  setHubToken: { id: 'lora.setHubToken', area: 'base', needsTrust: false },
  openSample: { id: 'lora.openSample', area: 'disk', needsTrust: false },
  showRuntime: { id: 'lora.showRuntime', area: 'runtime', needsTrust: true },
  installRuntime: { id: 'lora.installRuntime', area: 'runtime', needsTrust: true },
  showLog: { id: 'lora.showLog', area: 'usage', needsTrust: false },
  reportIssue: { id: 'lora.reportIssue', area: 'usage', needsTrust: false },
} as const satisfies Readonly<Record<string, CommandSpec>>;
