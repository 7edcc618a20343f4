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
  /**
   * The part of the run in the active dashboard that it uses if it is invoked without an argument,
   * as from the Command Palette.
   */
  readonly subject?: CommandSubject;
}

/** Parts of a run that commands are about: see `SUBJECTS`. */
export type CommandSubject =
  | 'run'
  | 'running'
  | 'unattended'
  | 'active'
  | 'resumable'
  | 'recipe'
  | 'recipe file'
  | 'model'
  | 'ended with adapter'
  | 'adapter';

/**
 * Every command of the extension. To add one: an entry here, its contribution in package.json, and
 * `commands.add(COMMANDS.name, handler)` in the `register` function of a feature.
 */
export const COMMANDS = {
  trainAdapter: { id: 'lora.trainAdapter', area: 'recipe', needsTrust: true },
  trainOnDataset: { id: 'lora.trainOnDataset', area: 'recipe', needsTrust: true },
  trainOnModel: { id: 'lora.trainOnModel', area: 'recipe', needsTrust: true },
  trainOnRepository: { id: 'lora.trainOnRepository', area: 'dataset', needsTrust: true },
  openDataset: { id: 'lora.openDataset', area: 'dataset', needsTrust: false },
  inspectTensors: { id: 'lora.inspectTensors', area: 'adapter', needsTrust: false },
  runRecipe: { id: 'lora.runRecipe', area: 'recipe', needsTrust: true, subject: 'recipe file' },
  runRecipeOn: {
    id: 'lora.runRecipeOn',
    area: 'target',
    needsTrust: true,
    subject: 'recipe file',
  },
  configureRank: {
    id: 'lora.configureRank',
    area: 'recipe',
    needsTrust: true,
    subject: 'recipe file',
  },
  pickRank: { id: 'lora.pickRank', area: 'recipe', needsTrust: true, subject: 'recipe file' },
  queueRecipe: { id: 'lora.queueRecipe', area: 'recipe', needsTrust: true, subject: 'recipe file' },
  sweepRanks: { id: 'lora.sweepRanks', area: 'recipe', needsTrust: true, subject: 'recipe file' },
  sweep: { id: 'lora.sweep', area: 'recipe', needsTrust: true },
  tuneRecipe: { id: 'lora.tuneRecipe', area: 'recipe', needsTrust: true },
  moveQueuedUp: { id: 'lora.moveQueuedUp', area: 'run', needsTrust: false },
  moveQueuedDown: { id: 'lora.moveQueuedDown', area: 'run', needsTrust: false },
  removeQueued: { id: 'lora.removeQueued', area: 'run', needsTrust: false },
  overlayRuns: { id: 'lora.overlayRuns', area: 'run', needsTrust: false },
  tryAdapter: { id: 'lora.tryAdapter', area: 'adapter', needsTrust: true, subject: 'adapter' },
  startServer: { id: 'lora.startServer', area: 'adapter', needsTrust: true, subject: 'adapter' },
  stopServer: { id: 'lora.stopServer', area: 'engine', needsTrust: false },
  chatWithAdapter: {
    id: 'lora.chatWithAdapter',
    area: 'adapter',
    needsTrust: true,
    subject: 'adapter',
  },
  chooseCompletionModel: { id: 'lora.chooseCompletionModel', area: 'adapter', needsTrust: true },
  tryModel: { id: 'lora.tryModel', area: 'base', needsTrust: true, subject: 'model' },
  openDashboard: { id: 'lora.openDashboard', area: 'run', needsTrust: false, subject: 'run' },
  previewRun: { id: 'lora.previewRun', area: 'run', needsTrust: false },
  importRun: { id: 'lora.importRun', area: 'run', needsTrust: true },
  showRunsTable: { id: 'lora.showRunsTable', area: 'run', needsTrust: false },
  openSweep: { id: 'lora.openSweep', area: 'run', needsTrust: false },
  pauseRun: { id: 'lora.pauseRun', area: 'run', needsTrust: true, subject: 'running' },
  resumeRun: { id: 'lora.resumeRun', area: 'run', needsTrust: true, subject: 'resumable' },
  stopRun: { id: 'lora.stopRun', area: 'run', needsTrust: true, subject: 'active' },
  reconnectRun: {
    id: 'lora.reconnectRun',
    area: 'target',
    needsTrust: true,
    subject: 'unattended',
  },
  followRemoteRun: { id: 'lora.followRemoteRun', area: 'target', needsTrust: true },
  checkTarget: { id: 'lora.checkTarget', area: 'target', needsTrust: true },
  cleanTarget: { id: 'lora.cleanTarget', area: 'target', needsTrust: true },
  editTargets: { id: 'lora.editTargets', area: 'target', needsTrust: false },
  revealAdapter: {
    id: 'lora.revealAdapter',
    area: 'run',
    needsTrust: false,
    subject: 'ended with adapter',
  },
  revealAdapterInOS: {
    id: 'lora.revealAdapterInOS',
    area: 'run',
    needsTrust: false,
    subject: 'ended with adapter',
  },
  copyAdapterPath: {
    id: 'lora.copyAdapterPath',
    area: 'run',
    needsTrust: false,
    subject: 'ended with adapter',
  },
  openAdapter: {
    id: 'lora.openAdapter',
    area: 'run',
    needsTrust: false,
    subject: 'ended with adapter',
  },
  revealModel: { id: 'lora.revealModel', area: 'run', needsTrust: false, subject: 'model' },
  mergeAdapter: { id: 'lora.mergeAdapter', area: 'adapter', needsTrust: true, subject: 'adapter' },
  compareAdapters: {
    id: 'lora.compareAdapters',
    area: 'adapter',
    needsTrust: true,
    subject: 'adapter',
  },
  evaluate: { id: 'lora.evaluate', area: 'adapter', needsTrust: true, subject: 'adapter' },
  openEvaluation: { id: 'lora.openEvaluation', area: 'run', needsTrust: false },
  selectForCompare: {
    id: 'lora.selectForCompare',
    area: 'adapter',
    needsTrust: false,
    subject: 'adapter',
  },
  compareWithSelected: {
    id: 'lora.compareWithSelected',
    area: 'adapter',
    needsTrust: true,
    subject: 'adapter',
  },
  combineAdapters: {
    id: 'lora.combineAdapters',
    area: 'adapter',
    needsTrust: true,
    subject: 'adapter',
  },
  resizeAdapter: {
    id: 'lora.resizeAdapter',
    area: 'adapter',
    needsTrust: true,
    subject: 'adapter',
  },
  convertAdapter: {
    id: 'lora.convertAdapter',
    area: 'adapter',
    needsTrust: true,
    subject: 'adapter',
  },
  useAdapter: { id: 'lora.useAdapter', area: 'adapter', needsTrust: true, subject: 'adapter' },
  extractAdapter: { id: 'lora.extractAdapter', area: 'adapter', needsTrust: true },
  unmergeModel: { id: 'lora.unmergeModel', area: 'base', needsTrust: true },
  openRecipe: { id: 'lora.openRecipe', area: 'run', needsTrust: false, subject: 'recipe' },
  openRunLog: { id: 'lora.openRunLog', area: 'run', needsTrust: false, subject: 'run' },
  deleteRun: { id: 'lora.deleteRun', area: 'run', needsTrust: true, subject: 'run' },
  refreshRuns: { id: 'lora.refreshRuns', area: 'run', needsTrust: false },
  runAgain: { id: 'lora.runAgain', area: 'run', needsTrust: true, subject: 'run' },
  openRecipeAsItWas: {
    id: 'lora.openRecipeAsItWas',
    area: 'run',
    needsTrust: false,
    subject: 'run',
  },
  renameRun: { id: 'lora.renameRun', area: 'run', needsTrust: true, subject: 'run' },
  tagRun: { id: 'lora.tagRun', area: 'run', needsTrust: true, subject: 'run' },
  noteRun: { id: 'lora.noteRun', area: 'run', needsTrust: true, subject: 'run' },
  revealRun: { id: 'lora.revealRun', area: 'run', needsTrust: false, subject: 'run' },
  copyRunPath: { id: 'lora.copyRunPath', area: 'run', needsTrust: false, subject: 'run' },
  openRunPart: { id: 'lora.openRunPart', area: 'run', needsTrust: false },
  groupRuns: { id: 'lora.groupRuns', area: 'run', needsTrust: false },
  filterRuns: { id: 'lora.filterRuns', area: 'run', needsTrust: false },
  clearRunsFilter: { id: 'lora.clearRunsFilter', area: 'run', needsTrust: false },
  downloadBase: { id: 'lora.downloadBase', area: 'base', needsTrust: true },
  setHubToken: { id: 'lora.setHubToken', area: 'base', needsTrust: false },
  openSample: { id: 'lora.openSample', area: 'disk', needsTrust: false },
  showRuntime: { id: 'lora.showRuntime', area: 'runtime', needsTrust: true },
  askRuntime: { id: 'lora.askRuntime', area: 'runtime', needsTrust: false },
  installRuntime: { id: 'lora.installRuntime', area: 'runtime', needsTrust: true },
  showLog: { id: 'lora.showLog', area: 'usage', needsTrust: false },
  reportIssue: { id: 'lora.reportIssue', area: 'usage', needsTrust: false },
} as const satisfies Readonly<Record<string, CommandSpec>>;
