/** Every id that package.json contributes, once. A unit test holds the two together. */
export const COMMANDS = {
  trainAdapter: 'lora.trainAdapter',
  runRecipe: 'lora.runRecipe',
  configureRank: 'lora.configureRank',
  pickRank: 'lora.pickRank',
  queueRecipe: 'lora.queueRecipe',
  sweepRanks: 'lora.sweepRanks',
  moveQueuedUp: 'lora.moveQueuedUp',
  moveQueuedDown: 'lora.moveQueuedDown',
  removeQueued: 'lora.removeQueued',
  overlayRuns: 'lora.overlayRuns',
  tryAdapter: 'lora.tryAdapter',
  tryModel: 'lora.tryModel',
  openDashboard: 'lora.openDashboard',
  pauseRun: 'lora.pauseRun',
  resumeRun: 'lora.resumeRun',
  stopRun: 'lora.stopRun',
  revealAdapter: 'lora.revealAdapter',
  revealAdapterInOS: 'lora.revealAdapterInOS',
  copyAdapterPath: 'lora.copyAdapterPath',
  openAdapter: 'lora.openAdapter',
  revealModel: 'lora.revealModel',
  mergeAdapter: 'lora.mergeAdapter',
  compareAdapters: 'lora.compareAdapters',
  selectForCompare: 'lora.selectForCompare',
  compareWithSelected: 'lora.compareWithSelected',
  combineAdapters: 'lora.combineAdapters',
  resizeAdapter: 'lora.resizeAdapter',
  convertAdapter: 'lora.convertAdapter',
  extractAdapter: 'lora.extractAdapter',
  unmergeModel: 'lora.unmergeModel',
  openRecipe: 'lora.openRecipe',
  openRunLog: 'lora.openRunLog',
  deleteRun: 'lora.deleteRun',
  refreshRuns: 'lora.refreshRuns',
  runAgain: 'lora.runAgain',
  openRecipeAsItWas: 'lora.openRecipeAsItWas',
  renameRun: 'lora.renameRun',
  tagRun: 'lora.tagRun',
  noteRun: 'lora.noteRun',
  revealRun: 'lora.revealRun',
  copyRunPath: 'lora.copyRunPath',
  openRunPart: 'lora.openRunPart',
  groupRuns: 'lora.groupRuns',
  filterRuns: 'lora.filterRuns',
  clearRunsFilter: 'lora.clearRunsFilter',
  downloadBase: 'lora.downloadBase',
  setHubToken: 'lora.setHubToken',
  openSample: 'lora.openSample',
  showRuntime: 'lora.showRuntime',
  installRuntime: 'lora.installRuntime',
  showLog: 'lora.showLog',
} as const;

export type CommandId = (typeof COMMANDS)[keyof typeof COMMANDS];

/** Commands that start programs or write into the workspace: only where the user trusts it. */
export const NEEDS_TRUST: ReadonlySet<CommandId> = new Set([
  COMMANDS.trainAdapter,
  COMMANDS.runRecipe,
  COMMANDS.configureRank,
  COMMANDS.pickRank,
  COMMANDS.queueRecipe,
  COMMANDS.sweepRanks,
  COMMANDS.pauseRun,
  COMMANDS.resumeRun,
  COMMANDS.stopRun,
  COMMANDS.deleteRun,
  COMMANDS.runAgain,
  COMMANDS.renameRun,
  COMMANDS.tagRun,
  COMMANDS.noteRun,
  COMMANDS.mergeAdapter,
  COMMANDS.compareAdapters,
  COMMANDS.compareWithSelected,
  COMMANDS.tryAdapter,
  COMMANDS.tryModel,
  COMMANDS.combineAdapters,
  COMMANDS.resizeAdapter,
  COMMANDS.convertAdapter,
  COMMANDS.extractAdapter,
  COMMANDS.unmergeModel,
  COMMANDS.downloadBase,
  COMMANDS.showRuntime,
  COMMANDS.installRuntime,
]);

export const VIEWS = {
  container: 'lora',
  runs: 'lora.runs',
  dashboard: 'lora.dashboard',
  overlay: 'lora.overlay',
  compare: 'lora.compare',
  playground: 'lora.playground',
  configure: 'lora.configure',
  inspector: 'lora.inspector',
} as const;

/** Tools that chat agents may use. */
export const TOOLS = {
  listRuns: 'lora_list_runs',
  explainRun: 'lora_explain_run',
  compareAdapters: 'lora_compare_adapters',
  startRecipe: 'lora_start_recipe',
} as const;

export const TASK_IDS = { recipe: 'lora', problemMatcher: 'lora' } as const;

export const SETTINGS = {
  runtimePath: 'lora.runtime.path',
  modelFolders: 'lora.models.folders',
  onWindowClose: 'lora.engine.onWindowClose',
} as const;

export const CONTEXT_KEYS = {
  hasRuns: 'lora.hasRuns',
  runsFiltered: 'lora.runsFiltered',
  hasSelectedAdapter: 'lora.hasSelectedAdapter',
  adapterFolders: 'lora.adapterFolders',
} as const;

export const WALKTHROUGH = 'lora.start';
